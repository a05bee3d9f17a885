//! Why something is not accepted: a closed list of reasons with stable codes, never an I/O error.

use std::fmt;

/// A stable refusal code, as callers see it (protocol, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// 400: a field is missing, malformed or unknown.
    InvalidBody,
    /// 400: a parameter or query is malformed or passes a bound.
    InvalidQuery,
    /// 400: the record conflicts with one that is stored.
    IngestFailed,
    /// 403: the thread is written by the instance itself.
    ReservedThread,
    /// 403: the kind is written by the instance itself.
    ReservedKind,
    /// 403: `body.namespace` is malformed.
    NamespaceRejected,
    /// 403: the actor is not the caller's to use.
    DidClaimDenied,
    /// 404: the thread has no visible record.
    NotFound,
    /// 413: more bytes than one command may write.
    BodyTooLarge,
}

impl Code {
    /// All codes, for tests that prove each is reachable.
    pub const ALL: [Self; 9] = [
        Self::InvalidBody,
        Self::InvalidQuery,
        Self::IngestFailed,
        Self::ReservedThread,
        Self::ReservedKind,
        Self::NamespaceRejected,
        Self::DidClaimDenied,
        Self::NotFound,
        Self::BodyTooLarge,
    ];

    /// The code as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidBody => "INVALID_BODY",
            Self::InvalidQuery => "INVALID_QUERY",
            Self::IngestFailed => "INGEST_FAILED",
            Self::ReservedThread => "RESERVED_THREAD",
            Self::ReservedKind => "RESERVED_KIND",
            Self::NamespaceRejected => "NAMESPACE_REJECTED",
            Self::DidClaimDenied => "DID_CLAIM_DENIED",
            Self::NotFound => "NOT_FOUND",
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
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}
