use serde::Serialize;

/// Who this instance is, once its first commit says so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Identity {
    /// Its DID.
    pub did: Option<String>,
    /// Its public key, base64url.
    pub public_key: Option<String>,
}
