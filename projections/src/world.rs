use spl_kernel::{
    identity::PublicKey,
    record::StoredRecord,
    refusal::{Code, Refusal},
    time::UnixMillis,
};

use crate::{
    accounts::{self, Accounts},
    audit,
    config::{self, Config},
    consent::{self, Consent},
    context::Context,
    decision::{Decision, Outcome},
    digest::Part,
    event::{Event, FormatError},
    identity::{self, Identity},
    scope::Scope,
    tokens::{self, TokenId, Tokens},
};

/// All state: a fold of the reserved threads. A clone costs a few counters.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Who this instance is.
    pub identity: Identity,
    /// Service accounts.
    pub accounts: Accounts,
    /// Their tokens.
    pub tokens: Tokens,
    /// Consent grants.
    pub consent: Consent,
    /// Configuration.
    pub config: Config,
    /// Position of the last record that was folded.
    pub folded_through: u64,
}

/// A change to what the instance itself keeps.
#[derive(Debug)]
pub enum Command {
    /// Say who the instance is, once.
    NameInstance(PublicKey),
    /// Make the first account.
    Bootstrap(accounts::Bootstrap),
    /// Make an account.
    CreateAccount(accounts::Create),
    /// Change an account.
    UpdateAccount(accounts::Update),
    /// End an account.
    RevokeAccount {
        /// Which.
        service_account_id: String,
        /// Why.
        reason: Option<String>,
    },
    /// Mint a token in place of all others of an account.
    RotateKey {
        /// Whose.
        service_account_id: String,
    },
    /// Mint a token.
    MintToken(tokens::Mint),
    /// End a token.
    RevokeToken(tokens::Revoke),
    /// Put another token in one's own place.
    RenewToken(tokens::Renew),
    /// Set a configuration value.
    SetConfig(config::Set),
    /// Give a consent grant.
    GiveGrant(consent::Give),
    /// Take a consent grant back.
    TakeBackGrant(consent::TakeBack),
    /// Note when tokens were used.
    NoteSeen(tokens::NoteSeen),
    /// Note that a token which a rotation had ended was presented.
    NoteRotatedPresented(TokenId),
    /// Note how often a live bearer was refused, by code.
    NoteRefusals {
        /// The bearer.
        token_id: TokenId,
        /// Codes and counts.
        counts: Vec<(String, u64)>,
    },
    /// Revoke tokens but one, at most so many: after an older log came back.
    EndTokens {
        /// The one that stays.
        keep: Option<TokenId>,
        /// How many at a time.
        most: usize,
    },
}

impl Command {
    /// Whether it may be left out while there is little room: nobody's access depends on it.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        matches!(self, Self::NoteSeen(_) | Self::NoteRotatedPresented(_) | Self::NoteRefusals { .. })
    }

    /// Whether it is an operator's: those may not take away the last one who can administer.
    fn is_operators(&self) -> bool {
        !matches!(
            self,
            Self::NameInstance(_)
                | Self::NoteSeen(_)
                | Self::NoteRotatedPresented(_)
                | Self::NoteRefusals { .. }
                | Self::EndTokens { .. }
        )
    }
}

/// A decision with what has to hold after it.
#[derive(Debug)]
pub struct Guarded {
    /// The decision.
    pub decision: Decision,
    /// Whether it must leave somebody who can administer.
    keeps_admin: bool,
}

impl Guarded {
    /// Checks what state becomes against what must hold.
    ///
    /// # Errors
    /// `LAST_ADMIN`.
    pub fn check(&self, before: &World, after: &World, now: UnixMillis) -> Result<(), Refusal> {
        if !self.keeps_admin || after.has_admin(now) || !before.has_admin(now) {
            return Ok(());
        }
        Err(Refusal::new(Code::LastAdmin, "nobody would be left who can administer the instance").hint(
            "first make another account with admin, an actor and a token; or run the command on the machine itself",
        ))
    }
}

impl World {
    /// Decides a command.
    ///
    /// # Errors
    /// Why it is refused; nothing changes then.
    pub fn decide(&self, command: &Command, context: &Context<'_>) -> Result<Guarded, Refusal> {
        let keeps_admin = command.is_operators() && !context.caller.local_proof;
        let decision = match command {
            Command::NameInstance(key) => identity::create(&self.identity, key, context),
            Command::Bootstrap(new) => accounts::bootstrap(self, new, context),
            Command::CreateAccount(new) => accounts::create(self, new, context),
            Command::UpdateAccount(update) => accounts::update(self, update, context),
            Command::RevokeAccount { service_account_id, reason } => {
                accounts::revoke(self, service_account_id, reason.as_deref(), context)
            }
            Command::RotateKey { service_account_id } => {
                tokens::rotate_key(self, service_account_id, context)
            }
            Command::MintToken(mint) => tokens::mint(self, mint, context),
            Command::RevokeToken(revoke) => tokens::revoke(self, revoke, context),
            Command::RenewToken(renew) => tokens::renew(self, renew, context),
            Command::SetConfig(set) => config::set(self, set, context),
            Command::GiveGrant(give) => consent::give(self, give, context),
            Command::TakeBackGrant(take) => consent::take_back(self, take, context),
            Command::NoteSeen(seen) => Ok(tokens::note_seen(self, seen, context)),
            Command::NoteRotatedPresented(id) => {
                Ok(self.note_event(*id, "rotated_token_presented", &[], context))
            }
            Command::NoteRefusals { token_id, counts } => {
                Ok(self.note_event(*token_id, "refusals", counts, context))
            }
            Command::EndTokens { keep, most } => Ok(tokens::end_all(self, keep.as_ref(), *most, context)),
        }?;
        Ok(Guarded { decision, keeps_admin })
    }

    fn note_event(
        &self,
        id: TokenId,
        event_kind: &str,
        counts: &[(String, u64)],
        context: &Context<'_>,
    ) -> Decision {
        let account = self.tokens.get(&id).and_then(|e| self.accounts.by_number(e.account));
        let change = account.map(|account| audit::noted(context, event_kind, &account.id, id, counts));
        Decision { changes: change.into_iter().collect(), outcome: Outcome::Done }
    }

    /// Whether somebody can administer: an account with `admin`, an actor, and a live token that has it too.
    #[must_use]
    pub fn has_admin(&self, now: UnixMillis) -> bool {
        self.tokens.admins().any(|(_, entry)| {
            let account = self.accounts.by_number(entry.account);
            entry.is_live(now)
                && account
                    .is_some_and(|a| a.is_alive() && !a.actors.is_empty() && a.scopes.hold(Scope::Admin))
        })
    }

    /// Takes in a record. Ordinary records change nothing.
    ///
    /// # Errors
    /// Only while reading a log that a newer build wrote; see [`Event::decode`].
    pub fn fold(&mut self, stored: &StoredRecord) -> Result<(), FormatError> {
        let Some(event) = Event::decode(stored)? else { return Ok(()) };
        match event {
            Event::IdentityCreated(created) => self.identity.fold(created),
            Event::AccountPut(put) => self.accounts.put(put, stored.record.id),
            Event::AccountRevoked(revoked) => self.accounts.revoke(&revoked, stored.record.id),
            Event::TokenPut(put) => {
                let account = self.accounts.get(&put.service_account_id).map(|a| a.number);
                let missing = || FormatError(format!("a token of no account at record {}", stored.sequence));
                self.tokens.put(put, account.ok_or_else(missing)?, stored.sequence);
            }
            Event::TokenRevoked(revoked) => self.tokens.revoke(&revoked),
            Event::TokensSeen(seen) => self.tokens.seen(&seen),
            Event::ConsentGranted(granted) => self.consent.grant(granted, stored.record.id),
            Event::ConsentRevoked(revoked) => self.consent.revoke(&revoked),
            Event::ConfigSet(change) => self.config.fold(change, stored),
        }
        self.folded_through = stored.sequence;
        Ok(())
    }

    /// BLAKE3 over all state, equal for equal logs: what a replay from nothing is compared with.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut take = |part: &dyn Part| {
            let bytes = part.encoded();
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        };
        take(&self.identity);
        take(&self.accounts);
        self.tokens.digest(&mut take);
        take(&self.consent);
        self.config.digest(&mut take);
        take(&self.folded_through);
        hasher.finalize().to_hex().to_string()
    }
}
