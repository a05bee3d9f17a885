//! Every failure as its caller sees it: status, stable code, words, and what to do next.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use spl_kernel::{
    log::{error::StoreError, verify::chain_of_causes},
    refusal::{self, Refusal},
};
use spl_projections::consent::{Access, Resource};

/// A failed request. What is in here is for the caller; the cause of a fault goes to the log instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: Box<str>,
    hint: Option<Box<str>>,
    required_scope: Option<Box<str>>,
    instructions: &'static [&'static str],
    retry_after_seconds: Option<u64>,
}

/// The code of a failed request, for whoever looks at its answer on the way out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code(pub(crate) &'static str);

#[derive(Serialize)]
struct Envelope<'a> {
    object: &'static str,
    r#type: &'static str,
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_scope: Option<&'a str>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    instructions: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
}

impl Problem {
    /// A problem by status and code.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into().into_boxed_str();
        Self {
            status,
            code,
            message,
            hint: None,
            required_scope: None,
            instructions: &[],
            retry_after_seconds: None,
        }
    }

    /// Says after how long to try again.
    pub(crate) fn retry_after(mut self, wait: std::time::Duration) -> Self {
        self.retry_after_seconds = Some(wait.as_secs() + 1);
        self
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    pub(crate) fn invalid_body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_BODY", message)
    }

    pub(crate) fn invalid_query(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_QUERY", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    pub(crate) fn origin(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "ORIGIN_FORBIDDEN", message)
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BODY_TOO_LARGE",
            format!("the request is larger than {limit_bytes} bytes"),
        )
        .hint("send fewer records at a time")
    }

    pub(crate) fn busy() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "BUSY",
            "the instance has as much work queued as it takes; nothing was written",
        );
        problem.retry_after_seconds = Some(1);
        problem
    }

    pub(crate) fn store_full() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "STORE_FULL",
            "the file system has no room left for data; nothing was written",
        )
        .hint("free space where the home directory is; reading and revoking go on meanwhile")
    }

    /// The log has failed: nothing was written, and nothing will be until a restart.
    pub(crate) fn log_failed() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "the log has failed; nothing is written until the instance is restarted",
        )
        .hint("spl serve --logs says why; spl serve --restart tries again")
    }

    /// As the decision says it, before a body is read.
    pub(crate) fn bootstrap_local_only() -> Self {
        Refusal::new(refusal::Code::BootstrapLocalOnly, "the first account is made on the machine itself")
            .hint("run `spl up`, or `spl service-account create --bootstrap --name admin`, with the instance's --home")
            .into()
    }

    /// As the decision says it, before a body is read.
    pub(crate) fn rotate_not_self() -> Self {
        Refusal::new(refusal::Code::RotateNotSelf, "a token renews only itself")
            .hint("send the request with the very token that it names; an admin rotates with `spl token rotate <sa_id>`")
            .into()
    }

    /// An admin whose actor lacks the grant for a resource.
    pub(crate) fn consent_denied(actor: Option<&str>, resource: Resource, access: Access) -> Self {
        spl_projections::consent::denied(actor, resource, access).into()
    }

    pub(crate) fn ambiguous_credential() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "AUTH_INVALID", "the request carries more than one credential")
            .hint("send one of Authorization: Bearer and x-api-key, on one line")
    }

    /// As [`Self::log_failed`], for those who ask whether to send work here.
    pub(crate) fn not_ready() -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..Self::log_failed() }
    }

    pub(crate) fn shutting_down() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "SHUTTING_DOWN",
            "the instance is shutting down; nothing was written",
        );
        problem.retry_after_seconds = Some(2);
        problem
    }

    pub(crate) fn bootstrap_required() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "BOOTSTRAP_REQUIRED",
            "this instance has no service account yet, so nobody can be let in",
        );
        problem.instructions = &[
            "spl service-account create --bootstrap --name admin",
            "spl token save <the api_key that it prints>",
        ];
        problem.hint("`spl up`, on the machine that runs the instance, does all of it")
    }

    pub(crate) fn rate_limited(message: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message);
        problem.retry_after_seconds = Some(5);
        problem
    }

    /// A fault of ours. The cause is logged, once, here.
    pub(crate) fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(cause = %chain_of_causes(cause), "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "the instance could not answer; its log says why",
        )
    }

    /// A command that was answered with what another's caller is told: a bug.
    pub(crate) fn wrong_outcome() -> Self {
        Self::internal(&std::io::Error::other("a command was answered with another's outcome"))
    }

    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            409 | 410 => "conflict_error",
            429 => "rate_limit_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
    }
}

/// The beginning of something that a sender chose, for a message: names have no bound, messages do.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        use refusal::Code as C;
        let status = match refusal.code {
            C::InvalidBody | C::InvalidQuery | C::InvalidName | C::IngestFailed => StatusCode::BAD_REQUEST,
            C::AuthRequired | C::AuthInvalid => StatusCode::UNAUTHORIZED,
            C::ScopeForbidden
            | C::DidClaimDenied
            | C::PermissionDenied
            | C::ConsentDenied
            | C::ReservedThread
            | C::ReservedKind
            | C::NamespaceRejected
            | C::RotateNotSelf
            | C::BootstrapLocalOnly
            | C::HolderTypeMismatch
            | C::BadProof
            | C::KeyUnknown
            | C::FreshnessViolation => StatusCode::FORBIDDEN,
            C::NotFound
            | C::ServiceAccountNotFound
            | C::TokenNotFound
            | C::GrantNotFound
            | C::InviteNotFound
            | C::TemplateNotFound
            | C::PairNotFound => StatusCode::NOT_FOUND,
            C::BootstrapClosed
            | C::ServiceAccountRevoked
            | C::PermissionLockout
            | C::LastGrant
            | C::LastAdmin
            | C::PairExists
            | C::HolderExists => StatusCode::CONFLICT,
            C::InviteExpired | C::InviteRevoked | C::InviteExhausted => StatusCode::GONE,
            C::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        };
        let problem = Self::new(status, refusal.code.as_str(), refusal.message);
        Self {
            hint: refusal.hint.map(String::into_boxed_str),
            required_scope: refusal.required_scope.map(String::into_boxed_str),
            ..problem
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let envelope = Envelope {
            object: "error",
            r#type: self.kind(),
            code: self.code,
            message: &self.message,
            hint: self.hint.as_deref(),
            required_scope: self.required_scope.as_deref(),
            instructions: self.instructions,
            retry_after_seconds: self.retry_after_seconds,
        };
        // Strings and numbers always serialise.
        let body = serde_json::to_string(&envelope).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        response.extensions_mut().insert(Code(self.code));
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
