//! From record bodies to a closed enum of events: the only place that matches on kinds.
//!
//! Decoding is strict: a reserved record that this build does not understand in full was written by a newer
//! one, and the log is refused at open rather than half understood.

use spl_kernel::{
    json::{Bounds, Json, Object},
    limits,
    record::{Origin, StoredRecord},
};

use crate::identity;

/// Something that changes state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The instance was named.
    IdentityCreated(identity::Created),
}

/// A reserved record that this build does not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a reserved record is of a newer format ({0}); use the spl that wrote it, or a newer one")]
pub struct FormatError(pub String);

impl Event {
    /// The event that a record is, if any. Only what the instance itself decided has power over state:
    /// nothing becomes an event because of what its thread is called.
    ///
    /// # Errors
    /// When the instance wrote a record that this build does not know.
    pub fn decode(stored: &StoredRecord) -> Result<Option<Self>, FormatError> {
        if stored.provenance.origin != Origin::Command {
            return Ok(None);
        }
        let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
        let newer = |what: &str| FormatError(format!("{what} at record {}", stored.sequence));
        let body = Json::parse(stored.record.body.as_bytes(), bounds).map_err(|_| newer("body"))?;
        let object = body.as_object().ok_or_else(|| newer("body"))?;
        match (stored.record.thread.as_str(), object.str("kind")) {
            (identity::THREAD, Some(identity::CREATED_KIND)) => {
                identity::decode(object).map(Self::IdentityCreated).map(Some)
            }
            (_, kind) => Err(newer(kind.unwrap_or("no kind"))),
        }
    }
}

/// The members of a reserved body, none unknown.
pub(crate) struct Members<'a>(&'a Object);

impl<'a> Members<'a> {
    pub(crate) fn new(body: &'a Object, known: &[&str]) -> Result<Self, FormatError> {
        match body.iter().find(|(key, _)| !known.contains(key)) {
            Some((key, _)) => Err(FormatError(format!("member {key:?}"))),
            None => Ok(Self(body)),
        }
    }

    pub(crate) fn str(&self, key: &str) -> Result<&'a str, FormatError> {
        self.0.str(key).ok_or_else(|| FormatError(format!("member {key:?} is missing")))
    }
}
