//! Rows of invites and what happened to them: filters, pages, and who is shown links.

use serde_json::{Value, json};

use super::kit::{Asks as _, Desk, Link};

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["invite_id"].as_str().expect("an id").to_owned()).collect()
}

/// One of each state that time does not make: newest last.
fn several(desk: &Desk) -> Vec<(Link, &'static str)> {
    let states = ["active", "redeemed", "exhausted", "revoked", "active", "revoked"];
    states
        .iter()
        .enumerate()
        .map(|(n, state)| {
            let uses = if *state == "redeemed" { 1 } else { 2 };
            let link = desk.issue(&json!({ "max_uses": uses }));
            let redeemed = if n == 3 { 1 } else { uses };
            if matches!(*state, "redeemed" | "exhausted") || n == 3 {
                (0..redeemed).for_each(|_| drop(desk.guest(&link)));
            }
            if *state == "revoked" {
                desk.revoke(&link.id);
            }
            (link, *state)
        })
        .collect()
}

#[test]
fn rows_are_listed_by_state_newest_first() {
    let desk = Desk::memory();
    let all = several(&desk);
    let expected = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        all.iter().rev().filter(|(_, state)| wanted(state)).map(|(link, _)| link.id.clone()).collect()
    };
    let rows = desk.admin.lists("/v1/invites");
    assert_eq!(ids(&rows), expected(&|_| true));
    for (row, (_, state)) in rows.iter().zip(all.iter().rev()) {
        assert_eq!(row["state"], *state, "{row}");
        assert!(row.get("warnings").is_none(), "{row}");
    }
    for state in ["active", "redeemed", "exhausted", "revoked", "expired"] {
        let of_state = expected(&|s| s == state);
        assert_eq!(ids(&desk.admin.lists(&format!("/v1/invites?state={state}"))), of_state, "{state}");
        assert_eq!(
            ids(&desk.admin.lists(&format!("/v1/invites?state={state}&limit=1"))),
            of_state,
            "{state}"
        );
    }
    for limit in [1, 2, 4, 6, 100] {
        assert_eq!(ids(&desk.admin.lists(&format!("/v1/invites?limit={limit}"))), expected(&|_| true));
    }
    // A page goes on where it ended, whatever was issued since.
    let page = desk.admin.reads("/v1/invites?limit=2").is(200).json();
    desk.issue(&json!({}));
    let cursor = page["next_cursor"].as_str().expect("more");
    let rest = desk.admin.reads(&format!("/v1/invites?limit=100&cursor={cursor}")).is(200).json();
    assert_eq!(ids(rest["data"].as_array().expect("rows")), expected(&|_| true)[2..]);
    // A cursor is for its own query.
    desk.admin.reads(&format!("/v1/invites?state=active&cursor={cursor}")).refuses(400, "INVALID_QUERY");
    desk.admin.reads(&format!("/v1/invites/audit?cursor={cursor}")).refuses(400, "INVALID_QUERY");
}

#[test]
fn links_are_for_those_who_could_issue_them_and_only_while_they_work() {
    let desk = Desk::memory();
    let all = several(&desk);
    let (reader, _) = desk.admin_with("did:sync:user:r", &[("th_invites", "read")]);
    let (writer, _) = desk.admin_with("did:sync:user:w", &[("th_invites", "write")]);
    let has_link = |row: &Value| ["redirect_url", "qr_payload", "qr_svg"].map(|name| row[name].is_string());
    for row in reader.lists("/v1/invites") {
        assert_eq!(has_link(&row), [false; 3], "{row}");
    }
    let reader_sees = reader.reads("/v1/invites").text();
    for (link, _) in &all {
        assert!(!reader_sees.contains(&link.sig));
    }
    for caller in [&writer, &desk.admin] {
        for (row, (link, state)) in caller.lists("/v1/invites").iter().zip(all.iter().rev()) {
            assert_eq!(has_link(row), [*state == "active"; 3], "{row}");
            if *state == "active" {
                assert_eq!(row["redirect_url"], link.url, "it is the same link as ever");
            }
        }
    }
}

#[test]
fn a_row_tells_of_its_uses_and_what_became_of_them() {
    let desk = Desk::memory();
    let link = desk.issue(&json!({ "max_uses": 2, "bearer_ttl_seconds": 3600 }));
    let bearer = desk.guest(&link);
    let used = |row: &Value| row["redemptions"][0].clone();
    let row = desk.row(&link.id);
    assert_eq!((&row["uses_remaining"], row["redemptions"].as_array().map(Vec::len)), (&json!(1), Some(1)));
    let one = used(&row);
    assert_eq!((&one["token_id"], &one["service_account_id"]), (&json!(bearer.id), &json!(bearer.account)));
    assert_eq!((&one["live"], &one["last_seen"]), (&json!(true), &Value::Null));
    assert!(one["signer_instance_did"].is_null() && one["signer_trust"].is_null(), "{one}");
    desk.node.as_token(&bearer).get("/v1/threads").is(200);
    assert!(used(&desk.row(&link.id))["last_seen"].is_string());
    desk.admin.delete(&format!("/v1/tokens/{}", bearer.id)).is(200);
    let one = used(&desk.row(&link.id));
    assert_eq!(one["live"], false, "{one}");
    // The use is used: what became of the token changes nothing for the invite.
    assert_eq!(desk.row(&link.id)["uses_remaining"], 1);
    assert_eq!(desk.row(&link.id)["state"], "active");
}

#[test]
fn the_feed_is_newest_first_and_whole() {
    let desk = Desk::memory();
    several(&desk);
    let rows = desk.admin.lists("/v1/invites/audit");
    let sequences: Vec<u64> = rows.iter().map(|row| row["sequence"].as_u64().expect("a sequence")).collect();
    assert!(sequences.is_sorted_by(|a, b| a > b), "{sequences:?}");
    let of = |kind: &str| rows.iter().filter(|row| row["event_kind"] == kind).count();
    assert_eq!(
        [of("issued"), of("redeemed"), of("revoked"), of("exhausted"), of("refused")],
        [6, 4, 2, 2, 0]
    );
    assert_eq!(desk.admin.lists("/v1/invites/audit?limit=3"), rows);
    let log = desk.log();
    for row in &rows {
        let record = log.iter().find(|r| r["id"] == row["record_id"]).expect("a record");
        assert_eq!((&record["thread"], &record["sequence"]), (&json!("th_audit_invites"), &row["sequence"]));
        for (name, value) in
            record["body"].as_object().expect("a body").iter().filter(|(name, _)| *name != "kind")
        {
            assert_eq!(&row[name], value, "{name}");
        }
    }
    let mirrors = log.iter().filter(|r| r["thread"] == "th_audit_invites").count();
    assert_eq!(rows.len(), mirrors);
}
