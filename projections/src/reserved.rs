//! Reserved threads and kinds (protocol, section 3): what the instance itself writes. Who sees them is decided
//! by [`Viewer`](crate::visibility::Viewer), who writes them by [`admission`](crate::admission).

/// Threads that the instance itself writes. Every `th_audit_*` is reserved too.
const THREADS: [&str; 15] = [
    "th_service_accounts",
    "th_api_tokens",
    "th_invites",
    "th_invite_templates",
    "th_consent",
    "th_federation_pairs",
    "th_identity",
    "th_engine_config",
    "th_sync_control",
    "th_actor_registry",
    "th_namespace_registry",
    "th_instance_registry",
    "th_fleet_control",
    "th_secret_audit",
    "th_audit_invites",
];

const AUDIT_PREFIX: &str = "th_audit_";

/// Kinds that the instance itself writes.
const KINDS: [&str; 17] = [
    "core.service_account.v1",
    "core.service_account.revocation.v1",
    "core.api_token.v1",
    "core.api_token.revocation.v1",
    "core.api_token.activity.v1",
    "core.invite.v1",
    "core.invite.event.v1",
    "core.invite_template.v1",
    "core.invite_template.removal.v1",
    "core.consent.v1",
    "core.consent_revoked.v1",
    "core.federation_pair.v1",
    "core.federation_pair.event.v1",
    "core.identity.created.v1",
    "core.token_lifecycle_event.v1",
    "core.consent_state_change.v1",
    "core.federation_pair_state_change.v1",
];

const IMPERSONATION_KIND: &str = "core.impersonation.event.v1";

/// Whether a thread is written by the instance itself.
#[must_use]
pub fn is_reserved_thread(thread: &str) -> bool {
    THREADS.contains(&thread) || thread.starts_with(AUDIT_PREFIX)
}

/// Whether a kind is written by the instance itself.
#[must_use]
pub fn is_reserved_kind(kind: &str) -> bool {
    KINDS.contains(&kind) || kind == IMPERSONATION_KIND
}

/// Whether a thread is part of the trail: a mirror, which is not folded.
#[must_use]
pub fn is_audit_thread(thread: &str) -> bool {
    thread.starts_with(AUDIT_PREFIX)
}

/// The reserved threads whose records make state. The audit threads are mirrors and are not folded.
pub fn folded_threads() -> impl Iterator<Item = &'static str> {
    THREADS.into_iter().filter(|t| !t.starts_with(AUDIT_PREFIX))
}

/// The reserved threads that anything is ever written on.
pub fn written_threads() -> impl Iterator<Item = &'static str> {
    const AUDIT: [&str; 4] =
        ["th_audit_tokens", "th_audit_consent", "th_audit_federation_pairs", "th_audit_impersonation"];
    THREADS.into_iter().chain(AUDIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_threads_are_reserved_and_lookalikes_are_not() {
        for reserved in ["th_identity", "th_audit_invites", "th_audit_anything", "th_secret_audit"] {
            assert!(is_reserved_thread(reserved), "{reserved}");
        }
        for plain in ["TH_IDENTITY", " th_identity", "th_identity ", "th_auditx", "music.library", "th_"] {
            assert!(!is_reserved_thread(plain), "{plain}");
        }
    }

    #[test]
    fn audit_threads_are_not_folded() {
        assert!(folded_threads().all(|t| !t.starts_with("th_audit_")));
        assert!(folded_threads().any(|t| t == "th_identity"));
    }
}
