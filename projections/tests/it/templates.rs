//! Templates: whose they are, what replaces what, and what they may hold.

use spl_kernel::refusal::Code;
use spl_projections::{
    Command,
    authority::Caller,
    consent::{Access, Resource},
    decision::Outcome,
    invites::{Accepts, Shape, Target},
    templates::{Remove, Save},
};

use crate::{
    invites::{Desk, fields, scopes},
    kit::{ALICE, BOB, code},
};

fn save(label: &str, shape: Shape) -> Command {
    Command::SaveTemplate(Save { label: label.to_owned(), shape })
}

fn saved(desk: &mut Desk, label: &str, shape: Shape, caller: &Caller) -> String {
    match desk.kit.run(save(label, shape), caller).expect("a template") {
        Outcome::Template { template_id } => template_id,
        other => panic!("{other:?}"),
    }
}

fn removed(desk: &mut Desk, id: &str, caller: &Caller) -> Result<bool, Code> {
    let remove = Command::RemoveTemplate(Remove { template_id: id.to_owned() });
    match desk.kit.run(remove, caller) {
        Ok(Outcome::TemplateRemoved { already }) => Ok(already),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.code),
    }
}

fn labels(desk: &Desk, owner: &str) -> Vec<String> {
    let mut labels: Vec<String> = desk.kit.world.templates.of_owner(owner).map(|t| t.label.clone()).collect();
    labels.sort_unstable();
    labels
}

/// An instance with a second operator.
fn two() -> (Desk, Caller, Caller) {
    let mut desk = Desk::new();
    let other = desk.kit.account(&desk.admin, "other", &["admin"], &[BOB]);
    desk.give(BOB, Resource::InviteTemplates, Access::Write);
    let (alice, bob) = (desk.alice.clone(), desk.kit.admin(&other));
    (desk, alice, bob)
}

#[test]
fn a_template_is_kept_whole() {
    let (mut desk, alice, _) = two();
    let before = desk.kit.records.len();
    let shape = Shape {
        scopes: Some(scopes(&["records:read"])),
        ttl_seconds: Some(60),
        max_uses: Some(2),
        target: Some(Target::Namespace("team".into())),
        accepts: Accepts::parse(["*"]),
        device_label: Some("tablet".into()),
        notes: Some("kitchen".into()),
        bearer_ttl_seconds: Some(61),
    };
    let id = saved(&mut desk, "usual", shape, &alice);
    assert!(id.strip_prefix("tpl_").is_some_and(|rest| rest.len() == 16));
    let [record] = &desk.kit.records[before..] else { panic!("one record") };
    let expected = serde_json::json!({
        "template_id": id, "owner": ALICE, "label": "usual", "ttl_seconds": 60, "max_uses": 2,
        "scopes": ["records:read"], "scope_target": "namespace:team",
        "accept_holder_types": ["guest", "federated"], "device_label": "tablet", "notes": "kitchen",
        "bearer_ttl_seconds": 61, "created_at": desk.kit.now.to_string(),
    });
    assert_eq!(serde_json::to_value(fields(record, &["by"])).expect("JSON"), expected);
    assert_eq!((record.record.thread.as_str(), record.record.act.as_str()), ("th_invite_templates", "PUT"));
    // What is left out is what it is by default, but for the bearers' lifetime, which the invite decides.
    saved(&mut desk, "bare", Shape::default(), &alice);
    let bare = desk.kit.records.last().expect("a record");
    let plain = fields(bare, &["by", "template_id", "created_at"]);
    let expected = serde_json::json!({
        "owner": ALICE, "label": "bare", "ttl_seconds": 86_400, "max_uses": 1,
        "scopes": ["records:read", "records:write"], "scope_target": "instance",
        "accept_holder_types": ["guest"],
    });
    assert_eq!(serde_json::to_value(plain).expect("JSON"), expected);
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn what_an_invite_may_not_be_a_template_may_not_keep() {
    let (mut desk, alice, _) = two();
    let base = Shape::default;
    let bad = Some(Code::InvalidBody);
    let cases = [
        ("ok", base(), None),
        ("", base(), Some(Code::InvalidName)),
        (" x", base(), Some(Code::InvalidName)),
        ("a\u{202e}b", base(), Some(Code::InvalidName)),
        ("x", Shape { ttl_seconds: Some(59), ..base() }, bad),
        ("x", Shape { ttl_seconds: Some(2_592_001), ..base() }, bad),
        ("x", Shape { max_uses: Some(0), ..base() }, bad),
        ("x", Shape { max_uses: Some(1001), ..base() }, bad),
        ("x", Shape { bearer_ttl_seconds: Some(59), ..base() }, bad),
        ("x", Shape { bearer_ttl_seconds: Some(31_536_001), ..base() }, bad),
        ("x", Shape { notes: Some("x".repeat(281)), ..base() }, bad),
        ("x", Shape { device_label: Some(" ".into()), ..base() }, Some(Code::InvalidName)),
        ("x", Shape { scopes: Some(scopes(&[])), ..base() }, bad),
        ("x", Shape { target: Some(Target::Thread("th_consent".into())), ..base() }, bad),
        (
            "x",
            Shape { scopes: Some(scopes(&["admin"])), target: Some(Target::Thread("t".into())), ..base() },
            bad,
        ),
        // It may be as wide as an invite may; an invite does not take that from it.
        ("wide", Shape { scopes: Some(scopes(&["admin"])), ..base() }, None),
    ];
    for (label, shape, expected) in cases {
        let shown = format!("{label:?} {shape:?}");
        assert_eq!(code(desk.kit.run(save(label, shape), &alice)), expected, "{shown}");
    }
    assert_eq!(labels(&desk, ALICE), ["ok", "wide"]);
}

#[test]
fn the_same_label_replaces() {
    let (mut desk, alice, bob) = two();
    let made = desk.kit.now;
    let first = saved(&mut desk, "usual", Shape::default(), &alice);
    let record = desk.kit.world.templates.get(&first).expect("kept").record;
    desk.wait(1000);
    let other = saved(&mut desk, "Usual", Shape::default(), &alice);
    let theirs = saved(&mut desk, "usual", Shape::default(), &bob);
    let second = saved(&mut desk, "usual", Shape { max_uses: Some(3), ..Shape::default() }, &alice);
    assert_eq!(first, second);
    assert!(first != other && first != theirs && other != theirs);
    let now = desk.kit.world.templates.get(&first).expect("kept");
    assert_eq!((now.shape.max_uses, now.created_at), (3, made));
    assert_eq!(desk.kit.records.last().expect("a record").record.parents, [record]);
    assert_eq!(desk.kit.world.templates.get(&theirs).expect("kept").shape.max_uses, 1);
    assert_eq!(
        (labels(&desk, ALICE), labels(&desk, BOB)),
        (vec!["Usual".to_owned(), "usual".to_owned()], vec!["usual".to_owned()])
    );
    // A removed one is not brought back.
    assert_eq!(removed(&mut desk, &first, &alice), Ok(false));
    let third = saved(&mut desk, "usual", Shape::default(), &alice);
    assert_ne!(third, first);
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn a_template_is_its_owners_alone() {
    let (mut desk, alice, bob) = two();
    let id = saved(&mut desk, "usual", Shape::default(), &alice);
    let missing = Err(Code::TemplateNotFound);
    assert_eq!(removed(&mut desk, &id, &bob), missing);
    assert_eq!(removed(&mut desk, "tpl_0000000000000000", &alice), missing);
    assert_eq!(removed(&mut desk, "", &alice), missing);
    assert!(labels(&desk, BOB).is_empty());
    let before = desk.kit.records.len();
    assert_eq!(removed(&mut desk, &id, &alice), Ok(false));
    let [record] = &desk.kit.records[before..] else { panic!("one record") };
    assert_eq!((record.record.thread.as_str(), record.record.act.as_str()), ("th_invite_templates", "DO"));
    let expected = serde_json::json!({ "template_id": id, "removed_at": desk.kit.now.to_string() });
    assert_eq!(serde_json::to_value(fields(record, &["by"])).expect("JSON"), expected);
    let before = desk.kit.records.len();
    assert_eq!(removed(&mut desk, &id, &alice), Ok(true));
    assert_eq!(removed(&mut desk, &id, &bob), missing, "nor does it tell that there was one");
    assert_eq!((desk.kit.records.len(), labels(&desk, ALICE).len()), (before, 0));
}

#[test]
fn an_actor_has_a_thousand_at_most() {
    let (mut desk, alice, bob) = two();
    for n in 0..1000 {
        saved(&mut desk, &format!("t{n}"), Shape::default(), &alice);
    }
    let one_more = save("one more", Shape::default());
    assert_eq!(code(desk.kit.run(one_more, &alice)), Some(Code::InvalidBody));
    let first = saved(&mut desk, "t0", Shape::default(), &alice);
    saved(&mut desk, "mine", Shape::default(), &bob);
    assert_eq!(removed(&mut desk, &first, &alice), Ok(false));
    saved(&mut desk, "one more", Shape::default(), &alice);
}

#[test]
fn one_owner_has_a_thousand_at_most() {
    let (mut desk, alice, bob) = two();
    for n in 0..1000 {
        saved(&mut desk, &format!("number {n}"), Shape::default(), &alice);
    }
    let before = desk.kit.records.len();
    assert_eq!(code(desk.kit.run(save("one more", Shape::default()), &alice)), Some(Code::InvalidBody));
    assert_eq!(desk.kit.records.len(), before, "nothing is written");
    // What is there already can be replaced, and others have a thousand of their own.
    saved(&mut desk, "number 7", Shape::default(), &alice);
    saved(&mut desk, "one more", Shape::default(), &bob);
    assert_eq!(labels(&desk, ALICE).len(), 1000);
}
