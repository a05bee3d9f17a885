//! What a token looks like: `spl_<env>_<sa_id>_<secret>` (protocol, section 7).

use std::{fmt, sync::LazyLock};

use data_encoding::{Encoding, HEXLOWER, Specification};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use spl_kernel::refusal::{Code, Refusal};
use zeroize::Zeroizing;

use super::TokenId;

/// The account that `SPL_BOOTSTRAP_TOKEN` makes.
pub const ENVIRONMENT_ACCOUNT: &str = "sa-bootstrap-env";
/// Longest token, in bytes: the environment's, with the longest tag.
pub const TOKEN_BYTES_MAX: usize = 4 + 16 + 1 + 16 + 1 + 256;

const ACCOUNT_PREFIX: &str = "sa_";
const ACCOUNT_CHARS: usize = 16;
const SECRET_CHARS: usize = 32;
const ENV_TAG_CHARS_MAX: usize = 16;
/// Length of the environment's secret, in characters.
const ENVIRONMENT_SECRET: std::ops::RangeInclusive<usize> = 32..=256;
/// The environment's secret has at least so many different characters.
const ENVIRONMENT_DISTINCT_MIN: usize = 10;

const SYMBOLS: &str = "0123456789abcdefghjkmnpqrstvwxyz";

/// Lowercase Crockford base32.
pub(crate) static CROCKFORD: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str(SYMBOLS);
    // 32 distinct ASCII symbols are an encoding; were they none, hexadecimal would still be unique.
    specification.encoding().unwrap_or(HEXLOWER)
});

/// Bytes as lowercase Crockford base32, as ids have it.
#[must_use]
pub fn crockford(bytes: &[u8]) -> String {
    CROCKFORD.encode(bytes)
}

/// Whether a text is so many characters of lowercase Crockford base32.
pub(crate) fn is_base32(text: &str, chars: usize) -> bool {
    text.len() == chars && text.bytes().all(|b| SYMBOLS.as_bytes().contains(&b))
}

/// Where a token is meant to be used; a part of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct EnvTag {
    bytes: [u8; ENV_TAG_CHARS_MAX],
    length: u8,
}

impl EnvTag {
    /// Parses `[a-z0-9]{1,16}`.
    ///
    /// # Errors
    /// `INVALID_BODY` with the rule.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut bytes = [0; ENV_TAG_CHARS_MAX];
        let fits = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(room), Ok(length)) if fits && length > 0 => {
                room.copy_from_slice(text.as_bytes());
                Ok(Self { bytes, length })
            }
            _ => Err(Refusal::new(Code::InvalidBody, "`env_tag` is 1 to 16 of a-z and 0-9")),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Default for EnvTag {
    /// `prod`.
    fn default() -> Self {
        let mut bytes = [0; ENV_TAG_CHARS_MAX];
        bytes[..4].copy_from_slice(b"prod");
        Self { bytes, length: 4 }
    }
}

impl fmt::Debug for EnvTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for EnvTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a text is an account's id.
#[must_use]
pub fn is_account_id(text: &str) -> bool {
    text == ENVIRONMENT_ACCOUNT
        || text.strip_prefix(ACCOUNT_PREFIX).is_some_and(|rest| is_base32(rest, ACCOUNT_CHARS))
}

/// The parts of a token's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Where it is meant to be used.
    pub env_tag: EnvTag,
    /// Whose it is.
    pub service_account_id: &'a str,
}

/// Takes a token's text apart; `None` unless it is exactly of the documented form.
#[must_use]
pub fn parse(text: &str) -> Option<Parts<'_>> {
    if text.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (env_tag, rest) = text.strip_prefix("spl_")?.split_once('_')?;
    let env_tag = EnvTag::parse(env_tag).ok()?;
    let (service_account_id, secret) = match rest.strip_prefix(ENVIRONMENT_ACCOUNT) {
        Some(rest) => (ENVIRONMENT_ACCOUNT, rest.strip_prefix('_')?),
        None => rest.split_at_checked(ACCOUNT_PREFIX.len() + ACCOUNT_CHARS).and_then(|(id, rest)| {
            let secret = rest.strip_prefix('_')?;
            is_account_id(id).then_some((id, secret))
        })?,
    };
    let well_formed = if service_account_id == ENVIRONMENT_ACCOUNT {
        ENVIRONMENT_SECRET.contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_graphic())
    } else {
        is_base32(secret, SECRET_CHARS)
    };
    well_formed.then_some(Parts { env_tag, service_account_id })
}

/// Whether `SPL_BOOTSTRAP_TOKEN` is hard enough to guess to become a secret.
#[must_use]
pub fn is_environment_secret(secret: &str) -> bool {
    let distinct: std::collections::BTreeSet<u8> = secret.bytes().collect();
    ENVIRONMENT_SECRET.contains(&secret.len())
        && secret.bytes().all(|b| b.is_ascii_graphic())
        && distinct.len() >= ENVIRONMENT_DISTINCT_MIN
}

impl TokenId {
    /// The id of a token: SHA-256 of all of its text.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Parses 64 lowercase hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// A token's text: shown once to whom it was made for, then forgotten. It cannot be logged, compared or
/// serialised, and is wiped when dropped.
pub struct Plaintext(Zeroizing<String>);

impl Plaintext {
    /// Puts a token together.
    #[must_use]
    pub fn new(env_tag: EnvTag, service_account_id: &str, secret: &str) -> Self {
        // Room for all of it at once: a text that grows leaves copies of itself behind.
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_BYTES_MAX));
        for part in ["spl_", env_tag.as_str(), "_", service_account_id, "_", secret] {
            text.push_str(part);
        }
        Self(text)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> TokenId {
        TokenId::of(&self.0)
    }

    /// The text, for the one answer that reveals it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "spl_prod_sa_0123456789abcdef_0123456789abcdefghjkmnpqrstvwxyz";

    #[test]
    fn a_token_is_exactly_of_its_form() {
        let parts = parse(GOOD).unwrap();
        assert_eq!((parts.env_tag.as_str(), parts.service_account_id), ("prod", "sa_0123456789abcdef"));
        let environment = format!("spl_prod_{ENVIRONMENT_ACCOUNT}_{}", "a_B!".repeat(8));
        assert_eq!(parse(&environment).unwrap().service_account_id, ENVIRONMENT_ACCOUNT);
        let bad = [
            "",
            "spl_",
            &GOOD.to_uppercase(),
            &GOOD[..GOOD.len() - 1],
            &format!("{GOOD}0"),
            &format!(" {GOOD}"),
            &format!("{GOOD}\n"),
            &GOOD.replace("prod", ""),
            &GOOD.replace("prod", "Prod"),
            &GOOD.replace("prod", "a23456789012345678"),
            &GOOD.replace("sa_0", "sa_u"),
            &GOOD.replace("sa_", "sb_"),
            &GOOD.replace("xyz", "xyi"),
            &format!("spl_prod_{ENVIRONMENT_ACCOUNT}_short"),
            &format!("spl_prod_{ENVIRONMENT_ACCOUNT}_{}", "a b".repeat(20)),
            &format!("spl_prod_{ENVIRONMENT_ACCOUNT}_{}", "x".repeat(257)),
        ];
        for bad in bad {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_longest_token_is_within_its_bound() {
        let longest = format!("spl_{}_{ENVIRONMENT_ACCOUNT}_{}", "a".repeat(16), "x".repeat(256));
        assert_eq!(longest.len(), TOKEN_BYTES_MAX);
        assert!(parse(&longest).is_some());
    }

    #[test]
    fn a_weak_environment_secret_is_none() {
        assert!(is_environment_secret("correct-horse-battery-staple-0123"));
        for weak in ["short", &"ab".repeat(32), &format!("{} x", "abcdefghijk".repeat(4)), &"é".repeat(20)] {
            assert!(!is_environment_secret(weak), "{weak}");
        }
    }

    #[test]
    fn an_id_is_the_hash_of_the_text() {
        let token = Plaintext::new(EnvTag::default(), "sa_0123456789abcdef", &GOOD[GOOD.len() - 32..]);
        assert_eq!(token.reveal(), GOOD);
        assert_eq!(TokenId::parse(&token.id().to_string()), Some(TokenId::of(GOOD)));
        assert_eq!(format!("{token:?}"), "Plaintext");
    }
}
