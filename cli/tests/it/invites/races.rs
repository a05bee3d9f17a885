//! Many at once: whatever the order was, the log has it, and who lives is what that order leaves.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{
    kit::{Desk, Link, Token, as_guest, at_once, from, key, now_ms},
    model::explains,
};
use crate::{
    raw::{Client, Reply, wait_at_most},
    support::LIMIT,
};

/// One behind a proxy: its clients are told apart, so that none of them is too frequent.
fn behind_a_proxy(options: &[&str]) -> Desk {
    let desk = Desk::with(options);
    desk.admin.set("trusted_proxies", &json!({ "cidrs": ["127.0.0.0/8"] })).is(201);
    desk
}

fn redeem(desk: &Desk, link: &Link, n: usize, client: &mut Client) -> Reply {
    let body = as_guest(&key());
    from(&desk.node.anyone(), n).over(client, "POST", &link.redeem_at(), Some(&body)).expect("an answer")
}

/// The bearers among answers; every other is refused with this code.
#[track_caller]
fn bearers(replies: Vec<Reply>, code: &str) -> Vec<Token> {
    let given = replies.into_iter().filter_map(|reply| {
        if reply.status == 200 {
            return Some(Token::of(&reply.json()));
        }
        reply.refuses(410, code);
        None
    });
    given.collect()
}

#[test]
fn five_of_two_hundred_get_a_bearer() {
    let desk = behind_a_proxy(&[]);
    let mut all = Vec::new();
    for _ in 0..4 {
        let link = desk.issue(&json!({ "max_uses": 5 }));
        let replies = at_once(desk.node.port, 200, |n, client| redeem(&desk, &link, n, client));
        let given = bearers(replies, "INVITE_EXHAUSTED");
        assert_eq!(given.len(), 5);
        assert!(given.iter().all(|bearer| desk.lives(bearer)));
        all.extend(given);
        let model = explains(&desk, &all);
        let told = &model.invites[&link.id];
        assert_eq!((told.redeemed.len(), told.exhausted, told.refused.len()), (5, 1, 195));
        assert!(told.refused.iter().all(|reason| reason == "exhausted"));
    }
    assert_eq!(explains(&desk, &all).accounts.len(), 20);
}

#[test]
fn one_key_that_redeems_a_hundred_times_at_once_is_one_holder() {
    let desk = behind_a_proxy(&["--memory"]);
    for _ in 0..6 {
        let link = desk.issue(&json!({ "max_uses": 100 }));
        let own = key();
        let replies = at_once(desk.node.port, 100, |n, client| {
            let anyone = from(&desk.node.anyone(), n);
            anyone.over(client, "POST", &link.redeem_at(), Some(&as_guest(&own))).expect("an answer")
        });
        let given = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!(given, 1);
        assert!(replies.iter().all(|reply| reply.status == 200 || reply.json()["code"] == "HOLDER_EXISTS"));
        assert_eq!(desk.row(&link.id)["uses_remaining"], 99);
    }
}

#[test]
fn nothing_that_was_redeemed_outlives_a_revocation() {
    for options in [&["--memory"][..], &[]] {
        let desk = behind_a_proxy(options);
        let mut all = Vec::new();
        let mut before = 0;
        for round in 0..10 {
            let link = desk.issue(&json!({ "max_uses": 1000 }));
            let revoked = AtomicUsize::new(0);
            let replies = at_once(desk.node.port, 60, |n, client| {
                // Each round somebody else is the one who revokes, so that it comes early, late and between.
                if n != round * 6 {
                    return Some(redeem(&desk, &link, n, client));
                }
                let at = format!("/v1/invites/{}/revoke", link.id);
                let done =
                    desk.admin.over(client, "POST", &at, Some(&json!({}))).expect("an answer").is(200).json();
                assert_eq!(done["status"], "revoked");
                let count = done["bearers_revoked"].as_u64().and_then(|n| usize::try_from(n).ok());
                revoked.store(count.expect("a number"), Ordering::Release);
                None
            });
            let given = bearers(replies.into_iter().flatten().collect(), "INVITE_REVOKED");
            assert_eq!(given.len(), revoked.load(Ordering::Acquire), "all that were given were ended");
            assert!(!given.iter().any(|bearer| desk.lives(bearer)));
            before += usize::from(!given.is_empty());
            all.extend(given);
        }
        explains(&desk, &all);
        assert!(before > 0, "no redemption ever came before a revocation");
    }
}

#[test]
fn no_renewal_escapes_a_revocation() {
    for options in [&["--memory"][..], &[]] {
        let desk = behind_a_proxy(options);
        let mut all = Vec::new();
        let mut renewed = 0;
        for round in 0..10 {
            let link = desk.issue(&json!({ "max_uses": 30 }));
            let holders: Vec<Token> = (0..30)
                .map(|n| {
                    let reply = from(&desk.node.anyone(), n).post(&link.redeem_at(), &as_guest(&key()));
                    Token::of(&reply.is(200).json())
                })
                .collect();
            let chains = at_once(desk.node.port, 31, |n, client| {
                if n == round * 3 {
                    let at = format!("/v1/invites/{}/revoke", link.id);
                    let done = desk.admin.over(client, "POST", &at, Some(&json!({}))).expect("an answer");
                    assert_eq!(done.is(200).json()["bearers_revoked"], 30);
                    return Vec::new();
                }
                let mut token = holders[if n > round * 3 { n - 1 } else { n }].clone();
                let mut made = Vec::new();
                // Goes over to the new one at once, as a device does.
                for _ in 0..3 {
                    let next = Token::made(&token.account);
                    let at = format!("/v1/tokens/{}/rotate", token.id);
                    let wanted = json!({ "new_token_id": next.id });
                    let reply = desk.node.as_token(&token).over(client, "POST", &at, Some(&wanted));
                    let reply = reply.expect("an answer");
                    if reply.status != 200 {
                        reply.refuses(401, "AUTH_INVALID");
                        break;
                    }
                    made.push(next.clone());
                    token = next;
                }
                made
            });
            let made: Vec<Token> = chains.into_iter().flatten().collect();
            renewed += made.len();
            assert!(!holders.iter().chain(&made).any(|token| desk.lives(token)));
            all.extend(holders.into_iter().chain(made));
        }
        assert!(renewed > 0, "no renewal ever came before a revocation");
        explains(&desk, &all);
    }
}

#[test]
fn no_renewal_escapes_the_end_of_its_account() {
    let desk = Desk::memory();
    let mut all = Vec::new();
    for _ in 0..12 {
        let link = desk.issue(&json!({}));
        let token = desk.guest(&link);
        let next = Token::made(&token.account);
        let replies = at_once(desk.node.port, 2, |n, client| {
            if n == 0 {
                let at = format!("/v1/service-accounts/{}", token.account);
                return desk.admin.over(client, "DELETE", &at, None).expect("an answer").is(200).status;
            }
            let at = format!("/v1/tokens/{}/rotate", token.id);
            let wanted = json!({ "new_token_id": next.id });
            desk.node.as_token(&token).over(client, "POST", &at, Some(&wanted)).expect("an answer").status
        });
        assert!(matches!(replies[1], 200 | 401), "{replies:?}");
        assert!(!desk.lives(&token) && !desk.lives(&next));
        all.extend([token, next]);
    }
    explains(&desk, &all);
}

/// Closes spent or expired invites until so many are.
fn close(desk: &Desk, filter: &str, count: usize, closed: &AtomicUsize, client: &mut Client) {
    let start = crate::raw::now();
    while closed.load(Ordering::Acquire) < count {
        assert!(start.elapsed() < LIMIT, "{} were closed", closed.load(Ordering::Acquire));
        let body = json!({ "filter": filter });
        let done =
            desk.admin.over(client, "POST", "/v1/invites/bulk-revoke", Some(&body)).expect("an answer");
        let done = done.is(200).json();
        assert_eq!(done["bearers_revoked"], 0);
        let ids = done["invite_ids"].as_array().map_or(0, Vec::len);
        assert_eq!(done["revoked_count"], ids);
        closed.fetch_add(ids, Ordering::AcqRel);
    }
}

#[test]
fn closing_spent_invites_takes_nothing_from_those_who_spent_them() {
    for options in [&["--memory"][..], &[]] {
        let desk = behind_a_proxy(options);
        let mut all = Vec::new();
        for _ in 0..5 {
            let links: Vec<Link> = (0..10).map(|_| desk.issue(&json!({ "max_uses": 2 }))).collect();
            let closed = AtomicUsize::new(0);
            let given = at_once(desk.node.port, 42, |n, client| {
                if n >= 40 {
                    close(&desk, "exhausted", 10, &closed, client);
                    return Vec::new();
                }
                let one = redeem(&desk, &links[n % 10], n, client);
                let refused = one.status != 200;
                if refused {
                    let code = one.json()["code"].clone();
                    assert!(code == "INVITE_EXHAUSTED" || code == "INVITE_REVOKED", "{code}");
                    return Vec::new();
                }
                vec![Token::of(&one.json())]
            });
            let given: Vec<Token> = given.into_iter().flatten().collect();
            assert_eq!((given.len(), closed.load(Ordering::Acquire)), (20, 10));
            assert!(given.iter().all(|bearer| desk.lives(bearer)));
            all.extend(given);
        }
        let model = explains(&desk, &all);
        assert!(model.invites.values().all(|told| told.revoked.len() == 1));
    }
}

/// Sixty seconds: an invite lives no shorter.
#[test]
fn closing_expired_invites_and_redeeming_them_at_the_last_moment() {
    const INVITES: usize = 30;
    let desk = behind_a_proxy(&[]);
    let links: Vec<Link> =
        (0..INVITES).map(|_| desk.issue(&json!({ "max_uses": 1000, "ttl_seconds": 60 }))).collect();
    let end = |link: &Link| {
        let text = link.answer["expires_at"].as_str().expect("a time");
        u64::try_from(text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()).expect("a time")
    };
    wait_at_most(LIMIT * 3, "the first is about to expire", || {
        (now_ms() + 700 >= end(&links[0])).then_some(())
    });
    let closed = AtomicUsize::new(0);
    let given = at_once(desk.node.port, 42, |n, client| {
        if n >= 40 {
            close(&desk, "expired", INVITES, &closed, client);
            return Vec::new();
        }
        let (mut given, mut open): (Vec<Token>, Vec<&Link>) =
            (Vec::new(), links.iter().skip(n % 7).collect());
        let start = crate::raw::now();
        while !open.is_empty() {
            assert!(start.elapsed() < LIMIT, "{} do not end", open.len());
            open.retain(|link| {
                let reply = redeem(&desk, link, n, client);
                match reply.status {
                    200 => given.push(Token::of(&reply.json())),
                    // More of them than one invite takes in a minute.
                    429 => return false,
                    _ => {
                        let code: Value = reply.is(410).json()["code"].clone();
                        assert!(code == "INVITE_EXPIRED" || code == "INVITE_REVOKED", "{code}");
                        return false;
                    }
                }
                true
            });
        }
        given
    });
    let given: Vec<Token> = given.into_iter().flatten().collect();
    assert_eq!(closed.load(Ordering::Acquire), INVITES);
    assert!(!given.is_empty(), "nobody came in time");
    assert!(given.iter().all(|bearer| desk.lives(bearer)));
    let model = explains(&desk, &given);
    assert!(model.invites.values().all(|told| told.revoked.len() == 1));
}

#[test]
fn of_all_who_revoke_an_invite_at_once_one_does() {
    let desk = Desk::disk();
    for _ in 0..8 {
        let link = desk.issue(&json!({ "max_uses": 2 }));
        let given = [desk.guest(&link), desk.guest(&link)];
        let at = format!("/v1/invites/{}/revoke", link.id);
        let replies = at_once(desk.node.port, 16, |_, client| {
            desk.admin.over(client, "POST", &at, Some(&json!({}))).expect("an answer").is(200).json()
        });
        let revoked: Vec<&Value> = replies.iter().filter(|r| r["status"] == "revoked").collect();
        assert_eq!(revoked.len(), 1, "{replies:?}");
        assert_eq!(revoked[0]["bearers_revoked"], 2);
        assert!(
            replies.iter().filter(|r| r["status"] == "already_revoked").all(|r| r["bearers_revoked"] == 0)
        );
        assert!(!given.iter().any(|bearer| desk.lives(bearer)));
    }
}
