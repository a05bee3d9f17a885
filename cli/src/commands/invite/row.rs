//! An invite as an instance shows it, and in words.

use serde::Deserialize;

use crate::{scopes, table::Tint, text};

/// A row of `GET /v1/invites`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Invite {
    pub(super) invite_id: String,
    pub(super) state: String,
    pub(super) issuer_did: String,
    pub(super) issued_at: String,
    pub(super) expires_at: String,
    pub(super) revoked_at: Option<String>,
    pub(super) max_uses: u64,
    pub(super) uses_remaining: u64,
    pub(super) scopes: Vec<String>,
    pub(super) scope_target: Option<Target>,
    pub(super) accept_holder_types: Vec<String>,
    pub(super) device_label: Option<String>,
    pub(super) notes: Option<String>,
    pub(super) template_id: Option<String>,
    pub(super) bearer_ttl_seconds: Option<u64>,
    pub(super) redirect_url: Option<String>,
    pub(super) warnings: Vec<String>,
    pub(super) redemptions: Vec<Redemption>,
}

/// What an invite is narrowed to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Target {
    kind: String,
    thread_id: Option<String>,
    namespace: Option<String>,
}

/// One use of an invite.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Redemption {
    pub(super) holder_type: String,
    pub(super) holder_did: String,
    pub(super) holder_label: Option<String>,
    pub(super) signer_instance_did: Option<String>,
    pub(super) signer_trust: Option<String>,
    pub(super) at: String,
    pub(super) service_account_id: String,
    pub(super) last_seen: Option<String>,
    pub(super) live: bool,
}

impl Invite {
    /// Uses gone, of those there were.
    pub(super) fn uses(&self) -> String {
        format!("{}/{}", self.max_uses.saturating_sub(self.uses_remaining), self.max_uses)
    }

    /// What it gives, in words.
    pub(super) fn access(&self) -> String {
        access(&self.scopes, self.scope_target.as_ref())
    }

    /// Whoever came in by it: the first ones by name, then how many more.
    pub(super) fn holders(&self) -> String {
        const NAMED: usize = 2;
        let names: Vec<String> = self.redemptions.iter().take(NAMED).map(Redemption::name).collect();
        let rest = self.redemptions.len().saturating_sub(NAMED);
        if rest > 0 { format!("{} +{rest}", names.join(", ")) } else { names.join(", ") }
    }

    /// When it last changed.
    pub(super) fn changed_at(&self) -> &str {
        let expired = (self.state == "expired").then_some(self.expires_at.as_str());
        let times = [Some(self.issued_at.as_str()), self.revoked_at.as_deref(), expired];
        let times = times.into_iter().flatten();
        // Times of an instance have one form, in which the latest sorts last.
        times.chain(self.redemptions.iter().map(|r| r.at.as_str())).max().unwrap_or_default()
    }
}

impl Redemption {
    /// What to call the holder.
    pub(super) fn name(&self) -> String {
        self.holder_label.clone().unwrap_or_else(|| text::short_actor(&self.holder_did))
    }
}

/// What scopes give, in words: `records:read on thread music.library`.
pub(super) fn access(scopes: &[String], target: Option<&Target>) -> String {
    let (grains, coarse): (Vec<&str>, Vec<&str>) =
        scopes.iter().map(String::as_str).partition(|scope| scopes::is_grain(scope));
    let coarse = coarse.join(",");
    match target.and_then(Target::words) {
        Some(target) => format!("{coarse} on {target}"),
        None if grains.is_empty() => coarse,
        None => format!("{coarse} within {}", grains.join(",")),
    }
}

impl Target {
    fn words(&self) -> Option<String> {
        match self.kind.as_str() {
            "thread" => Some(format!("thread {}", text::short_id(self.thread_id.as_deref()?))),
            "namespace" => Some(format!("namespace {}", self.namespace.as_deref()?)),
            _ => None,
        }
    }
}

/// The colour of an invite's state.
pub(super) fn tint(state: &str) -> Option<Tint> {
    match state {
        "active" => Some(Tint::Busy),
        "redeemed" => Some(Tint::Good),
        "exhausted" | "expired" => Some(Tint::Dim),
        "revoked" => Some(Tint::Bad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn invite(row: serde_json::Value) -> Invite {
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn access_names_what_it_is_narrowed_to() {
        let on = |scopes: &[&str], target: serde_json::Value| {
            invite(json!({ "scopes": scopes, "scope_target": target })).access()
        };
        assert_eq!(on(&["admin"], json!({ "kind": "instance" })), "admin");
        let thread = json!({ "kind": "thread", "thread_id": "music" });
        assert_eq!(on(&["records:read", "thread:music:read"], thread), "records:read on thread music");
        let namespace = json!({ "kind": "namespace", "namespace": "team/a" });
        let scopes = ["records:read", "records:write", "namespace:team/a:read", "namespace:team/a:write"];
        assert_eq!(on(&scopes, namespace), "records:read,records:write on namespace team/a");
        let grains = ["records:read", "thread:a:read", "thread:b:read"];
        assert_eq!(on(&grains, json!(null)), "records:read within thread:a:read,thread:b:read");
    }

    #[test]
    fn holders_are_named_as_far_as_there_is_room() {
        let by = |n: usize| {
            let holder = json!({ "holder_did": "did:sync:user:bob", "at": "2030-01-01T00:00:00.000Z" });
            invite(json!({ "redemptions": vec![holder; n], "max_uses": 5, "uses_remaining": 5 - n }))
        };
        assert_eq!(by(0).holders(), "");
        assert_eq!(by(1).holders(), "bob");
        assert_eq!(by(4).holders(), "bob, bob +2");
        assert_eq!((by(4).uses(), by(1).changed_at()), ("4/5".to_owned(), "2030-01-01T00:00:00.000Z"));
    }
}
