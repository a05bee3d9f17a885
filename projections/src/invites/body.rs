//! The body of a redemption. Open to everybody: nothing in it is believed.

use spl_kernel::{
    identity::PublicKey,
    json::{Bounds, Json, Object},
    refusal::{Code, Refusal},
};

use super::HolderType;
use crate::names::check_name;

/// Bounds of a body.
const BOUNDS: Bounds = Bounds { levels: 4, values: 64 };
const COMMON: [&str; 2] = ["holder_type", "sig"];
const GUEST: [&str; 2] = ["holder_pubkey", "holder_label"];
const FEDERATED: [&str; 6] = [
    "holder_did",
    "holder_pubkey",
    "holder_proof",
    "holder_proof_issued_at_ms",
    "signer_instance_did",
    "issuer_url",
];

/// Who wants to redeem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A device.
    Guest {
        /// Its key.
        key: PublicKey,
        /// What it calls itself.
        label: Option<String>,
    },
    /// Somebody whom another instance vouches for.
    Federated(Box<Claim>),
}

impl Holder {
    /// Its type.
    #[must_use]
    pub fn holder_type(&self) -> HolderType {
        match self {
            Self::Guest { .. } => HolderType::Guest,
            Self::Federated(_) => HolderType::Federated,
        }
    }
}

/// What a federated holder claims. Whether it is all there is decided with the proof.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// Who it says it is.
    pub holder_did: Option<String>,
    /// Its key.
    pub holder_pubkey: Option<String>,
    /// The signature of its instance.
    pub holder_proof: Option<String>,
    /// When that was made.
    pub issued_at_ms: Option<i64>,
    /// Who made it.
    pub signer_instance_did: Option<String>,
    /// For which address.
    pub issuer_url: Option<String>,
}

/// A body, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The link's signature, where it comes in the body.
    pub sig: Option<String>,
    /// Who wants to redeem.
    pub holder: Holder,
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidBody, message)
}

/// A string that may be absent; `null` counts as absent.
fn text(object: &Object, key: &str) -> Result<Option<String>, Refusal> {
    match object.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(format!("`{key}` must be a string"))),
    }
}

impl Body {
    /// Parses a body, strictly.
    ///
    /// # Errors
    /// `INVALID_BODY` or `INVALID_NAME`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let Json::Object(object) = Json::parse(bytes, BOUNDS)? else {
            return Err(invalid("expected a JSON object"));
        };
        let holder_type = text(&object, "holder_type")?.ok_or_else(|| invalid("`holder_type` is missing"))?;
        let holder_type =
            HolderType::parse(&holder_type).ok_or_else(|| invalid("`holder_type` is guest or federated"))?;
        let own: &[&str] = match holder_type {
            HolderType::Guest => &GUEST,
            HolderType::Federated => &FEDERATED,
        };
        if let Some((key, _)) = object.iter().find(|(key, _)| !COMMON.contains(key) && !own.contains(key)) {
            let key: String = key.chars().take(40).collect();
            let known = [&COMMON[..], own].concat().join(", ");
            return Err(invalid(format!("unknown field {key:?}")).hint(format!("this route takes {known}")));
        }
        let holder = match holder_type {
            HolderType::Guest => guest(&object)?,
            HolderType::Federated => federated(&object)?,
        };
        Ok(Self { sig: text(&object, "sig")?, holder })
    }
}

fn guest(object: &Object) -> Result<Holder, Refusal> {
    let key = text(object, "holder_pubkey")?.ok_or_else(|| invalid("`holder_pubkey` is missing"))?;
    let key = PublicKey::from_base64url(&key).filter(|key| !key.is_weak()).ok_or_else(|| {
        invalid("`holder_pubkey` must be a raw Ed25519 public key, base64url without padding")
    })?;
    let label = text(object, "holder_label")?;
    label.as_deref().map(check_name).transpose()?;
    Ok(Holder::Guest { key, label })
}

fn federated(object: &Object) -> Result<Holder, Refusal> {
    let issued_at_ms = match object.get("holder_proof_issued_at_ms") {
        None | Some(Json::Null) => None,
        Some(value) => Some(value.as_i64().ok_or_else(|| {
            invalid("`holder_proof_issued_at_ms` must be a whole number of Unix milliseconds")
        })?),
    };
    Ok(Holder::Federated(Box::new(Claim {
        holder_did: text(object, "holder_did")?,
        holder_pubkey: text(object, "holder_pubkey")?,
        holder_proof: text(object, "holder_proof")?,
        issued_at_ms,
        signer_instance_did: text(object, "signer_instance_did")?,
        issuer_url: text(object, "issuer_url")?,
    })))
}
