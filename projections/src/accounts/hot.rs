//! What the check of a token needs of its account, in one cache line, found by what the token's text names.
//!
//! The token's entry is far away in memory too, and says whose it is only once it has come. What is found by
//! the text is asked for beside it, so that both are waited for at once.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use serde::{Serialize, Serializer};

use super::Account;
use crate::tokens::{Index, Key};

/// Longest actor that stands in its account's row, in bytes.
const FIRST_BYTES_MAX: usize = 34;

/// Longest tag of a token, in bytes.
const ENV_TAG_BYTES_MAX: usize = 16;

/// What decides of an account.
#[derive(Clone)]
pub(crate) struct Row {
    rest: Arc<Rest>,
    number: u32,
    alive: bool,
    /// The length of the first actor; 0 where there is none, or where it is too long.
    first_len: u8,
    first: [u8; FIRST_BYTES_MAX],
}

// With its key one line of 64 bytes.
const _: () = assert!(size_of::<(Symbols, Row)>() == 64);

/// What has no room in the line.
struct Rest {
    /// The actors that are not in the line, one after the other: a length, then so many bytes.
    others: Box<[u8]>,
    account: Arc<Account>,
}

impl Row {
    /// The row of an account.
    pub(super) fn new(account: Account) -> Self {
        let mut actors = account.actors.iter().peekable();
        let mut first = [0; FIRST_BYTES_MAX];
        let mut first_len = 0;
        if let Some(actor) = actors.next_if(|actor| actor.len() <= FIRST_BYTES_MAX) {
            first.iter_mut().zip(actor.bytes()).for_each(|(room, byte)| *room = byte);
            first_len = u8::try_from(actor.len()).unwrap_or(0);
        }
        let others = actors
            .flat_map(|actor| {
                let length = u32::try_from(actor.len()).unwrap_or(u32::MAX);
                length.to_le_bytes().into_iter().chain(actor.bytes())
            })
            .collect();
        Self {
            number: account.number,
            alive: account.is_alive(),
            first_len,
            first,
            rest: Arc::new(Rest { others, account: Arc::new(account) }),
        }
    }

    /// All of the account.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.rest.account
    }

    /// See [`Account::number`].
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// See [`Account::is_alive`].
    #[inline]
    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    /// Whether the account lists anybody.
    #[inline]
    pub(crate) fn has_actors(&self) -> bool {
        self.first_len > 0 || !self.rest.others.is_empty()
    }

    /// See [`Account::lists`].
    #[inline]
    pub(crate) fn lists(&self, actor: &str) -> bool {
        let first = self.first.get(..usize::from(self.first_len)).unwrap_or_default();
        (self.first_len > 0 && first == actor.as_bytes()) || self.rest.lists(actor.as_bytes())
    }
}

impl Rest {
    fn lists(&self, actor: &[u8]) -> bool {
        let mut others = &*self.others;
        while let Some((length, more)) = others.split_first_chunk() {
            let Some((other, more)) = more.split_at_checked(u32::from_le_bytes(*length) as usize) else {
                return false;
            };
            if other == actor {
                return true;
            }
            others = more;
        }
        false
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.account().fmt(f)
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.account().serialize(serializer)
    }
}

/// What tells one account's id from another's: what follows `sa_`. The one id that is not of this form has no
/// row, and is found by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Symbols([u8; 16]);

impl Symbols {
    fn of_account(id: &str) -> Option<Self> {
        Some(Self(id.strip_prefix("sa_")?.as_bytes().try_into().ok()?))
    }

    /// Those where a token's text has them. Nothing else of the text is looked at.
    #[inline]
    fn of_token(text: &str) -> Option<Self> {
        let rest = text.as_bytes().strip_prefix(b"spl_")?;
        let tag = rest.iter().take(ENV_TAG_BYTES_MAX + 1).position(|byte| *byte == b'_')?;
        rest.get(tag + 1..)?.strip_prefix(b"sa_")?.first_chunk().copied().map(Self)
    }
}

impl Key for Symbols {
    /// Symbols are letters and digits: `SplitMix64`'s last step spreads them over all bits.
    #[inline]
    fn spread(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0;
        let n = u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ u64::from_le_bytes(rest).rotate_left(29);
        let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }
}

impl Hash for Symbols {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.spread());
    }
}

/// All rows whose account has an id of the usual form.
pub(crate) type Rows = Index<Symbols, Row>;

/// Takes in an account's row, in place of the one it had.
pub(super) fn put(rows: &mut Rows, row: &Row) {
    if let Some(symbols) = Symbols::of_account(&row.account().id) {
        rows.insert(symbols, row.clone());
    }
}

/// The row of the account that a token's text names. It proves nothing: the token may be nobody's, or belong to
/// another account, as a client may have made it.
#[inline]
pub(super) fn named<'a>(rows: &'a Rows, token: &str) -> Option<&'a Row> {
    rows.get(&Symbols::of_token(token)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::{ENVIRONMENT_ACCOUNT, EnvTag, Plaintext};

    #[test]
    fn a_token_names_its_account() {
        let secret = "0123456789abcdefghjkmnpqrstvwxyz";
        for (tag, id) in [("prod", "sa_0123456789abcdef"), ("aaaaaaaaaaaaaaaa", "sa_zzzzzzzzzzzzzzzz")] {
            let token = Plaintext::new(EnvTag::parse(tag).unwrap(), id, secret);
            assert!(Symbols::of_account(id).is_some());
            assert_eq!(Symbols::of_token(token.reveal()), Symbols::of_account(id));
        }
        let environment = Plaintext::new(EnvTag::default(), ENVIRONMENT_ACCOUNT, secret);
        assert_eq!(Symbols::of_account(ENVIRONMENT_ACCOUNT), None);
        assert_eq!(Symbols::of_token(environment.reveal()), None);
        for short in
            ["", "spl_", "spl_prod", "spl_prod_", "spl_prod_sa_", "spl_prod_sa_012345678", "spl_é_sa_é"]
        {
            assert_eq!(Symbols::of_token(short), None, "{short}");
        }
    }
}
