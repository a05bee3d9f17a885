use std::sync::Arc;

use imbl::{OrdMap, Vector};
use spl_kernel::{id::RecordId, time::UnixMillis};

use super::{
    Accepts, HolderType, Invite, Invites, Reason, Redemption, Signer, Target, Trust, Vouched, state::Window,
};
use crate::{
    event::{FormatError, Members},
    names::likeness,
    scope::Scopes,
    tokens::TokenId,
};

/// Refusals of one reason are counted anew after this long, in milliseconds.
pub(super) const WINDOW_MS: u64 = 3600 * 1000;

fn unknown(what: &str) -> FormatError {
    FormatError(format!("member {what:?}"))
}

/// `core.invite.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    invite_id: Arc<str>,
    issuer_did: String,
    issuer_key_fp: String,
    public_url: String,
    target: Target,
    scopes: Scopes,
    ttl_seconds: u32,
    max_uses: u32,
    accepts: Accepts,
    device_label: Option<String>,
    notes: Option<String>,
    bearer_ttl_seconds: u32,
    template_id: Option<String>,
    issued_at: UnixMillis,
    expires_at: UnixMillis,
}

fn small(members: &Members<'_>, key: &str) -> Result<u32, FormatError> {
    u32::try_from(members.number(key)?).map_err(|_| unknown(key))
}

fn optional_text(members: &Members<'_>, key: &str) -> Result<Option<String>, FormatError> {
    Ok(members.optional_str(key)?.map(str::to_owned))
}

impl Issued {
    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 15] = [
        "invite_id",
        "issuer_did",
        "issuer_key_fp",
        "public_url",
        "scope_target",
        "scopes",
        "ttl_seconds",
        "max_uses",
        "accept_holder_types",
        "device_label",
        "notes",
        "bearer_ttl_seconds",
        "template_id",
        "issued_at",
        "expires_at",
    ];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        let target = Target::from_record_form(members.str("scope_target")?);
        let accepts = Accepts::parse(members.strings("accept_holder_types")?);
        Ok(Self {
            invite_id: members.str("invite_id")?.into(),
            issuer_did: members.text("issuer_did")?,
            issuer_key_fp: members.text("issuer_key_fp")?,
            public_url: members.text("public_url")?,
            target: target.ok_or_else(|| unknown("scope_target"))?,
            scopes: Scopes::parse(members.strings("scopes")?).map_err(|_| unknown("scopes"))?,
            ttl_seconds: small(members, "ttl_seconds")?,
            max_uses: small(members, "max_uses")?,
            accepts: accepts.ok_or_else(|| unknown("accept_holder_types"))?,
            device_label: optional_text(members, "device_label")?,
            notes: optional_text(members, "notes")?,
            bearer_ttl_seconds: small(members, "bearer_ttl_seconds")?,
            template_id: optional_text(members, "template_id")?,
            issued_at: members.time("issued_at")?,
            expires_at: members.time("expires_at")?,
        })
    }
}

/// Lists as one, of this length.
const fn joined<const PARTS: usize, const N: usize>(parts: [&[&'static str]; PARTS]) -> [&'static str; N] {
    let mut all = [""; N];
    let (mut part, mut at) = (0, 0);
    while part < PARTS {
        let mut i = 0;
        while i < parts[part].len() {
            all[at] = parts[part][i];
            at += 1;
            i += 1;
        }
        part += 1;
    }
    assert!(at == N, "a list has another length");
    all
}

/// `core.invite.event.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    invite_id: String,
    at: UnixMillis,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Redeemed(Box<Redemption>),
    Revoked,
    Exhausted,
    Refused(Reason),
    /// Refusals that were counted, not recorded one by one.
    RefusedOften,
}

impl Happened {
    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 23] =
        joined([&Self::COMMON, &Self::REDEEMED, &Self::REVOKED, &["refusal_reason", "count"]]);
    /// Members of its mirror, which tells of the issuing too.
    pub const MIRRORED: [&'static str; 27] =
        joined([&Self::MEMBERS, &["max_uses", "device_label", "notes", "source_record"]]);
    const COMMON: [&'static str; 3] = ["invite_id", "event_kind", "at"];
    const REDEEMED: [&'static str; 14] = [
        "holder_type",
        "holder_did",
        "holder_pubkey",
        "holder_label",
        "bearer_token_id",
        "bearer_sa_id",
        "scopes",
        "expires_at",
        "uses_remaining",
        "signer_instance_did",
        "signer_key",
        "signer_trust",
        "pair_id",
        "proof_sha256",
    ];
    const REVOKED: [&'static str; 4] = ["revoker_actor", "revoker_reason", "cause", "bearers_revoked"];
    const REFUSED: [&'static str; 5] =
        ["refusal_reason", "holder_type", "holder_did", "signer_instance_did", "count"];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        let only = |own: &[&str]| members.only(&[&Self::COMMON[..], own].concat());
        let what = match members.str("event_kind")? {
            "redeemed" => {
                only(&Self::REDEEMED)?;
                What::Redeemed(Box::new(redemption(members)?))
            }
            "revoked" => {
                only(&Self::REVOKED)?;
                members.str("revoker_actor")?;
                if !matches!(members.str("cause")?, "operator" | "bulk_expired" | "bulk_exhausted") {
                    return Err(unknown("cause"));
                }
                members.number("bearers_revoked")?;
                What::Revoked
            }
            "exhausted" => {
                only(&[])?;
                What::Exhausted
            }
            "refused" => {
                only(&Self::REFUSED)?;
                let reason = Reason::parse(members.str("refusal_reason")?);
                let reason = reason.ok_or_else(|| unknown("refusal_reason"))?;
                match members.optional_number("count")? {
                    None => What::Refused(reason),
                    Some(_) => What::RefusedOften,
                }
            }
            _ => return Err(unknown("event_kind")),
        };
        Ok(Self { invite_id: members.text("invite_id")?, at: members.time("at")?, what })
    }

    /// The pair that a redemption came through, and the account that it makes.
    pub(crate) fn paired(&self) -> Option<(&str, &str)> {
        match &self.what {
            What::Redeemed(one) => Some((one.pair_id.as_deref()?, &one.service_account_id)),
            _ => None,
        }
    }
}

fn redemption(members: &Members<'_>) -> Result<Redemption, FormatError> {
    let holder_type = HolderType::parse(members.str("holder_type")?);
    let signer = match (members.optional_str("signer_instance_did")?, members.optional_str("signer_key")?) {
        (Some(did), Some(key)) => Some(Signer { did: did.to_owned(), key: key.to_owned() }),
        (None, None) => None,
        _ => return Err(unknown("signer_key")),
    };
    let trust = members.optional_str("signer_trust")?;
    members.number("uses_remaining")?;
    members.strings("scopes")?;
    Ok(Redemption {
        holder_type: holder_type.ok_or_else(|| unknown("holder_type"))?,
        holder_did: members.str("holder_did")?.into(),
        holder_pubkey: members.text("holder_pubkey")?,
        holder_label: optional_text(members, "holder_label")?,
        signer,
        trust: trust.map(|t| Trust::parse(t).ok_or_else(|| unknown("signer_trust"))).transpose()?,
        pair_id: optional_text(members, "pair_id")?,
        proof_sha256: optional_text(members, "proof_sha256")?,
        service_account_id: members.text("bearer_sa_id")?,
        token_id: TokenId::parse(members.str("bearer_token_id")?)
            .ok_or_else(|| unknown("bearer_token_id"))?,
        at: members.time("at")?,
        expires_at: members.time("expires_at")?,
    })
}

impl Invites {
    /// Takes in an invite.
    pub(crate) fn issued(&mut self, issued: Issued, sequence: u64, record: RecordId) {
        if self.by_id.contains_key(&issued.invite_id) {
            return;
        }
        let id = issued.invite_id.clone();
        self.in_order.insert(sequence, id.clone());
        self.by_change.insert(sequence, id.clone());
        self.by_expiry.insert((issued.expires_at, id.clone()));
        let invite = Invite {
            id: id.clone(),
            sequence,
            changed: sequence,
            issuer_did: issued.issuer_did,
            issuer_key_fp: issued.issuer_key_fp,
            public_url: issued.public_url,
            target: issued.target,
            scopes: issued.scopes,
            ttl_seconds: issued.ttl_seconds,
            max_uses: issued.max_uses,
            accepts: issued.accepts,
            device_label: issued.device_label,
            notes: issued.notes,
            bearer_ttl_seconds: issued.bearer_ttl_seconds,
            template_id: issued.template_id,
            issued_at: issued.issued_at,
            expires_at: issued.expires_at,
            revoked_at: None,
            redemptions: Vector::new(),
            refusals: OrdMap::new(),
            record,
        };
        self.by_id.insert(id, Arc::new(invite));
    }

    /// Takes in what happened to an invite.
    pub(crate) fn happened(&mut self, happened: Happened, sequence: u64) {
        let Some(known) = self.by_id.get(&*happened.invite_id) else { return };
        let mut invite = Invite::clone(known);
        let shown = match happened.what {
            What::Redeemed(one) => {
                if let Some(signer) = &one.signer {
                    let vouched = || Vouched { did: one.holder_did.clone(), signer: signer.clone() };
                    self.vouched.entry(likeness(&one.holder_did)).or_insert_with(vouched);
                }
                invite.redemptions.push_back(Arc::new(*one));
                true
            }
            What::Revoked => {
                invite.revoked_at.get_or_insert(happened.at);
                true
            }
            What::Exhausted => true,
            What::Refused(reason) => {
                let open = |w: &&Window| happened.at.0 < w.since.0.saturating_add(WINDOW_MS);
                let window = match invite.refusals.get(&reason).filter(open) {
                    Some(w) => Window { count: w.count.saturating_add(1), ..*w },
                    None => Window { since: happened.at, count: 1 },
                };
                invite.refusals.insert(reason, window);
                false
            }
            What::RefusedOften => false,
        };
        if invite.revoked_at.is_some() || invite.uses_remaining() == 0 {
            self.by_expiry.remove(&(invite.expires_at, invite.id.clone()));
        }
        let id = invite.id.clone();
        self.by_id.insert(id.clone(), Arc::new(invite));
        if shown {
            self.touch(&id, sequence);
        }
    }

    /// Notes that what an invite shows has changed: of itself, or of the accounts that it made.
    pub(crate) fn touch(&mut self, id: &str, sequence: u64) {
        let Some(invite) = self.by_id.get_mut(id) else { return };
        let before = invite.changed;
        Arc::make_mut(invite).changed = sequence;
        let id = invite.id.clone();
        self.by_change.remove(&before);
        self.by_change.insert(sequence, id);
    }
}
