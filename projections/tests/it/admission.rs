//! What may be written, one line per case.

use spl_kernel::{draft::Draft, json::Json, record::Act, refusal::Code};
use spl_projections::{authority::Caller, scope::Scope};

use crate::kit::{ALICE, BOB, Kit};

fn draft(thread: &str, actor: &str, members: &[(&str, Json)]) -> Draft {
    let members = members.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let body = spl_kernel::json::Object::from_members(members).expect("distinct keys");
    Draft::new(thread, actor, Act::Learn, Json::Object(body)).expect("a valid draft")
}

fn refused(kit: &Kit, caller: &Caller, draft: &Draft) -> Option<Code> {
    let refusal = kit.world.admit_drafts(caller, std::slice::from_ref(draft)).err().map(|m| m.refusal);
    assert!(refusal.as_ref().is_none_or(|r| r.hint.is_some()), "every refusal helps: {refusal:?}");
    refusal.map(|r| r.code)
}

#[test]
fn nobody_writes_what_the_instance_writes() {
    let kit = Kit::new();
    let instance = kit.world.identity.did.clone().expect("a name");
    // Thread, actor, members of the body; the refusal.
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Option<Code>);
    let cases: [Case<'_>; 16] = [
        ("t", ALICE, &[], None),
        ("t", ALICE, &[("namespace", "team/build")], None),
        ("t", ALICE, &[("kind", "music.catalog.track")], None),
        ("t", ALICE, &[("kind", "core.invite")], None),
        ("TH_IDENTITY", ALICE, &[], None),
        ("t", ALICE, &[("namespace", "Team")], Some(Code::NamespaceRejected)),
        ("t", ALICE, &[("namespace", "a/b/c/d/e")], Some(Code::NamespaceRejected)),
        ("th_identity", ALICE, &[("namespace", "")], Some(Code::NamespaceRejected)),
        ("th_identity", ALICE, &[], Some(Code::ReservedThread)),
        ("th_engine_config", ALICE, &[("topic", "auth_required")], Some(Code::ReservedThread)),
        ("th_audit_x", &instance, &[("kind", "core.invite.v1")], Some(Code::ReservedThread)),
        ("t", ALICE, &[("kind", "core.api_token.v1")], Some(Code::ReservedKind)),
        ("t", &instance, &[("kind", "core.impersonation.event.v1")], Some(Code::ReservedKind)),
        ("t", "did:sync:system:engine", &[], Some(Code::DidClaimDenied)),
        ("t", "did:sync:system:sa_0123456789abcdef", &[], Some(Code::DidClaimDenied)),
        ("t", &instance, &[], Some(Code::DidClaimDenied)),
    ];
    for (thread, actor, members, expected) in cases {
        let members: Vec<(&str, Json)> = members.iter().map(|(k, v)| (*k, (*v).into())).collect();
        let draft = draft(thread, actor, &members);
        assert_eq!(refused(&kit, &Caller::nobody(), &draft), expected, "{thread} {actor} {members:?}");
    }
}

#[test]
fn a_narrowed_token_writes_within_its_grains() {
    let (mut kit, admin) = Kit::bootstrapped();
    let scopes =
        ["records:read", "records:write", "thread:a.b:c:write", "thread:r:read", "namespace:team:write"];
    let token = kit.account(&admin, "narrowed", &scopes, &[BOB]);
    let caller = kit.admit(token.token_id, Scope::RecordsWrite, None).expect("a caller");
    let cases = [
        ("a.b:c", "default", None),
        ("a.b:c", "other", None),
        ("new", "team", None),
        ("new", "team/build", None),
        ("new", "teams", Some(Code::ScopeForbidden)),
        ("new", "default", Some(Code::ScopeForbidden)),
        ("r", "default", Some(Code::ScopeForbidden)),
        ("th_api_tokens", "team", Some(Code::ReservedThread)),
    ];
    for (thread, namespace, expected) in cases {
        let draft = draft(thread, BOB, &[("namespace", namespace.into())]);
        assert_eq!(refused(&kit, &caller, &draft), expected, "{thread} {namespace}");
    }
    let refusal = kit.world.admit_drafts(&caller, &[draft("x", BOB, &[])]).expect_err("outside").refusal;
    assert_eq!(refusal.required_scope.as_deref(), Some("thread:x:write"));
    let by_namespace = draft("new", BOB, &[("namespace", "team".into())]);
    let admitted = kit.world.admit_drafts(&caller, &[by_namespace]).expect("admitted");
    assert_eq!(admitted.by_namespace, [0], "only the namespace's grain allows it");
}

#[test]
fn an_admin_who_writes_as_another_is_told_of() {
    let (mut kit, admin) = Kit::bootstrapped();
    let caller = kit.admin(&admin);
    let drafts = [draft("t", ALICE, &[]), draft("t", BOB, &[])];
    let admitted = kit.world.admit_drafts(&caller, &drafts).expect("admins may");
    assert_eq!(admitted.as_another, [1]);
    let other = kit.account(&admin, "writer", &["records:write"], &[BOB]);
    let writer = kit.admit(other.token_id, Scope::RecordsWrite, None).expect("a caller");
    assert_eq!(refused(&kit, &writer, &drafts[0]), Some(Code::DidClaimDenied));
    assert_eq!(refused(&kit, &writer, &drafts[1]), None);
}

#[test]
fn configuration_is_posted_by_those_entitled() {
    let (mut kit, admin) = Kit::bootstrapped();
    let mut caller = |scopes: &[&str]| {
        let token = kit.account(&admin, "c", scopes, &[BOB]);
        kit.admit(token.token_id, Scope::RecordsWrite, None)
    };
    let writer = caller(&["records:write"]).expect("a caller");
    let configurer = caller(&["records:write", "config:write"]).expect("a caller");
    let admin = kit.admin(&admin);
    let engine = "did:sync:system:engine";
    let auth = |on: bool| vec![("topic", Json::from("auth_required")), ("enabled", on.into())];
    let strict = |on: bool| vec![("topic", Json::from("strict_actor_header")), ("enabled", on.into())];
    let none: Option<Code> = None;
    let cases = [
        (&writer, engine, auth(true), Some(Code::ReservedThread)),
        (&configurer, engine, auth(true), none),
        (&configurer, BOB, strict(true), none),
        (&configurer, ALICE, strict(true), Some(Code::DidClaimDenied)),
        (&configurer, engine, auth(false), Some(Code::ScopeForbidden)),
        (&configurer, engine, strict(false), Some(Code::ScopeForbidden)),
        (&admin, engine, auth(false), none),
        (&admin, engine, vec![("topic", "nonsense".into())], Some(Code::InvalidBody)),
    ];
    for (caller, actor, members, expected) in cases {
        let draft = draft("th_engine_config", actor, &members);
        let found = kit.world.admit_drafts(caller, std::slice::from_ref(&draft)).err();
        assert_eq!(found.map(|m| m.refusal.code), expected, "{actor} {members:?}");
    }
    let not_learn = Draft { act: Act::Do, ..draft("th_engine_config", engine, &auth(true)) };
    assert!(kit.world.admit_drafts(&configurer, &[not_learn]).is_err());
}

#[test]
fn what_is_posted_as_the_engine_leaves_it_clocks_and_is_small() {
    let (kit, admin) = Kit::bootstrapped();
    let admin = kit.admin(&admin);
    let set = |clock: Option<u64>| Draft {
        clock,
        ..draft(
            "th_engine_config",
            "did:sync:system:engine",
            &[("topic", "auth_required".into()), ("enabled", true.into())],
        )
    };
    for (clock, expected) in [
        (None, None),
        (Some(0), None),
        (Some(1 << 53), None),
        (Some((1 << 53) + 1), Some(Code::InvalidBody)),
        (Some(i64::MAX as u64), Some(Code::InvalidBody)),
    ] {
        assert_eq!(refused(&kit, &admin, &set(clock)), expected, "{clock:?}");
    }
    let large = draft(
        "th_engine_config",
        ALICE,
        &[("topic", "auth_required".into()), ("enabled", true.into()), ("_v", "x".repeat(70_000).into())],
    );
    assert_eq!(refused(&kit, &admin, &large), Some(Code::InvalidBody));
}
