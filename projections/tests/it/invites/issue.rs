//! Issuing: bounds, targets, templates, consent, and what the issuer is warned of.

use spl_kernel::refusal::Code::{self, InvalidBody, InvalidName};
use spl_projections::{
    Command,
    authority::Caller,
    consent::{Access, Give, Resource, TakeBack},
    decision::Outcome,
    invites::{Accepts, BulkFilter, BulkRevoke, Issue, Revoke, Shape, State, Target},
    scope::{Scope, Scopes},
    templates::{Remove, Save},
};

use super::{Desk, URL, fields, scopes};
use crate::kit::{ALICE, BOB, code};

fn of(shape: Shape) -> Issue {
    Issue { shape, template_id: None, public_url: URL.to_owned() }
}

fn from(template_id: &str, shape: Shape) -> Issue {
    Issue { template_id: Some(template_id.to_owned()), ..of(shape) }
}

fn save(desk: &mut Desk, shape: Shape) -> String {
    let alice = desk.alice.clone();
    let save = Save { label: "usual".to_owned(), shape };
    match desk.kit.run(Command::SaveTemplate(save), &alice).expect("a template") {
        Outcome::Template { template_id } => template_id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let mut desk = Desk::new();
    let before = desk.kit.records.len();
    let id = desk.issue(Shape::default());
    let [record, mirror] = &desk.kit.records[before..] else { panic!("a record and its mirror") };
    let now = desk.kit.now;
    let at = |ms: u64| spl_kernel::time::UnixMillis(now.0 + ms).to_string();
    let by = serde_json::json!({
        "actor": ALICE, "service_account_id": desk.admin.service_account_id,
        "token_id": desk.admin.token_id.to_string(),
    });
    let expected = serde_json::json!({
        "invite_id": id, "issuer_did": desk.own_did(),
        "issuer_key_fp": desk.kit.world.identity.key().expect("a key").fingerprint(),
        "public_url": URL, "scope_target": "instance", "scopes": ["records:read", "records:write"],
        "ttl_seconds": 86_400, "max_uses": 1, "accept_holder_types": ["guest"],
        "bearer_ttl_seconds": 7_776_000, "issued_at": at(0), "expires_at": at(86_400_000), "by": by,
    });
    assert_eq!(serde_json::to_value(fields(record, &[])).expect("JSON"), expected);
    assert_eq!((record.record.thread.as_str(), record.record.act.as_str()), ("th_invites", "PUT"));
    let mirrored = serde_json::json!({
        "invite_id": id, "event_kind": "issued", "scopes": ["records:read", "records:write"],
        "max_uses": 1, "expires_at": at(86_400_000), "at": at(0), "by": by,
        "source_record": record.record.id.to_string(),
    });
    assert_eq!(serde_json::to_value(fields(mirror, &[])).expect("JSON"), mirrored);
    assert_eq!((mirror.record.thread.as_str(), mirror.record.act.as_str()), ("th_audit_invites", "LEARN"));
    assert_eq!(mirror.record.parents, [record.record.id]);
    let invite = desk.invite(&id);
    assert!(spl_projections::invites::is_invite_id(&id));
    assert_eq!((invite.state(now), invite.uses_remaining()), (State::Active, 1));
}

#[test]
fn bounds_hold_at_both_edges() {
    let base = Shape::default;
    let ttl = |n| Shape { ttl_seconds: Some(n), ..base() };
    let uses = |n| Shape { max_uses: Some(n), ..base() };
    let bearer = |n| Shape { bearer_ttl_seconds: Some(n), ..base() };
    let notes = |text: &str| Shape { notes: Some(text.to_owned()), ..base() };
    let label = |text: &str| Shape { device_label: Some(text.to_owned()), ..base() };
    let (bad, unnamed) = (Some(InvalidBody), Some(InvalidName));
    let cases = [
        (ttl(0), bad),
        (ttl(59), bad),
        (ttl(60), None),
        (ttl(2_592_000), None),
        (ttl(2_592_001), bad),
        (ttl(u64::MAX), bad),
        (ttl((1 << 32) + 60), bad),
        (uses(0), bad),
        (uses(1), None),
        (uses(1000), None),
        (uses(1001), bad),
        (uses(u64::MAX), bad),
        (uses((1 << 32) + 1), bad),
        (bearer(0), bad),
        (bearer(59), bad),
        (bearer(60), None),
        (bearer(31_536_000), None),
        (bearer(31_536_001), bad),
        (bearer(u64::MAX), bad),
        // Scalar values, neither bytes nor UTF-16 units nor what a reader sees as one character.
        (notes(&"x".repeat(280)), None),
        (notes(&"x".repeat(281)), bad),
        (notes(&"é".repeat(280)), None),
        (notes(&"𝄞".repeat(280)), None),
        (notes(&"𝄞".repeat(281)), bad),
        (notes(&"e\u{301}".repeat(140)), None),
        (notes(&format!("{}x", "e\u{301}".repeat(140))), bad),
        (notes("two\nlines\tand a tab"), None),
        (notes("a\u{1b}[31m"), bad),
        (notes("a\0"), bad),
        (notes("a\u{85}"), bad),
        (label("My phone"), None),
        (label(&"電".repeat(128)), None),
        (label(&"電".repeat(129)), unnamed),
        (label(""), unnamed),
        (label(" phone"), unnamed),
        (label("pho\u{200b}ne"), unnamed),
        (label("pho\nne"), unnamed),
    ];
    let mut desk = Desk::new();
    for (shape, expected) in cases {
        let (shown, records) = (format!("{shape:?}"), desk.kit.records.len());
        assert_eq!(code(desk.try_issue(of(shape))), expected, "{shown}");
        let written = if expected.is_some() { 0 } else { 2 };
        assert_eq!(desk.kit.records.len() - records, written, "{shown}");
    }
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn a_bearer_is_narrowed_to_the_target() {
    let thread = |id: &str| Some(Target::Thread(id.to_owned()));
    let space = |name: &str| Some(Target::Namespace(name.to_owned()));
    let both = ["records:read", "records:write"];
    let long = "x".repeat(256);
    let longer = "x".repeat(257);
    let none: Option<&[&str]> = None;
    let read = Some(&["records:read"][..]);
    type Case<'a> = (Option<&'a [&'a str]>, Option<Target>, Option<Vec<String>>);
    let held = |scopes: &[&str]| Some(scopes.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    let grain = |scope: &str| held(&["records:read", scope]);
    let cases: [Case<'_>; 27] = [
        (none, None, held(&both)),
        (none, Some(Target::Instance), held(&both)),
        (read, None, held(&["records:read"])),
        (Some(&["admin"]), None, held(&["admin"])),
        (Some(&["records:read", "thread:a:b:read"]), None, grain("thread:a:b:read")),
        (Some(&[]), None, None),
        (Some(&[]), thread("t"), None),
        (read, thread("music.library"), grain("thread:music.library:read")),
        (read, thread("a:b"), grain("thread:a:b:read")),
        (read, thread("a:read"), grain("thread:a:read:read")),
        (read, thread(&long), grain(&format!("thread:{long}:read"))),
        (read, thread(&longer), None),
        (none, thread("t"), held(&["records:read", "records:write", "thread:t:read", "thread:t:write"])),
        (read, space("team/build"), grain("namespace:team/build:read")),
        (Some(&["records:write"]), space("team"), held(&["records:write", "namespace:team:write"])),
        (read, space(""), None),
        (read, thread(""), None),
        (read, thread("a b"), None),
        (read, thread("é"), None),
        (read, thread("th_invites"), None),
        (read, thread("th_audit_anything"), None),
        (read, thread("th_engine_config"), None),
        (Some(&["admin"]), thread("t"), None),
        (Some(&["records:read", "threads:write"]), thread("t"), None),
        (Some(&["config:read"]), space("team"), None),
        (Some(&["records:read", "thread:t:read"]), thread("t"), None),
        (Some(&["records:read", "thread:u:read"]), space("team"), None),
    ];
    let mut desk = Desk::new();
    for (granted, target, expected) in cases {
        let shape = Shape { scopes: granted.map(scopes), target: target.clone(), ..Shape::default() };
        let found = desk.try_issue(of(shape)).map_err(|refusal| refusal.code);
        let shown = format!("{granted:?} {target:?}");
        match (found, expected) {
            (Ok((id, _)), Some(expected)) => {
                let invite = desk.invite(&id);
                assert_eq!(invite.scopes.names(), expected, "{shown}");
                assert_eq!(invite.target, target.unwrap_or(Target::Instance), "{shown}");
            }
            (Err(code), None) => assert_eq!(code, InvalidBody, "{shown}"),
            (found, expected) => panic!("{shown}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn presets_are_what_the_documents_say() {
    for (name, list) in [
        ("reader", &["records:read"][..]),
        ("contributor", &["records:read", "records:write"]),
        ("admin", &["admin"]),
    ] {
        assert_eq!(Scopes::preset(name), Some(scopes(list)), "{name}");
    }
    assert_eq!(Scopes::preset("owner"), None);
}

#[test]
fn a_template_fills_what_is_left_out_and_nothing_else() {
    let mut desk = Desk::new();
    let kept = Shape {
        scopes: Some(scopes(&["records:read"])),
        ttl_seconds: Some(600),
        max_uses: Some(7),
        target: Some(Target::Thread("t".to_owned())),
        accepts: Accepts::parse(["*"]),
        device_label: Some("tablet".to_owned()),
        notes: Some("kitchen".to_owned()),
        bearer_ttl_seconds: Some(3600),
    };
    let template = save(&mut desk, kept.clone());
    #[derive(Debug, Clone, PartialEq)]
    struct Seen(Vec<String>, u32, u32, Target, Vec<&'static str>, Option<String>, Option<String>, u32);
    let mut issue = |shape: Shape| -> Seen {
        let id = desk.try_issue(from(&template, shape)).expect("an invite").0;
        let invite = desk.invite(&id);
        assert_eq!(invite.template_id.as_deref(), Some(template.as_str()));
        Seen(
            invite.scopes.names(),
            invite.ttl_seconds,
            invite.max_uses,
            invite.target.clone(),
            invite.accepts.names(),
            invite.device_label.clone(),
            invite.notes.clone(),
            invite.bearer_ttl_seconds,
        )
    };
    let filled = issue(Shape::default());
    let grained = ["records:read", "thread:t:read"].map(str::to_owned).to_vec();
    let text = |text: &str| Some(text.to_owned());
    let expected = Seen(
        grained,
        600,
        7,
        Target::Thread("t".to_owned()),
        vec!["guest", "federated"],
        text("tablet"),
        text("kitchen"),
        3600,
    );
    assert_eq!(filled, expected);
    // Each said, with the rest as kept.
    let said = issue(Shape { ttl_seconds: Some(60), ..Shape::default() });
    assert_eq!(said, Seen { 1: 60, ..expected.clone() });
    let said = issue(Shape { max_uses: Some(1), ..Shape::default() });
    assert_eq!(said, Seen { 2: 1, ..expected.clone() });
    let said = issue(Shape { accepts: Some(Accepts::GUEST), ..Shape::default() });
    assert_eq!(said, Seen { 4: vec!["guest"], ..expected.clone() });
    let said = issue(Shape { device_label: text("phone"), ..Shape::default() });
    assert_eq!(said, Seen { 5: text("phone"), ..expected.clone() });
    let said = issue(Shape { notes: text(""), ..Shape::default() });
    assert_eq!(said, Seen { 6: text(""), ..expected.clone() });
    let said = issue(Shape { bearer_ttl_seconds: Some(60), ..Shape::default() });
    assert_eq!(said, Seen { 7: 60, ..expected.clone() });
    let said = issue(Shape { target: Some(Target::Instance), ..Shape::default() });
    assert_eq!(said, Seen { 0: vec!["records:read".into()], 3: Target::Instance, ..expected.clone() });
    let said = issue(Shape { scopes: Some(scopes(&["records:write"])), ..Shape::default() });
    let written = ["records:write", "thread:t:write"].map(str::to_owned).to_vec();
    assert_eq!(said, Seen { 0: written, ..expected });
}

#[test]
fn a_template_never_fills_more_than_contributor() {
    let contributor = ["records:read", "records:write"];
    let cases: [(&[&str], bool); 7] = [
        (&["records:read"], false),
        (&contributor, false),
        (&["records:read", "threads:write"], true),
        (&["config:read"], true),
        (&["federation:manage"], true),
        (&["admin"], true),
        (&["records:read", "records:write", "config:write"], true),
    ];
    let mut desk = Desk::new();
    for (kept, wide) in cases {
        let template = save(&mut desk, Shape { scopes: Some(scopes(kept)), ..Shape::default() });
        let (id, warnings) = desk.try_issue(from(&template, Shape::default())).expect("an invite");
        let filled: &[&str] = if wide { &contributor } else { kept };
        assert_eq!(desk.invite(&id).scopes, scopes(filled), "{kept:?}");
        assert_eq!(warnings.len(), usize::from(wide), "{kept:?}: {warnings:?}");
        let again = Shape { scopes: Some(scopes(kept)), ..Shape::default() };
        let (id, warnings) = desk.try_issue(from(&template, again)).expect("an invite");
        assert_eq!((desk.invite(&id).scopes.clone(), warnings), (scopes(kept), vec![]), "{kept:?}");
    }
    // A target given with it does not make the wide list narrow.
    let template = save(&mut desk, Shape { scopes: Some(scopes(&["admin"])), ..Shape::default() });
    let shape = Shape { target: Some(Target::Thread("t".into())), ..Shape::default() };
    let (id, warnings) = desk.try_issue(from(&template, shape)).expect("an invite");
    let held = scopes(&["records:read", "records:write", "thread:t:read", "thread:t:write"]);
    assert_eq!((desk.invite(&id).scopes.clone(), warnings.len()), (held, 1));
}

#[test]
fn only_a_template_of_ones_own_fills() {
    let mut desk = Desk::new();
    let template = save(&mut desk, Shape::default());
    let other = desk.kit.account(&desk.admin, "other", &["admin"], &[BOB]);
    desk.give(BOB, Resource::Invites, Access::Write);
    desk.give(BOB, Resource::InviteTemplates, Access::Write);
    let bob = desk.kit.admin(&other);
    let issue = |id: &str| Command::IssueInvite(from(id, Shape::default()));
    let missing = Some(Code::TemplateNotFound);
    assert_eq!(code(desk.kit.run(issue(&template), &bob)), missing, "somebody else's");
    let alice = desk.alice.clone();
    assert_eq!(code(desk.kit.run(issue("tpl_0000000000000000"), &alice)), missing);
    assert_eq!(code(desk.kit.run(issue(&template), &alice)), None);
    let remove = Command::RemoveTemplate(Remove { template_id: template.clone() });
    desk.kit.run(remove, &alice).expect("removed");
    assert_eq!(code(desk.kit.run(issue(&template), &alice)), missing, "removed");
}

/// The commands of operators, each with the grant that it needs.
fn commands(desk: &mut Desk) -> Vec<(&'static str, Resource, Command)> {
    let id = desk.issue(Shape::default());
    let template_id = save(desk, Shape::default());
    let bulk = BulkRevoke { filter: BulkFilter::Expired, reason: None };
    vec![
        ("issue", Resource::Invites, Command::IssueInvite(of(Shape::default()))),
        ("revoke", Resource::Invites, Command::RevokeInvite(Revoke { invite_id: id, reason: None })),
        ("bulk revoke", Resource::Invites, Command::BulkRevoke(bulk)),
        (
            "save",
            Resource::InviteTemplates,
            Command::SaveTemplate(Save { label: "mine".into(), shape: Shape::default() }),
        ),
        ("remove", Resource::InviteTemplates, Command::RemoveTemplate(Remove { template_id })),
    ]
}

/// What somebody has of the grant that a command needs, and whether it will do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Had {
    Nothing,
    OtherResources,
    Read,
    Expired,
    Revoked,
    OfAnotherActor,
    ActingAsItsHolder,
    Unadmitted,
    LocalProof,
    Write,
    OfTheClaimedActor,
}

#[test]
fn operators_need_the_grant_of_their_own_actor() {
    use Had::*;
    const DORA: &str = "did:sync:user:dora";
    let every = [
        Nothing,
        OtherResources,
        Read,
        Expired,
        Revoked,
        OfAnotherActor,
        ActingAsItsHolder,
        Unadmitted,
        LocalProof,
        Write,
        OfTheClaimedActor,
    ];
    for (number, had) in every.into_iter().flat_map(|had| (0..5).map(move |n| (n, had))) {
        let mut desk = Desk::new();
        let (name, resource, command) = commands(&mut desk).swap_remove(number);
        let token = desk.kit.account(&desk.admin, "bob", &["admin"], &[BOB, DORA]);
        let mut claimed = None;
        match had {
            Nothing => {}
            OtherResources => {
                for other in Resource::ALL.into_iter().filter(|r| *r != resource) {
                    desk.give(BOB, other, Access::Write);
                }
            }
            Read => drop(desk.give(BOB, resource, Access::Read)),
            Expired => {
                let alice = desk.alice.clone();
                let until = spl_kernel::time::UnixMillis(desk.kit.now.0 + 1000);
                let give = Give {
                    grantee: BOB.into(),
                    resource,
                    access: Access::Write,
                    purpose: None,
                    expires_at: Some(until),
                };
                desk.kit.run(Command::GiveGrant(give), &alice).expect("a grant");
                desk.kit.now = until;
            }
            Revoked => {
                let grant_id = desk.give(BOB, resource, Access::Write);
                let alice = desk.alice.clone();
                let take = TakeBack { grant_id, reason: None };
                desk.kit.run(Command::TakeBackGrant(take), &alice).expect("taken back");
            }
            OfAnotherActor => drop(desk.give(DORA, resource, Access::Write)),
            ActingAsItsHolder => claimed = Some(ALICE),
            Unadmitted | LocalProof => {}
            Write => drop(desk.give(BOB, resource, Access::Write)),
            OfTheClaimedActor => {
                desk.give(DORA, resource, Access::Write);
                claimed = Some(DORA);
            }
        }
        let caller = match had {
            Unadmitted => Caller::nobody(),
            LocalProof => Caller::local(),
            _ => desk.kit.admit(token.token_id, Scope::Admin, claimed).expect("an admin"),
        };
        let (records, may) = (desk.kit.records.len(), matches!(had, Write | OfTheClaimedActor));
        let mut expected = if may { None } else { Some(Code::ConsentDenied) };
        if may && name == "remove" {
            expected = Some(Code::TemplateNotFound);
        }
        assert_eq!(code(desk.kit.run(command, &caller)), expected, "{name} with {had:?}");
        assert!(may || desk.kit.records.len() == records, "{name} with {had:?}");
    }
}

#[test]
fn the_issuer_is_warned() {
    let mut desk = Desk::new();
    let local = ["http://localhost:9100", "http://127.0.0.1:9100", "http://[::1]:9100"];
    let far = ["https://spl.example.com", "http://192.168.0.5:9100", "https://localhost.example.com"];
    let strong = |names: &[&str], max_uses| Shape {
        scopes: Some(scopes(names)),
        max_uses: Some(max_uses),
        ..Shape::default()
    };
    let mut cases: Vec<(&str, Shape, usize)> = Vec::new();
    cases.extend(local.map(|url| (url, Shape::default(), 1)));
    cases.extend(far.map(|url| (url, Shape::default(), 0)));
    for scope in Scope::ALL {
        let is_strong = matches!(scope, Scope::Admin | Scope::ConfigWrite | Scope::FederationManage);
        cases.push((URL, strong(&[scope.as_str()], 1), 0));
        cases.push((URL, strong(&[scope.as_str()], 2), usize::from(is_strong)));
    }
    cases.push((URL, strong(&["admin", "config:write"], 2), 1));
    cases.push((local[0], strong(&["admin"], 2), 2));
    for (url, shape, expected) in cases {
        let shown = format!("{url} {shape:?}");
        let issue = Issue { shape, template_id: None, public_url: url.to_owned() };
        let (id, warnings) = desk.try_issue(issue).expect("an invite");
        assert_eq!(warnings.len(), expected, "{shown}: {warnings:?}");
        assert_eq!(desk.invite(&id).public_url, url);
    }
}
