use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use spl_kernel::{
    identity::{PublicKey, decode_exactly},
    json::Json,
    record::Act,
    refusal::{Code, Refusal},
    time::UnixMillis,
};

use super::{
    ATTESTATION_DOMAIN, Attestation, Claim, EVENT_KIND, Holder, HolderType, Invite, Reason, Redemption,
    Signer, State, THREAD, Trust,
    fold::WINDOW_MS,
    holder::{GUESTS, may_be_called},
    proof::digest,
};
use crate::{
    World,
    accounts::{self, AccountOrigin, NewAccount},
    audit::{INVITES_KIND, INVITES_THREAD, scope_list},
    context::Context,
    decision::{Change, Decision, Issued, Member, Outcome, Parent},
    did, pairs,
    tokens::{Chosen, EnvTag, NewToken, TokenOrigin, draft_token},
};

/// Clocks of two instances may differ by so much, in milliseconds.
const SKEW_MS: u64 = 60_000;
/// Refusals of one invite and reason that are recorded one by one within an hour.
const REFUSALS_MAX: u32 = 1000;
/// Longest claim that a refusal records, in bytes.
const CLAIM_BYTES_MAX: usize = 256;
/// Longest name of an account.
const NAME_CHARS_MAX: usize = 128;
/// What a guest's account is called where nobody said.
const UNNAMED: &str = "Guest device";

/// A redemption.
#[derive(Debug, Clone)]
pub struct Redeem {
    /// Of which invite. That its link's signature was sent has been checked.
    pub invite_id: String,
    /// By whom.
    pub holder: Holder,
    /// The address of this instance.
    pub public_url: String,
    /// Whether the wall clock is so far behind the log that nothing can be said of when something was signed.
    pub clock_is_behind: bool,
    /// What was found where a `did:web` signer's document is.
    pub resolved: Option<Resolved>,
}

/// The keys that a document names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Whose document it is.
    pub did: String,
    /// Its keys.
    pub keys: Vec<PublicKey>,
}

/// Why a redemption is refused: what is recorded of it, and what its sender is told.
type Refused = (Reason, Refusal);

fn refused(reason: Reason, code: Code, message: impl Into<String>, hint: &str) -> Refused {
    (reason, Refusal::new(code, message).hint(hint))
}

fn bad_proof(message: &str) -> Refused {
    let hint = "ask the home instance for a new attestation and send all of it, unchanged, once";
    refused(Reason::BadProof, Code::BadProof, message, hint)
}

/// A holder that has proved who it is.
struct Proved {
    did: String,
    pubkey: String,
    label: Option<String>,
    voucher: Option<Voucher>,
}

/// Who vouched for a holder, and how that was checked.
struct Voucher {
    signer: Signer,
    trust: Trust,
    pair_id: Option<String>,
    proof_sha256: String,
}

/// Redeems an invite. A refusal is recorded, so that it comes back as an outcome.
pub(crate) fn redeem(world: &World, redeem: &Redeem, context: &Context<'_>) -> Result<Decision, Refusal> {
    let not_found = || Refusal::new(Code::InviteNotFound, "there is no such invite");
    let invite = world.invites.get(&redeem.invite_id).ok_or_else(not_found)?;
    let decided = check_invite(invite, redeem.holder.holder_type(), context.now);
    let proved = decided.and_then(|()| match &redeem.holder {
        Holder::Guest { key, label } => Ok(guest(invite, key, label.as_deref())),
        Holder::Federated(claim) => federated(world, invite, redeem, claim, context.now),
    });
    match proved {
        Ok(proved) => {
            let before = |r: &Redemption| r.signer.is_none() && r.holder_pubkey == proved.pubkey;
            if proved.voucher.is_none() && invite.redemptions.iter().any(|r| before(r)) {
                return Err(Refusal::new(Code::HolderExists, "this key has redeemed the invite before")
                    .hint("a device that lost its token makes a new key and uses another invite"));
            }
            check_room(world, &proved)?;
            Ok(accept(invite, &proved, context))
        }
        Err((reason, refusal)) => Ok(refuse(invite, &redeem.holder, reason, refusal, context)),
    }
}

/// Removing a pair ends all that came through it in one commit: there is a bound to how much that may be.
fn check_room(world: &World, proved: &Proved) -> Result<(), Refusal> {
    let pair = proved.voucher.as_ref().and_then(|v| v.pair_id.as_deref());
    if pair.is_none_or(|pair| world.pairs.living(pair) < pairs::ACCOUNTS_MAX) {
        return Ok(());
    }
    let message =
        format!("{} accounts came through the pair and live: no more are made", pairs::ACCOUNTS_MAX);
    Err(Refusal::new(Code::IngestFailed, message)
        .hint("the issuer revokes some of them first: spl invite list"))
}

fn check_invite(invite: &Invite, holder: HolderType, now: UnixMillis) -> Result<(), Refused> {
    let another = "ask whoever sent the link for a new one";
    match invite.state(now) {
        State::Active => {}
        State::Revoked => {
            return Err(refused(Reason::Revoked, Code::InviteRevoked, "the invite was revoked", another));
        }
        State::Redeemed | State::Exhausted => {
            let message = "the invite has no use left";
            return Err(refused(Reason::Exhausted, Code::InviteExhausted, message, another));
        }
        State::Expired => {
            return Err(refused(Reason::Expired, Code::InviteExpired, "the invite has expired", another));
        }
    }
    if invite.accepts.accept(holder) {
        return Ok(());
    }
    Err(refused(
        Reason::HolderTypeMismatch,
        Code::HolderTypeMismatch,
        format!("the invite is for {} holders", invite.accepts.names().join(" and ")),
        another,
    ))
}

fn guest(invite: &Invite, key: &PublicKey, label: Option<&str>) -> Proved {
    let hash = Sha256::new().chain_update(&*invite.id).chain_update(key.as_bytes()).finalize();
    Proved {
        did: format!("{GUESTS}{}", HEXLOWER.encode(&hash[..16])),
        pubkey: key.base64url(),
        label: label.map(str::to_owned),
        voucher: None,
    }
}

/// The host whose document says which key a signer has, where that decides on a redemption. Nobody is asked for
/// what is refused anyway.
#[must_use]
pub fn host_to_ask<'a>(world: &World, redeem: &'a Redeem, now: UnixMillis) -> Option<&'a str> {
    let Holder::Federated(claim) = &redeem.holder else { return None };
    let invite = world.invites.get(&redeem.invite_id)?;
    check_invite(invite, HolderType::Federated, now).ok()?;
    let fields = Fields::of(world, invite, claim).ok()?;
    fields.check_freshness(redeem, now).ok()?;
    match signer_keys(world, claim.signer_instance_did.as_deref()?, None) {
        Err(Unknown::AskHost) => did::web_host(claim.signer_instance_did.as_deref()?),
        _ => None,
    }
}

/// The fields of a claim, present and decoded.
struct Fields {
    attestation: Attestation,
    proof: [u8; 64],
}

impl Fields {
    fn of(world: &World, invite: &Invite, claim: &Claim) -> Result<Self, Refused> {
        let present = |field: &Option<String>, name: &str| {
            field.clone().ok_or_else(|| bad_proof(&format!("`{name}` is missing")))
        };
        let holder_pubkey = present(&claim.holder_pubkey, "holder_pubkey")?;
        if PublicKey::from_base64url(&holder_pubkey).is_none_or(|key| key.is_weak()) {
            return Err(bad_proof("`holder_pubkey` is no raw Ed25519 public key in base64url"));
        }
        let proof = decode_exactly(&present(&claim.holder_proof, "holder_proof")?)
            .ok_or_else(|| bad_proof("`holder_proof` is no Ed25519 signature in base64url"))?;
        let issued_at_ms =
            claim.issued_at_ms.ok_or_else(|| bad_proof("`holder_proof_issued_at_ms` is missing"))?;
        let issued_at_ms = u64::try_from(issued_at_ms)
            .map_err(|_| bad_proof("`holder_proof_issued_at_ms` is before 1970"))?;
        let attestation = Attestation {
            audience: world.identity.did.clone().unwrap_or_default(),
            holder_did: present(&claim.holder_did, "holder_did")?,
            holder_pubkey,
            invite_id: invite.id.to_string(),
            issued_at_ms,
            issuer_url: present(&claim.issuer_url, "issuer_url")?,
            signer_instance_did: present(&claim.signer_instance_did, "signer_instance_did")?,
        };
        Ok(Self { attestation, proof })
    }

    fn check_freshness(&self, redeem: &Redeem, now: UnixMillis) -> Result<(), Refused> {
        let stale = |message: &str, hint: &str| {
            Err(refused(Reason::FreshnessViolation, Code::FreshnessViolation, message, hint))
        };
        if redeem.clock_is_behind {
            return stale(
                "the clock of this instance is behind its own log: it cannot tell when something was signed",
                "the operator sets the clock; see `spl doctor`",
            );
        }
        if now.0.abs_diff(self.attestation.issued_at_ms) <= SKEW_MS {
            return Ok(());
        }
        stale(
            "the attestation was not signed within the last 60 seconds",
            "ask the home instance for a new one; if that is refused too, one of the two clocks is wrong",
        )
    }
}

/// Why no key of a signer is known.
enum Unknown {
    /// It is refused.
    Refused,
    /// Its host has not been asked yet.
    AskHost,
}

/// A signer's keys, on what ground, and through which pair.
type Keys = (Vec<PublicKey>, Trust, Option<String>);

/// The keys that a signer may have signed with: the ledger's first, then what its DID says, then its host.
fn signer_keys(world: &World, did: &str, resolved: Option<&Resolved>) -> Result<Keys, Unknown> {
    match world.pairs.of_peer(did) {
        Some(pair) if pair.is_active() => {
            let key = PublicKey::from_base64url(&pair.peer_key).ok_or(Unknown::Refused)?;
            return Ok((vec![key], Trust::Paired, Some(pair.id.to_string())));
        }
        // Whoever was unpaired is to be paired again first, whatever its DID says by itself.
        Some(_) => return Err(Unknown::Refused),
        None => {}
    }
    // A key that was pinned speaks under the name that it was pinned for, and not past the ledger under another.
    let speaks = |key: &PublicKey| !world.pairs.pinned(&key.base64url());
    if let Some(key) = PublicKey::from_did(did).filter(|key| !key.is_weak()) {
        return if speaks(&key) { Ok((vec![key], Trust::SelfAsserted, None)) } else { Err(Unknown::Refused) };
    }
    if did::web_host(did).is_none() || !world.config.federation_did_web.value {
        return Err(Unknown::Refused);
    }
    match resolved {
        Some(resolved) if resolved.did == did => {
            let keys = resolved.keys.iter().copied().filter(speaks).collect();
            Ok((keys, Trust::DidWeb, None))
        }
        _ => Err(Unknown::AskHost),
    }
}

fn federated(
    world: &World,
    invite: &Invite,
    redeem: &Redeem,
    claim: &Claim,
    now: UnixMillis,
) -> Result<Proved, Refused> {
    let fields = Fields::of(world, invite, claim)?;
    fields.check_freshness(redeem, now)?;
    let Fields { attestation, proof } = fields;
    let keys = signer_keys(world, &attestation.signer_instance_did, redeem.resolved.as_ref());
    let (keys, trust, pair_id) = keys.ok().filter(|(keys, ..)| !keys.is_empty()).ok_or_else(|| {
        refused(
            Reason::KeyUnknown,
            Code::KeyUnknown,
            "the key of the instance that signed is not known here",
            "the issuer pairs with it first: spl federation pair <its address>",
        )
    })?;
    let message = attestation.message().ok_or_else(|| bad_proof("the attestation is too long"))?;
    let key = keys
        .iter()
        .find(|key| key.verifies(ATTESTATION_DOMAIN, message.as_bytes(), &proof))
        .ok_or_else(|| bad_proof("the signature is not that of the signing instance over these fields"))?;
    // The address of today only: one that was given up may be somebody else's by now, who collects attestations.
    if attestation.issuer_url != redeem.public_url {
        return Err(bad_proof("the attestation was made for another address than this instance's"));
    }
    let proof_sha256 = digest(&message);
    if invite.redemptions.iter().any(|r| r.proof_sha256.as_ref() == Some(&proof_sha256)) {
        return Err(bad_proof("the attestation was used before"));
    }
    let signer = Signer { did: attestation.signer_instance_did, key: key.base64url() };
    may_be_called(world, &attestation.holder_did, &signer)
        .map_err(|refusal| (Reason::DidClaimDenied, refusal))?;
    Ok(Proved {
        did: attestation.holder_did,
        pubkey: attestation.holder_pubkey,
        label: None,
        voucher: Some(Voucher { signer, trust, pair_id, proof_sha256 }),
    })
}

/// The name of the account that a redemption makes.
fn account_name(invite: &Invite, proved: &Proved) -> String {
    let given = proved.label.as_ref().or(invite.device_label.as_ref()).cloned();
    let usual = || match proved.voucher {
        Some(_) => proved.did.chars().take(NAME_CHARS_MAX).collect(),
        None => UNNAMED.to_owned(),
    };
    given.unwrap_or_else(usual)
}

/// The commit of a redemption: `redeemed`, the account, its token, and `exhausted` with the last use; each with
/// its mirror.
fn accept(invite: &Invite, proved: &Proved, context: &Context<'_>) -> Decision {
    let service_account_id = accounts::new_id(context);
    let actors = [Arc::from(proved.did.as_str())];
    let name = account_name(invite, proved);
    let created_at = context.now.to_string();
    let pair_id = proved.voucher.as_ref().and_then(|v| v.pair_id.as_deref());
    let account = NewAccount {
        id: &service_account_id,
        display_name: &name,
        actors: &actors,
        scopes: &invite.scopes,
        env_tag: EnvTag::default(),
        origin: AccountOrigin::Invite,
        created_at: &created_at,
        invite_id: Some(&invite.id),
        pair_id,
    };
    let (token, issued) = draft_token(
        context,
        &NewToken {
            service_account_id: &service_account_id,
            env_tag: EnvTag::default(),
            scopes: &invite.scopes,
            origin: TokenOrigin::Invite,
            replaces: &[],
            lifetime_seconds: Some(invite.bearer_ttl_seconds),
            chosen: Chosen::Drawn,
            parent: Parent::Earlier(1),
        },
    );
    let remaining = invite.uses_remaining().saturating_sub(1);
    let redeemed = redeemed(invite, proved, &issued, remaining, context);
    let account = accounts::created(context, &account).parent(Parent::Earlier(0));
    let mut changes = vec![redeemed, account, token];
    if remaining == 0 {
        changes.push(event(invite, "exhausted", [], context));
    }
    let actor_did = proved.did.clone();
    let outcome = Outcome::Redeemed { invite_id: invite.id.to_string(), actor_did, issued };
    Decision { changes, outcome }
}

fn redeemed(
    invite: &Invite,
    proved: &Proved,
    issued: &Issued,
    remaining: u32,
    context: &Context<'_>,
) -> Change {
    let voucher = proved.voucher.as_ref();
    let holder_type = if voucher.is_some() { HolderType::Federated } else { HolderType::Guest };
    event(
        invite,
        "redeemed",
        [
            ("holder_type", Some(holder_type.as_str().into())),
            ("holder_did", Some(proved.did.as_str().into())),
            ("holder_pubkey", Some(proved.pubkey.as_str().into())),
            ("holder_label", proved.label.as_deref().map(Json::from)),
            ("bearer_token_id", Some(issued.token_id.to_string().into())),
            ("bearer_sa_id", Some(issued.service_account_id.as_str().into())),
            ("scopes", Some(scope_list(&issued.scopes))),
            ("expires_at", issued.expires_at.map(|at| at.to_string().into())),
            ("uses_remaining", Some(i64::from(remaining).into())),
            ("signer_instance_did", voucher.map(|v| v.signer.did.as_str().into())),
            ("signer_key", voucher.map(|v| v.signer.key.as_str().into())),
            ("signer_trust", voucher.map(|v| v.trust.as_str().into())),
            ("pair_id", voucher.and_then(|v| v.pair_id.as_deref()).map(Json::from)),
            ("proof_sha256", voucher.map(|v| v.proof_sha256.as_str().into())),
        ],
        context,
    )
}

/// Something that happened to an invite, with its mirror.
pub(super) fn event(
    invite: &Invite,
    event_kind: &str,
    given: impl IntoIterator<Item = Member>,
    context: &Context<'_>,
) -> Change {
    let common = [
        ("invite_id", Some((*invite.id).into())),
        ("event_kind", Some(event_kind.into())),
        ("at", Some(context.now.to_string().into())),
    ];
    Change::new(THREAD, EVENT_KIND, Act::Do, context, common.into_iter().chain(given))
        .parent(Parent::Id(invite.record))
        .mirrored_whole(INVITES_THREAD, INVITES_KIND)
}

/// The beginning of a claim, as much of it as a record keeps.
fn excerpt(claim: &str) -> &str {
    claim.get(..claim.floor_char_boundary(CLAIM_BYTES_MAX)).unwrap_or_default()
}

fn refuse(
    invite: &Invite,
    holder: &Holder,
    reason: Reason,
    refusal: Refusal,
    context: &Context<'_>,
) -> Decision {
    let often = invite.refusals.get(&reason).is_some_and(|window| {
        context.now.0 < window.since.0.saturating_add(WINDOW_MS) && window.count >= REFUSALS_MAX
    });
    let uncounted = often.then_some(reason);
    let outcome = Outcome::RedeemRefused { invite_id: invite.id.to_string(), refusal, uncounted };
    if often {
        return Decision { changes: Vec::new(), outcome };
    }
    let claim = match holder {
        Holder::Federated(claim) => Some(claim),
        Holder::Guest { .. } => None,
    };
    let claimed = |text: Option<&String>| text.map(|text| Json::from(excerpt(text)));
    let change = event(
        invite,
        "refused",
        [
            ("refusal_reason", Some(reason.as_str().into())),
            ("holder_type", Some(holder.holder_type().as_str().into())),
            ("holder_did", claimed(claim.and_then(|c| c.holder_did.as_ref()))),
            ("signer_instance_did", claimed(claim.and_then(|c| c.signer_instance_did.as_ref()))),
        ],
        context,
    );
    Decision { changes: vec![change], outcome }
}

/// Records refusals that were counted rather than recorded one by one.
pub(crate) fn note_refused(
    world: &World,
    invite_id: &str,
    reason: Reason,
    count: u64,
    context: &Context<'_>,
) -> Decision {
    let change = world.invites.get(invite_id).map(|invite| {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let given = [("refusal_reason", Some(reason.as_str().into())), ("count", Some(count.into()))];
        event(invite, "refused", given, context)
    });
    Decision { changes: change.into_iter().collect(), outcome: Outcome::Done }
}
