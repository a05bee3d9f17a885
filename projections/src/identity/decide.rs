use spl_kernel::{
    draft::Draft,
    identity::PublicKey,
    json::Json,
    record::Act,
    refusal::{Code, Refusal},
};

use super::Identity;
use crate::context::{Context, ENGINE_ACTOR};

/// The thread that names the instance.
pub const THREAD: &str = "th_identity";
/// The kind of the record that names it.
pub const CREATED_KIND: &str = "core.identity.created.v1";

/// Names the instance by its key, once.
///
/// # Errors
/// `INGEST_FAILED` when it has a name already.
pub fn create(state: &Identity, key: &PublicKey, context: &Context) -> Result<Draft, Refusal> {
    if state.did.is_some() {
        return Err(Refusal::new(Code::IngestFailed, "the instance has an identity already"));
    }
    let body = Json::object([
        ("kind", CREATED_KIND.into()),
        ("did", key.did().into()),
        ("method", "key".into()),
        ("public_key", key.base64url().into()),
        ("public_key_multibase", key.multibase().into()),
        ("key_fp", key.fingerprint().into()),
        ("created_at", context.now.to_string().into()),
    ]);
    Draft::new(THREAD, ENGINE_ACTOR, Act::Put, body)
}
