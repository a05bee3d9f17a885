//! An invite as answers show it to operators.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use serde_json::{Value, json};
use spl_kernel::time::UnixMillis;
use spl_projections::{
    World,
    invites::{Invite, Redemption, State, link},
};

use super::shape;
use crate::{app::Instance, qr, wire};

/// Links that are kept ready: a QR code takes far longer to make than the rest of a row.
const LINKS_MAX: usize = 1024;
/// Frames that are kept ready, for all who follow.
const FRAMES_MAX: usize = 64;

/// A link, and its QR code.
#[derive(Debug)]
struct Link {
    id: Arc<str>,
    url: String,
    svg: String,
}

/// What a frame was made from.
#[derive(Debug, PartialEq, Eq)]
struct FrameKey {
    id: Arc<str>,
    cursor: u64,
    changed: u64,
    state: &'static str,
    with_link: bool,
}

/// Rows, and parts of them, that several callers get.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    links: Mutex<VecDeque<Arc<Link>>>,
    frames: Mutex<VecDeque<(FrameKey, Bytes)>>,
}

/// Keeps so many: the oldest goes.
fn keep<T>(kept: &Mutex<VecDeque<T>>, one: T, most: usize) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= most {
        kept.pop_front();
    }
    kept.push_back(one);
}

impl Rows {
    fn link(&self, app: &Instance, invite: &Invite) -> Arc<Link> {
        let known = {
            let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.iter().rev().find(|l| l.id == invite.id).cloned()
        };
        known.unwrap_or_else(|| {
            let url = link(&app.key, invite);
            // The longest address fits into a code; were it not so, the link is there.
            let svg = qr::svg(&url).unwrap_or_default();
            let made = Arc::new(Link { id: invite.id.clone(), url, svg });
            keep(&self.links, made.clone(), LINKS_MAX);
            made
        })
    }

    /// The frame of a change, made once for all who follow.
    pub(super) fn frame(
        &self,
        app: &Instance,
        world: &World,
        invite: &Invite,
        seen: Seen,
        cursor: u64,
    ) -> Bytes {
        let key = FrameKey {
            id: invite.id.clone(),
            cursor,
            changed: invite.changed,
            state: invite.state(seen.now).as_str(),
            with_link: seen.with_link,
        };
        let known = {
            let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
            frames.iter().rev().find(|(own, _)| *own == key).map(|(_, bytes)| bytes.clone())
        };
        known.unwrap_or_else(|| {
            let bytes = fresh(app, world, invite, seen, cursor);
            keep(&self.frames, (key, bytes.clone()), FRAMES_MAX);
            bytes
        })
    }
}

/// The frame of a row as it is now, for one follower.
pub(super) fn fresh(app: &Instance, world: &World, invite: &Invite, seen: Seen, cursor: u64) -> Bytes {
    let row = row(app, world, invite, seen).to_string();
    let data = wire::one_line(format!("{{\"invite\":{row},\"cursor\":\"{cursor}\"}}"));
    wire::event("invite.updated", Some(cursor), &data)
}

/// How somebody sees invites.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// When.
    pub(super) now: UnixMillis,
    /// Whether with links: they are for those who could issue them.
    pub(super) with_link: bool,
}

/// A row.
pub(super) fn row(app: &Instance, world: &World, invite: &Invite, seen: Seen) -> Value {
    let state = invite.state(seen.now);
    let mut row = json!({
        "object": "invite",
        "invite_id": &*invite.id,
        "record_id": invite.record.to_string(),
        "state": state.as_str(),
        "issuer_did": invite.issuer_did,
        "issuer_key_fp": invite.issuer_key_fp,
        "issued_at": invite.issued_at.to_string(),
        "expires_at": invite.expires_at.to_string(),
        "revoked_at": invite.revoked_at.map(|at| at.to_string()),
        "ttl_seconds": invite.ttl_seconds,
        "max_uses": invite.max_uses,
        "uses_remaining": invite.uses_remaining(),
        "scopes": invite.scopes.names(),
        "scope_target": shape::shown(&invite.target),
        "accept_holder_types": invite.accepts.names(),
        "device_label": invite.device_label,
        "notes": invite.notes,
        "bearer_ttl_seconds": invite.bearer_ttl_seconds,
        "template_id": invite.template_id,
    });
    if seen.with_link && state == State::Active {
        let link = app.invite_rows.link(app, invite);
        row["redirect_url"] = link.url.as_str().into();
        row["qr_payload"] = link.url.as_str().into();
        row["qr_svg"] = link.svg.as_str().into();
    }
    let redemptions = invite.redemptions.iter().map(|one| redemption(app, world, one, seen.now));
    row["redemptions"] = redemptions.collect::<Vec<_>>().into();
    row
}

/// A use, and what its account holds today.
fn redemption(app: &Instance, world: &World, one: &Redemption, now: UnixMillis) -> Value {
    let account = world.accounts.get(&one.service_account_id);
    let tokens = || account.into_iter().flat_map(|a| world.tokens.of_account(a.number));
    let alive = account.is_some_and(|a| a.is_alive());
    let live = tokens().rfind(|(_, entry)| alive && entry.is_live(now));
    let today = live.or_else(|| tokens().next_back());
    let last_seen = tokens()
        .filter_map(|(_, entry)| {
            world.tokens.last_used(entry.number).max(app.activity.last_used(entry.number))
        })
        .max();
    json!({
        "holder_type": one.holder_type.as_str(),
        "holder_did": &*one.holder_did,
        "holder_pubkey": one.holder_pubkey,
        "holder_label": one.holder_label,
        "signer_instance_did": one.signer.as_ref().map(|s| s.did.as_str()),
        "signer_trust": one.trust.map(|t| t.as_str()),
        "pair_id": one.pair_id,
        "at": one.at.to_string(),
        "service_account_id": one.service_account_id,
        "token_id": today.map(|(row, _)| row.id.to_string()),
        "expires_at": today.and_then(|(_, entry)| entry.expires_at()).map(|at| at.to_string()),
        "last_seen": last_seen.map(|at| at.to_string()),
        "live": live.is_some(),
    })
}
