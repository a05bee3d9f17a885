//! What a decision is made of: the records to write, and what to tell the caller.

use spl_kernel::{
    draft::Draft,
    id::RecordId,
    json::{Json, Object},
    record::Act,
    refusal::{Code, Refusal},
    time::UnixMillis,
};

use crate::{
    context::{Context, ENGINE_ACTOR},
    invites::{Attestation, Reason},
    records::{Accepted, Ledger, Pending, decide},
    scope::Scopes,
    tokens::{Plaintext, TokenId},
};

/// What is written and what is answered.
#[derive(Debug)]
pub struct Decision {
    /// The records, in order; none where nothing had to be done.
    pub changes: Vec<Change>,
    /// The answer.
    pub outcome: Outcome,
}

/// What the caller is told, beside the records that were written.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing more than that.
    Done,
    /// The account that was made or changed, and its token where one was minted.
    Account {
        /// Its id.
        service_account_id: String,
        /// Its token.
        token: Option<Issued>,
    },
    /// An account was changed; tokens that still have scopes it has no longer.
    Updated {
        /// Those tokens.
        tokens_still_wider: Vec<TokenId>,
    },
    /// An account was revoked, or had been.
    AccountRevoked {
        /// Whether it had been.
        already: bool,
        /// How many live tokens died with it.
        tokens_revoked: u64,
    },
    /// A token was minted, in place of others or not.
    Token {
        /// The new one.
        issued: Issued,
        /// Those that it replaced.
        revoked: Vec<TokenId>,
    },
    /// A consent grant was given.
    Grant {
        /// Its id.
        grant_id: String,
    },
    /// A consent grant was taken back, or had been.
    GrantRevoked {
        /// Whether it had been.
        already: bool,
    },
    /// An invite was issued.
    Invite {
        /// Its id.
        invite_id: String,
        /// What the issuer should know.
        warnings: Vec<String>,
    },
    /// An invite was redeemed.
    Redeemed {
        /// Which.
        invite_id: String,
        /// Who the holder is here.
        actor_did: String,
        /// Its token.
        issued: Issued,
    },
    /// A redemption was refused, which is recorded.
    RedeemRefused {
        /// Of which invite.
        invite_id: String,
        /// What its sender is told.
        refusal: Refusal,
        /// Why, where it is not recorded by itself because there were so many: it is to be counted.
        uncounted: Option<Reason>,
    },
    /// An invite was revoked, or had been.
    InviteRevoked {
        /// Whether there was nothing left to revoke.
        already: bool,
        /// How many accounts died with it.
        accounts: usize,
        /// How many live tokens these had.
        bearers: usize,
    },
    /// Invites were closed.
    InvitesClosed {
        /// Which.
        invite_ids: Vec<String>,
        /// How many more there are.
        remaining: usize,
    },
    /// Something about the caller is to be signed.
    Attested(Box<Attestation>),
    /// A template was kept.
    Template {
        /// Its id.
        template_id: String,
    },
    /// A template was removed, or had been.
    TemplateRemoved {
        /// Whether it had been.
        already: bool,
    },
    /// An instance was paired.
    Paired {
        /// The pair's id.
        pair_id: String,
    },
    /// A pair was removed, or had been.
    Unpaired {
        /// Whether it had been.
        already: bool,
        /// How many accounts died with it.
        accounts: usize,
        /// How many live tokens these had.
        bearers: usize,
    },
    /// Tokens were revoked.
    TokensRevoked {
        /// Whether there was nothing left to revoke.
        already: bool,
        /// Those that died.
        revoked: Vec<TokenId>,
    },
}

/// A new token.
#[derive(Debug)]
pub struct Issued {
    /// Its id.
    pub token_id: TokenId,
    /// Whose it is.
    pub service_account_id: String,
    /// Its text, unless the client made it.
    pub text: Option<Plaintext>,
    /// Its scopes.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it expires.
    pub expires_at: Option<UnixMillis>,
}

/// One record that the instance writes, with what follows from it in the same commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    thread: &'static str,
    act: Act,
    members: Vec<(String, Json)>,
    parent: Option<Parent>,
    mirror: Option<Mirror>,
}

/// The record that one acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// By id.
    Id(RecordId),
    /// By its position in the log.
    At(u64),
    /// An earlier change of the same decision.
    Earlier(usize),
}

/// What the audit trail keeps of a record: written right after it, and naming it.
#[derive(Debug, Clone, PartialEq)]
struct Mirror {
    thread: &'static str,
    members: Vec<(String, Json)>,
}

/// A member of a body; `None` is left out.
pub(crate) type Member = (&'static str, Option<Json>);

fn members(kind: &str, given: impl IntoIterator<Item = Member>) -> Vec<(String, Json)> {
    let given = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    std::iter::once(("kind".to_owned(), kind.into())).chain(given).collect()
}

impl Change {
    /// A record of a kind. `by` is filled in from the context.
    pub(crate) fn new(
        thread: &'static str,
        kind: &str,
        act: Act,
        context: &Context<'_>,
        given: impl IntoIterator<Item = Member>,
    ) -> Self {
        let given = given.into_iter().chain([("by", context.caller.by())]);
        Self { thread, act, members: members(kind, given), parent: None, mirror: None }
    }

    /// A record as a caller's body has it, on a thread of the instance.
    pub(crate) fn with_body(thread: &'static str, act: Act, body: Object) -> Self {
        Self { thread, act, members: body.into_members().collect(), parent: None, mirror: None }
    }

    pub(crate) fn parent(mut self, parent: Parent) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Adds a mirror that says the same as the record, and names it.
    pub(crate) fn mirrored_whole(mut self, thread: &'static str, kind: &str) -> Self {
        let own = self.members.iter().filter(|(key, _)| key != "kind").cloned();
        let kind = std::iter::once(("kind".to_owned(), kind.into()));
        self.mirror = Some(Mirror { thread, members: kind.chain(own).collect() });
        self
    }

    /// Adds a mirror of these members; only `source_record` is filled in.
    pub(crate) fn mirrored_as(
        mut self,
        thread: &'static str,
        kind: &str,
        given: impl IntoIterator<Item = Member>,
    ) -> Self {
        self.mirror = Some(Mirror { thread, members: members(kind, given) });
        self
    }

    /// Adds the mirror; `by`, `at` and `source_record` are filled in.
    pub(crate) fn mirrored(
        self,
        thread: &'static str,
        kind: &str,
        context: &Context<'_>,
        given: impl IntoIterator<Item = Member>,
    ) -> Self {
        let common = [("at", Some(context.now.to_string().into())), ("by", context.caller.by())];
        self.mirrored_as(thread, kind, given.into_iter().chain(common))
    }
}

fn draft(
    thread: &str,
    act: Act,
    members: Vec<(String, Json)>,
    parents: Vec<RecordId>,
) -> Result<Draft, Refusal> {
    let body = Object::from_members(members)
        .map_err(|key| Refusal::new(Code::InvalidBody, format!("duplicate key {key:?}")))?;
    Ok(Draft { parents, ..Draft::new(thread, ENGINE_ACTOR, act, Json::Object(body))? })
}

/// Turns the changes into records at their clocks and positions, mirrors in their places.
///
/// # Errors
/// The outer error is the ledger's; the inner one a refusal, which only a body over its limits can be.
pub fn write<L: Ledger>(
    changes: Vec<Change>,
    next_sequence: u64,
    ledger: &L,
    pending: &mut Pending,
) -> Result<Result<Vec<Accepted>, Refusal>, L::Error> {
    let mut written: Vec<Accepted> = Vec::new();
    let mut sources: Vec<RecordId> = Vec::new();
    for change in changes {
        let parent = match change.parent {
            None => None,
            Some(Parent::Id(id)) => Some(id),
            Some(Parent::Earlier(at)) => sources.get(at).copied(),
            Some(Parent::At(sequence)) => match pending.id_at(sequence) {
                Some(id) => Some(id),
                None => ledger.record_id(sequence)?,
            },
        };
        let mut add = |draft: Result<Draft, Refusal>| -> Result<Result<RecordId, Refusal>, L::Error> {
            let draft = match draft {
                Ok(draft) => draft,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let accepted = match decide(vec![draft], next_sequence + written.len() as u64, ledger, pending)? {
                Ok(accepted) => accepted,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let id = accepted.iter().find_map(|a| match a {
                Accepted::New { record, .. } => Some(record.id),
                Accepted::Stored { .. } => None,
            });
            written.extend(accepted);
            Ok(id.ok_or_else(|| Refusal::new(Code::IngestFailed, "the record is there already")))
        };
        let source =
            match add(draft(change.thread, change.act, change.members, parent.into_iter().collect()))? {
                Ok(id) => id,
                Err(refusal) => return Ok(Err(refusal)),
            };
        sources.push(source);
        if let Some(mut mirror) = change.mirror {
            mirror.members.push(("source_record".into(), source.to_string().into()));
            if let Err(refusal) = add(draft(mirror.thread, Act::Learn, mirror.members, vec![source]))? {
                return Ok(Err(refusal));
            }
        }
    }
    Ok(Ok(written))
}
