//! The link: its signature is the capability. It is kept nowhere, and computed again for whoever may see it.

use spl_kernel::{
    identity::{PrivateKey, PublicKey, decode_exactly, encode},
    time::UnixMillis,
};

use super::Invite;
use crate::tokens::is_base32;

/// What signed bytes begin with.
const DOMAIN: &str = "spl-invite-link-v1";
/// What ids begin with.
pub(super) const PREFIX: &str = "inv_";
/// Characters after that.
const CHARS: usize = 16;

/// Whether a text can be the id of an invite.
#[must_use]
pub fn is_invite_id(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| is_base32(rest, CHARS))
}

fn message(public_url: &str, invite_id: &str, expires_at: UnixMillis) -> String {
    format!("{public_url}\n{invite_id}\n{}", expires_at.0)
}

/// The link of an invite.
#[must_use]
pub fn link(key: &PrivateKey, invite: &Invite) -> String {
    let Invite { public_url, id, expires_at, .. } = invite;
    let signature = key.sign(DOMAIN, message(public_url, id, *expires_at).as_bytes());
    format!("{public_url}/i/{id}?sig={}", encode(&signature))
}

/// Whether a link's signature opens an invite.
#[must_use]
pub fn opens(key: &PublicKey, invite: &Invite, signature: &str) -> bool {
    let message = message(&invite.public_url, &invite.id, invite.expires_at);
    decode_exactly(signature).is_some_and(|signature| key.verifies(DOMAIN, message.as_bytes(), &signature))
}
