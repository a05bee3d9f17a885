//! DIDs that name a key by themselves or through a document, and these documents (W3C DID Core 1.0).

use spl_kernel::{
    identity::PublicKey,
    json::{Bounds, Json, Object},
};

/// Most keys of a document that are looked at.
const KEYS_MAX: usize = 16;
/// Bounds of a document.
const BOUNDS: Bounds = Bounds { levels: 16, values: 4096 };
/// Longest name of a host.
const HOST_BYTES_MAX: usize = 253;
/// Longest label of such a name.
const LABEL_BYTES_MAX: usize = 63;

/// The host of a `did:web` that is served at `https://<host>/.well-known/did.json`: a lower-case DNS name with a
/// dot, without port, path or escape. An address is no name.
#[must_use]
pub fn web_host(did: &str) -> Option<&str> {
    let host = did.strip_prefix("did:web:")?;
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let (_, last) = host.rsplit_once('.')?;
    let named = host.len() <= HOST_BYTES_MAX
        && host.split('.').all(is_label)
        && last.bytes().any(|b| b.is_ascii_lowercase());
    named.then_some(host)
}

/// The id of the instance's key in its document and its signatures.
#[must_use]
pub fn key_id(did: &str) -> String {
    format!("{did}#key-1")
}

/// The document of an instance.
#[must_use]
pub fn document(did: &str, key: &PublicKey, url: &str) -> Json {
    let key_id = key_id(did);
    let reference = || Json::Array(vec![key_id.as_str().into()]);
    let method = Json::object([
        ("id", key_id.as_str().into()),
        ("type", "Ed25519VerificationKey2020".into()),
        ("controller", did.into()),
        ("publicKeyMultibase", key.multibase().into()),
    ]);
    let service = Json::object([
        ("id", format!("{did}#syncropel").into()),
        ("type", "syncropel".into()),
        ("serviceEndpoint", url.into()),
    ]);
    let context = ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/ed25519-2020/v1"];
    Json::object([
        ("@context", Json::Array(context.map(Json::from).into())),
        ("id", did.into()),
        ("verificationMethod", Json::Array(vec![method])),
        ("authentication", reference()),
        ("assertionMethod", reference()),
        ("service", Json::Array(vec![service])),
    ])
}

/// What is used of a document that somebody else serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Whose it is.
    pub id: String,
    /// Ed25519 keys that assert for it.
    pub assertion_keys: Vec<PublicKey>,
}

impl Document {
    /// Parses a document. Keys of other types, of other controllers or of small order are left out.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let Ok(Json::Object(document)) = Json::parse(bytes, BOUNDS) else { return None };
        let id = document.str("id")?;
        let methods = document.get("verificationMethod").and_then(Json::as_array).unwrap_or_default();
        let asserting = document.get("assertionMethod").and_then(Json::as_array).unwrap_or_default();
        let key = |one: &Json| match one {
            Json::Object(embedded) => key_of(embedded, id),
            Json::String(reference) => {
                let found = |m: &&Object| m.str("id").is_some_and(|own| is_same(own, reference, id));
                key_of(methods.iter().filter_map(Json::as_object).find(found)?, id)
            }
            _ => None,
        };
        let assertion_keys = asserting.iter().take(KEYS_MAX).filter_map(key).collect();
        Some(Self { id: id.to_owned(), assertion_keys })
    }
}

/// Whether two references name the same method; a bare fragment is one of the document's own.
fn is_same(a: &str, b: &str, id: &str) -> bool {
    let fragment = |reference: &str| match reference.strip_prefix(id) {
        Some(rest) => rest.to_owned(),
        None => reference.to_owned(),
    };
    fragment(a) == fragment(b)
}

fn key_of(method: &Object, controller: &str) -> Option<PublicKey> {
    let known = matches!(method.str("type")?, "Ed25519VerificationKey2020" | "Multikey");
    let own = method.str("controller")? == controller;
    let key = PublicKey::from_multibase(method.str("publicKeyMultibase")?)?;
    (known && own && !key.is_weak()).then_some(key)
}
