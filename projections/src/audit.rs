//! The trail: what each change leaves on the `th_audit_*` threads, in the same commit.

use spl_kernel::{
    json::{Json, Object},
    record::Act,
};

use crate::{
    context::Context,
    decision::{Change, Member},
    scope::Scopes,
    tokens::TokenId,
};

/// What happened to accounts and tokens.
pub const TOKENS_THREAD: &str = "th_audit_tokens";
/// Its kind.
pub const TOKENS_KIND: &str = "core.token_lifecycle_event.v1";
/// What happened to invites: the same kind as the events that it mirrors.
pub const INVITES_THREAD: &str = "th_audit_invites";
/// Its kind.
pub const INVITES_KIND: &str = "core.invite.event.v1";
/// What happened to pairs.
pub const PAIRS_THREAD: &str = "th_audit_federation_pairs";
/// Its kind.
pub const PAIRS_KIND: &str = "core.federation_pair_state_change.v1";
/// What happened to grants.
pub const CONSENT_THREAD: &str = "th_audit_consent";
/// Its kind.
pub const CONSENT_KIND: &str = "core.consent_state_change.v1";
/// Admins who acted as somebody else.
pub const IMPERSONATION_THREAD: &str = "th_audit_impersonation";
/// Its kind.
pub const IMPERSONATION_KIND: &str = "core.impersonation.event.v1";

/// A list of texts, as a body has it.
pub(crate) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Json {
    Json::Array(texts.into_iter().map(Json::from).collect())
}

pub(crate) fn scope_list(scopes: &Scopes) -> Json {
    Json::Array(scopes.names().into_iter().map(Json::from).collect())
}

/// The mirror of a record about an account or token.
pub(crate) fn mirror_token(
    change: Change,
    context: &Context<'_>,
    event_kind: &str,
    given: impl IntoIterator<Item = Member>,
) -> Change {
    let kind = [("event_kind", Some(event_kind.into()))];
    change.mirrored(TOKENS_THREAD, TOKENS_KIND, context, kind.into_iter().chain(given))
}

/// That something about a token's holder was signed; the reason says for whom.
pub(crate) fn attested(
    context: &Context<'_>,
    service_account_id: &str,
    token_id: TokenId,
    reason: &str,
) -> Change {
    Change::new(
        TOKENS_THREAD,
        TOKENS_KIND,
        Act::Learn,
        context,
        [
            ("event_kind", Some("attestation_signed".into())),
            ("service_account_id", Some(service_account_id.into())),
            ("token_id", Some(token_id.to_string().into())),
            ("reason", Some(reason.into())),
            ("at", Some(context.now.to_string().into())),
        ],
    )
}

/// An event of a token's life that follows from no record: that it was presented after its end, or how often
/// it was refused.
pub(crate) fn noted(
    context: &Context<'_>,
    event_kind: &str,
    service_account_id: &str,
    token_id: TokenId,
    counts: &[(String, u64)],
) -> Change {
    let counted = || {
        let members =
            counts.iter().map(|(code, n)| (code.clone(), i64::try_from(*n).unwrap_or(i64::MAX).into()));
        Object::from_members(members.collect()).map(Json::Object).unwrap_or(Json::Null)
    };
    Change::new(
        TOKENS_THREAD,
        TOKENS_KIND,
        Act::Learn,
        context,
        [
            ("event_kind", Some(event_kind.into())),
            ("service_account_id", Some(service_account_id.into())),
            ("token_id", Some(token_id.to_string().into())),
            ("counts", (!counts.is_empty()).then(counted)),
            ("at", Some(context.now.to_string().into())),
        ],
    )
}
