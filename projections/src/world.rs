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
    invites::{self, Invites},
    pairs::{self, Pairs},
    scope::Scope,
    templates::{self, Templates},
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
    /// Invites.
    pub invites: Invites,
    /// Shapes of invites that operators keep.
    pub templates: Templates,
    /// Paired instances.
    pub pairs: Pairs,
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
    /// Issue an invite.
    IssueInvite(invites::Issue),
    /// Redeem an invite.
    RedeemInvite(Box<invites::Redeem>),
    /// Revoke an invite, and what came of it.
    RevokeInvite(invites::Revoke),
    /// Close invites that are of no use any more.
    BulkRevoke(invites::BulkRevoke),
    /// Have the instance vouch for the caller.
    Attest(invites::Attest),
    /// Keep a template.
    SaveTemplate(templates::Save),
    /// Remove a template.
    RemoveTemplate(templates::Remove),
    /// Pin another instance's key.
    Pair(Box<pairs::NewPair>),
    /// Remove a pair, and what came through it.
    Unpair(pairs::Unpair),
    /// Note refused redemptions that were not recorded one by one.
    NoteRefusedRedeems {
        /// Of which invite.
        invite_id: String,
        /// Why.
        reason: invites::Reason,
        /// How many.
        count: u64,
    },
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
    /// Revoke open invites, and tokens but one, at most so many: after an older log came back.
    EndTokens {
        /// The one that stays.
        keep: Option<TokenId>,
        /// How many at a time.
        most: usize,
    },
}

impl Command {
    /// Whether it takes access away: that is done with the last room there is.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        matches!(
            self,
            Self::RevokeAccount { .. }
                | Self::RevokeToken(_)
                | Self::TakeBackGrant(_)
                | Self::UpdateAccount(_)
                | Self::EndTokens { .. }
                | Self::RevokeInvite(_)
                | Self::BulkRevoke(_)
                | Self::Unpair(_)
        )
    }

    /// Whether it may be left out while there is little room: nobody's access depends on it.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        matches!(
            self,
            Self::NoteSeen(_)
                | Self::NoteRotatedPresented(_)
                | Self::NoteRefusals { .. }
                | Self::NoteRefusedRedeems { .. }
        )
    }

    /// Whether it is an operator's: those may not take away the last one who can administer.
    fn is_operators(&self) -> bool {
        !matches!(
            self,
            Self::NameInstance(_)
                | Self::NoteSeen(_)
                | Self::NoteRotatedPresented(_)
                | Self::NoteRefusals { .. }
                | Self::NoteRefusedRedeems { .. }
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
            Command::IssueInvite(issue) => invites::issue(self, issue, context),
            Command::RedeemInvite(redeem) => invites::redeem(self, redeem, context),
            Command::RevokeInvite(revoke) => invites::revoke(self, revoke, context),
            Command::BulkRevoke(bulk) => invites::bulk_revoke(self, bulk, context),
            Command::Attest(attest) => invites::attest(self, attest, context),
            Command::SaveTemplate(save) => templates::save(self, save, context),
            Command::RemoveTemplate(remove) => templates::remove(self, remove, context),
            Command::Pair(new) => pairs::pair(self, new, context),
            Command::Unpair(unpair) => pairs::unpair(self, unpair, context),
            Command::NoteRefusedRedeems { invite_id, reason, count } => {
                Ok(invites::note_refused(self, invite_id, *reason, *count, context))
            }
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
            Event::AccountPut(put) => {
                let redeemed = put.redeemed();
                let holder = redeemed.and_then(|(invite, account)| self.invites.holder_of(invite, account));
                self.accounts.put(put, stored.record.id, holder.cloned().as_ref());
            }
            Event::AccountRevoked(revoked) => {
                let account = self.accounts.get(revoked.service_account_id()).filter(|a| a.is_alive());
                let invite = account.and_then(|a| a.invite_id.clone());
                if let Some(pair) = account.and_then(|a| a.pair_id.as_deref()) {
                    self.pairs.account_ended(pair);
                }
                self.accounts.revoke(&revoked, stored.record.id);
                self.touch(invite, stored.sequence);
            }
            Event::TokenPut(put) => {
                let account = self.accounts.get(&put.service_account_id);
                let missing = || FormatError(format!("a token of no account at record {}", stored.sequence));
                let (number, invite) =
                    account.map(|a| (a.number, a.invite_id.clone())).ok_or_else(missing)?;
                self.tokens.put(put, number, stored.sequence);
                self.touch(invite, stored.sequence);
            }
            Event::TokenRevoked(revoked) => {
                let account = self.tokens.get(&revoked.token_id()).map(|entry| entry.account);
                let account = account.and_then(|number| self.accounts.by_number(number));
                let invite = account.and_then(|account| account.invite_id.clone());
                self.tokens.revoke(&revoked);
                self.touch(invite, stored.sequence);
            }
            Event::TokensSeen(seen) => self.tokens.seen(&seen),
            Event::InviteIssued(issued) => self.invites.issued(issued, stored.sequence, stored.record.id),
            Event::InviteHappened(happened) => {
                if let Some((pair, account)) = happened.paired() {
                    self.pairs.attribute(pair, account);
                }
                self.invites.happened(happened, stored.sequence);
            }
            Event::TemplatePut(put) => self.templates.put(put, stored.record.id),
            Event::TemplateRemoved(removed) => self.templates.remove(&removed),
            Event::PairPut(put) => self.pairs.put(put, stored.record.id),
            Event::PairHappened(happened) => self.pairs.happened(&happened),
            Event::ConsentGranted(granted) => self.consent.grant(granted, stored.record.id),
            Event::ConsentRevoked(revoked) => self.consent.revoke(&revoked),
            Event::ConfigSet(change) => self.config.fold(change, stored),
        }
        self.folded_through = stored.sequence;
        Ok(())
    }

    /// Notes that what an invite shows has changed.
    fn touch(&mut self, invite: Option<String>, sequence: u64) {
        if let Some(id) = invite {
            self.invites.touch(&id, sequence);
        }
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
        take(&self.invites);
        take(&self.templates);
        take(&self.pairs);
        take(&self.folded_through);
        hasher.finalize().to_hex().to_string()
    }
}
