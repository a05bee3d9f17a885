//! The instance's key and the names that follow from it. Expected values come from RFC 8032 (test 1), from an
//! independent base58 and SHA-256, and from OpenSSL.

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use spl_kernel::identity::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::support::cases;

const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
}

fn private() -> PrivateKey {
    PrivateKey::from_seed(&Zeroizing::new(bytes(SEED)))
}

#[test]
fn a_known_key_has_its_names() {
    let key = PublicKey::from_bytes(bytes(PUBLIC)).unwrap();
    assert!(private().public() == key, "the public half of RFC 8032's first seed");
    assert_eq!(key.multibase(), "z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw");
    assert_eq!(key.did(), "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw");
    assert_eq!(key.fingerprint(), "21fe31dfa154a261");
    assert_eq!(key.base64url(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_eq!(format!("{key:?}"), key.did());
}

#[test]
fn a_signature_covers_domain_newline_and_message() {
    let expected = "8b566931c26099e242c404e5174f126a27a30e004e3ca159680b434df33d878ed3053cef499020f2123ae6e1e45d2f2fd88bc9176c947b83488cce412bcadc0b";
    let signature = private().sign("spl-log-head-v1", b"hello");
    assert_eq!(HEXLOWER.encode(&signature), expected);
    let key = private().public();
    assert!(key.verifies("spl-log-head-v1", b"hello", &signature));
    assert!(!key.verifies("spl-manifest-v1", b"hello", &signature));
    assert!(!key.verifies("spl-log-head-v1", b"hell", &signature));
    assert!(!key.verifies("", b"spl-log-head-v1\nhello", &signature));
}

/// A signature that ends in the group's order more is the same to a lax verifier.
#[test]
fn a_malleated_signature_is_refused() {
    let mut signature = private().sign("d", b"m");
    let order: [u8; 32] = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0_u16;
    for (s, l) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*s) + u16::from(l) + carry;
        *s = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    assert!(!private().public().verifies("d", b"m", &signature));
}

/// With a key of small order one signature fits any message.
#[test]
fn a_key_of_small_order_verifies_nothing() {
    for hex in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        let mut signature = [0; 64];
        signature[0] = 1;
        if let Some(key) = PublicKey::from_bytes(bytes(hex)) {
            assert!(!key.verifies("d", b"m", &signature), "{hex}");
            assert!(!key.verifies("d", b"other", &signature), "{hex}");
        }
    }
    let no_point = "0200000000000000000000000000000000000000000000000000000000000000";
    assert!(PublicKey::from_bytes(bytes(no_point)).is_none());
}

#[test]
fn a_private_key_shows_nothing() {
    let shown = format!("{:?}", private());
    assert_eq!(shown, "PrivateKey(…)");
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_changed_bit_breaks_a_signature(
        seed in any::<[u8; 32]>(), message in any::<Vec<u8>>(), bit in 0_usize..512,
    ) {
        let key = PrivateKey::from_seed(&Zeroizing::new(seed));
        let mut signature = key.sign("domain", &message);
        prop_assert!(key.public().verifies("domain", &message, &signature));
        signature[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!key.public().verifies("domain", &message, &signature));
    }
}
