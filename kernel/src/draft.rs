//! Drafts: records as senders propose them, checked but not yet accepted.

use std::borrow::Cow;

use crate::{
    canonical::Writer,
    id::RecordId,
    json::{Bounds, Json, JsonError, Parser, excerpt},
    limits,
    record::{Act, DataType, HashedFields, Record, canonical_fields},
    refusal::{Code, Refusal},
    thread::Effect,
};

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::new(Code::InvalidBody, error.to_string())
    }
}

/// A proposed record: every field within its limits, the body canonical. The clock may be missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// See [`Record::parents`]: sorted.
    pub parents: Vec<RecordId>,
    /// See [`Record::thread`].
    pub thread: String,
    /// See [`Record::actor`].
    pub actor: String,
    /// See [`Record::act`].
    pub act: Act,
    /// The body, canonical.
    pub body: String,
    /// The clock the sender chose, if it did.
    pub clock: Option<u64>,
    /// See [`Record::data_type`].
    pub data_type: DataType,
    /// See [`Record::judged_by`].
    pub judged_by: Option<RecordId>,
    /// What the body says that others than its reader act on.
    pub facts: BodyFacts,
}

/// The few members of a body that the log itself, or admission, looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BodyFacts {
    /// `body.kind`, where it is a string.
    pub kind: Option<String>,
    /// `body.namespace`: absent, a string, or something else (`Err`).
    pub namespace: Option<Result<String, NotAString>>,
    /// What it does to its thread.
    pub effect: Effect,
}

/// The member is there but is no string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAString;

impl BodyFacts {
    /// Reads the facts of a body.
    #[must_use]
    pub fn of(act: Act, body: &Json) -> Self {
        let Some(object) = body.as_object() else { return Self::default() };
        Self {
            kind: object.str("kind").map(str::to_owned),
            namespace: object.get("namespace").map(|n| n.as_str().map(str::to_owned).ok_or(NotAString)),
            effect: Effect::of(act, object),
        }
    }
}

/// The fields that a sender may give.
pub const FIELDS: [&str; 8] =
    ["act", "actor", "body", "clock", "data_type", "judged_by", "parents", "thread"];

/// Bounds of one body while parsing.
const BODY_BOUNDS: Bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
/// Bounds around the bodies: an envelope, or the largest batch of them, each with all its fields and parents.
pub const ENVELOPE_BOUNDS: Bounds = Bounds {
    levels: 4,
    values: limits::BATCH_RECORDS_MAX * (FIELDS.len() + limits::PARENTS_MAX + ENVELOPE_EXTRAS),
};
/// Values that an envelope may have beside its fields: what an exported record carries more.
const ENVELOPE_EXTRAS: usize = 8;

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidBody, message)
}

impl Draft {
    /// Parses one JSON text.
    ///
    /// # Errors
    /// `INVALID_BODY` with the field and its rule.
    pub fn from_json(text: &[u8]) -> Result<Self, Refusal> {
        let mut parser = Parser::new(text, ENVELOPE_BOUNDS)?;
        let draft = Self::read(&mut parser, &[])?;
        parser.end()?;
        Ok(draft)
    }

    /// Reads the envelope that is next in `parser`, passing over the members named in `ignored` (an exported
    /// record carries its id and position).
    ///
    /// # Errors
    /// `INVALID_BODY` with the field and its rule.
    pub fn read(parser: &mut Parser<'_>, ignored: &[&str]) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        parser.members(|parser, key| fields.take(parser, &key, ignored))?;
        fields.finish()
    }

    /// A draft of the instance's own making.
    ///
    /// # Errors
    /// `INVALID_BODY` when it breaks a limit.
    pub fn new(thread: &str, actor: &str, act: Act, body: Json) -> Result<Self, Refusal> {
        let mut fields = Fields { act: Some(act), ..Fields::default() };
        fields.thread = Some(check_thread(thread.to_owned())?);
        fields.actor = Some(check_actor(actor.to_owned())?);
        fields.body = Some(check_body(&body, 0)?);
        fields.parsed_body = Some(body);
        fields.finish()
    }

    /// The fields that are hashed beside the clock.
    #[must_use]
    pub fn hashed(&self) -> HashedFields<'_> {
        HashedFields {
            parents: &self.parents,
            thread: &self.thread,
            actor: &self.actor,
            act: self.act,
            body: &self.body,
            data_type: self.data_type,
        }
    }

    /// The id the draft has at a given clock.
    ///
    /// # Errors
    /// `INVALID_BODY`; never for a draft within its limits.
    pub fn id_at(&self, clock: u64) -> Result<RecordId, Refusal> {
        canonical_fields(&self.hashed(), clock)
            .map(|text| RecordId::of(&text))
            .map_err(|e| invalid(e.to_string()))
    }

    /// The accepted record.
    #[must_use]
    pub fn into_record(self, id: RecordId, clock: u64) -> Record {
        Record {
            id,
            parents: self.parents,
            thread: self.thread,
            actor: self.actor,
            act: self.act,
            body: self.body,
            clock,
            data_type: self.data_type,
            judged_by: self.judged_by,
        }
    }
}

/// The members of an envelope while it is read; each may come once.
#[derive(Default)]
struct Fields {
    parents: Option<Vec<RecordId>>,
    thread: Option<String>,
    actor: Option<String>,
    act: Option<Act>,
    body: Option<String>,
    parsed_body: Option<Json>,
    clock: Option<Option<u64>>,
    data_type: Option<DataType>,
    judged_by: Option<Option<RecordId>>,
    /// Names passed over, each of which may come once too.
    ignored: Vec<String>,
}

fn set<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), Refusal> {
    if slot.replace(value).is_some() { Err(invalid(format!("duplicate key {key:?}"))) } else { Ok(()) }
}

impl Fields {
    fn take(&mut self, parser: &mut Parser<'_>, key: &str, ignored: &[&str]) -> Result<(), Refusal> {
        match key {
            "body" => {
                let mut inner = parser.part(BODY_BOUNDS);
                let body = inner.value()?;
                let stood_in = inner.offset() - parser.offset();
                parser.resume(&inner);
                self.parsed_body = None;
                set(&mut self.body, key, check_body(&body, stood_in)?)?;
                self.parsed_body = Some(body);
                Ok(())
            }
            "parents" => {
                let parents = check_parents(&parser.value()?)?;
                set(&mut self.parents, key, parents)
            }
            "thread" => {
                let thread = check_thread(string(parser, key)?.into_owned())?;
                set(&mut self.thread, key, thread)
            }
            "actor" => {
                let actor = check_actor(string(parser, key)?.into_owned())?;
                set(&mut self.actor, key, actor)
            }
            "act" => {
                let name = string(parser, key)?;
                let act = Act::parse(&name)
                    .ok_or_else(|| unknown_name(key, &name, Act::ALL.iter().map(|a| a.as_str())))?;
                set(&mut self.act, key, act)
            }
            "data_type" => {
                let name = string(parser, key)?;
                let data_type = DataType::parse(&name)
                    .ok_or_else(|| unknown_name(key, &name, DataType::ALL.iter().map(|d| d.as_str())))?;
                set(&mut self.data_type, key, data_type)
            }
            "clock" => {
                let clock = check_clock(&parser.value()?)?;
                set(&mut self.clock, key, clock)
            }
            "judged_by" => {
                let judged_by = match parser.value()? {
                    Json::Null => None,
                    value => Some(record_id(&value).ok_or_else(|| {
                        invalid("`judged_by` must be a record id (64 lowercase hex digits) or null")
                    })?),
                };
                set(&mut self.judged_by, key, judged_by)
            }
            _ if ignored.contains(&key) => {
                parser.value()?;
                if self.ignored.iter().any(|seen| seen == key) {
                    return Err(invalid(format!("duplicate key {key:?}")));
                }
                self.ignored.push(key.to_owned());
                Ok(())
            }
            _ => Err(invalid(format!("unknown field {:?}", excerpt(key)))
                .hint(format!("a record has the fields {}", FIELDS.join(", ")))),
        }
    }

    fn finish(self) -> Result<Draft, Refusal> {
        let missing = |field: &str| invalid(format!("`{field}` is missing"));
        let act = self.act.ok_or_else(|| missing("act"))?;
        let body = self.body.ok_or_else(|| missing("body"))?;
        let facts = self.parsed_body.as_ref().map(|json| BodyFacts::of(act, json)).unwrap_or_default();
        Ok(Draft {
            parents: self.parents.unwrap_or_default(),
            thread: self.thread.ok_or_else(|| missing("thread"))?,
            actor: self.actor.ok_or_else(|| missing("actor"))?,
            act,
            body,
            clock: self.clock.flatten(),
            data_type: self.data_type.unwrap_or(DataType::Scalar),
            judged_by: self.judged_by.flatten(),
            facts,
        })
    }
}

fn string<'a>(parser: &mut Parser<'a>, key: &str) -> Result<Cow<'a, str>, Refusal> {
    parser.text()?.ok_or_else(|| invalid(format!("`{key}` must be a string")))
}

fn unknown_name<'a>(key: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Refusal {
    let known: Vec<_> = known.collect();
    invalid(format!("`{key}` {:?} is none of {}", excerpt(name), known.join(", ")))
}

fn record_id(value: &Json) -> Option<RecordId> {
    value.as_str().and_then(RecordId::parse)
}

fn check_parents(value: &Json) -> Result<Vec<RecordId>, Refusal> {
    let elements = value.as_array().ok_or_else(|| invalid("`parents` must be an array of record ids"))?;
    if elements.len() > limits::PARENTS_MAX {
        return Err(invalid(format!("`parents` has more than {} ids", limits::PARENTS_MAX)));
    }
    let mut parents = elements
        .iter()
        .map(|e| {
            record_id(e).ok_or_else(|| invalid("`parents` must hold record ids (64 lowercase hex digits)"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    parents.sort_unstable();
    if parents.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(invalid("`parents` names a record twice"));
    }
    Ok(parents)
}

/// Checks a record that somebody else encoded as if it had just been sent: names within their rules, parents
/// in order, the body canonical, and the id what the fields say. Gives the facts of its body.
///
/// # Errors
/// `INVALID_BODY` with the rule that is broken.
pub fn recheck(record: &Record) -> Result<BodyFacts, Refusal> {
    check_thread(record.thread.clone())?;
    check_actor(record.actor.clone())?;
    if record.parents.len() > limits::PARENTS_MAX || !record.parents.is_sorted_by(|a, b| a < b) {
        return Err(invalid("`parents` must be ascending, without duplicates, at most 64"));
    }
    let body = Json::parse(record.body.as_bytes(), BODY_BOUNDS)?;
    if check_body(&body, record.body.len())? != record.body {
        return Err(invalid("`body` must be a JSON object in canonical form"));
    }
    let id = record.canonical().map(|text| RecordId::of(&text)).map_err(|e| invalid(e.to_string()))?;
    if id != record.id || record.clock > limits::CLOCK_MAX {
        return Err(invalid("the id is not that of the fields"));
    }
    Ok(BodyFacts::of(record.act, &body))
}

/// Checks a thread name.
///
/// # Errors
/// `INVALID_BODY` with the rule.
pub fn check_thread(thread: String) -> Result<String, Refusal> {
    if thread.is_empty() || thread.len() > limits::THREAD_BYTES_MAX {
        return Err(invalid(format!("`thread` must be 1 to {} bytes long", limits::THREAD_BYTES_MAX)));
    }
    if thread.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(invalid("`thread` must not hold control characters or line separators"));
    }
    Ok(thread)
}

/// Checks an actor DID.
///
/// # Errors
/// `INVALID_BODY` with the rule.
pub fn check_actor(actor: String) -> Result<String, Refusal> {
    let well_formed = actor.len() <= limits::ACTOR_BYTES_MAX
        && actor.strip_prefix("did:").and_then(|rest| rest.split_once(':')).is_some_and(|(method, id)| {
            !method.is_empty()
                && method.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                && !id.is_empty()
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:%-".contains(&b))
        });
    if well_formed {
        Ok(actor)
    } else {
        Err(invalid("`actor` must be a DID such as did:sync:user:alice, at most 256 bytes of ASCII"))
    }
}

/// The canonical form of a body that stood in so many bytes.
fn check_body(body: &Json, stood_in: usize) -> Result<String, Refusal> {
    if body.as_object().is_none() {
        return Err(invalid("`body` must be a JSON object"));
    }
    // Mostly it is as long as what was sent, or shorter by the white space.
    let mut text = String::with_capacity(stood_in.min(limits::BODY_BYTES_MAX));
    Writer::after(&mut text, limits::BODY_BYTES_MAX)
        .value(body)
        .map_err(|e| invalid(format!("`body`: {e}")))?;
    if text.len() < text.capacity() / 2 {
        text.shrink_to_fit();
    }
    Ok(text)
}

fn check_clock(value: &Json) -> Result<Option<u64>, Refusal> {
    match value {
        Json::Null => Ok(None),
        value => value
            .as_i64()
            .and_then(|n| u64::try_from(n).ok())
            .map(Some)
            .ok_or_else(|| invalid("`clock` must be an integer from 0 to 9223372036854775807")),
    }
}

/// The namespace of a record: `body.namespace`, else `default`.
///
/// # Errors
/// `NAMESPACE_REJECTED` when it is malformed: 1 to 4 segments `[a-z0-9][a-z0-9_-]*` joined by `/`.
pub fn namespace(facts: &BodyFacts) -> Result<&str, Refusal> {
    let rejected = |message: &str| {
        Refusal::new(Code::NamespaceRejected, message.to_owned())
            .hint("a namespace is 1 to 4 segments of a-z, 0-9, '_' and '-' joined by '/', such as team/build")
    };
    let name = match &facts.namespace {
        None => return Ok("default"),
        Some(Err(NotAString)) => return Err(rejected("`body.namespace` must be a string")),
        Some(Ok(name)) => name,
    };
    if is_namespace(name) { Ok(name) } else { Err(rejected("`body.namespace` is malformed")) }
}

/// Whether a text can be a namespace.
#[must_use]
pub fn is_namespace(name: &str) -> bool {
    let segments: Vec<&str> = name.split('/').collect();
    name.len() <= limits::NAMESPACE_BYTES_MAX
        && segments.len() <= limits::NAMESPACE_SEGMENTS_MAX
        && segments.iter().all(|s| {
            s.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                && s.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
        })
}
