//! `docs/body-kinds.md` and `docs/scopes.md` against what is decoded, written and parsed.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt::Write as _,
    fs,
    path::Path,
};

use spl_kernel::{
    draft::Draft,
    id::RecordId,
    json::{Json, Object},
    record::{Act, Origin, Provenance, Record, StoredRecord},
    time::UnixMillis,
};
use spl_projections::{
    Command, Context,
    accounts::Update,
    admission, audit,
    authority::Caller,
    config::{self, Change, Set, TOPICS},
    consent::{Access, Give, Resource, TakeBack},
    context::ENGINE_ACTOR,
    decision::{Outcome, write},
    event::{Event, KindDoc, kinds},
    records::{Accepted, Ledger, Pending},
    reserved::is_reserved_kind,
    scope::{Scope, Scopes},
    tokens::{Mint, NoteSeen, Renew, Revoke},
};

use crate::kit::{ALICE, BOB, Kit, parse};

/// A body with every member that its kind may have, for each kind that is decoded.
const FULL: [(&str, &str); 8] = [
    (
        "core.identity.created.v1",
        r#"{"did":"did:key:z6Mk","method":"key","public_key":"AA","public_key_multibase":"z6Mk","key_fp":"00","created_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.service_account.v1",
        r#"{"service_account_id":"sa_0000000000000000","display_name":"d","allowed_actors":["did:sync:user:a"],"scopes":["records:read"],"namespace":"default","env_tag":"prod","origin":"invite","invite_id":"inv_0","pair_id":"pair_0","created_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.service_account.revocation.v1",
        r#"{"service_account_id":"sa_0000000000000000","cause":"operator","reason":"r","tokens_revoked":1,"revoked_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.api_token.v1",
        r#"{"token_id":"0000000000000000000000000000000000000000000000000000000000000000","service_account_id":"sa_0000000000000000","env_tag":"prod","scopes":["records:read"],"origin":"renew","replaces":["1111111111111111111111111111111111111111111111111111111111111111"],"lifetime_seconds":60,"created_at":"2026-03-02T08:00:00.000Z","expires_at":"2026-03-02T08:01:00.000Z"}"#,
    ),
    (
        "core.api_token.revocation.v1",
        r#"{"token_id":"0000000000000000000000000000000000000000000000000000000000000000","service_account_id":"sa_0000000000000000","cause":"operator","reason":"r","revoked_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.api_token.activity.v1",
        r#"{"seen":[{"token_id":"0000000000000000000000000000000000000000000000000000000000000000","last_used_at":"2026-03-02T08:00:00.000Z"}]}"#,
    ),
    (
        "core.consent.v1",
        r#"{"grant_id":"cg_0000000000000000","grant_type":"operator","grantee":"did:sync:user:a","resource":"th_invites","access":"write","purpose":"p","expires_at":"2026-03-02T08:00:00.000Z","granted_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
    (
        "core.consent_revoked.v1",
        r#"{"grant_id":"cg_0000000000000000","reason":"r","revoked_at":"2026-03-02T08:00:00.000Z"}"#,
    ),
];

/// A body of each topic that its decoder takes, without `topic`.
const VALUES: [(&str, &str); 9] = [
    ("auth_required", r#"{"enabled":true}"#),
    ("auth_cors_origins", r#"{"origins":["https://app.example.com"]}"#),
    ("strict_actor_header", r#"{"enabled":true}"#),
    ("strict_impersonation_enforcement", r#"{"enabled":true}"#),
    ("federation_did_web", r#"{"enabled":false}"#),
    ("permissions_enabled", r#"{"enabled":false}"#),
    ("trusted_proxies", r#"{"cidrs":["10.0.0.0/8"]}"#),
    (
        "permission_rule",
        r#"{"name":"admins","action":"allow","priority":1,"expression":"\"admin\" in scopes","enabled":false}"#,
    ),
    ("public_url", r#"{"url":"https://spl.example.com"}"#),
];

/// Kinds that are kept for what is not built yet: nobody writes them.
const KEPT: [&str; 7] = [
    "core.invite.v1",
    "core.invite.event.v1",
    "core.invite_template.v1",
    "core.invite_template.removal.v1",
    "core.federation_pair.v1",
    "core.federation_pair.event.v1",
    "core.federation_pair_state_change.v1",
];

/// What writes each kind.
const WRITTEN_BY: [(&str, &str); 12] = [
    ("core.identity.created.v1", "the first start"),
    (
        "core.service_account.v1",
        "`accounts.bootstrap`, `SPL_BOOTSTRAP_TOKEN`, `accounts.create`, `accounts.update`: the whole state each time",
    ),
    ("core.service_account.revocation.v1", "`accounts.revoke`. It ends all tokens of the account by itself"),
    (
        "core.api_token.v1",
        "with a first account; `accounts.create` with a token, `tokens.mint`, `tokens.rotate`, `accounts.rotate_key`",
    ),
    (
        "core.api_token.revocation.v1",
        "`tokens.revoke`, `tokens.rotate`, `accounts.rotate_key`, and the start after a restore or with an older log",
    ),
    ("core.api_token.activity.v1", "the instance, every five minutes and at its end, where there is news"),
    (
        "core.consent.v1",
        "with a first account: `write` on each resource for each of its actors; `consent.grant`",
    ),
    ("core.consent_revoked.v1", "`consent.revoke`"),
    ("core.engine_config", "`config.set`, and callers who post it with `config:write` or `admin`"),
    (
        "core.token_lifecycle_event.v1",
        "with every record of `th_service_accounts` and `th_api_tokens` but activity; and for what no record tells: \
         an ended token that came back, and refusals",
    ),
    ("core.consent_state_change.v1", "with every record of `th_consent`"),
    ("core.impersonation.event.v1", "with records that an admin posts as an actor that is not its account's"),
];

/// What members mean: of one kind, or of all that have it.
const MEANINGS: [(&str, &str, &str); 46] = [
    ("core.service_account.v1", "origin", "`bootstrap`, `environment`, `operator` or `invite`"),
    ("core.service_account.v1", "created_at", "when it was made; an update repeats it"),
    ("core.service_account.revocation.v1", "cause", "`operator`, `invite_revoked` or `pair_removed`"),
    ("core.api_token.v1", "origin", "`bootstrap`, `environment`, `mint`, `rotate`, `renew` or `invite`"),
    ("core.api_token.v1", "expires_at", "when it ends by itself"),
    ("core.api_token.revocation.v1", "cause", "`operator`, `rotated` or `renewed`"),
    ("core.token_lifecycle_event.v1", "service_account_id", "the account that it is about"),
    ("core.token_lifecycle_event.v1", "origin", "as in the record"),
    ("core.token_lifecycle_event.v1", "cause", "as in the record"),
    ("core.impersonation.event.v1", "actor", "the first of the account's own"),
    ("", "did", "the instance's DID"),
    ("", "method", "`key`"),
    ("", "public_key", "raw Ed25519 key, base64url"),
    ("", "public_key_multibase", "the same as multibase"),
    ("", "key_fp", "first 16 hex digits of SHA-256 of the raw key"),
    ("", "created_at", "when it was made"),
    ("", "service_account_id", "the account"),
    ("", "display_name", "what people call it"),
    (
        "",
        "allowed_actors",
        "DIDs that its tokens may act as; the first is the one they act as unless told otherwise",
    ),
    ("", "scopes", "coarse scopes in the order of scopes.md, then grains"),
    ("", "namespace", "`default`"),
    ("", "env_tag", "a part of the token's text: 1 to 16 of `a-z 0-9`"),
    ("", "invite_id", "the invite that made it"),
    ("", "pair_id", "the pair that it came through"),
    ("", "reason", "why, in the words of whoever did it"),
    ("", "tokens_revoked", "live tokens that ended with it"),
    ("", "revoked_at", "when"),
    ("", "token_id", "lowercase hex SHA-256 of the token's text"),
    ("", "replaces", "tokens that it takes the place of"),
    ("", "lifetime_seconds", "how long it lives; a renewal has the same again"),
    ("", "seen", "at most 1000 of `{token_id, last_used_at}`, sorted"),
    ("", "grant_id", "`cg_` and 16 characters"),
    ("", "grant_type", "`operator`"),
    ("", "grantee", "the DID that may"),
    ("", "resource", "`th_invites`, `th_invite_templates` or `th_consent`"),
    ("", "access", "`read`, or `write`, which includes it"),
    ("", "purpose", "what for"),
    ("", "expires_at", "until when"),
    ("", "granted_at", "when"),
    ("", "topic", "what is set, see below"),
    ("", "_v", "anything; it means nothing"),
    ("", "event_kind", "what happened, see below"),
    ("", "changed", "members of the account that are not what they were"),
    ("", "counts", "refusals by code"),
    ("", "at", "when"),
    ("", "source_record", "the record that this one mirrors, its parent too"),
];
const MORE_MEANINGS: [(&str, &str, &str); 5] = [
    ("", "transition", "`granted` or `revoked`"),
    ("", "acted_as", "those it wrote as: distinct, sorted, at most 64"),
    ("", "more", "how many more there were"),
    ("", "record_count", "records so written in the commit"),
    ("", "first_record", "the id of the first of them"),
];

fn meaning(kind: &str, member: &str) -> &'static str {
    let all = || MEANINGS.iter().chain(&MORE_MEANINGS).filter(|(_, name, _)| *name == member);
    let found = all().find(|(of, ..)| *of == kind).or_else(|| all().find(|(of, ..)| of.is_empty()));
    found.unwrap_or_else(|| panic!("docs/body-kinds.md has no words for {kind} {member}")).2
}

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
    let full = FULL.iter().find(|(kind, _)| *kind == doc.kind).expect("a full body of every decoded kind").1;
    let full = with(&parse(full), "kind", doc.kind.into());
    let members: BTreeSet<&str> = full.iter().map(|(key, _)| key).filter(|key| *key != "kind").collect();
    assert_eq!(members, doc.members.iter().copied().collect(), "{}", doc.kind);
    assert!(takes(doc, full.clone()), "{}", doc.kind);
    assert!(!takes(doc, with(&full, "surprise", "x".into())), "{}", doc.kind);
    assert!(takes(doc, with(&full, "by", Json::object([("actor", ALICE.into())]))), "{}", doc.kind);
    doc.members.iter().copied().filter(|member| takes(doc, without(&full, member))).collect()
}

/// Of each kind, the bodies that were written.
type Written = BTreeMap<String, Vec<Object>>;

/// Members that may be absent, as the written bodies have it.
fn optional_when_written(doc: &KindDoc, written: &Written) -> BTreeSet<&'static str> {
    let bodies = &written[doc.kind];
    for member in doc.members {
        assert!(bodies.iter().any(|b| b.get(member).is_some()), "{} never has {member}", doc.kind);
    }
    let absent = |member: &str| bodies.iter().any(|b| b.get(member).is_none());
    doc.members.iter().copied().filter(|member| absent(member)).collect()
}

/// A log that holds nothing.
struct Nothing;

impl Ledger for Nothing {
    type Error = Infallible;

    fn highest_clock(&self, _: &str, _: &str) -> Result<Option<u64>, Infallible> {
        Ok(None)
    }

    fn clock_holder(&self, _: &str, _: &str, _: u64) -> Result<Option<(u64, RecordId)>, Infallible> {
        Ok(None)
    }

    fn record_id(&self, _: u64) -> Result<Option<RecordId>, Infallible> {
        Ok(None)
    }
}

/// The records of one life: everything that is ever written, at least once.
fn life() -> Vec<Record> {
    let (mut kit, admin) = Kit::bootstrapped();
    let device = kit.account(&admin, "device", &["records:read", "records:write"], &[BOB]);
    let caller = kit.admin(&admin);
    let id = device.service_account_id.clone();
    let reason = || Some("lost".to_owned());
    let update = Update {
        service_account_id: id.clone(),
        scopes: Some(Scopes::of(&[Scope::RecordsRead])),
        ..Update::default()
    };
    let mint =
        Mint { service_account_id: id.clone(), scopes: None, env_tag: None, expires_in_seconds: Some(60) };
    kit.run(Command::UpdateAccount(update), &caller).expect("a change");
    let Ok(Outcome::Token { issued, .. }) = kit.run(Command::MintToken(mint), &caller) else {
        panic!("a token")
    };
    let own = kit.admit(issued.token_id, Scope::RecordsRead, None).expect("a caller");
    let renew = Renew { token_id: issued.token_id, new_token_id: None };
    let Ok(Outcome::Token { issued: renewed, .. }) = kit.run(Command::RenewToken(renew), &own) else {
        panic!("a renewal")
    };
    let seen = NoteSeen { seen: vec![(renewed.token_id, kit.now)] };
    kit.run(Command::NoteSeen(seen), &Caller::nobody()).expect("noted");
    let presented = Command::NoteRotatedPresented(issued.token_id);
    kit.run(presented, &Caller::nobody()).expect("noted");
    let counts = vec![("SCOPE_FORBIDDEN".to_owned(), 2)];
    let refusals = Command::NoteRefusals { token_id: renewed.token_id, counts };
    kit.run(refusals, &Caller::nobody()).expect("noted");
    let revoke = Revoke { token_id: renewed.token_id, service_account_id: None, reason: reason() };
    kit.run(Command::RevokeToken(revoke), &caller).expect("a revocation");
    kit.run(Command::RotateKey { service_account_id: id.clone() }, &caller).expect("a rotation");
    let end = Command::RevokeAccount { service_account_id: id, reason: reason() };
    kit.run(end, &caller).expect("an end");
    let give = Give {
        grantee: BOB.to_owned(),
        resource: Resource::Consent,
        access: Access::Write,
        purpose: Some("stand-in".to_owned()),
        expires_at: Some(UnixMillis(kit.now.0 + 1)),
    };
    let Ok(Outcome::Grant { grant_id }) = kit.run(Command::GiveGrant(give), &caller) else {
        panic!("a grant")
    };
    let take_back = TakeBack { grant_id, reason: reason() };
    kit.run(Command::TakeBackGrant(take_back), &caller).expect("taken back");
    for (topic, value) in VALUES {
        let body = with(&parse(value), "topic", topic.into());
        kit.run(Command::SetConfig(Set { body }), &caller).expect("a value");
    }
    let entropy = kit.entropy();
    let context = Context { now: kit.now, entropy: &entropy, caller: &caller };
    let many: Vec<String> = (0..70).map(|n| format!("did:sync:user:u{n}")).collect();
    let as_many = admission::impersonation(&context, many.iter().map(String::as_str), 70, "00");
    let as_one = admission::impersonation(&context, [BOB], 1, "00");
    let changes = as_many.into_iter().chain(as_one).collect();
    let Ok(accepted) = write(changes, 1, &Nothing, &mut Pending::default());
    let told = accepted.expect("records").into_iter().map(|accepted| match accepted {
        Accepted::New { record, .. } => *record,
        Accepted::Stored { .. } => panic!("it is new"),
    });
    kit.records.into_iter().map(|s| s.record).chain(told).collect()
}

/// Checks what was written against the list of kinds.
fn written() -> Written {
    let mut written = Written::new();
    for record in life() {
        let body = parse(&record.body);
        let kind = body.str("kind").expect("a kind").to_owned();
        let doc = kinds().find(|doc| doc.kind == kind).unwrap_or_else(|| panic!("{kind} is not listed"));
        assert_eq!((doc.thread, doc.act), (record.thread.as_str(), record.act), "{kind}");
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
        written.entry(kind).or_default().push(body);
    }
    written
}

fn overview() -> String {
    let mut text = String::from("\n| kind | thread | act | folded | written by |\n|---|---|---|---|---|\n");
    for doc in kinds() {
        let by = WRITTEN_BY.iter().find(|(kind, _)| *kind == doc.kind).expect("words for every kind").1;
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
        let _ = writeln!(text, "\n### `{}`\n\n| member | | |\n|---|---|---|", doc.kind);
        for member in doc.members {
            let may = if optional.contains(member) { "may be absent" } else { "" };
            let _ = writeln!(text, "| `{member}` | {may} | {} |", meaning(doc.kind, member));
        }
        match doc.kind {
            config::KIND => text.push_str(&topics()),
            audit::TOKENS_KIND => text.push_str(&events(written)),
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

fn events(written: &Written) -> String {
    let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let common = ["kind", "by", "event_kind", "service_account_id", "at"];
    for body in &written[audit::TOKENS_KIND] {
        let members = body.iter().map(|(key, _)| key).filter(|key| !common.contains(key));
        kinds.entry(body.str("event_kind").expect("an event")).or_default().extend(members);
    }
    let mut text = String::from("\n| `event_kind` | has, or may have |\n|---|---|\n");
    for (kind, members) in kinds {
        let names: Vec<String> = members.iter().map(|m| format!("`{m}`")).collect();
        let _ = writeln!(text, "| `{kind}` | {} |", names.join(", "));
    }
    text
}

fn kept() -> String {
    let mut text = String::from("\n");
    for kind in KEPT {
        assert!(is_reserved_kind(kind) && kinds().all(|doc| doc.kind != kind), "{kind}");
        let _ = writeln!(text, "- `{kind}`");
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
        assert!(written.contains_key(doc.kind), "nothing writes {}", doc.kind);
    }
    let parts = [("kinds", overview()), ("members", members(&written)), ("kept", kept())];
    check("body-kinds.md", &parts);
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
