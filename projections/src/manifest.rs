//! The manifest by which an instance states its key and address to others, signed by that key (protocol,
//! sections 5 and 8).

use spl_kernel::{
    canonical::canonical,
    identity::{PrivateKey, PublicKey, decode_exactly, encode},
    json::{Bounds, Json, Object},
    time::UnixMillis,
};

use crate::{did, names::check_name};

/// What signed bytes begin with.
pub const DOMAIN: &str = "spl-manifest-v1";
/// How long a manifest holds, in milliseconds: seven days.
const LIFETIME_MS: u64 = 7 * 24 * 3600 * 1000;
/// Clocks may differ by so much.
const SKEW_MS: u64 = 5 * 60 * 1000;
/// Longest text that is signed or checked, in bytes.
const BYTES_MAX: usize = 64 * 1024;
/// Bounds of a manifest.
const BOUNDS: Bounds = Bounds { levels: 16, values: 4096 };
/// Longest version text that is taken from a peer, in bytes.
const VERSION_BYTES_MAX: usize = 64;

/// The manifest of an instance, signed.
#[must_use]
pub fn signed(key: &PrivateKey, did: &str, url: &str, version: &str, now: UnixMillis) -> Json {
    let public = key.public();
    let expires_at = UnixMillis(now.0 + LIFETIME_MS);
    let daemon = Json::object([("did", did.into()), ("name", "spl".into()), ("version", version.into())]);
    let federation = Json::object([("enabled", true.into()), ("pairs", true.into()), ("sync", false.into())]);
    let invites = Json::object([("guest", true.into()), ("federated", true.into())]);
    let mut members: Vec<(String, Json)> = [
        ("object", Json::from("federation_manifest")),
        ("manifest_version", "1".into()),
        ("daemon", daemon),
        ("url", url.into()),
        ("public_key", public.base64url().into()),
        ("public_key_multibase", public.multibase().into()),
        ("federation", federation),
        ("invites", invites),
        ("signed_at", now.to_string().into()),
        ("expires_at", expires_at.to_string().into()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    let text = Object::from_members(members.clone()).ok().and_then(|object| signed_text(&object));
    let signature = text.map(|text| encode(&key.sign(DOMAIN, text.as_bytes()))).unwrap_or_default();
    let signature = Json::object([
        ("alg", "Ed25519".into()),
        ("key_id", did::key_id(did).into()),
        ("signature", signature.into()),
    ]);
    members.push(("signature".to_owned(), signature));
    Object::from_members(members).map_or(Json::Null, Json::Object)
}

/// What of a manifest is signed: the canonical text of all but its signature.
fn signed_text(manifest: &Object) -> Option<String> {
    let members = manifest.iter().filter(|(key, _)| *key != "signature");
    let members = members.map(|(key, value)| (key.to_owned(), value.clone())).collect();
    canonical(&Json::Object(Object::from_members(members).ok()?), BYTES_MAX).ok()
}

/// What a peer states of itself, once its signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its DID.
    pub did: String,
    /// Its key, which signed the manifest.
    pub key: PublicKey,
    /// Its version, where it states one.
    pub version: Option<String>,
}

impl Manifest {
    /// Parses what `/.well-known/syncropel` of a peer answers. `None` unless it is signed by the key that it
    /// states, in time, and, with a `did:key`, by that very key.
    #[must_use]
    pub fn parse(bytes: &[u8], now: UnixMillis) -> Option<Self> {
        let Ok(Json::Object(answer)) = Json::parse(bytes, BOUNDS) else { return None };
        let manifest = answer.get("federation_manifest")?.as_object()?;
        let daemon = manifest.get("daemon")?.as_object()?;
        let did = spl_kernel::draft::check_actor(daemon.str("did")?.to_owned()).ok()?;
        let key = PublicKey::from_base64url(manifest.str("public_key")?).filter(|key| !key.is_weak())?;
        let time = |name: &str| UnixMillis::parse(manifest.str(name)?);
        let (signed_at, expires_at) = (time("signed_at")?, time("expires_at")?);
        if signed_at.0 > now.0 + SKEW_MS || now >= expires_at {
            return None;
        }
        if did.starts_with("did:key:") && PublicKey::from_did(&did) != Some(key) {
            return None;
        }
        let signature = decode_exactly(manifest.get("signature")?.as_object()?.str("signature")?)?;
        if !key.verifies(DOMAIN, signed_text(manifest)?.as_bytes(), &signature) {
            return None;
        }
        let shown = |version: &&str| version.len() <= VERSION_BYTES_MAX && check_name(version).is_ok();
        Some(Self { did, key, version: daemon.str("version").filter(shown).map(str::to_owned) })
    }
}
