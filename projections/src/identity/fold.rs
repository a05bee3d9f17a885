use super::Identity;
use crate::event::{FormatError, Members};

/// `core.identity.created.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The DID.
    pub did: String,
    /// Raw public key, base64url.
    pub public_key: String,
}

/// Decodes the body, strictly.
pub(crate) fn decode(members: &Members<'_>) -> Result<Created, FormatError> {
    members.only(&["did", "method", "public_key", "public_key_multibase", "key_fp", "created_at"])?;
    if members.str("method")? != "key" {
        return Err(FormatError("identity method".into()));
    }
    members.str("public_key_multibase")?;
    members.str("key_fp")?;
    members.str("created_at")?;
    Ok(Created { did: members.str("did")?.to_owned(), public_key: members.str("public_key")?.to_owned() })
}

impl Identity {
    /// Takes in the creation. An identity never changes: a second one is ignored.
    pub(crate) fn fold(&mut self, created: Created) {
        if self.did.is_none() {
            self.did = Some(created.did);
            self.public_key = Some(created.public_key);
        }
    }
}
