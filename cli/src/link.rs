//! The link of an invite: `<origin>/i/<invite_id>?sig=<signature>`. Whoever has it may redeem the invite.

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use reqwest::Url;
use spl_kernel::identity::PublicKey;

use crate::{context::parse_url, error::Failure, token::is_crockford};

/// What starts the bytes that a link's signature is over.
const DOMAIN: &str = "spl-invite-link-v1";
/// Characters of an invite's id after `inv_`.
const ID_CHARS: usize = 16;

/// A link that has the right form.
pub(crate) struct InviteLink {
    /// The issuer's address, as the link has it: what its signature is over.
    pub(crate) origin: String,
    /// The address to ask.
    pub(crate) base: Url,
    /// The invite.
    pub(crate) invite_id: String,
    /// The signature, as text: the capability.
    pub(crate) sig: String,
    signature: [u8; 64],
}

impl InviteLink {
    /// Reads a link; anything that is not exactly one is refused, without repeating it: it may hold a secret.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let bad = |why: &str| {
            Failure::usage(format!("this is no invite link: {why}"))
                .hint("a link looks like https://alice.example.com/i/inv_…?sig=…; copy all of it, in quotes")
        };
        let (origin, rest) =
            text.trim().rsplit_once("/i/").ok_or_else(|| bad("there is no /i/ in its address"))?;
        let base = parse_url(origin).map_err(|_| bad("its address is none of an instance"))?;
        if origin.ends_with('/') {
            return Err(bad("its address is none of an instance"));
        }
        let (invite_id, sig) = rest.split_once("?sig=").ok_or_else(|| bad("its signature is missing"))?;
        if !is_invite_id(invite_id) {
            return Err(bad("it names no invite"));
        }
        let decoded = BASE64URL_NOPAD.decode(sig.as_bytes()).ok();
        let signature = decoded.and_then(|bytes| bytes.try_into().ok());
        let signature = signature.ok_or_else(|| bad("its signature is not complete"))?;
        let (invite_id, sig) = (invite_id.to_owned(), sig.to_owned());
        Ok(Self { origin: origin.to_owned(), base, invite_id, sig, signature })
    }

    /// Whether the holder of this key made the link, for an invite that ends then.
    pub(crate) fn is_by(&self, key: &PublicKey, expires_at: Timestamp) -> bool {
        let message = format!("{}\n{}\n{}", self.origin, self.invite_id, expires_at.as_millisecond());
        key.verifies(DOMAIN, message.as_bytes(), &self.signature)
    }
}

/// Whether this has the form of an invite's id.
fn is_invite_id(text: &str) -> bool {
    text.strip_prefix("inv_").is_some_and(|id| id.len() == ID_CHARS && is_crockford(id))
}

#[cfg(test)]
mod tests {
    use spl_kernel::identity::PrivateKey;
    use zeroize::Zeroizing;

    use super::*;

    const ID: &str = "inv_0123456789abcdef";

    #[test]
    fn a_link_has_one_form() {
        let sig = "A".repeat(86);
        let link = InviteLink::parse(&format!(" https://a.example/i/{ID}?sig={sig}\n")).unwrap();
        assert_eq!((link.origin.as_str(), link.invite_id.as_str()), ("https://a.example", ID));
        for good in ["http://127.0.0.1:9100", "http://i", "http://[::1]:1", "http://localhost:9100"] {
            assert!(InviteLink::parse(&format!("{good}/i/{ID}?sig={sig}")).is_ok(), "{good}");
        }
        for bad in [
            String::new(),
            ID.to_owned(),
            format!("a.example/i/{ID}?sig={sig}"),
            format!("ftp://a.example/i/{ID}?sig={sig}"),
            format!("https://user@a.example/i/{ID}?sig={sig}"),
            format!("https://a.example/x/i/{ID}?sig={sig}"),
            format!("https://a.example//i/{ID}?sig={sig}"),
            format!("https://a.example/i/{ID}"),
            format!("https://a.example/i/{ID}?sig="),
            format!("https://a.example/i/{ID}?sig={sig}A"),
            format!("https://a.example/i/{ID}?sig={sig}&x=1"),
            format!("https://a.example/i/{ID}?sig={sig}#x"),
            format!("https://a.example/i/{ID}/?sig={sig}"),
            format!("https://a.example/i/inv_0123456789abcdei?sig={sig}"),
            format!("https://a.example/i/{ID}?x=1&sig={sig}"),
        ] {
            assert!(InviteLink::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_says_who_made_it() {
        let key = PrivateKey::from_seed(&Zeroizing::new([7; 32]));
        let ends: Timestamp = "2030-01-01T00:00:00.123Z".parse().unwrap();
        let message = format!("https://a.example\n{ID}\n{}", ends.as_millisecond());
        let sig = BASE64URL_NOPAD.encode(&key.sign(DOMAIN, message.as_bytes()));
        let link = InviteLink::parse(&format!("https://a.example/i/{ID}?sig={sig}")).unwrap();
        assert!(link.is_by(&key.public(), ends));
        assert!(!link.is_by(&key.public(), "2030-01-01T00:00:00.124Z".parse().unwrap()));
        assert!(!link.is_by(&PrivateKey::from_seed(&Zeroizing::new([8; 32])).public(), ends));
        let elsewhere = InviteLink::parse(&format!("https://b.example/i/{ID}?sig={sig}")).unwrap();
        assert!(!elsewhere.is_by(&key.public(), ends));
    }
}
