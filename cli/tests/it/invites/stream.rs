//! Rows of invites as they change.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::kit::{ADMIN, Asks as _, Caller, Desk, Token, key};
use crate::{
    access::kit::{record, until_end},
    raw::{Event, Events, now},
};

const PATH: &str = "/v1/invites/stream";
const BOB: &str = "did:sync:user:bob";

/// The next row, over heartbeats: its position and itself.
#[track_caller]
fn next(stream: &mut Events) -> (u64, Value) {
    loop {
        let event = stream.next();
        let id = event.id.expect("an id");
        let data = event.json();
        assert_eq!(data["cursor"], id.to_string(), "{event:?}");
        if event.name != "heartbeat" {
            assert_eq!(event.name, "invite.updated", "{event:?}");
            return (id, data["invite"].clone());
        }
    }
}

#[track_caller]
fn shows(stream: &mut Events, id: &str, state: &str, left: u64) -> (u64, Value) {
    let (at, row) = next(stream);
    assert_eq!(
        (&row["invite_id"], &row["state"], &row["uses_remaining"]),
        (&json!(id), &json!(state), &json!(left)),
        "{row}"
    );
    (at, row)
}

#[test]
fn it_begins_with_the_rows_that_there_are_and_goes_on_with_changes() {
    let desk = Desk::disk();
    let links: Vec<_> = (0..3).map(|_| desk.issue(&json!({ "max_uses": 2 }))).collect();
    // The first is now the one that changed last.
    let early = desk.guest(&links[0]);
    let mut stream = desk.admin.events(PATH);
    let head = stream.head.to_lowercase();
    for line in ["content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no"] {
        assert!(head.contains(line), "{head}");
    }
    let first = stream.next();
    assert_eq!(first.name, "heartbeat", "at once: {first:?}");
    assert!(first.retry.is_some(), "{first:?}");
    let mut ids = vec![
        shows(&mut stream, &links[1].id, "active", 2).0,
        shows(&mut stream, &links[2].id, "active", 2).0,
        shows(&mut stream, &links[0].id, "active", 1).0,
    ];
    let listed = |id: &str| desk.row(id);
    let issued = desk.issue(&json!({ "device_label": "late" }));
    let (at, row) = shows(&mut stream, &issued.id, "active", 1);
    assert_eq!(row, listed(&issued.id), "a row is a row");
    ids.push(at);
    let late = desk.guest(&issued);
    ids.push(shows(&mut stream, &issued.id, "redeemed", 0).0);
    desk.guest(&links[0]);
    let (at, row) = shows(&mut stream, &links[0].id, "exhausted", 0);
    assert!(row.get("redirect_url").is_none(), "{row}");
    ids.push(at);
    desk.revoke(&links[1].id);
    let (at, row) = shows(&mut stream, &links[1].id, "revoked", 2);
    assert!(row["revoked_at"].is_string());
    ids.push(at);
    // What becomes of the bearers shows, too.
    let rotate = format!("/v1/tokens/{}/rotate", early.id);
    let renewed = Token::of(&desk.node.as_token(&early).sends(&rotate, &json!({})).is(200).json());
    let (at, row) = next(&mut stream);
    assert_eq!(
        (&row["invite_id"], &row["redemptions"][0]["token_id"]),
        (&json!(links[0].id), &json!(renewed.id))
    );
    ids.push(at);
    desk.admin.delete(&format!("/v1/service-accounts/{}", late.account)).is(200);
    let (at, row) = next(&mut stream);
    assert_eq!((&row["invite_id"], &row["redemptions"][0]["live"]), (&json!(issued.id), &json!(false)));
    ids.push(at);
    desk.revoke(&links[0].id);
    ids.push(shows(&mut stream, &links[0].id, "revoked", 0).0);
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert!(*ids.last().expect("an id") <= desk.admin.head());
    desk.admin.sends("/v1/invites/bulk-revoke", &json!({ "filter": "exhausted" })).is(200);
    // Refusals change no row: the next is of the next change.
    links[1].redeem(&desk.node.anyone(), &key()).refuses(410, "INVITE_REVOKED");
    desk.revoke(&links[2].id);
    shows(&mut stream, &links[2].id, "revoked", 2);
}

#[test]
fn links_are_in_it_for_writers_only() {
    let desk = Desk::memory();
    let (reader, _) = desk.admin_with(BOB, &[("th_invites", "read")]);
    let mut streams = [reader.events(PATH), desk.admin.events(PATH)];
    let link = desk.issue(&json!({}));
    assert!(next(&mut streams[0]).1.get("redirect_url").is_none());
    assert_eq!(next(&mut streams[1]).1["redirect_url"], link.url);
    // A grant that grows or shrinks is seen by the stream that is open.
    let more = desk.grant(BOB, "th_invites", "write");
    let second = desk.issue(&json!({}));
    assert_eq!(next(&mut streams[0]).1["redirect_url"], second.url);
    desk.admin.removes(&format!("/v1/consent/grants/{more}")).is(200);
    desk.issue(&json!({}));
    assert!(next(&mut streams[0]).1.get("redirect_url").is_none());
}

/// Reads as browsers do, a few events a connection; gives the rows as they were last seen, and where it is.
fn read_on(
    caller: &Caller,
    last: &mut Option<u64>,
    rows: &mut BTreeMap<String, Value>,
    until: u64,
    take: usize,
) {
    let start = now();
    while last.is_none_or(|last| last < until) {
        assert!(start.elapsed() < crate::support::LIMIT, "it is at {last:?}, and not at {until}");
        let mut stream = match last {
            Some(last) => caller.events_after(PATH, *last),
            None => caller.events(PATH),
        };
        for n in 0..take {
            let event = stream.next();
            let id = event.id.expect("an id");
            if event.name == "invite.updated" {
                assert!(last.is_none_or(|last| last < id), "{id} came again, after {last:?}");
                let row = event.json()["invite"].clone();
                rows.insert(row["invite_id"].as_str().expect("an id").to_owned(), row);
                *last = Some(id);
            } else {
                assert!(n == 0 && event.name == "heartbeat", "{event:?}");
                assert!(
                    last.is_none_or(|last| last <= id),
                    "a heartbeat goes back: {event:?} after {last:?}"
                );
            }
            if last.is_some_and(|last| last >= until) {
                break;
            }
        }
    }
}

/// The position of the last change of any invite: what a stream from the beginning ends with.
fn last_change(caller: &Caller, count: usize) -> u64 {
    let mut stream = caller.events(PATH);
    (0..count).map(|_| next(&mut stream).0).last().expect("a row")
}

#[test]
fn whoever_comes_back_has_missed_nothing_and_gets_nothing_twice() {
    let mut desk = Desk::disk();
    let (mut last, mut rows) = (None, BTreeMap::new());
    let mut count = 0;
    for round in 0..6 {
        let links: Vec<_> = (0..4).map(|_| desk.issue(&json!({ "max_uses": 2 }))).collect();
        count += links.len();
        let until = last_change(&desk.admin, count);
        read_on(&desk.admin, &mut last, &mut rows, until, 1 + round % 3 + 1);
        desk.guest(&links[0]);
        desk.guest(&links[1]);
        desk.revoke(&links[0].id);
        desk.guest(&links[1]);
        if round % 2 == 0 {
            desk.node.kill();
        } else {
            desk.node.stop();
        }
        desk.node.run(&[]);
        desk.found_again();
        // Things happen before it comes back, too.
        desk.revoke(&links[2].id);
        let until = last_change(&desk.admin, count);
        read_on(&desk.admin, &mut last, &mut rows, until, 2 + round % 4);
        for row in desk.admin.lists("/v1/invites?limit=1000") {
            let seen = &rows[row["invite_id"].as_str().expect("an id")];
            for name in ["state", "uses_remaining", "revoked_at", "expires_at"] {
                assert_eq!(seen[name], row[name], "{name}: {row}");
            }
            assert_eq!(
                seen["redemptions"].as_array().map(Vec::len),
                row["redemptions"].as_array().map(Vec::len)
            );
        }
    }
    assert_eq!(rows.len(), count);
    for bad in ["x", "-1", "18446744073709551615"] {
        desk.admin.header("last-event-id", bad).reads(PATH).refuses(400, "INVALID_QUERY");
    }
}

/// Insists that a stream is told why it ends, within a second.
#[track_caller]
fn ends_revoked(mut stream: Events, come: impl FnOnce()) -> Vec<Event> {
    come();
    let at = now();
    let events = until_end(&mut stream);
    assert!(at.elapsed() < Duration::from_secs(1), "it ended after {:?}", at.elapsed());
    let last = events.last().expect("an event");
    assert_eq!((last.name.as_str(), &last.json()["code"]), ("error", &json!("revoked")), "{last:?}");
    assert_eq!(last.id, None);
    events
}

#[test]
fn it_ends_with_what_it_stands_on() {
    let desk = Desk::memory();
    let (_, ids) = desk.admin_with(BOB, &[("th_invites", "read")]);
    let open = |token: &Token| {
        let mut stream = desk.node.as_token(token).events(PATH);
        assert_eq!(stream.next().name, "heartbeat");
        stream
    };
    let bob = || desk.admin.account(&[BOB], &["admin"]);
    let token = bob();
    ends_revoked(open(&token), || drop(desk.admin.delete(&format!("/v1/tokens/{}", token.id)).is(200)));
    let token = bob();
    ends_revoked(open(&token), || {
        drop(desk.admin.delete(&format!("/v1/service-accounts/{}", token.account)).is(200));
    });
    let token = bob();
    ends_revoked(open(&token), || {
        let rotate = format!("/v1/tokens/{}/rotate", token.id);
        desk.node.as_token(&token).sends(&rotate, &json!({})).is(200);
    });
    let token = bob();
    ends_revoked(open(&token), || {
        let account = format!("/v1/service-accounts/{}", token.account);
        desk.admin.patch(&account, &json!({ "actors": ["did:sync:user:other"] })).is(200);
    });
    let token = bob();
    let carried = ends_revoked(open(&token), || {
        desk.admin.removes(&format!("/v1/consent/grants/{}", ids[0])).is(200);
        desk.issue(&json!({}));
    });
    assert!(carried.iter().all(|event| event.name != "invite.updated"), "{carried:?}");
    desk.node.as_token(&token).reads(PATH).refuses(403, "CONSENT_DENIED");
    desk.grant(BOB, "th_invites", "read");
    let stream = open(&token);
    let rule = |name: &str, action: &str, expression: &str| {
        let rule = json!({ "name": name, "action": action, "priority": 1, "expression": expression, "enabled": true });
        desk.admin.set("permission_rule", &rule).is(201);
    };
    rule("all", "allow", "true");
    desk.admin.set("permissions_enabled", &json!({ "enabled": true })).is(201);
    ends_revoked(stream, || rule("a", "deny", &format!("resource == \"invite\" && actor == \"{BOB}\"")));
    desk.node.as_token(&token).reads(PATH).refuses(403, "PERMISSION_DENIED");
    desk.node.anyone().reads(PATH).refuses(401, "AUTH_REQUIRED");
    desk.admin.events(PATH).next();
}

#[test]
fn a_grant_that_runs_out_ends_it_by_itself() {
    let desk = Desk::memory();
    let token = desk.admin.account(&[BOB], &["admin"]);
    let soon = jiff::Timestamp::from_millisecond(super::kit::now_ms().cast_signed() + 2000).expect("a time");
    let until = format!("{soon:.3}");
    let grant = json!({ "grantee": BOB, "resource": "th_invites", "access": "read", "expires_at": until });
    desk.admin.sends("/v1/consent/grants", &grant).is(201);
    let mut stream = desk.node.as_token(&token).events(PATH);
    let start = now();
    let events = until_end(&mut stream);
    assert!(start.elapsed() < Duration::from_secs(4), "it ended after {:?}", start.elapsed());
    assert_eq!(events.last().expect("an event").json()["code"], "revoked");
}

#[test]
fn those_who_may_follow_the_thread_of_invites_as_any_other() {
    let desk = Desk::memory();
    let (blind, _) = desk.admin_with(BOB, &[]);
    let (reader, _) = desk.admin_with("did:sync:user:r", &[("th_invites", "read")]);
    let watch = "/v1/threads/th_invites/watch";
    let mut seen = [reader.events(watch), reader.events("/v1/events/stream?thread=th_audit_invites")];
    let both = "/v1/events/stream?thread=th_invites&thread=th_audit_invites&thread=mark";
    let mut unseen = [blind.events(both), blind.events_after(both, 0)];
    blind.get("/v1/threads/th_invites").refuses(404, "NOT_FOUND");
    let link = desk.issue(&json!({}));
    let bearer = desk.guest(&link);
    desk.revoke(&link.id);
    let mark = desk.admin.wrote(&record("mark", ADMIN, json!({})));
    for (stream, thread) in seen.iter_mut().zip(["th_invites", "th_audit_invites"]) {
        let kinds: Vec<Value> = (0..4)
            .map(|_| {
                let shown = stream.record().json()["record"].clone();
                assert_eq!(shown["thread"], thread);
                shown["body"]["event_kind"].clone()
            })
            .collect();
        let first = if thread == "th_invites" { Value::Null } else { json!("issued") };
        assert_eq!(kinds, [first, json!("redeemed"), json!("exhausted"), json!("revoked")]);
    }
    for stream in &mut unseen {
        assert_eq!(stream.record().id, mark["sequence"].as_u64(), "nothing of invites came before it");
    }
    assert!(!desk.lives(&bearer));
}

/// Sixty seconds: an invite lives no shorter.
#[test]
fn an_invite_expires_when_its_time_comes() {
    let desk = Desk::disk();
    let link = desk.issue(&json!({ "ttl_seconds": 60, "max_uses": 5 }));
    let spent = desk.issue(&json!({ "ttl_seconds": 60 }));
    let revoked = desk.issue(&json!({ "ttl_seconds": 60 }));
    let (bearer, other) = (desk.guest(&link), desk.guest(&spent));
    desk.revoke(&revoked.id);
    let mut stream = desk.admin.events(PATH);
    let current: Vec<u64> = (0..3).map(|_| next(&mut stream).0).collect();
    assert!(current.is_sorted(), "{current:?}");
    let head = desk.admin.head();
    // It comes without a record, and without anybody doing anything.
    let (at, row) = next(&mut stream);
    assert_eq!((&row["invite_id"], &row["state"]), (&json!(link.id), &json!("expired")));
    assert!(row.get("redirect_url").is_none(), "{row}");
    assert_eq!(at, head);
    assert_eq!(desk.admin.head(), head);
    let anyone = desk.node.anyone();
    let preview = anyone.reads(&link.preview()).is(200).json();
    assert_eq!(
        (&preview["state"], &preview["expired"], &preview["revoked"]),
        (&json!("expired"), &json!(true), &json!(false))
    );
    link.redeem(&anyone, &key()).refuses(410, "INVITE_EXPIRED");
    spent.redeem(&anyone, &key()).refuses(410, "INVITE_EXHAUSTED");
    revoked.redeem(&anyone, &key()).refuses(410, "INVITE_REVOKED");
    let states = |state: &str| -> Vec<Value> {
        let rows = desk.admin.lists(&format!("/v1/invites?state={state}"));
        rows.iter().map(|row| row["invite_id"].clone()).collect()
    };
    assert_eq!(states("expired"), [json!(link.id)]);
    assert_eq!(states("redeemed"), [json!(spent.id)]);
    assert_eq!(states("active"), [] as [Value; 0]);
    let closed = desk.admin.sends("/v1/invites/bulk-revoke", &json!({ "filter": "expired" })).is(200).json();
    assert_eq!(closed["invite_ids"], json!([link.id]));
    let (_, row) = next(&mut stream);
    assert_eq!((&row["invite_id"], &row["state"]), (&json!(link.id), &json!("revoked")));
    assert!(desk.lives(&bearer) && desk.lives(&other), "what was handed out lives on");
    let model = super::model::explains(&desk, &[bearer, other]);
    assert_eq!(model.invites[&link.id].refused, ["expired"]);
}
