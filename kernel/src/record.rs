//! Records: the only thing ever written.

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};

use crate::{
    canonical::{TooLong, Writer},
    id::RecordId,
    time::UnixMillis,
};

macro_rules! closed_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// All values, in the order of their encoding.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of a name, exactly as written.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

closed_enum! {
    /// What a record does. Encoded by position: only ever append.
    Act {
        /// States a goal; opens a thread.
        Intend = "INTEND",
        /// An action performed.
        Do = "DO",
        /// An observation, judgement or verdict.
        Know = "KNOW",
        /// An insight, decision or configuration.
        Learn = "LEARN",
        /// Retrieves something.
        Get = "GET",
        /// Stores something.
        Put = "PUT",
        /// Invokes a tool or service.
        Call = "CALL",
        /// Transforms something.
        Map = "MAP",
    }
}

closed_enum! {
    /// The shape of a record's value. Encoded by position: only ever append.
    DataType {
        /// A single value; the default.
        Scalar = "SCALAR",
        /// A formula.
        Formula = "FORMULA",
        /// A distribution.
        Distribution = "DISTRIBUTION",
        /// A pointer to something outside.
        Reference = "REFERENCE",
        /// A transformation.
        Morphism = "MORPHISM",
        /// No value.
        Void = "VOID",
    }
}

closed_enum! {
    /// How a record came here. Encoded by position: only ever append.
    Origin {
        /// The instance's own decision. Only these have power over state.
        Command = "command",
        /// Written by a caller through the records API.
        Posted = "posted",
        /// Brought in from a file.
        Import = "import",
        /// Received from another instance.
        Peer = "peer",
    }
}

/// A record: eight fields of which seven are hashed, and the id that follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// SHA-256 of the canonical form.
    pub id: RecordId,
    /// Ids of earlier records this one builds on, ascending, without duplicates. They need not exist here.
    pub parents: Vec<RecordId>,
    /// The thread's name.
    pub thread: String,
    /// The actor's DID.
    pub actor: String,
    /// What it does.
    pub act: Act,
    /// The body, a JSON object in canonical form.
    pub body: String,
    /// Logical clock, unique per thread and actor; 0 to 2^63 - 1.
    pub clock: u64,
    /// The shape of its value.
    pub data_type: DataType,
    /// The record whose judgement this one reflects. Not hashed.
    pub judged_by: Option<RecordId>,
}

impl Record {
    /// The canonical JSON of the seven hashed fields, from the fields themselves.
    ///
    /// # Errors
    /// Never for a record within its limits.
    pub fn canonical(&self) -> Result<String, TooLong> {
        canonical_fields(
            &HashedFields {
                parents: &self.parents,
                thread: &self.thread,
                actor: &self.actor,
                act: self.act,
                body: &self.body,
                data_type: self.data_type,
            },
            self.clock,
        )
    }
}

/// The hashed fields but the clock, which may be assigned late. Parents are ids, or their bytes where a record is
/// read in place.
#[derive(Debug, Clone, Copy)]
pub struct HashedFields<'a, P = RecordId> {
    /// See [`Record::parents`].
    pub parents: &'a [P],
    /// See [`Record::thread`].
    pub thread: &'a str,
    /// See [`Record::actor`].
    pub actor: &'a str,
    /// See [`Record::act`].
    pub act: Act,
    /// See [`Record::body`].
    pub body: &'a str,
    /// See [`Record::data_type`].
    pub data_type: DataType,
}

/// The canonical JSON whose SHA-256 is the record's id. Keys in code point order.
///
/// # Errors
/// When the fields are far over their limits.
pub fn canonical_fields(fields: &HashedFields<'_>, clock: u64) -> Result<String, TooLong> {
    let names = fields.thread.len() + fields.actor.len();
    let mut out = String::with_capacity(fields.body.len() + names + 67 * fields.parents.len() + SHELL_BYTES);
    write_canonical(&mut out, fields, clock)?;
    Ok(out)
}

/// What a canonical form has beside its texts and its parents, at most.
const SHELL_BYTES: usize = 128;

/// Appends the same. Needs no memory but `out`'s.
///
/// # Errors
/// As above; what was written until then stays.
pub fn write_canonical<P: Borrow<[u8; 32]>>(
    out: &mut String,
    fields: &HashedFields<'_, P>,
    clock: u64,
) -> Result<(), TooLong> {
    // Escaping can make names six times as long; the rest is small.
    let limit_bytes = fields.body.len() + 6 * (fields.thread.len() + fields.actor.len()) + 16 * 1024;
    let mut out = Writer::after(out, limit_bytes);
    out.raw("{\"act\":\"")?;
    out.raw(fields.act.as_str())?;
    out.raw("\",\"actor\":")?;
    out.string(fields.actor)?;
    out.raw(",\"body\":")?;
    out.raw(fields.body)?;
    out.raw(",\"clock\":")?;
    out.unsigned(clock)?;
    out.raw(",\"data_type\":\"")?;
    out.raw(fields.data_type.as_str())?;
    out.raw("\",\"parents\":[")?;
    for (i, parent) in fields.parents.iter().enumerate() {
        out.raw(if i > 0 { ",\"" } else { "\"" })?;
        out.hex(parent.borrow())?;
        out.raw("\"")?;
    }
    out.raw("],\"thread\":")?;
    out.string(fields.thread)?;
    out.raw("}")
}

/// Who wrote a record and how: not hashed, but under the commit's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// How it came here.
    pub origin: Origin,
    /// The caller's service account; absent for the instance, anonymous callers and local proof.
    pub service_account_id: Option<String>,
    /// The caller's token id; absent as above.
    pub token_id: Option<[u8; 32]>,
    /// Whether the writer could read the thread's opening record: only then does the record change the
    /// thread's status.
    pub sees_opening: bool,
    /// Room for the author's signature.
    pub signature: Option<Signature>,
}

impl Provenance {
    /// A record of the instance itself, or of a caller without a credential.
    #[must_use]
    pub fn without_credential(origin: Origin) -> Self {
        Self { origin, service_account_id: None, token_id: None, sees_opening: true, signature: None }
    }
}

/// A signature over a record's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Raw Ed25519 signature.
    pub bytes: [u8; 64],
    /// Which key made it.
    pub key_id: String,
}

/// A record as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Position in the log, from 1, without gaps.
    pub sequence: u64,
    /// When its commit was decided; never goes back along the log.
    pub committed_at: UnixMillis,
    /// The record.
    pub record: Record,
    /// Who wrote it and how.
    pub provenance: Provenance,
}
