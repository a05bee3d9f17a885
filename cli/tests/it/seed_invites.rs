//! The operator's guide to invites, step by step and promise by promise, with `spl` and plain HTTP.

mod documented;
mod guarantees;
mod steps;
mod upkeep;

use serde_json::{Value, json};
use spl_kernel::identity::PrivateKey;
use zeroize::Zeroizing;

use crate::{
    access::kit::{Token, random},
    federation::kit::{Home, Link},
    raw::Reply,
};

pub(crate) use guarantees::mirrors_pair_up;

/// A key that nobody has.
fn key() -> PrivateKey {
    let mut seed = Zeroizing::new([0; 32]);
    for part in seed.chunks_exact_mut(8) {
        part.copy_from_slice(&random().to_le_bytes());
    }
    PrivateKey::from_seed(&seed)
}

/// What a page sends when somebody taps the button.
fn as_guest(key: &PrivateKey) -> Value {
    json!({ "holder_type": "guest", "holder_pubkey": key.public().base64url(), "holder_label": "iPhone 15" })
}

/// A device opens the link.
#[track_caller]
fn opens(home: &Home, link: &Link) -> Reply {
    home.node.anyone().post(&link.redeem_at(), &as_guest(&key()))
}

/// A device is let in.
#[track_caller]
fn device(home: &Home, link: &Link) -> Token {
    Token::of(&opens(home, link).is(200).json())
}

/// Whether a bearer opens anything.
#[track_caller]
fn lives(home: &Home, token: &Token) -> bool {
    let reply = home.node.as_token(token).get("/v1/threads");
    if reply.status == 401 {
        reply.refuses(401, "AUTH_INVALID");
        return false;
    }
    reply.is(200);
    true
}

/// `spl invite create` with these options: the answer as it came, and its link.
#[track_caller]
fn created(home: &Home, options: &[&str]) -> (Value, Link) {
    let made = home.spl(&[&["invite", "create", "-o", "json"], options].concat()).ok().json();
    let link = Link::of(made["redirect_url"].as_str().unwrap_or_else(|| panic!("no link: {made}")));
    (made, link)
}

/// Rows as `spl invite list` has them.
#[track_caller]
fn listed(home: &Home, state: &str) -> Vec<Value> {
    let rows = home.spl(&["invite", "list", "--state", state, "-o", "json"]).ok().json();
    rows["data"].as_array().unwrap_or_else(|| panic!("no list: {rows}")).clone()
}
