//! What a home instance signs for somebody of its own who wants access elsewhere.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use spl_kernel::{
    canonical::canonical,
    draft::check_actor,
    identity::PublicKey,
    json::Json,
    refusal::{Code, Refusal},
};

use super::is_invite_id;
use crate::{
    World,
    accounts::AccountOrigin,
    audit,
    config::normal_origin,
    context::Context,
    decision::{Decision, Outcome},
};

/// What signed bytes begin with.
pub const ATTESTATION_DOMAIN: &str = "spl-holder-attestation-v1";
/// Longest text that is signed, in bytes: more than its members can be.
const BYTES_MAX: usize = 32 * 1024;

/// An attestation: that somebody is who it says, to one instance, for one invite, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The DID of the instance that issued the invite.
    pub audience: String,
    /// Who it is about.
    pub holder_did: String,
    /// Its key, base64url.
    pub holder_pubkey: String,
    /// The invite.
    pub invite_id: String,
    /// When it was signed, in Unix milliseconds.
    pub issued_at_ms: u64,
    /// The address of the instance that issued the invite.
    pub issuer_url: String,
    /// The DID of the instance that signs.
    pub signer_instance_did: String,
}

impl Attestation {
    /// The bytes that are signed, after the domain and a newline. `None` where they would be too long.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let issued_at_ms = i64::try_from(self.issued_at_ms).ok()?;
        let body = Json::object([
            ("audience", self.audience.as_str().into()),
            ("holder_did", self.holder_did.as_str().into()),
            ("holder_pubkey", self.holder_pubkey.as_str().into()),
            ("invite_id", self.invite_id.as_str().into()),
            ("issued_at_ms", issued_at_ms.into()),
            ("issuer_url", self.issuer_url.as_str().into()),
            ("signer_instance_did", self.signer_instance_did.as_str().into()),
        ]);
        canonical(&body, BYTES_MAX).ok()
    }
}

/// The one name that a signed message has. Of the message, not of its signature: a signer can make any number of
/// signatures over one message.
pub(super) fn digest(message: &str) -> String {
    HEXLOWER.encode(
        &Sha256::new().chain_update(ATTESTATION_DOMAIN).chain_update("\n").chain_update(message).finalize(),
    )
}

/// A request for an attestation about the caller.
#[derive(Debug, Clone)]
pub struct Attest {
    /// The invite that it is for.
    pub invite_id: String,
    /// The DID of the instance that issued it.
    pub audience: String,
    /// The address of that instance.
    pub issuer_url: String,
    /// A key of the holder's; the instance's own unless said.
    pub holder_pubkey: Option<String>,
}

/// Decides what is signed about the caller, and records that it was.
pub(crate) fn attest(world: &World, attest: &Attest, context: &Context<'_>) -> Result<Decision, Refusal> {
    let denied = |message: &str, hint: &str| Err(Refusal::new(Code::DidClaimDenied, message).hint(hint));
    let invalid = |message: &str| Err(Refusal::new(Code::InvalidBody, message));
    let Some(bearer) = &context.caller.bearer else {
        return denied("nobody is known to attest", "send a token of this instance");
    };
    if bearer.account.origin == AccountOrigin::Invite {
        return denied(
            "an account that a redemption made is vouched for by nobody here",
            "sign in with the instance that is your own",
        );
    }
    if bearer.scopes.is_narrowed() {
        return Err(Refusal::scope("records:write")
            .hint("a token that is narrowed by grains cannot vouch for its holder elsewhere"));
    }
    let Some(holder) = context.caller.own_actor() else {
        return denied(
            "an instance attests only an actor of the token's own account",
            "leave X-Syncropel-Actor out, or name one of your own",
        );
    };
    let (Some(signer), Some(own_key)) = (world.identity.did.clone(), world.identity.key()) else {
        return Err(Refusal::new(Code::IngestFailed, "the instance has no identity yet"));
    };
    if !is_invite_id(&attest.invite_id) {
        return invalid("`invite_id` is inv_ and 16 characters, as the link has it");
    }
    if check_actor(attest.audience.clone()).is_err() {
        return invalid("`audience` is the DID of the instance that issued the invite");
    }
    if normal_origin(&attest.issuer_url).as_ref() != Some(&attest.issuer_url) {
        return invalid("`issuer_url` is the origin of the link, such as https://spl.example.com");
    }
    let holder_pubkey = match &attest.holder_pubkey {
        None => own_key.base64url(),
        Some(text) if PublicKey::from_base64url(text).is_some_and(|key| !key.is_weak()) => text.clone(),
        Some(_) => return invalid("`holder_pubkey` is a raw Ed25519 public key, base64url without padding"),
    };
    let attestation = Attestation {
        audience: attest.audience.clone(),
        holder_did: holder.to_owned(),
        holder_pubkey,
        invite_id: attest.invite_id.clone(),
        issued_at_ms: context.now.0,
        issuer_url: attest.issuer_url.clone(),
        signer_instance_did: signer,
    };
    let reason = format!("{} of {} at {}", attest.invite_id, attest.audience, attest.issuer_url);
    let change = audit::attested(context, &bearer.account.id, bearer.token_id, &reason);
    Ok(Decision { changes: vec![change], outcome: Outcome::Attested(Box::new(attestation)) })
}
