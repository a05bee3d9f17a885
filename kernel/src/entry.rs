//! One record of a commit as it is encoded, read where it lies: a walk over the log looks at most records without
//! keeping anything of them.
//!
//! The encoding is postcard's, which `commit::encode_entry` writes.

use crate::{
    canonical::TooLong,
    commit::DecodeError,
    encoded::Input,
    id::RecordId,
    limits,
    record::{
        Act, DataType, HashedFields, Origin, Provenance, Record, Signature, StoredRecord, write_canonical,
    },
    time::UnixMillis,
};

/// A record with its provenance, borrowed from its encoded bytes. Within the limits of a record; its id is as
/// stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRef<'a> {
    id: RecordId,
    parents: &'a [[u8; 32]],
    thread: &'a str,
    actor: &'a str,
    act: Act,
    body: &'a str,
    clock: u64,
    data_type: DataType,
    judged_by: Option<RecordId>,
    origin: Origin,
    service_account_id: Option<&'a str>,
    token_id: Option<[u8; 32]>,
    sees_opening: bool,
    signature: Option<(&'a [u8; 64], &'a str)>,
}

impl<'a> EntryRef<'a> {
    /// Decodes one record, strictly: within limits, nothing left over. The id is taken as stored; verification
    /// recomputes it.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let malformed = DecodeError::Malformed;
        let mut input = Input::new(bytes);
        let wire = Wire::read(&mut input).ok_or(malformed("record encoding"))?;
        if !input.is_empty() {
            return Err(malformed("bytes after a record"));
        }
        let Wire { entry, signature } = wire;
        if entry.parents.len() > limits::PARENTS_MAX
            || entry.thread.len() > limits::THREAD_BYTES_MAX
            || entry.actor.len() > limits::ACTOR_BYTES_MAX
            || entry.body.len() > limits::BODY_BYTES_MAX
            || entry.clock > limits::CLOCK_MAX
            || entry.service_account_id.is_some_and(|id| id.len() > limits::SERVICE_ACCOUNT_ID_BYTES_MAX)
        {
            return Err(malformed("a field of a record is over its limit"));
        }
        let signature = match signature {
            None => None,
            Some((bytes, key_id)) => {
                Some((bytes.try_into().map_err(|_| malformed("signature length"))?, key_id))
            }
        };
        Ok(Self { signature, ..entry })
    }

    /// See [`Record::id`]: as stored.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// See [`Record::thread`].
    #[must_use]
    pub fn thread(&self) -> &'a str {
        self.thread
    }

    /// See [`Record::parents`], each in raw bytes.
    #[must_use]
    pub fn parents(&self) -> &'a [[u8; 32]] {
        self.parents
    }

    /// See [`Record::actor`].
    #[must_use]
    pub fn actor(&self) -> &'a str {
        self.actor
    }

    /// See [`Record::act`].
    #[must_use]
    pub fn act(&self) -> Act {
        self.act
    }

    /// See [`Record::body`].
    #[must_use]
    pub fn body(&self) -> &'a str {
        self.body
    }

    /// See [`Record::clock`].
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// See [`Record::data_type`].
    #[must_use]
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// See [`Record::judged_by`].
    #[must_use]
    pub fn judged_by(&self) -> Option<RecordId> {
        self.judged_by
    }

    /// See [`Provenance::origin`].
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// See [`Provenance::service_account_id`].
    #[must_use]
    pub fn service_account_id(&self) -> Option<&'a str> {
        self.service_account_id
    }

    /// See [`Provenance::token_id`].
    #[must_use]
    pub fn token_id(&self) -> Option<[u8; 32]> {
        self.token_id
    }

    /// Appends the text whose SHA-256 is the record's id.
    ///
    /// # Errors
    /// Never for a record within its limits.
    pub fn write_canonical(&self, out: &mut String) -> Result<(), TooLong> {
        let fields = HashedFields {
            parents: self.parents,
            thread: self.thread,
            actor: self.actor,
            act: self.act,
            body: self.body,
            data_type: self.data_type,
        };
        write_canonical(out, &fields, self.clock)
    }

    /// A copy that stands for itself.
    #[must_use]
    pub fn to_owned(&self) -> (Record, Provenance) {
        let record = Record {
            id: self.id,
            parents: self.parents.iter().copied().map(RecordId::from_bytes).collect(),
            thread: self.thread.to_owned(),
            actor: self.actor.to_owned(),
            act: self.act,
            body: self.body.to_owned(),
            clock: self.clock,
            data_type: self.data_type,
            judged_by: self.judged_by,
        };
        let provenance = Provenance {
            origin: self.origin,
            service_account_id: self.service_account_id.map(str::to_owned),
            token_id: self.token_id,
            sees_opening: self.sees_opening,
            signature: self
                .signature
                .map(|(bytes, key_id)| Signature { bytes: *bytes, key_id: key_id.to_owned() }),
        };
        (record, provenance)
    }

    /// The same with its place in the log.
    #[must_use]
    pub fn to_stored(&self, sequence: u64, committed_at: UnixMillis) -> StoredRecord {
        let (record, provenance) = self.to_owned();
        StoredRecord { sequence, committed_at, record, provenance }
    }
}

/// What the encoding says; limits are not yet looked at.
struct Wire<'a> {
    entry: EntryRef<'a>,
    signature: Option<(&'a [u8], &'a str)>,
}

impl<'a> Wire<'a> {
    /// The fields in the order in which they are written.
    fn read(input: &mut Input<'a>) -> Option<Self> {
        let entry = EntryRef {
            id: RecordId::from_bytes(*input.array()?),
            parents: input.arrays()?,
            thread: input.text()?,
            actor: input.text()?,
            act: *Act::ALL.get(input.variant()?)?,
            body: input.text()?,
            clock: input.number()?,
            data_type: *DataType::ALL.get(input.variant()?)?,
            judged_by: input.optional(|i| i.array().copied())?.map(RecordId::from_bytes),
            origin: *Origin::ALL.get(input.variant()?)?,
            service_account_id: input.optional(Input::text)?,
            token_id: input.optional(|i| i.array().copied())?,
            sees_opening: input.flag()?,
            signature: None,
        };
        let signature = input.optional(|i| Some((i.bytes()?, i.text()?)))?;
        Some(Self { entry, signature })
    }
}
