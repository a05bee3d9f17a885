//! From record bodies to a closed enum of events: the only place that matches on kinds.
//!
//! Decoding is strict: a reserved record that this build does not understand in full was written by a newer
//! one, and the log is refused at open rather than half understood.

use spl_kernel::{
    json::{Bounds, Json, Object},
    limits,
    record::{Act, Origin, StoredRecord},
    time::UnixMillis,
};

use crate::{
    accounts, audit, config, consent, identity, invites, pairs, reserved::is_audit_thread, templates, tokens,
};

/// Something that changes state.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The instance was named.
    IdentityCreated(identity::Created),
    /// An account was made or changed.
    AccountPut(accounts::Put),
    /// An account was revoked.
    AccountRevoked(accounts::Revoked),
    /// A token was made.
    TokenPut(tokens::Put),
    /// A token was revoked.
    TokenRevoked(tokens::Revoked),
    /// Tokens were used.
    TokensSeen(tokens::Seen),
    /// A grant was given.
    ConsentGranted(consent::Granted),
    /// A grant was taken back.
    ConsentRevoked(consent::Revoked),
    /// A configuration value was set.
    ConfigSet(config::Change),
    /// An invite was issued.
    InviteIssued(invites::Issued),
    /// Something happened to an invite.
    InviteHappened(invites::Happened),
    /// A template was kept.
    TemplatePut(templates::Put),
    /// A template was removed.
    TemplateRemoved(templates::Removed),
    /// An instance was paired.
    PairPut(pairs::Put),
    /// Something happened to a pair.
    PairHappened(pairs::Happened),
}

/// A reserved record that this build does not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a reserved record is of a newer format ({0}); use the spl that wrote it, or a newer one")]
pub struct FormatError(pub String);

impl Event {
    /// The event that a record is, if any. Only what the instance itself decided has power over state, and, on
    /// the configuration's thread, what an entitled caller posted: nothing becomes an event because of what its
    /// thread is called.
    ///
    /// # Errors
    /// When the instance wrote a record that this build does not know.
    pub fn decode(stored: &StoredRecord) -> Result<Option<Self>, FormatError> {
        let record = &stored.record;
        if !may_be_event(stored.provenance.origin, &record.thread) {
            return Ok(None);
        }
        let located = |what: FormatError| FormatError(format!("{} at record {}", what.0, stored.sequence));
        let body = parse_body(&record.body).map_err(located)?;
        let members = Members(&body);
        let act_of =
            |kind: &str| kinds().find(|k| k.thread == record.thread && k.kind == kind).map(|k| k.act);
        let kind = if record.thread == config::THREAD { Some(config::KIND) } else { body.str("kind") };
        if kind.and_then(act_of).is_some_and(|act| act != record.act) {
            return Err(located(FormatError(format!("act {}", record.act.as_str()))));
        }
        let event = match (record.thread.as_str(), body.str("kind")) {
            (config::THREAD, _) => {
                return config::Change::decode(&body)
                    .map(|change| Some(Self::ConfigSet(change)))
                    .map_err(|refusal| located(FormatError(refusal.message)));
            }
            (identity::THREAD, Some(identity::CREATED_KIND)) => {
                identity::decode(&members).map(Self::IdentityCreated)
            }
            (accounts::THREAD, Some(accounts::KIND)) => accounts::Put::decode(&members).map(Self::AccountPut),
            (accounts::THREAD, Some(accounts::REVOCATION_KIND)) => {
                accounts::Revoked::decode(&members).map(Self::AccountRevoked)
            }
            (tokens::THREAD, Some(tokens::KIND)) => tokens::Put::decode(&members).map(Self::TokenPut),
            (tokens::THREAD, Some(tokens::REVOCATION_KIND)) => {
                tokens::Revoked::decode(&members).map(Self::TokenRevoked)
            }
            (tokens::THREAD, Some(tokens::ACTIVITY_KIND)) => {
                tokens::Seen::decode(&members).map(Self::TokensSeen)
            }
            (consent::THREAD, Some(consent::KIND)) => {
                consent::Granted::decode(&members).map(Self::ConsentGranted)
            }
            (consent::THREAD, Some(consent::REVOCATION_KIND)) => {
                consent::Revoked::decode(&members).map(Self::ConsentRevoked)
            }
            (invites::THREAD, Some(invites::KIND)) => {
                invites::Issued::decode(&members).map(Self::InviteIssued)
            }
            (invites::THREAD, Some(invites::EVENT_KIND)) => {
                invites::Happened::decode(&members).map(Self::InviteHappened)
            }
            (templates::THREAD, Some(templates::KIND)) => {
                templates::Put::decode(&members).map(Self::TemplatePut)
            }
            (templates::THREAD, Some(templates::REMOVAL_KIND)) => {
                templates::Removed::decode(&members).map(Self::TemplateRemoved)
            }
            (pairs::THREAD, Some(pairs::KIND)) => pairs::Put::decode(&members).map(Self::PairPut),
            (pairs::THREAD, Some(pairs::EVENT_KIND)) => {
                pairs::Happened::decode(&members).map(Self::PairHappened)
            }
            (_, kind) => Err(FormatError(kind.unwrap_or("no kind").to_owned())),
        };
        event.map(Some).map_err(located)
    }
}

/// Whether a record of this origin on this thread is one that [`Event::decode`] looks into. All others change nothing.
#[must_use]
pub fn may_be_event(origin: Origin, thread: &str) -> bool {
    match origin {
        Origin::Command => !is_audit_thread(thread),
        Origin::Posted => thread == config::THREAD,
        Origin::Import | Origin::Peer => false,
    }
}

/// What the documents say of a kind of record that the instance writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindDoc {
    /// The kind.
    pub kind: &'static str,
    /// The one thread that its records stand on.
    pub thread: &'static str,
    /// The act of its records.
    pub act: Act,
    /// Members of its bodies, beside `kind` and `by`; of configuration, those that every topic has.
    pub members: &'static [&'static str],
}

impl KindDoc {
    /// Whether its records make state. The trail mirrors what does, and is not folded.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        !is_audit_thread(self.thread)
    }
}

/// Every kind that this build writes or decodes, in the order of their threads in the documents.
pub fn kinds() -> impl Iterator<Item = KindDoc> {
    const IDENTITY: &[&str] =
        &["did", "method", "public_key", "public_key_multibase", "key_fp", "created_at"];
    const TOKEN_EVENT: &[&str] = &[
        "event_kind",
        "service_account_id",
        "token_id",
        "origin",
        "cause",
        "scopes",
        "changed",
        "reason",
        "counts",
        "at",
        "source_record",
    ];
    const CONSENT_EVENT: &[&str] =
        &["transition", "grant_id", "grantee", "resource", "access", "at", "source_record"];
    const PAIR_EVENT: &[&str] =
        &["pair_id", "peer_did", "transition", "bearers_revoked", "timestamp", "source_record"];
    const IMPERSONATION: &[&str] = &[
        "service_account_id",
        "token_id",
        "actor",
        "acted_as",
        "more",
        "record_count",
        "first_record",
        "at",
    ];
    let doc = |thread, kind, act, members| KindDoc { kind, thread, act, members };
    [
        doc(identity::THREAD, identity::CREATED_KIND, Act::Put, IDENTITY),
        doc(accounts::THREAD, accounts::KIND, Act::Put, &accounts::Put::MEMBERS),
        doc(accounts::THREAD, accounts::REVOCATION_KIND, Act::Do, &accounts::Revoked::MEMBERS),
        doc(tokens::THREAD, tokens::KIND, Act::Put, &tokens::Put::MEMBERS),
        doc(tokens::THREAD, tokens::REVOCATION_KIND, Act::Do, &tokens::Revoked::MEMBERS),
        doc(tokens::THREAD, tokens::ACTIVITY_KIND, Act::Know, &tokens::Seen::MEMBERS),
        doc(consent::THREAD, consent::KIND, Act::Learn, &consent::Granted::MEMBERS),
        doc(consent::THREAD, consent::REVOCATION_KIND, Act::Do, &consent::Revoked::MEMBERS),
        doc(invites::THREAD, invites::KIND, Act::Put, &invites::Issued::MEMBERS),
        doc(invites::THREAD, invites::EVENT_KIND, Act::Do, &invites::Happened::MEMBERS),
        doc(templates::THREAD, templates::KIND, Act::Put, &templates::Put::MEMBERS),
        doc(templates::THREAD, templates::REMOVAL_KIND, Act::Do, &templates::Removed::MEMBERS),
        doc(pairs::THREAD, pairs::KIND, Act::Put, &pairs::Put::MEMBERS),
        doc(pairs::THREAD, pairs::EVENT_KIND, Act::Do, &pairs::Happened::MEMBERS),
        doc(config::THREAD, config::KIND, Act::Learn, &["topic", "_v"]),
        doc(audit::INVITES_THREAD, audit::INVITES_KIND, Act::Learn, &invites::Happened::MIRRORED),
        doc(audit::PAIRS_THREAD, audit::PAIRS_KIND, Act::Learn, PAIR_EVENT),
        doc(audit::TOKENS_THREAD, audit::TOKENS_KIND, Act::Learn, TOKEN_EVENT),
        doc(audit::CONSENT_THREAD, audit::CONSENT_KIND, Act::Learn, CONSENT_EVENT),
        doc(audit::IMPERSONATION_THREAD, audit::IMPERSONATION_KIND, Act::Learn, IMPERSONATION),
    ]
    .into_iter()
}

fn parse_body(text: &str) -> Result<Object, FormatError> {
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
    match Json::parse(text.as_bytes(), bounds) {
        Ok(Json::Object(object)) => Ok(object),
        _ => Err(FormatError("body".into())),
    }
}

/// The members of a reserved body. What each is called with is what it may hold: see [`Self::only`].
pub(crate) struct Members<'a>(&'a Object);

impl<'a> Members<'a> {
    /// Refuses members that are not known.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), FormatError> {
        match self.0.iter().find(|(key, _)| !known.contains(key) && !matches!(*key, "kind" | "by")) {
            Some((key, _)) => Err(FormatError(format!("member {key:?}"))),
            None => Self::by_is_known(self.0.get("by")),
        }
    }

    fn by_is_known(by: Option<&Json>) -> Result<(), FormatError> {
        const KNOWN: [&str; 3] = ["actor", "service_account_id", "token_id"];
        let known = |by: &Json| by.as_object().is_some_and(|o| o.iter().all(|(k, _)| KNOWN.contains(&k)));
        if by.is_none_or(known) { Ok(()) } else { Err(FormatError("member \"by\"".into())) }
    }

    pub(crate) fn str(&self, key: &str) -> Result<&'a str, FormatError> {
        self.0.str(key).ok_or_else(|| FormatError(format!("member {key:?} is missing")))
    }

    pub(crate) fn text(&self, key: &str) -> Result<String, FormatError> {
        self.str(key).map(str::to_owned)
    }

    /// A string that may be absent; `null` is no string.
    pub(crate) fn optional_str(&self, key: &str) -> Result<Option<&'a str>, FormatError> {
        if self.0.get(key).is_some() { self.str(key).map(Some) } else { Ok(None) }
    }

    pub(crate) fn strings(&self, key: &str) -> Result<Vec<&'a str>, FormatError> {
        let wrong = || FormatError(format!("member {key:?} is no list of strings"));
        let elements = self.0.get(key).and_then(Json::as_array).ok_or_else(wrong)?;
        elements.iter().map(|e| e.as_str().ok_or_else(wrong)).collect()
    }

    pub(crate) fn optional_strings(&self, key: &str) -> Result<Vec<&'a str>, FormatError> {
        if self.0.get(key).is_some() { self.strings(key) } else { Ok(Vec::new()) }
    }

    pub(crate) fn objects(&self, key: &str) -> Result<Vec<Members<'a>>, FormatError> {
        let wrong = || FormatError(format!("member {key:?} is no list of objects"));
        let elements = self.0.get(key).and_then(Json::as_array).ok_or_else(wrong)?;
        elements.iter().map(|e| e.as_object().map(Members).ok_or_else(wrong)).collect()
    }

    pub(crate) fn number(&self, key: &str) -> Result<u64, FormatError> {
        let number = self.0.get(key).and_then(Json::as_i64).and_then(|n| u64::try_from(n).ok());
        number.ok_or_else(|| FormatError(format!("member {key:?} is no number")))
    }

    pub(crate) fn optional_number(&self, key: &str) -> Result<Option<u64>, FormatError> {
        if self.0.get(key).is_some() { self.number(key).map(Some) } else { Ok(None) }
    }

    pub(crate) fn time(&self, key: &str) -> Result<UnixMillis, FormatError> {
        UnixMillis::parse(self.str(key)?).ok_or_else(|| FormatError(format!("member {key:?} is no time")))
    }

    pub(crate) fn optional_time(&self, key: &str) -> Result<Option<UnixMillis>, FormatError> {
        if self.0.get(key).is_some() { self.time(key).map(Some) } else { Ok(None) }
    }
}
