//! Configuration: what is taken, who may set it, what follows.

use spl_kernel::{
    json::{Bounds, Json, Object},
    refusal::Code,
};
use spl_projections::{
    Command,
    authority::{Freed, Gate, Presented, Ticket},
    config::{Change, Set},
    scope::Scope,
};

use crate::kit::{ALICE, BOB, Kit, code};

fn object(text: &str) -> Object {
    match Json::parse(text.as_bytes(), Bounds { levels: 8, values: 1000 }) {
        Ok(Json::Object(object)) => object,
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_are_taken_strictly() {
    let good = [
        r#"{"topic":"auth_required","enabled":true}"#,
        r#"{"topic":"auth_required","enabled":true,"kind":"core.engine_config","_v":1}"#,
        r#"{"topic":"auth_cors_origins","origins":["https://Example.com:443"]}"#,
        r#"{"topic":"auth_cors_origins","origins":[]}"#,
        r#"{"topic":"trusted_proxies","cidrs":["10.0.0.0/8","::1"]}"#,
        r#"{"topic":"public_url","url":"https://spl.example.com"}"#,
        r#"{"topic":"permission_rule","name":"r","action":"deny","priority":-1,"expression":"true","enabled":false}"#,
    ];
    for good in good {
        assert!(Change::decode(&object(good)).is_ok(), "{good}");
    }
    let bad = [
        "{}",
        r#"{"topic":"nonsense","enabled":true}"#,
        r#"{"topic":"auth_required"}"#,
        r#"{"topic":"auth_required","enabled":"true"}"#,
        r#"{"topic":"auth_required","enabled":true,"more":1}"#,
        r#"{"topic":"auth_cors_origins","origins":["*"]}"#,
        r#"{"topic":"auth_cors_origins","origins":["null"]}"#,
        r#"{"topic":"auth_cors_origins","origins":"https://example.com"}"#,
        r#"{"topic":"trusted_proxies","cidrs":["10.0.0.0/33"]}"#,
        r#"{"topic":"public_url","url":"http://spl.example.com"}"#,
        r#"{"topic":"public_url","url":"https://spl.example.com/path"}"#,
        r#"{"topic":"permission_rule","name":"r","action":"maybe","priority":1,"expression":"true","enabled":true}"#,
        r#"{"topic":"permission_rule","name":"r","action":"deny","priority":1,"expression":"(","enabled":true}"#,
        r#"{"topic":"permission_rule","name":"","action":"deny","priority":1,"expression":"true","enabled":true}"#,
    ];
    for bad in bad {
        assert!(Change::decode(&object(bad)).is_err(), "{bad}");
    }
}

#[test]
fn what_opens_redirects_or_locks_is_for_admins() {
    let (mut kit, admin) = Kit::bootstrapped();
    let token = kit.account(&admin, "c", &["config:write"], &[BOB]);
    let configurer = kit.admit(token.token_id, Scope::ConfigWrite, None).expect("a caller");
    let admin = kit.admin(&admin);
    let cases = [
        (r#"{"topic":"auth_required","enabled":true}"#, false),
        (r#"{"topic":"auth_required","enabled":false}"#, true),
        (r#"{"topic":"strict_actor_header","enabled":true}"#, false),
        (r#"{"topic":"strict_actor_header","enabled":false}"#, true),
        (r#"{"topic":"federation_did_web","enabled":false}"#, false),
        (r#"{"topic":"federation_did_web","enabled":true}"#, true),
        (r#"{"topic":"auth_cors_origins","origins":[]}"#, true),
        (r#"{"topic":"trusted_proxies","cidrs":[]}"#, true),
        (r#"{"topic":"public_url","url":"https://spl.example.com"}"#, true),
        (r#"{"topic":"permissions_enabled","enabled":false}"#, true),
    ];
    for (body, needs_admin) in cases {
        let set = || Command::SetConfig(Set { body: object(body) });
        let expected = needs_admin.then_some(Code::ScopeForbidden);
        assert_eq!(code(kit.run(set(), &configurer)), expected, "{body}");
        assert_eq!(code(kit.run(set(), &admin)), None, "{body}");
    }
    assert_eq!(kit.replayed().digest(), kit.world.digest());
}

#[test]
fn a_flag_counts_from_the_next_request() {
    let (mut kit, admin) = Kit::bootstrapped();
    let caller = kit.admin(&admin);
    let anonymous = Ticket {
        bearer: Presented::Nothing,
        local_proof: false,
        insecure: false,
        claimed: Some(ALICE.to_owned()),
        gate: Gate { scope: Some(Scope::RecordsRead), freed: Freed::DataPlane, takes_config: false },
    };
    let set = |kit: &mut Kit, body: &str| {
        kit.run(Command::SetConfig(Set { body: object(body) }), &caller).expect("set");
    };
    assert_eq!(code(kit.world.admit(&anonymous, kit.now)), Some(Code::AuthRequired));
    set(&mut kit, r#"{"topic":"auth_required","enabled":false}"#);
    assert_eq!(code(kit.world.admit(&anonymous, kit.now)), None);
    let operator = Ticket { gate: Gate { freed: Freed::Never, ..anonymous.gate }, ..anonymous.clone() };
    assert_eq!(code(kit.world.admit(&operator, kit.now)), Some(Code::AuthRequired), "the data plane only");
    let bad = Ticket { bearer: Presented::Malformed, ..anonymous.clone() };
    assert_eq!(code(kit.world.admit(&bad, kit.now)), Some(Code::AuthInvalid), "what is sent is checked");
    set(&mut kit, r#"{"topic":"strict_actor_header","enabled":true}"#);
    assert_eq!(code(kit.world.admit(&anonymous, kit.now)), Some(Code::DidClaimDenied));
    assert_eq!(code(kit.admit(admin.token_id, Scope::Admin, Some(BOB))), Some(Code::DidClaimDenied));
    set(&mut kit, r#"{"topic":"strict_actor_header","enabled":false}"#);
    assert_eq!(code(kit.admit(admin.token_id, Scope::Admin, Some(BOB))), None);
    set(&mut kit, r#"{"topic":"strict_impersonation_enforcement","enabled":true}"#);
    assert_eq!(code(kit.admit(admin.token_id, Scope::Admin, Some(BOB))), Some(Code::DidClaimDenied));
}
