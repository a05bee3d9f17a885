//! Bearer tokens: how they are held, what they look like, and what may be shown of them.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The account that `SPL_BOOTSTRAP_TOKEN` makes.
const BOOTSTRAP_ACCOUNT: &str = "sa-bootstrap-env";
/// Characters of an account's id after `sa_`.
const ACCOUNT_CHARS: usize = 16;
/// Characters of a secret.
const SECRET_CHARS: usize = 32;
/// Longest secret that `SPL_BOOTSTRAP_TOKEN` may give.
const BOOTSTRAP_SECRET_MAX: usize = 256;
/// Longest tag of an environment.
const ENV_MAX: usize = 16;

/// A token in plain text: wiped when dropped, and printed only by whoever asks for it by name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// Holds a token.
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The token of the first account that `SPL_BOOTSTRAP_TOKEN`, with this value, makes.
    pub(crate) fn of_bootstrap(value: &Self) -> Self {
        Self::new(format!("spl_prod_{BOOTSTRAP_ACCOUNT}_{}", value.expose()))
    }

    /// The token itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The name under which an instance knows it: the hex SHA-256 of the whole token.
    pub(crate) fn id(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.0.as_bytes()))
    }

    /// What may be shown of it: all but the secret, or nothing where it has no such shape.
    pub(crate) fn masked(&self) -> String {
        self.shape().map_or_else(
            || "****".to_owned(),
            |shape| format!("spl_{}_{}_****", shape.env, shape.service_account_id),
        )
    }

    /// Its parts that are no secret; `None` where it is no token.
    pub(crate) fn shape(&self) -> Option<Shape> {
        Shape::parse(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// What a token says of itself: `spl_<env>_<account>_<secret>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The tag of the environment.
    pub(crate) env: String,
    /// The account that it acts for.
    pub(crate) service_account_id: String,
}

impl Shape {
    fn parse(token: &str) -> Option<Self> {
        let (env, rest) = token.strip_prefix("spl_")?.split_once('_')?;
        if !is_env_tag(env) {
            return None;
        }
        let (account, secret) = match rest.strip_prefix(BOOTSTRAP_ACCOUNT) {
            Some(secret) => (BOOTSTRAP_ACCOUNT, secret.strip_prefix('_')?),
            None => {
                let (account, secret) = rest.split_at_checked("sa_".len() + ACCOUNT_CHARS)?;
                (account, secret.strip_prefix('_')?)
            }
        };
        let fits = if account == BOOTSTRAP_ACCOUNT {
            (SECRET_CHARS..=BOOTSTRAP_SECRET_MAX).contains(&secret.len())
                && secret.bytes().all(|b| b.is_ascii_graphic())
        } else {
            is_crockford(account.strip_prefix("sa_")?) && secret.len() == SECRET_CHARS && is_crockford(secret)
        };
        fits.then(|| Self { env: env.to_owned(), service_account_id: account.to_owned() })
    }
}

/// Whether this may stand for the environment in a token.
pub(crate) fn is_env_tag(tag: &str) -> bool {
    (1..=ENV_MAX).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Crockford's base32 in lower case: digits and letters without i, l, o and u.
pub(crate) fn is_crockford(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b.is_ascii_lowercase() && !b"ilou".contains(&b)))
}

/// A tag of an environment, as an argument.
pub(crate) fn parse_env_tag(text: &str) -> Result<String, String> {
    if is_env_tag(text) {
        Ok(text.to_owned())
    } else {
        Err("it takes 1 to 16 lower-case letters and digits, such as prod".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "sa_0123456789abcdef";
    const SECRET: &str = "0123456789abcdefghjkmnpqrstvwxyz";

    fn shape(token: &str) -> Option<Shape> {
        Secret::new(token.to_owned()).shape()
    }

    #[test]
    fn a_token_names_its_environment_and_account() {
        let found = shape(&format!("spl_prod_{ACCOUNT}_{SECRET}")).unwrap();
        assert_eq!((found.env.as_str(), found.service_account_id.as_str()), ("prod", ACCOUNT));
        // What the variable gives may hold underscores itself.
        let found = shape(&format!("spl_prod_sa-bootstrap-env_{}_x", "Ab-9".repeat(8))).unwrap();
        assert_eq!(found.service_account_id, BOOTSTRAP_ACCOUNT);
    }

    #[test]
    fn anything_else_is_no_token() {
        let good = format!("spl_prod_{ACCOUNT}_{SECRET}");
        let bad = [
            String::new(),
            "spl_".to_owned(),
            "secret".to_owned(),
            good.replace("spl_", "SPL_"),
            good.replace("prod", ""),
            good.replace("prod", "Prod"),
            good.replace("prod", "abcdefghijklmnopq"),
            good.replace("sa_0", "sa_i"),
            good.replace("sa_0", "sa_A"),
            good.replace("sa_0", "sa_"),
            good.replace("sa_", "sb_"),
            format!("{good}0"),
            good.trim_end_matches('z').to_owned(),
            format!(" {good}"),
            format!("{good}\n"),
            good.replace("xyz", "xyü"),
            "spl_prod_sa_0123456789abcdeü_x".to_owned(),
            format!("spl_prod_sa-bootstrap-env_{}", "x".repeat(31)),
            format!("spl_prod_sa-bootstrap-env_{}", "x".repeat(257)),
            format!("spl_prod_sa-bootstrap-env_{} ", "x".repeat(40)),
            format!("spl_prod_sa-bootstrap-envx_{}", "x".repeat(40)),
        ];
        for token in bad {
            assert_eq!(shape(&token), None, "{token:?}");
        }
    }

    #[test]
    fn nothing_of_the_secret_is_shown() {
        let secret = Secret::new(format!("spl_prod_{ACCOUNT}_{SECRET}"));
        assert_eq!(secret.masked(), format!("spl_prod_{ACCOUNT}_****"));
        assert_eq!(Secret::new("hunter2".to_owned()).masked(), "****");
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn its_id_is_its_hash() {
        let id = Secret::new("abc".to_owned()).id();
        assert_eq!(id, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
