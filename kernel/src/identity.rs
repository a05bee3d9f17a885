//! The instance's key: Ed25519, named by a `did:key`.

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Multicodec prefix of an Ed25519 public key (0xed, as a varint).
const MULTICODEC_ED25519: [u8; 2] = [0xed, 0x01];
/// Longest base58 text that can be such a key.
const MULTIBASE_CHARS_MAX: usize = 64;

/// A public key and the names that follow from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// A valid point on the curve, from raw bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(&bytes).ok().map(|_| Self(bytes))
    }

    /// From base64url without padding of the raw key: canonical, of exact length, a valid point.
    #[must_use]
    pub fn from_base64url(text: &str) -> Option<Self> {
        decode_exactly(text).and_then(Self::from_bytes)
    }

    /// From `z` and base58btc of the multicodec key.
    #[must_use]
    pub fn from_multibase(text: &str) -> Option<Self> {
        // Bounded first: base58 takes quadratic time.
        let digits = text.strip_prefix('z').filter(|d| d.len() <= MULTIBASE_CHARS_MAX)?;
        let bytes = bs58::decode(digits).into_vec().ok()?;
        let key = Self::from_bytes(bytes.strip_prefix(&MULTICODEC_ED25519)?.try_into().ok()?)?;
        (key.multibase() == text).then_some(key)
    }

    /// From the one spelling that its `did:key` has.
    #[must_use]
    pub fn from_did(did: &str) -> Option<Self> {
        Self::from_multibase(did.strip_prefix("did:key:")?)
    }

    /// Whether it is of small order: anybody can make signatures that such a key seems to verify.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.is_weak())
    }

    /// The raw key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// base64url without padding of the raw key.
    #[must_use]
    pub fn base64url(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// `z` and base58btc of the multicodec key, as in `did:key` and `publicKeyMultibase`.
    #[must_use]
    pub fn multibase(&self) -> String {
        let bytes: Vec<u8> = MULTICODEC_ED25519.iter().chain(&self.0).copied().collect();
        format!("z{}", bs58::encode(bytes).into_string())
    }

    /// The `did:key` DID.
    #[must_use]
    pub fn did(&self) -> String {
        format!("did:key:{}", self.multibase())
    }

    /// The first 16 hex digits of SHA-256 of the raw key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.0)[..8])
    }

    /// Whether `signature` is this key's over `domain`, a newline and `message`. Strict: no malleable
    /// signatures, no keys of small order.
    #[must_use]
    pub fn verifies(&self, domain: &str, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            key.verify_strict(&framed(domain, message), &ed25519_dalek::Signature::from_bytes(signature))
                .is_ok()
        })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.did())
    }
}

/// The private key. Not printable, not serialisable; wiped when dropped.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// From the 32-byte seed kept in `<home>/keys/primary`.
    #[must_use]
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `domain`, a newline and `message`. The domain keeps a signature made for one purpose from being
    /// used for another.
    #[must_use]
    pub fn sign(&self, domain: &str, message: &[u8]) -> [u8; 64] {
        self.0.sign(&framed(domain, message)).to_bytes()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// Bytes of base64url without padding: canonical, of exact length. For keys and signatures in texts.
#[must_use]
pub fn decode_exactly<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Canonical: the decoder refuses padding, other alphabets and left-over bits.
    let length = BASE64URL_NOPAD.encode_len(N);
    (text.len() == length).then(|| BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()).flatten()
}

/// base64url without padding, as keys and signatures stand in texts.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn framed(domain: &str, message: &[u8]) -> Vec<u8> {
    [domain.as_bytes(), b"\n", message].concat()
}
