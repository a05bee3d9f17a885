//! What other hosts serve: DID documents and manifests, both from strangers.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use spl_fuzz::{NOW, URL};
use spl_kernel::{
    canonical::canonical,
    identity::{PrivateKey, PublicKey},
    json::Json,
};
use spl_projections::{
    did::{Document, web_host},
    manifest::{Manifest, signed},
};
use zeroize::Zeroizing;

/// What a peer serves, well signed.
static GENUINE: LazyLock<String> = LazyLock::new(|| {
    let key = PrivateKey::from_seed(&Zeroizing::new([9; 32]));
    let manifest = signed(&key, &key.public().did(), URL, "1.0.0", NOW);
    canonical(&Json::object([("federation_manifest", manifest)]), 1 << 16).expect("short")
});

/// The genuine manifest with bytes of it replaced is refused, or says the same.
fn check_changed(changes: &[u8]) {
    let mut bytes = GENUINE.clone().into_bytes();
    for change in changes.chunks_exact(3).take(4) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] = change[2];
    }
    let genuine = Manifest::parse(GENUINE.as_bytes(), NOW).expect("genuine");
    if let Some(manifest) = Manifest::parse(&bytes, NOW) {
        assert_eq!(manifest, genuine);
    }
}

fuzz_target!(|bytes: &[u8]| {
    check_changed(bytes);
    if let Some(document) = Document::parse(bytes) {
        assert!(document.assertion_keys.len() <= 16);
        for key in &document.assertion_keys {
            assert!(!key.is_weak());
            assert_eq!(PublicKey::from_multibase(&key.multibase()), Some(*key));
            assert_eq!(PublicKey::from_did(&key.did()), Some(*key));
        }
    }
    if let Some(manifest) = Manifest::parse(bytes, NOW) {
        assert!(!manifest.key.is_weak());
        assert!(!manifest.did.starts_with("did:key:") || manifest.did == manifest.key.did());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Some(host) = web_host(text) {
            assert!(host.contains('.') && !host.contains([':', '/', '%', '@']));
            assert!(host.parse::<std::net::IpAddr>().is_err());
        }
        if let Some(key) = PublicKey::from_did(text) {
            assert_eq!(key.did(), text);
        }
    }
});
