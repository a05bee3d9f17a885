//! How often a link may be followed, and by whom that is counted.

use serde_json::json;

use super::kit::{Asks as _, Caller, Desk, Link, as_guest, from, key};
use crate::raw::{Client, Reply};

/// Sends until it is too often, or so many times; gives how many were let through, and the refusal.
fn until_limited(caller: &Caller, target: &str, most: usize, post: bool) -> (usize, Option<Reply>) {
    let mut client = Client::connect(caller.port);
    let body = post.then(|| as_guest(&key()));
    for sent in 0..most {
        let method = if post { "POST" } else { "GET" };
        let reply = caller.over(&mut client, method, target, body.as_ref()).expect("an answer");
        if reply.status == 429 {
            return (sent, Some(super::kit::described(method, target, reply)));
        }
    }
    (most, None)
}

#[track_caller]
fn is_limited_after(least: usize, (sent, refused): (usize, Option<Reply>)) {
    let reply = refused.unwrap_or_else(|| panic!("{sent} were let through"));
    // What is refilled meanwhile is let through, too.
    assert!((least..least + least / 4).contains(&sent), "{sent} were let through");
    let reply = reply.refuses(429, "RATE_LIMITED");
    let wait: u64 = reply.header("retry-after").and_then(|s| s.parse().ok()).expect("how long");
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(reply.json()["retry_after_seconds"].as_u64().is_some_and(|s| s >= 1), "{}", reply.text());
}

/// Whether somebody is limited. One or two are let through again while this is asked; who is not limited is let
/// through far more often.
fn limited(caller: &Caller, target: &str, post: bool) -> bool {
    until_limited(caller, target, 60, post).1.is_some()
}

/// Well-formed, and not the link's.
fn wrong(link: &Link) -> String {
    format!("/v1/invites/{}/redeem?sig={}", link.id, "A".repeat(86))
}

#[test]
fn an_invite_is_followed_three_hundred_times_a_minute() {
    let desk = Desk::memory();
    let (link, other) = (desk.issue(&json!({ "max_uses": 1000 })), desk.issue(&json!({})));
    desk.admin.set("trusted_proxies", &json!({ "cidrs": ["127.0.0.0/8"] })).is(201);
    let head = desk.admin.head();
    let client = |n| from(&desk.node.anyone(), n);
    is_limited_after(300, until_limited(&client(1), &link.preview(), 500, false));
    // It is of the invite: nobody else may either, admins neither, and others go on.
    assert!(limited(&client(2), &link.preview(), false));
    assert!(limited(&desk.admin, &link.preview(), false));
    client(1).reads(&other.preview()).is(200);
    // Redeeming has a rate of its own, decided before the signature.
    is_limited_after(300, until_limited(&client(3), &wrong(&link), 500, true));
    assert_eq!(desk.admin.head(), head, "nothing is recorded of it");
    assert!(limited(&client(4), &wrong(&link), true));
    client(4).sends(&other.redeem_at(), &as_guest(&key())).is(200);
}

#[test]
fn whoever_has_no_link_takes_nothing_from_those_who_have() {
    let desk = Desk::memory();
    let link = desk.issue(&json!({ "max_uses": 1000 }));
    desk.admin.set("trusted_proxies", &json!({ "cidrs": ["127.0.0.0/8"] })).is(201);
    let head = desk.admin.head();
    let at = format!("/v1/invites/{}", link.id);
    for (n, sig) in ["", "?sig=x", "?sig=", &format!("?sig={}", "A".repeat(87))].iter().enumerate() {
        let nobody = from(&desk.node.anyone(), n);
        assert_eq!(until_limited(&nobody, &format!("{at}{sig}"), 400, false).0, 400, "{sig}");
        assert_eq!(until_limited(&nobody, &format!("{at}/redeem{sig}"), 400, true).0, 400, "{sig}");
    }
    assert_eq!(desk.admin.head(), head, "nothing is recorded of it");
    let holder = from(&desk.node.anyone(), 9);
    holder.reads(&link.preview()).is(200);
    holder.sends(&link.redeem_at(), &as_guest(&key())).is(200);
}

#[test]
fn a_client_follows_six_hundred_links_a_minute_whether_they_lead_anywhere() {
    let desk = Desk::memory();
    let link = desk.issue(&json!({ "max_uses": 1000 }));
    let head = desk.admin.head();
    let anyone = desk.node.anyone();
    for (nowhere, somewhere, post) in [
        ("/v1/invites/inv_0000000000000000?sig=x", link.preview(), false),
        ("/v1/invites/inv_0000000000000000/redeem?sig=x", wrong(&link), true),
    ] {
        is_limited_after(600, until_limited(&anyone, nowhere, 900, post));
        assert!(limited(&anyone, &somewhere, post));
        assert!(limited(&anyone, &nowhere.replace("0000", "1111"), post));
        // What a stranger says of where it comes from is nothing.
        for says in ["203.0.113.9", "127.0.0.1", "::1"] {
            assert!(limited(&anyone.header("x-forwarded-for", says), &somewhere, post), "{says}");
            let more = anyone.header("forwarded", &format!("for={says}")).header("x-real-ip", says);
            assert!(limited(&more, &somewhere, post), "{says}");
        }
    }
    assert_eq!(desk.admin.head(), head, "nothing is recorded of it");
}

#[test]
fn trusted_proxies_say_who_the_client_is_and_are_read_from_the_right() {
    let desk = Desk::memory();
    desk.admin.set("trusted_proxies", &json!({ "cidrs": ["127.0.0.0/8", "10.0.0.0/8"] })).is(201);
    let nowhere = "/v1/invites/inv_0000000000000000?sig=x";
    let forwarded = |lines: &[&str]| {
        lines.iter().fold(desk.node.anyone(), |caller, line| caller.header("x-forwarded-for", line))
    };
    is_limited_after(600, until_limited(&forwarded(&["203.0.113.9"]), nowhere, 900, false));
    // The same client, whatever it wrote to the left of what the proxies did.
    for same in [
        &["203.0.113.9"][..],
        &["198.51.100.1, 203.0.113.9"],
        &["198.51.100.1", "203.0.113.9"],
        &["198.51.100.1, 203.0.113.9, 10.1.2.3"],
        &["127.0.0.1, 203.0.113.9"],
        &["203.0.113.9:4711"],
        &["::ffff:203.0.113.9"],
    ] {
        assert!(limited(&forwarded(same), nowhere, false), "{same:?}");
    }
    for other in [
        &["203.0.113.10"][..],
        &["203.0.113.9, 198.51.100.1"],
        &["203.0.113.9", "198.51.100.1, 10.0.0.1"],
        &[],
    ] {
        forwarded(other).reads(nowhere).refuses(404, "INVITE_NOT_FOUND");
    }
    // Of IPv6 a household has its /64.
    is_limited_after(600, until_limited(&forwarded(&["2001:db8:1:2::1"]), nowhere, 900, false));
    for same in ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "[2001:db8:1:2::9]:443"] {
        assert!(limited(&forwarded(&[same]), nowhere, false), "{same}");
    }
    for other in ["2001:db8:1:3::1", "2001:db8:2:2::1"] {
        forwarded(&[other]).reads(nowhere).refuses(404, "INVITE_NOT_FOUND");
    }
    // Who is trusted no more is a stranger again: the peer counts, and it has asked for little so far.
    desk.admin.set("trusted_proxies", &json!({ "cidrs": [] })).is(201);
    forwarded(&["203.0.113.9"]).reads(nowhere).refuses(404, "INVITE_NOT_FOUND");
}
