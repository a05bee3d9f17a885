//! What an instance says of itself to everybody: its DID, its key, its address.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use spl_kernel::identity::PublicKey;

use crate::{client::Client, error::Failure};

/// The answer of `GET /.well-known/syncropel`, as far as it is used.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WellKnown {
    /// Who answers.
    pub(crate) instance_did: String,
    /// The address that it is to be called by.
    pub(crate) url: Option<String>,
    /// What it offers to other instances.
    federation_manifest: Option<Manifest>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manifest {
    daemon: Daemon,
    public_key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Daemon {
    did: String,
    version: Option<String>,
}

/// Who an instance is, and by which key.
pub(crate) struct Peer {
    /// Its DID.
    pub(crate) did: String,
    /// Its key.
    pub(crate) key: PublicKey,
    /// Its version, where it tells.
    pub(crate) version: Option<String>,
}

/// Asks an instance what it says of itself.
pub(crate) fn well_known(client: &Client) -> Result<WellKnown, Failure> {
    client.get(&[".well-known", "syncropel"]).send()?.parse()
}

impl WellKnown {
    /// Who the instance is to other instances.
    pub(crate) fn peer(self) -> Result<Peer, Failure> {
        let manifest = self.federation_manifest.ok_or_else(|| {
            Failure::refused("what answers there offers nothing to other instances")
                .hint("is it an instance, and new enough? spl --server URL status")
        })?;
        let key = key_of(&manifest.daemon.did, &manifest.public_key)?;
        Ok(Peer { did: manifest.daemon.did, key, version: manifest.daemon.version })
    }
}

/// The key that an instance states: base64url of the raw bytes. One that its DID contradicts is refused.
pub(crate) fn key_of(did: &str, public_key: &str) -> Result<PublicKey, Failure> {
    let bytes = BASE64URL_NOPAD.decode(public_key.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    let key = bytes
        .and_then(PublicKey::from_bytes)
        .ok_or_else(|| Failure::refused("the instance states no key that could be one"))?;
    if did.starts_with("did:key:") && key.did() != did {
        return Err(Failure::refused("the instance states a key that is not the one its DID names"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use spl_kernel::identity::PrivateKey;
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn a_key_must_be_the_one_that_the_did_names() {
        let key = PrivateKey::from_seed(&Zeroizing::new([7; 32])).public();
        let other = PrivateKey::from_seed(&Zeroizing::new([8; 32])).public();
        assert!(key_of(&key.did(), &key.base64url()).is_ok());
        assert!(key_of("did:web:a.example", &key.base64url()).is_ok());
        assert!(key_of(&other.did(), &key.base64url()).is_err());
        for bad in ["", "AAAA", "!"] {
            assert!(key_of("did:web:a.example", bad).is_err(), "{bad}");
        }
    }
}
