use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use serde::Serialize;
use spl_kernel::{draft::is_namespace, id::RecordId, time::UnixMillis};

use crate::{
    scope::{Grain, Scope, Scopes},
    tokens::TokenId,
};

/// Who may redeem an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum HolderType {
    /// A device, by a key that it made.
    Guest,
    /// Somebody with an instance of their own, which vouches for them.
    Federated,
}

impl HolderType {
    /// The name in records and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Federated => "federated",
        }
    }

    /// The type of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Guest, Self::Federated].into_iter().find(|t| t.as_str() == text)
    }
}

/// The holder types that an invite accepts: one or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Accepts {
    guest: bool,
    federated: bool,
}

impl Accepts {
    /// Guests only: what an invite accepts unless it says otherwise.
    pub const GUEST: Self = Self { guest: true, federated: false };

    /// From names; `*` means both. `None` for an unknown name, or none at all.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut accepts = Self { guest: false, federated: false };
        for name in names {
            match name {
                "*" => accepts = Self { guest: true, federated: true },
                "guest" => accepts.guest = true,
                "federated" => accepts.federated = true,
                _ => return None,
            }
        }
        (accepts.guest || accepts.federated).then_some(accepts)
    }

    /// Whether a holder of this type may redeem.
    #[must_use]
    pub fn accept(self, holder: HolderType) -> bool {
        match holder {
            HolderType::Guest => self.guest,
            HolderType::Federated => self.federated,
        }
    }

    /// The names of the types.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = [HolderType::Guest, HolderType::Federated];
        all.into_iter().filter(|t| self.accept(*t)).map(HolderType::as_str).collect()
    }
}

/// What an invite reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Target {
    /// The instance.
    Instance,
    /// One thread.
    Thread(String),
    /// A namespace and what is below it.
    Namespace(String),
}

impl Target {
    /// The form in records: `instance`, `thread:<id>`, `namespace:<ns>`.
    #[must_use]
    pub fn record_form(&self) -> String {
        match self {
            Self::Instance => "instance".to_owned(),
            Self::Thread(id) => format!("thread:{id}"),
            Self::Namespace(name) => format!("namespace:{name}"),
        }
    }

    pub(crate) fn from_record_form(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "instance" => Some(Self::Instance),
            Some(("thread", id)) => Some(Self::Thread(id.to_owned())),
            Some(("namespace", name)) => Some(Self::Namespace(name.to_owned())),
            _ => None,
        }
    }

    /// What a bearer gets that coarse scopes are granted for: narrowed to the target. `None` where more than
    /// reading and writing records is granted there, or the target cannot be one.
    #[must_use]
    pub fn narrow(&self, scopes: &Scopes) -> Option<Scopes> {
        let (kind, id) = match self {
            Self::Instance => return Some(scopes.clone()),
            Self::Thread(id) => ("thread", id),
            // In another form there is no namespace.
            Self::Namespace(name) if !is_namespace(name) => return None,
            Self::Namespace(name) => ("namespace", name),
        };
        let records = Scopes::of(&[Scope::RecordsRead, Scope::RecordsWrite]);
        if scopes.is_narrowed() || !scopes.within(&records) {
            return None;
        }
        let verbs = [(Scope::RecordsRead, "read"), (Scope::RecordsWrite, "write")];
        let held = verbs.into_iter().filter(|(scope, _)| scopes.hold(*scope));
        let names: Vec<String> = held
            .flat_map(|(scope, verb)| [scope.as_str().to_owned(), format!("{kind}:{id}:{verb}")])
            .collect();
        Scopes::parse(names.iter().map(String::as_str))
            .ok()
            .filter(|s| s.grains().is_some_and(|grains| grains.iter().all(|g: &Grain| g.target_is(kind, id))))
    }
}

/// On what ground a signer's key was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Trust {
    /// It was pinned when its instance was paired.
    Paired,
    /// The DID is the key.
    SelfAsserted,
    /// It stands in the document that its host serves.
    DidWeb,
}

impl Trust {
    /// The name in records and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paired => "paired",
            Self::SelfAsserted => "self_asserted",
            Self::DidWeb => "did_web",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Paired, Self::SelfAsserted, Self::DidWeb].into_iter().find(|t| t.as_str() == text)
    }
}

/// The instance that vouched for a holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// Its DID.
    pub did: String,
    /// Its key, base64url.
    pub key: String,
}

/// Who vouched for a DID first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vouched {
    /// The DID, as it was spelt.
    pub did: Arc<str>,
    /// Who vouched.
    pub signer: Signer,
}

/// One use of an invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redemption {
    /// What kind of holder.
    pub holder_type: HolderType,
    /// Who it is here.
    pub holder_did: Arc<str>,
    /// Its key, base64url.
    pub holder_pubkey: String,
    /// What it called itself.
    pub holder_label: Option<String>,
    /// Who vouched for it.
    pub signer: Option<Signer>,
    /// On what ground that was believed.
    pub trust: Option<Trust>,
    /// The pair that it came through.
    pub pair_id: Option<String>,
    /// The signed message, which no second use may have.
    pub proof_sha256: Option<String>,
    /// The account that was made.
    pub service_account_id: String,
    /// Its first token.
    pub token_id: TokenId,
    /// When.
    pub at: UnixMillis,
    /// When that token expires unless it renews itself.
    pub expires_at: UnixMillis,
}

/// Why a redemption was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Reason {
    /// Past its time.
    Expired,
    /// Revoked.
    Revoked,
    /// No use left.
    Exhausted,
    /// Not for such holders.
    HolderTypeMismatch,
    /// Signed too long ago, or in the future.
    FreshnessViolation,
    /// The signer's key is not known.
    KeyUnknown,
    /// The proof is missing, malformed, wrong, or was used.
    BadProof,
    /// The holder may not be who it says.
    DidClaimDenied,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Expired,
        Self::Revoked,
        Self::Exhausted,
        Self::HolderTypeMismatch,
        Self::FreshnessViolation,
        Self::KeyUnknown,
        Self::BadProof,
        Self::DidClaimDenied,
    ];

    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Exhausted => "exhausted",
            Self::HolderTypeMismatch => "holder_type_mismatch",
            Self::FreshnessViolation => "freshness_violation",
            Self::KeyUnknown => "key_unknown",
            Self::BadProof => "bad_proof",
            Self::DidClaimDenied => "did_claim_denied",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == text)
    }
}

/// Refusals of one reason within an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Window {
    pub(super) since: UnixMillis,
    pub(super) count: u32,
}

/// What an invite is at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It can be redeemed.
    Active,
    /// Its one use is gone.
    Redeemed,
    /// Its several uses are gone.
    Exhausted,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl State {
    /// The name in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Redeemed => "redeemed",
            Self::Exhausted => "exhausted",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Redeemed, Self::Exhausted, Self::Expired, Self::Revoked]
            .into_iter()
            .find(|s| s.as_str() == text)
    }
}

/// An invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invite {
    /// Its id: `inv_` and 16 characters. A name, not a capability.
    pub id: Arc<str>,
    /// Position of the record that made it.
    pub sequence: u64,
    /// Position of the record that changed it, or what it shows, last.
    pub changed: u64,
    /// The instance.
    pub issuer_did: String,
    /// Fingerprint of its key.
    pub issuer_key_fp: String,
    /// The address in the link.
    pub public_url: String,
    /// What it reaches.
    pub target: Target,
    /// What its bearers hold: grains too, where it is narrowed.
    pub scopes: Scopes,
    /// How long it could be redeemed.
    pub ttl_seconds: u32,
    /// How often.
    pub max_uses: u32,
    /// By whom.
    pub accepts: Accepts,
    /// What people call it.
    pub device_label: Option<String>,
    /// What they note on it.
    pub notes: Option<String>,
    /// How long its bearers live.
    pub bearer_ttl_seconds: u32,
    /// The template that it was made from.
    pub template_id: Option<String>,
    /// When it was issued.
    pub issued_at: UnixMillis,
    /// Until when it can be redeemed.
    pub expires_at: UnixMillis,
    /// When it was revoked.
    pub revoked_at: Option<UnixMillis>,
    /// Its uses.
    pub redemptions: Vector<Arc<Redemption>>,
    /// Refusals that were recorded one by one, of late.
    pub(super) refusals: OrdMap<Reason, Window>,
    /// The record that made it.
    #[serde(skip)]
    pub record: RecordId,
}

impl Invite {
    /// Uses that are left.
    #[must_use]
    pub fn uses_remaining(&self) -> u32 {
        let used = u32::try_from(self.redemptions.len()).unwrap_or(u32::MAX);
        self.max_uses.saturating_sub(used)
    }

    /// What it is at an instant.
    #[must_use]
    pub fn state(&self, now: UnixMillis) -> State {
        if self.revoked_at.is_some() {
            State::Revoked
        } else if self.uses_remaining() == 0 {
            if self.max_uses > 1 { State::Exhausted } else { State::Redeemed }
        } else if now >= self.expires_at {
            State::Expired
        } else {
            State::Active
        }
    }
}

/// All invites that ever were.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Invites {
    pub(super) by_id: OrdMap<Arc<str>, Arc<Invite>>,
    /// Ids by the position that made them.
    #[serde(skip)]
    pub(super) in_order: OrdMap<u64, Arc<str>>,
    /// Ids by the position that changed them last.
    #[serde(skip)]
    pub(super) by_change: OrdMap<u64, Arc<str>>,
    /// Those that nothing but time ends, by when it does.
    #[serde(skip)]
    pub(super) by_expiry: OrdSet<(UnixMillis, Arc<str>)>,
    /// Who vouched for a DID first, by what it looks like ([`crate::names::likeness`]): it stays with that signer.
    pub(super) vouched: OrdMap<String, Vouched>,
}

impl Invites {
    /// An invite by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Invite>> {
        self.by_id.get(id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, newest first, from before a position on.
    pub fn newest_before(&self, sequence: u64) -> impl Iterator<Item = &Arc<Invite>> {
        self.in_order.range(..sequence).rev().filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Those that changed after a position, in the order of their last changes.
    pub fn changed_after(&self, sequence: u64) -> impl Iterator<Item = &Arc<Invite>> {
        self.by_change.range(sequence.saturating_add(1)..).filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Those that expired, or will, from an instant on, in that order: not the revoked or used-up ones.
    pub fn expiring_from(&self, at: UnixMillis) -> impl Iterator<Item = &Arc<Invite>> {
        let start: (UnixMillis, Arc<str>) = (at, Arc::from(""));
        self.by_expiry.range(start..).filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Who vouched first for a DID that looks like this.
    #[must_use]
    pub fn vouched(&self, alike: &str) -> Option<&Vouched> {
        self.vouched.get(alike)
    }

    /// Who the account of a redemption was made for.
    #[must_use]
    pub(crate) fn holder_of(&self, invite_id: &str, service_account_id: &str) -> Option<&Arc<str>> {
        // The account follows the redemption: it is mostly the last one.
        let made = |one: &&Arc<Redemption>| one.service_account_id == service_account_id;
        self.by_id.get(invite_id)?.redemptions.iter().rev().find(made).map(|one| &one.holder_did)
    }
}
