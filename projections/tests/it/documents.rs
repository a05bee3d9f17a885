//! `docs/body-kinds.md` and `docs/scopes.md` against what is decoded, written and parsed.

mod life;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use spl_kernel::{
    draft::Draft,
    json::{Json, Object},
    record::{Act, Origin, Provenance, StoredRecord},
    time::UnixMillis,
};
use spl_projections::{
    audit,
    config::{self, Change, TOPICS},
    context::ENGINE_ACTOR,
    event::{Event, KindDoc, kinds},
    reserved::is_reserved_kind,
    scope::{Scope, Scopes},
};

use self::words::{FULL, VALUES, WRITTEN_BY, meaning};
use crate::kit::{ALICE, parse};

fn with(body: &Object, member: &str, value: Json) -> Object {
    let others = without(body, member).into_members();
    Object::from_members(others.chain([(member.to_owned(), value)]).collect()).expect("distinct keys")
}

fn without(body: &Object, member: &str) -> Object {
    let others = body.clone().into_members().filter(|(key, _)| key != member);
    Object::from_members(others.collect()).expect("distinct keys")
}

fn stored(doc: &KindDoc, body: Object) -> StoredRecord {
    let draft = Draft::new(doc.thread, ENGINE_ACTOR, doc.act, Json::Object(body)).expect("a draft");
    let id = draft.id_at(0).expect("an id");
    StoredRecord {
        sequence: 1,
        committed_at: UnixMillis(1_000),
        record: draft.into_record(id, 0),
        provenance: Provenance::without_credential(Origin::Command),
    }
}

/// Whether the decoder takes a body.
fn takes(doc: &KindDoc, body: Object) -> bool {
    matches!(Event::decode(&stored(doc, body)), Ok(Some(_)))
}

/// Members that may be absent, as the decoder has it.
fn optional_when_decoded(doc: &KindDoc) -> BTreeSet<&'static str> {
    let full: Vec<Object> = FULL
        .iter()
        .filter(|(kind, _)| *kind == doc.kind)
        .map(|(_, body)| with(&parse(body), "kind", doc.kind.into()))
        .collect();
    let members: BTreeSet<&str> = full.iter().flat_map(|body| body.iter().map(|(key, _)| key)).collect();
    let expected = doc.members.iter().copied().chain(["kind"]).collect();
    assert_eq!(members, expected, "{} has a full body for each event", doc.kind);
    for body in &full {
        assert!(takes(doc, body.clone()), "{}", doc.kind);
        assert!(!takes(doc, with(body, "surprise", "x".into())), "{}", doc.kind);
        assert!(takes(doc, with(body, "by", Json::object([("actor", ALICE.into())]))), "{}", doc.kind);
        let others = full.iter().flat_map(Object::iter).filter(|(member, _)| body.get(member).is_none());
        for (member, value) in others {
            assert!(
                !takes(doc, with(body, member, value.clone())),
                "{}: {member} of another event",
                doc.kind
            );
        }
    }
    let may_lack = |body: &Object, member: &str| takes(doc, without(body, member));
    doc.members.iter().copied().filter(|member| full.iter().any(|body| may_lack(body, member))).collect()
}

/// Of each thread and kind, the bodies that were written.
type Written = BTreeMap<(String, String), Vec<Object>>;

fn bodies<'a>(doc: &KindDoc, written: &'a Written) -> &'a [Object] {
    written.get(&(doc.thread.to_owned(), doc.kind.to_owned())).map(Vec::as_slice).unwrap_or_default()
}

/// Members that may be absent, as the written bodies have it.
fn optional_when_written(doc: &KindDoc, written: &Written) -> BTreeSet<&'static str> {
    let bodies = bodies(doc, written);
    for member in doc.members {
        assert!(bodies.iter().any(|b| b.get(member).is_some()), "{} never has {member}", doc.kind);
    }
    let absent = |member: &str| bodies.iter().any(|b| b.get(member).is_none());
    doc.members.iter().copied().filter(|member| absent(member)).collect()
}

/// Checks what was written against the list of kinds.
fn written() -> Written {
    let mut written = Written::new();
    for record in life::records() {
        let body = parse(&record.body);
        let kind = body.str("kind").expect("a kind").to_owned();
        let doc = kinds().find(|doc| doc.kind == kind && doc.thread == record.thread);
        let doc = doc.unwrap_or_else(|| panic!("{kind} on {} is not listed", record.thread));
        assert_eq!(doc.act, record.act, "{kind}");
        let topic = TOPICS.iter().find(|t| Some(t.name) == body.str("topic"));
        let known = |key: &str| {
            matches!(key, "kind" | "by")
                || doc.members.contains(&key)
                || topic.is_some_and(|t| t.members.contains(&key))
        };
        let unknown: Vec<&str> = body.iter().map(|(key, _)| key).filter(|key| !known(key)).collect();
        assert_eq!(unknown, Vec::<&str>::new(), "{kind}");
        assert_eq!(
            Event::decode(&stored(&doc, body.clone())).expect("known").is_some(),
            doc.is_folded(),
            "{kind}"
        );
        let nameless = matches!(doc.kind, config::KIND | audit::IMPERSONATION_KIND);
        assert!(!nameless || body.get("by").is_none(), "{kind}");
        written.entry((record.thread, kind)).or_default().push(body);
    }
    written
}

fn overview() -> String {
    let mut text = String::from("\n| kind | thread | act | folded | written by |\n|---|---|---|---|---|\n");
    for doc in kinds() {
        let words = |name: &str| WRITTEN_BY.iter().find(|(of, _)| *of == name);
        let by = words(doc.thread).or_else(|| words(doc.kind)).expect("words for every kind").1;
        let folded = if doc.is_folded() { "yes" } else { "" };
        let _ = writeln!(text, "| `{}` | `{}` | {} | {folded} | {by} |", doc.kind, doc.thread, act(doc.act));
    }
    text
}

fn act(act: Act) -> String {
    act.as_str().to_owned()
}

fn members(written: &Written) -> String {
    let mut text = String::new();
    for doc in kinds() {
        let optional = match doc.kind {
            config::KIND => BTreeSet::from(["_v"]),
            _ if doc.is_folded() => optional_when_decoded(&doc),
            _ => optional_when_written(&doc, written),
        };
        let on = match kinds().filter(|other| other.kind == doc.kind).count() {
            1 => String::new(),
            _ => format!(" on `{}`", doc.thread),
        };
        let _ = writeln!(text, "\n### `{}`{on}\n\n| member | | |\n|---|---|---|", doc.kind);
        for member in doc.members {
            let may = if optional.contains(member) { "may be absent" } else { "" };
            let _ = writeln!(text, "| `{member}` | {may} | {} |", meaning(doc.kind, member));
        }
        match doc.kind {
            config::KIND => text.push_str(&topics()),
            _ if doc.members.contains(&"event_kind") => text.push_str(&events(bodies(&doc, written))),
            _ => {}
        }
    }
    text
}

fn topics() -> String {
    let mut text = String::from("\n| `topic` | members | needs `admin` |\n|---|---|---|\n");
    for topic in TOPICS {
        let value = VALUES.iter().find(|(name, _)| *name == topic.name).expect("a value of every topic").1;
        let body = with(&parse(value), "topic", topic.name.into());
        let decoded = |body: &Object| Change::decode(body);
        let change = decoded(&body).expect("a value");
        assert!(topic.members.iter().all(|m| decoded(&without(&body, m)).is_err()), "{}", topic.name);
        let turned = body.get("enabled").and_then(Json::as_bool).filter(|_| topic.members.len() == 1);
        let other =
            turned.map(|enabled| decoded(&with(&body, "enabled", Json::Bool(!enabled))).expect("a value"));
        let admin = match (other, turned.unwrap_or_default()) {
            (None, _) => if change.needs_admin() { "always" } else { "" }.to_owned(),
            (Some(other), enabled) => match (change.needs_admin(), other.needs_admin()) {
                (true, true) => "always".to_owned(),
                (true, false) => format!("for `{enabled}`"),
                (false, true) => format!("for `{}`", !enabled),
                (false, false) => String::new(),
            },
        };
        let names: Vec<String> = topic.members.iter().map(|m| format!("`{m}`")).collect();
        let _ = writeln!(text, "| `{}` | {} | {admin} |", topic.name, names.join(", "));
    }
    text
}

/// What each event has beside what all of them have.
fn events(bodies: &[Object]) -> String {
    let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for body in bodies {
        let members = body.iter().map(|(key, _)| key).filter(|key| !matches!(*key, "kind" | "by"));
        kinds.entry(body.str("event_kind").expect("an event")).or_default().extend(members);
    }
    if kinds.len() < 2 {
        return String::new();
    }
    let common = |member: &str| bodies.iter().all(|body| body.get(member).is_some());
    let mut text = String::from("\n| `event_kind` | has, or may have |\n|---|---|\n");
    for (kind, members) in kinds {
        let names: Vec<String> = members.iter().filter(|m| !common(m)).map(|m| format!("`{m}`")).collect();
        let _ = writeln!(text, "| `{kind}` | {} |", names.join(", "));
    }
    text
}

fn scopes() -> String {
    let mut text = String::from("\n| scope | opens |\n|---|---|\n");
    for scope in Scope::ALL {
        let _ = writeln!(text, "| `{}` | {} |", scope.as_str(), scope.grants());
    }
    text
}

/// Lists of scopes that a token may have, and what it reaches then.
const GOOD: [(&[&str], &str); 4] = [
    (&["records:read", "thread:music.library:read"], "reads one thread"),
    (
        &["records:read", "records:write", "thread:music.library:read", "thread:music.library:write"],
        "reads and writes one thread",
    ),
    (
        &["records:read", "namespace:team/build:read"],
        "reads what is in `team/build` and below it, such as `team/build/linux`",
    ),
    (
        &["records:read", "records:write", "namespace:team:read", "thread:music.library:write"],
        "reads what is in `team`, writes one thread",
    ),
];

/// Lists that no token may have.
const BAD: [(&[&str], &str); 6] = [
    (
        &["admin", "thread:music.library:read"],
        "beside a grain only `records:read` and `records:write` may stand",
    ),
    (&["threads:write", "namespace:team:write"], "the same"),
    (&["records:read", "thread:th_identity:read"], "no grain on a thread that the instance writes"),
    (&["records:read", "thread:music.library:admin"], "a grain ends in `read` or `write`"),
    (&["records:read", "namespace::read"], "the name between is empty"),
    (&["records"], "there is no such scope"),
];

fn grains() -> String {
    let shown = |list: &[&str]| list.iter().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(" ");
    let mut text = String::from("\n| scopes of a token | it |\n|---|---|\n");
    for (list, reach) in GOOD {
        let scopes = Scopes::parse(list.iter().copied()).expect("a good list");
        assert!(scopes.is_narrowed());
        let _ = writeln!(text, "| {} | {reach} |", shown(list));
    }
    text.push_str("\n| refused | why |\n|---|---|\n");
    for (list, why) in BAD {
        assert!(Scopes::parse(list.iter().copied()).is_err(), "{list:?}");
        let _ = writeln!(text, "| {} | {why} |", shown(list));
    }
    text
}

/// Compares the generated parts of a document with what they are to be, or writes them where `UPDATE_GOLDEN=1`
/// is in the environment.
fn check(name: &str, parts: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let before = fs::read_to_string(&path).expect("the document");
    let mut after = before.clone();
    for (part, text) in parts {
        let begin = format!("<!-- generated: {part} -->\n");
        let (head, rest) =
            after.split_once(&begin).unwrap_or_else(|| panic!("{name} has no place for {part}"));
        let (_, tail) = rest.split_once("<!-- end -->").expect("a generated part ends");
        after = format!("{head}{begin}{text}\n<!-- end -->{tail}");
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the one switch of the tests: whether to write golden files"
    )]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        fs::write(&path, after).expect("the document");
        return;
    }
    assert!(
        before == after,
        "docs/{name} is out of date; look at the change, then run: UPDATE_GOLDEN=1 cargo test -p spl-projections documents"
    );
}

#[test]
fn the_document_of_kinds_is_what_is_written_and_decoded() {
    let written = written();
    for doc in kinds() {
        assert!(!bodies(&doc, &written).is_empty(), "nothing writes {} on {}", doc.kind, doc.thread);
    }
    let parts = [("kinds", overview()), ("members", members(&written))];
    check("body-kinds.md", &parts);
}

#[test]
fn values_that_are_not_known_are_of_a_newer_format() {
    let invite = "core.invite.v1";
    let event = "core.invite.event.v1";
    let (template, pair) = ("core.invite_template.v1", "core.federation_pair.v1");
    // The kind, its event where that matters, a member, and values that it cannot have.
    let cases: [(&str, &str, &str, &str); 21] = [
        (invite, "", "scope_target", r#"["", "galaxy", "thread", "instance:x", 1]"#),
        (invite, "", "accept_holder_types", r#"[[], ["robot"], ["guest", "robot"], "guest"]"#),
        (invite, "", "scopes", r#"[["everything"], ["records:read", 1], "records:read"]"#),
        (invite, "", "max_uses", r#"[-1, 4294967296, 1.5, "1", null]"#),
        (invite, "", "ttl_seconds", r#"[-1, 4294967296, "60"]"#),
        (invite, "", "expires_at", r#"["", "tomorrow", "2026-02-30T00:00:00.000Z", 1, null]"#),
        (invite, "", "notes", "[null, 1]"),
        (event, "redeemed", "event_kind", r#"["", "paused", "Redeemed", "issued"]"#),
        (event, "redeemed", "holder_type", r#"["robot", "*", ""]"#),
        (event, "redeemed", "signer_trust", r#"["hearsay", ""]"#),
        (event, "redeemed", "bearer_token_id", r#"["", "x", 1]"#),
        (event, "redeemed", "uses_remaining", r#"[-1, "0"]"#),
        (event, "revoked", "cause", r#"["rotated", "", null]"#),
        (event, "revoked", "bearers_revoked", r#"[-1, "1"]"#),
        (event, "refused", "refusal_reason", r#"["rate_limited", "Expired", ""]"#),
        (event, "refused", "count", r#"[-1, "1", null]"#),
        (event, "exhausted", "at", r#"["", 0]"#),
        (template, "", "scope_target", r#"["galaxy"]"#),
        (template, "", "bearer_ttl_seconds", r#"[-1, 4294967296, null]"#),
        (pair, "", "state", r#"["removed", "paused", ""]"#),
        ("core.federation_pair.event.v1", "removed", "event_kind", r#"["paused", ""]"#),
    ];
    for (kind, event, member, values) in cases {
        let doc = kinds().find(|doc| doc.kind == kind).expect("a kind");
        let is_it = |body: &Object| event.is_empty() || body.str("event_kind") == Some(event);
        let mut full = FULL.iter().filter(|(own, _)| *own == kind).map(|(_, body)| parse(body));
        let full = with(&full.find(is_it).expect("a full body"), "kind", kind.into());
        assert!(takes(&doc, full.clone()), "{kind} {event}");
        let values = parse(&format!(r#"{{"values":{values}}}"#));
        for value in values.get("values").and_then(Json::as_array).expect("a list") {
            assert!(!takes(&doc, with(&full, member, value.clone())), "{kind} {event} {member} {value:?}");
        }
    }
    // A signer has a key, and a key a signer.
    let doc = kinds().find(|doc| doc.kind == event).expect("a kind");
    let redeemed = FULL.iter().find(|(own, _)| *own == event).expect("a full body").1;
    let redeemed = with(&parse(redeemed), "kind", event.into());
    for member in ["signer_key", "signer_instance_did"] {
        assert!(!takes(&doc, without(&redeemed, member)), "{member}");
    }
    assert!(takes(&doc, without(&without(&redeemed, "signer_key"), "signer_instance_did")));
}

#[test]
fn kinds_that_the_instance_writes_are_its_own() {
    for doc in kinds() {
        // Callers may post configuration, with its kind or without.
        assert_eq!(is_reserved_kind(doc.kind), doc.kind != config::KIND, "{}", doc.kind);
    }
}

#[test]
fn the_document_of_scopes_has_every_scope() {
    check("scopes.md", &[("scopes", scopes()), ("grains", grains())]);
}
