use spl_kernel::time::UnixMillis;

use super::{EnvTag, State, TokenId, TokenOrigin};
use crate::{
    event::{FormatError, Members},
    scope::Scopes,
};

/// `core.api_token.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub(super) token_id: TokenId,
    /// Whose it is.
    pub(crate) service_account_id: String,
    pub(super) env_tag: EnvTag,
    pub(super) scopes: Scopes,
    pub(super) replaces: Vec<TokenId>,
    pub(super) lifetime_seconds: Option<u32>,
    pub(super) expires_at: Option<UnixMillis>,
}

fn token_id(text: &str) -> Result<TokenId, FormatError> {
    TokenId::parse(text).ok_or_else(|| FormatError("member \"token_id\"".into()))
}

impl Put {
    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 9] = [
        "token_id",
        "service_account_id",
        "env_tag",
        "scopes",
        "origin",
        "replaces",
        "lifetime_seconds",
        "created_at",
        "expires_at",
    ];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        let unknown = |what: &str| FormatError(format!("member {what:?}"));
        TokenOrigin::parse(members.str("origin")?).ok_or_else(|| unknown("origin"))?;
        members.time("created_at")?;
        let lifetime = members.optional_number("lifetime_seconds")?;
        Ok(Self {
            token_id: token_id(members.str("token_id")?)?,
            service_account_id: members.text("service_account_id")?,
            env_tag: EnvTag::parse(members.str("env_tag")?).map_err(|_| unknown("env_tag"))?,
            scopes: Scopes::parse(members.strings("scopes")?).map_err(|_| unknown("scopes"))?,
            replaces: members
                .optional_strings("replaces")?
                .into_iter()
                .map(token_id)
                .collect::<Result<_, _>>()?,
            lifetime_seconds: lifetime
                .map(|seconds| u32::try_from(seconds).map_err(|_| unknown("lifetime_seconds")))
                .transpose()?,
            expires_at: members.optional_time("expires_at")?,
        })
    }
}

/// `core.api_token.revocation.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    pub(super) token_id: TokenId,
    pub(super) state: State,
}

impl Revoked {
    /// Which token it is about.
    pub(crate) fn token_id(&self) -> TokenId {
        self.token_id
    }

    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 5] =
        ["token_id", "service_account_id", "cause", "reason", "revoked_at"];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        let state = match members.str("cause")? {
            "operator" => State::Revoked,
            "rotated" | "renewed" => State::Rotated,
            _ => return Err(FormatError("member \"cause\"".into())),
        };
        members.str("service_account_id")?;
        members.optional_str("reason")?;
        members.time("revoked_at")?;
        Ok(Self { token_id: token_id(members.str("token_id")?)?, state })
    }
}

/// `core.api_token.activity.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub(super) seen: Vec<(TokenId, UnixMillis)>,
}

impl Seen {
    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 1] = ["seen"];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        let one = |seen: Members<'_>| {
            seen.only(&["token_id", "last_used_at"])?;
            Ok((token_id(seen.str("token_id")?)?, seen.time("last_used_at")?))
        };
        Ok(Self { seen: members.objects("seen")?.into_iter().map(one).collect::<Result<_, _>>()? })
    }
}
