//! The journal: where a commit is made durable, in front of the redb file.
//!
//! A redb transaction costs two syncs, and a plain file that is written in place costs one. So
//! [`Log::append`](super::Log::append) encodes its group of commits into the rows that redb will hold, writes
//! them as one *frame* into this file, syncs it once, and answers. [`Log::settle`](super::Log::settle) moves the
//! rows into redb behind it, many frames in one transaction. Until then readers find them in memory
//! ([`Pending`](super::pending::Pending)), and after a crash the next open finds them here.
//!
//! # The file
//!
//! `<name>.journal` beside `<name>.redb`: two header blocks, then *segments* of one size. Everything is in blocks of
//! 4096 bytes, integers are little-endian.
//!
//! - *Header* ([`header`]): magic, format version, the size of a segment, and the *mark*: a (sequence, chain) that redb
//!   has durably passed. The two blocks are written in turn, so one of them is always whole. The mark moves when a
//!   log is opened after a crash, and when it is closed; the file is then as short as at first.
//! - *Segments*: preallocated and filled with zeros, so that a sync has no metadata to write. Two at first; while
//!   none is free the file grows by one, up to a bound, and beyond that an append settles itself. A segment is free
//!   when redb has durably passed the last sequence in it; a free one is written from its beginning again.
//! - *Frame* ([`frame`]): one group of commits, in whole blocks inside one segment. It names its first and last
//!   sequence, the chain before it, the chain and time after it, and a BLAKE3 checksum of all of it. Each block begins
//!   with a tag that says whether a frame begins in it: no byte of a record can lie where a frame could begin.
//!
//! A group that is too long for a segment does not go through the journal: everything before it is settled, and it is
//! written into redb in a transaction of its own. So is the first group of a log: before it all chains are alike, and the
//! frames of one log would follow the empty file of any other.
//!
//! # Why nothing is lost
//!
//! A frame is written only after the one before it was synced, and after an error nothing more is written. So of all
//! frames only the last can be torn, and it was not acknowledged. A frame is overwritten only after redb has it.
//!
//! # Opening
//!
//! ([`recovery`].) The frames of all segments that are whole and end after redb's head are put in order. Each must
//! follow: its first sequence is the next one, its stated chain before is the chain there, and the chain recomputed
//! over its commits is the one it states. They are then settled as if they had just been appended, which can be cut
//! off and repeated. A frame that is not whole and comes last is the torn one; it is ignored, as are frames that redb has.
//!
//! The log is refused, and both files stay as they were, where acknowledged commits would be lost without a word:
//!
//! - the mark, or a whole frame after a gap, says that redb was further than it is: an older `log.redb` was put back, or
//!   a frame in the middle is damaged;
//! - the mark, or a frame that redb should have, is not in the log's history, or a frame follows by its sequence but not by its chain: the journal is
//!   another log's;
//! - no header is readable although there is something in the segments, or the version is unknown.
//!
//! What cannot be told from a torn frame is a damaged one that comes last, and what cannot be told from a log that never
//! had a journal is one whose journal was taken away. Whoever keeps the head elsewhere (a server's `keys/head`) notices.
//! A file that is all zeros after its header was never written to, and is begun anew.

pub(super) mod frame;
pub(super) mod header;
pub(super) mod recovery;

use std::{
    io,
    path::{Path, PathBuf},
};

use redb::StorageBackend;

use self::header::{Header, SEGMENTS_START};
use super::pending::Rows;
use crate::commit::Head;

/// Everything in the file is aligned to this, in bytes.
const BLOCK_BYTES: usize = 4096;

/// How the journal's file is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    /// Length of one, in bytes; a multiple of 4096.
    pub bytes: usize,
    /// How many there may be before an append waits for one to become free; at least 2.
    pub most: usize,
}

/// How many segments a new journal has.
const SEGMENTS_AT_FIRST: usize = 2;

impl Default for Segments {
    fn default() -> Self {
        Self { bytes: 2 * 1024 * 1024, most: 8 }
    }
}

/// Where the journal of a log file lies.
#[must_use]
pub fn journal_path(log: &Path) -> PathBuf {
    log.with_extension("journal")
}

/// An open journal: what the writer needs to place and write frames.
#[derive(Debug)]
pub(super) struct Journal {
    file: Box<dyn StorageBackend>,
    header: Header,
    most: usize,
    /// Of each segment, the last sequence in it; 0 where nothing is.
    last: Vec<u64>,
    /// The segment that is written to, and how far.
    current: usize,
    used: usize,
    /// The frame that is being made; kept for its memory.
    buffer: Vec<u8>,
}

/// A place for a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    segment: usize,
    start: usize,
}

impl Journal {
    /// Makes a file a journal of which nothing is in use: as `found` it, or new where it found none. `head` is what
    /// redb has.
    pub(super) fn begin(
        file: Box<dyn StorageBackend>,
        found: Option<Header>,
        segments: Segments,
        head: &Head,
    ) -> io::Result<Self> {
        let mut journal = Self {
            file,
            header: found.unwrap_or_else(|| Header::new(segments.bytes)),
            most: segments.most.max(SEGMENTS_AT_FIRST),
            last: Vec::new(),
            current: 0,
            used: 0,
            buffer: Vec::new(),
        };
        if found.is_none() {
            // Whatever part of a header is there must not be taken for one.
            journal.file.set_len(0)?;
            journal.file.set_len(SEGMENTS_START)?;
        }
        let segment_bytes = journal.header.segment_bytes as u64;
        let there = journal.file.len()?.saturating_sub(SEGMENTS_START) / segment_bytes;
        journal.last = vec![0; usize::try_from(there).unwrap_or_default()];
        while journal.last.len() < SEGMENTS_AT_FIRST {
            journal.grow()?;
        }
        if found.is_none() {
            journal.header.mark(journal.file.as_ref(), head)?;
        }
        journal.rest(head)?;
        Ok(journal)
    }

    /// The longest frame, in bytes.
    pub(super) fn frame_bytes_max(&self) -> usize {
        self.header.segment_bytes
    }

    /// A place for a frame of `bytes`, where redb has everything through `settled`.
    pub(super) fn place(&self, bytes: usize, settled: u64) -> Option<Place> {
        let fits = self.used + bytes <= self.header.segment_bytes;
        if fits {
            return Some(Place { segment: self.current, start: self.used });
        }
        let free = self.last.iter().position(|last| *last <= settled)?;
        Some(Place { segment: free, start: 0 })
    }

    /// Whether there may be one more segment.
    pub(super) fn may_grow(&self) -> bool {
        self.last.len() < self.most
    }

    /// Leaves it at the segments there are.
    pub(super) fn stop_growing(&mut self) {
        self.most = self.last.len();
    }

    /// Adds a segment.
    pub(super) fn grow(&mut self) -> io::Result<()> {
        let start = self.offset(self.last.len(), 0);
        let bytes = self.header.segment_bytes;
        self.file.set_len(start + bytes as u64)?;
        self.file.write(start, &vec![0; bytes])?;
        self.file.sync_data()?;
        self.last.push(0);
        Ok(())
    }

    /// Writes a group's rows and syncs them.
    pub(super) fn write(&mut self, place: Place, rows: &Rows) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        frame::encode(rows, &mut buffer);
        let written = self.file.write(self.offset(place.segment, place.start), &buffer);
        let used = buffer.len();
        self.buffer = buffer;
        written?;
        self.file.sync_data()?;
        self.current = place.segment;
        self.used = place.start + used;
        if let Some(last) = self.last.get_mut(place.segment) {
            *last = rows.after.sequence;
        }
        Ok(())
    }

    /// Notes that redb has everything through `head`, which is the end, and gives back what the file has grown by.
    pub(super) fn rest(&mut self, head: &Head) -> io::Result<()> {
        if !self.header.is_marked(head) {
            self.header.mark(self.file.as_ref(), head)?;
        }
        if self.last.len() > SEGMENTS_AT_FIRST {
            self.file.set_len(self.offset(SEGMENTS_AT_FIRST, 0))?;
        }
        self.last = vec![0; SEGMENTS_AT_FIRST];
        (self.current, self.used) = (0, 0);
        Ok(())
    }

    fn offset(&self, segment: usize, start: usize) -> u64 {
        SEGMENTS_START + segment as u64 * self.header.segment_bytes as u64 + start as u64
    }
}
