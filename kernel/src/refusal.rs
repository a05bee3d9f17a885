//! Why something is not accepted: a closed list of reasons with stable codes, never an I/O error.

use std::fmt;

/// A stable refusal code, as callers see it (protocol, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// 400: a field is missing, malformed or unknown.
    InvalidBody,
    /// 400: a parameter or query is malformed or passes a bound.
    InvalidQuery,
    /// 400: a name of an account, template, rule or device breaks its rule.
    InvalidName,
    /// 400: the record conflicts with one that is stored.
    IngestFailed,
    /// 401: the route needs a bearer and none was sent.
    AuthRequired,
    /// 401: the bearer is malformed, unknown, expired or revoked.
    AuthInvalid,
    /// 403: the bearer's scopes do not cover this; see [`Refusal::required_scope`].
    ScopeForbidden,
    /// 403: the actor is not the caller's to use.
    DidClaimDenied,
    /// 403: a permission rule says no.
    PermissionDenied,
    /// 403: the caller's actor has no consent grant for this.
    ConsentDenied,
    /// 403: the thread is written by the instance itself.
    ReservedThread,
    /// 403: the kind is written by the instance itself.
    ReservedKind,
    /// 403: `body.namespace` is malformed.
    NamespaceRejected,
    /// 403: only the token itself may renew itself.
    RotateNotSelf,
    /// 403: the first account is made on the machine itself.
    BootstrapLocalOnly,
    /// 403: the invite is not for holders of this type.
    HolderTypeMismatch,
    /// 403: the proof of a federated holder is missing, malformed, used before, or does not verify.
    BadProof,
    /// 403: the key of the signing instance could not be found.
    KeyUnknown,
    /// 403: a proof was signed too long ago, or in the future.
    FreshnessViolation,
    /// 404: the thread has no visible record.
    NotFound,
    /// 404: there is no such account.
    ServiceAccountNotFound,
    /// 404: there is no such token.
    TokenNotFound,
    /// 404: there is no such consent grant.
    GrantNotFound,
    /// 404: there is no such invite.
    InviteNotFound,
    /// 404: there is no such template.
    TemplateNotFound,
    /// 404: there is no such pair.
    PairNotFound,
    /// 409: an account exists, so there is no first one to make.
    BootstrapClosed,
    /// 409: the account is revoked, for good.
    ServiceAccountRevoked,
    /// 409: the rules would leave somebody unable to change them.
    PermissionLockout,
    /// 409: nobody would be left who may hand out consent grants.
    LastGrant,
    /// 409: nobody would be left who can administer the instance.
    LastAdmin,
    /// 409: the peer is paired, known with another key, or this instance itself.
    PairExists,
    /// 409: the holder has redeemed this invite.
    HolderExists,
    /// 410: the invite is past its time.
    InviteExpired,
    /// 410: the invite was revoked.
    InviteRevoked,
    /// 410: the invite has no use left.
    InviteExhausted,
    /// 413: more bytes than one command may write.
    BodyTooLarge,
}

impl Code {
    /// All codes, for tests that prove each is reachable.
    pub const ALL: [Self; 37] = [
        Self::InvalidBody,
        Self::InvalidQuery,
        Self::InvalidName,
        Self::IngestFailed,
        Self::AuthRequired,
        Self::AuthInvalid,
        Self::ScopeForbidden,
        Self::DidClaimDenied,
        Self::PermissionDenied,
        Self::ConsentDenied,
        Self::ReservedThread,
        Self::ReservedKind,
        Self::NamespaceRejected,
        Self::RotateNotSelf,
        Self::BootstrapLocalOnly,
        Self::HolderTypeMismatch,
        Self::BadProof,
        Self::KeyUnknown,
        Self::FreshnessViolation,
        Self::NotFound,
        Self::ServiceAccountNotFound,
        Self::TokenNotFound,
        Self::GrantNotFound,
        Self::InviteNotFound,
        Self::TemplateNotFound,
        Self::PairNotFound,
        Self::BootstrapClosed,
        Self::ServiceAccountRevoked,
        Self::PermissionLockout,
        Self::LastGrant,
        Self::LastAdmin,
        Self::PairExists,
        Self::HolderExists,
        Self::InviteExpired,
        Self::InviteRevoked,
        Self::InviteExhausted,
        Self::BodyTooLarge,
    ];

    /// The code as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidBody => "INVALID_BODY",
            Self::InvalidQuery => "INVALID_QUERY",
            Self::InvalidName => "INVALID_NAME",
            Self::IngestFailed => "INGEST_FAILED",
            Self::AuthRequired => "AUTH_REQUIRED",
            Self::AuthInvalid => "AUTH_INVALID",
            Self::ScopeForbidden => "SCOPE_FORBIDDEN",
            Self::DidClaimDenied => "DID_CLAIM_DENIED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ConsentDenied => "CONSENT_DENIED",
            Self::ReservedThread => "RESERVED_THREAD",
            Self::ReservedKind => "RESERVED_KIND",
            Self::NamespaceRejected => "NAMESPACE_REJECTED",
            Self::RotateNotSelf => "ROTATE_NOT_SELF",
            Self::BootstrapLocalOnly => "BOOTSTRAP_LOCAL_ONLY",
            Self::HolderTypeMismatch => "HOLDER_TYPE_MISMATCH",
            Self::BadProof => "BAD_PROOF",
            Self::KeyUnknown => "KEY_UNKNOWN",
            Self::FreshnessViolation => "FRESHNESS_VIOLATION",
            Self::NotFound => "NOT_FOUND",
            Self::ServiceAccountNotFound => "SERVICE_ACCOUNT_NOT_FOUND",
            Self::TokenNotFound => "TOKEN_NOT_FOUND",
            Self::GrantNotFound => "GRANT_NOT_FOUND",
            Self::InviteNotFound => "INVITE_NOT_FOUND",
            Self::TemplateNotFound => "TEMPLATE_NOT_FOUND",
            Self::PairNotFound => "PAIR_NOT_FOUND",
            Self::BootstrapClosed => "BOOTSTRAP_CLOSED",
            Self::ServiceAccountRevoked => "SERVICE_ACCOUNT_REVOKED",
            Self::PermissionLockout => "PERMISSION_LOCKOUT",
            Self::LastGrant => "LAST_GRANT",
            Self::LastAdmin => "LAST_ADMIN",
            Self::PairExists => "PAIR_EXISTS",
            Self::HolderExists => "HOLDER_EXISTS",
            Self::InviteExpired => "INVITE_EXPIRED",
            Self::InviteRevoked => "INVITE_REVOKED",
            Self::InviteExhausted => "INVITE_EXHAUSTED",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
        }
    }
}

/// A refused command: nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What is wrong, in words for the sender.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// The scope or grain that would have done, for `SCOPE_FORBIDDEN`.
    pub required_scope: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, required_scope: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A `SCOPE_FORBIDDEN` for want of `scope`.
    pub fn scope(scope: impl Into<String>) -> Self {
        let scope = scope.into();
        let message = format!("token missing required scope '{scope}' for this route");
        Self { required_scope: Some(scope), ..Self::new(Code::ScopeForbidden, message) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}
