use spl_kernel::{
    identity::PublicKey,
    record::Act,
    refusal::{Code, Refusal},
};

use super::Identity;
use crate::{
    context::Context,
    decision::{Change, Decision, Outcome},
};

/// The thread that names the instance.
pub const THREAD: &str = "th_identity";
/// The kind of the record that names it.
pub const CREATED_KIND: &str = "core.identity.created.v1";

/// Names the instance by its key, once.
pub(crate) fn create(state: &Identity, key: &PublicKey, context: &Context<'_>) -> Result<Decision, Refusal> {
    if state.did.is_some() {
        return Err(Refusal::new(Code::IngestFailed, "the instance has an identity already"));
    }
    let change = Change::new(
        THREAD,
        CREATED_KIND,
        Act::Put,
        context,
        [
            ("did", Some(key.did().into())),
            ("method", Some("key".into())),
            ("public_key", Some(key.base64url().into())),
            ("public_key_multibase", Some(key.multibase().into())),
            ("key_fp", Some(key.fingerprint().into())),
            ("created_at", Some(context.now.to_string().into())),
        ],
    );
    Ok(Decision { changes: vec![change], outcome: Outcome::Done })
}
