//! A plain reading of the rules, which shares nothing with the fold: what random histories are compared with.

use std::collections::{BTreeMap, BTreeSet};

/// What becomes of a redemption, or why it is refused.
pub(super) type Told = Result<(), &'static str>;

/// An invite as the rules speak of it.
#[derive(Debug, Default, Clone)]
pub(super) struct Invite {
    pub(super) guests: bool,
    pub(super) federated: bool,
    pub(super) max_uses: u64,
    pub(super) used: u64,
    pub(super) expires_at: u64,
    pub(super) bearer_ms: u64,
    pub(super) revoked: bool,
    pub(super) keys: BTreeSet<u64>,
    pub(super) messages: BTreeSet<Message>,
}

impl Invite {
    pub(super) fn state(&self, now: u64) -> &'static str {
        if self.revoked {
            return "revoked";
        }
        if self.used == self.max_uses {
            return if self.max_uses == 1 { "redeemed" } else { "exhausted" };
        }
        if now >= self.expires_at { "expired" } else { "active" }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    /// The invite that made it; none for an operator's.
    pub(super) invite: Option<usize>,
    pub(super) pair: Option<usize>,
    pub(super) alive: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) account: usize,
    pub(super) ended: bool,
    pub(super) lifetime: u64,
    pub(super) expires_at: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) peer: usize,
    pub(super) active: bool,
}

/// What a signer signs, as far as histories differ in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    pub(super) peer: usize,
    pub(super) holder: usize,
    pub(super) at: u64,
    pub(super) our_address: bool,
}

/// What is sent, and what is wrong with it.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) message: Message,
    pub(super) whole: bool,
    pub(super) signed: bool,
}

/// What kind of name a holder claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// Of a person.
    Person,
    /// Nobody's to claim.
    Kept,
    /// The key of a peer.
    Peer(usize),
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) names: Vec<Name>,
    /// Peers whose DID is a key, by their number.
    pub(super) speaks_for_itself: Vec<bool>,
    pub(super) invites: Vec<Invite>,
    pub(super) accounts: Vec<Account>,
    pub(super) tokens: Vec<Token>,
    pub(super) pairs: Vec<Pair>,
    /// Names that accounts of operators listed at any time, or that were ever granted something.
    pub(super) operators: BTreeSet<usize>,
    /// Who vouched for a name first.
    pub(super) vouched: BTreeMap<usize, usize>,
}

impl Model {
    pub(super) fn is_live(&self, token: usize) -> bool {
        let token = &self.tokens[token];
        !token.ended && self.now < token.expires_at && self.accounts[token.account].alive
    }

    fn usable(&self, invite: usize, federated: bool) -> Told {
        let invite = &self.invites[invite];
        match invite.state(self.now) {
            "revoked" => return Err("INVITE_REVOKED"),
            "redeemed" | "exhausted" => return Err("INVITE_EXHAUSTED"),
            "expired" => return Err("INVITE_EXPIRED"),
            _ => {}
        }
        let accepted = if federated { invite.federated } else { invite.guests };
        if accepted { Ok(()) } else { Err("HOLDER_TYPE_MISMATCH") }
    }

    fn used(&mut self, invite: usize, pair: Option<usize>) {
        let one = &mut self.invites[invite];
        one.used += 1;
        let lifetime = one.bearer_ms;
        self.accounts.push(Account { invite: Some(invite), pair, alive: true });
        let account = self.accounts.len() - 1;
        self.tokens.push(Token { account, ended: false, lifetime, expires_at: self.now + lifetime });
    }

    pub(super) fn guest(&mut self, invite: usize, key: u64) -> Told {
        self.usable(invite, false)?;
        if !self.invites[invite].keys.insert(key) {
            return Err("HOLDER_EXISTS");
        }
        self.used(invite, None);
        Ok(())
    }

    /// The pair through which a signer is known, if any; refused where it is not known at all.
    fn signer(&self, peer: usize) -> Result<Option<usize>, &'static str> {
        match self.pairs.iter().rposition(|pair| pair.peer == peer) {
            Some(at) if self.pairs[at].active => Ok(Some(at)),
            None if self.speaks_for_itself[peer] => Ok(None),
            _ => Err("KEY_UNKNOWN"),
        }
    }

    fn may_be_called(&self, holder: usize, peer: usize) -> bool {
        let named = match self.names[holder] {
            Name::Person => true,
            Name::Kept => false,
            Name::Peer(own) => own == peer,
        };
        let first = self.vouched.get(&holder).is_none_or(|first| *first == peer);
        named && first && !self.operators.contains(&holder)
    }

    pub(super) fn federated(&mut self, invite: usize, sent: &Sent) -> Told {
        self.usable(invite, true)?;
        let message = &sent.message;
        if !sent.whole {
            return Err("BAD_PROOF");
        }
        if message.at.abs_diff(self.now) > 60_000 {
            return Err("FRESHNESS_VIOLATION");
        }
        let pair = self.signer(message.peer)?;
        if !sent.signed || !message.our_address || self.invites[invite].messages.contains(message) {
            return Err("BAD_PROOF");
        }
        if !self.may_be_called(message.holder, message.peer) {
            return Err("DID_CLAIM_DENIED");
        }
        self.invites[invite].messages.insert(message.clone());
        self.vouched.entry(message.holder).or_insert(message.peer);
        self.used(invite, pair);
        Ok(())
    }

    /// Ends accounts; says how many lived, and how many live tokens they had.
    fn end(&mut self, which: impl Fn(&Account) -> bool) -> (usize, usize) {
        let dying: BTreeSet<usize> = (0..self.accounts.len())
            .filter(|at| self.accounts[*at].alive && which(&self.accounts[*at]))
            .collect();
        let live = |token: &usize| self.is_live(*token) && dying.contains(&self.tokens[*token].account);
        let bearers = (0..self.tokens.len()).filter(live).count();
        dying.iter().for_each(|at| self.accounts[*at].alive = false);
        (dying.len(), bearers)
    }

    /// Whether there was nothing to do, and what ended.
    pub(super) fn revoke(&mut self, invite: usize) -> (bool, usize, usize) {
        let (accounts, bearers) = self.end(|account| account.invite == Some(invite));
        let before = std::mem::replace(&mut self.invites[invite].revoked, true);
        (before && accounts == 0, accounts, bearers)
    }

    pub(super) fn end_account(&mut self, account: usize) -> (bool, usize) {
        let was = self.accounts[account].alive;
        let live = (0..self.tokens.len()).filter(|t| self.tokens[*t].account == account && self.is_live(*t));
        let bearers = live.count();
        self.accounts[account].alive = false;
        (!was, bearers)
    }

    /// Closes invites in a state; says which.
    pub(super) fn close(&mut self, state: &str) -> Vec<usize> {
        let now = self.now;
        let found: Vec<usize> =
            (0..self.invites.len()).filter(|at| self.invites[*at].state(now) == state).collect();
        found.iter().for_each(|at| self.invites[*at].revoked = true);
        found
    }

    /// Puts a token in the place of others of its account.
    pub(super) fn replace(&mut self, account: usize, others: &[usize], lifetime: u64) {
        others.iter().for_each(|at| self.tokens[*at].ended = true);
        self.tokens.push(Token { account, ended: false, lifetime, expires_at: self.now + lifetime });
    }

    pub(super) fn pair(&mut self, peer: usize) -> Told {
        if self.pairs.iter().any(|pair| pair.peer == peer && pair.active) {
            return Err("PAIR_EXISTS");
        }
        self.pairs.push(Pair { peer, active: true });
        Ok(())
    }

    pub(super) fn unpair(&mut self, pair: usize) -> (bool, usize, usize) {
        if !std::mem::replace(&mut self.pairs[pair].active, false) {
            return (true, 0, 0);
        }
        let (accounts, bearers) = self.end(|account| account.pair == Some(pair));
        (false, accounts, bearers)
    }
}
