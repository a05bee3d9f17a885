use serde::Serialize;
use spl_kernel::identity::PublicKey;

/// Who this instance is, once its first commit says so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Identity {
    /// Its DID.
    pub did: Option<String>,
    /// Its public key, base64url.
    pub public_key: Option<String>,
}

impl Identity {
    /// Its public key.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        PublicKey::from_base64url(self.public_key.as_deref()?)
    }
}
