//! Opening a log: first without touching it, then for writing.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
};

use redb::{
    Builder, Database, ReadableDatabase as _, StorageBackend, TableHandle as _, backends::FileBackend,
    backends::InMemoryBackend,
};

use super::{
    CACHE_BYTES, FORMAT_KEY, KNOWN_VERSION, Log, META, ROWS, Segments, SettledRows, Visible,
    error::{OpenError, StoreError, guarded},
    index::{Fresh, Index, Store},
    journal::{
        Journal,
        header::Header,
        journal_path,
        recovery::{Recovered, recover},
    },
    overlay::Overlay,
    pending::Pending,
    read::Reader,
    waiting::{WaitingFile, Waits},
};
use crate::commit::Head;

/// The first bytes of every redb file.
const REDB_MAGIC: [u8; 9] = [b'r', b'e', b'd', b'b', 0x1a, 0x0a, 0xa9, 0x0d, 0x0a];

/// Records read at once while the index catches up with the log.
const CATCH_UP_RECORDS: usize = 4096;

/// Where a log is.
#[derive(Debug)]
pub enum LogSource {
    /// A file, with its journal and its index in files beside it.
    File(PathBuf),
    /// Memory only.
    Memory,
    /// Backends of the caller's making, with the index in memory: the seam for fault injection.
    Backends(Backends),
}

/// See [`LogSource::Backends`].
#[derive(Debug)]
pub struct Backends {
    /// The log's file.
    pub log: Box<dyn StorageBackend>,
    /// The journal's.
    pub journal: Box<dyn StorageBackend>,
    /// How a new journal is divided, and how far this one may grow.
    pub segments: Segments,
}

/// Where the index of a log file lies.
#[must_use]
pub fn index_path(log: &Path) -> PathBuf {
    log.with_extension("index.redb")
}

impl Log {
    /// Opens a log, creating it if there is none, and brings its index up to date. `progress` hears (records
    /// done, records in all) while the index catches up.
    ///
    /// # Errors
    /// [`OpenError`]; an existing file is then left as it was.
    pub fn open(source: LogSource, progress: &mut dyn FnMut(u64, u64)) -> Result<Self, OpenError> {
        match source {
            LogSource::File(path) => open_file(path, progress),
            LogSource::Memory => {
                let db = empty()?;
                let (head, index) = read_all(&db, &Pending::default(), None, progress)?;
                Self::new(db, head, index, Pending::default(), None, Waits::default())
            }
            LogSource::Backends(Backends { log, journal, segments }) => {
                let db = create(Boxed(log))?;
                initialise(&db)?;
                let Recovered { header, pending } = guarded(|| recover(&db, journal.as_ref()))?;
                let (head, index) = read_all(&db, &pending, None, progress)?;
                let log = Self::new(db, head, index, pending, None, Waits::default())?;
                log.settle_all()?;
                log.begin_journal(journal, header, segments)
            }
        }
    }

    /// A log that is read already; without its journal yet.
    fn new(
        db: Database,
        head: Head,
        index: Index,
        pending: Pending,
        path: Option<PathBuf>,
        waits: Waits,
    ) -> Result<Self, OpenError> {
        let settled = pending.first().map_or(head.sequence, |first| first - 1);
        Ok(Self {
            settled_rows: RwLock::new(guarded(|| SettledRows::of(&db))?),
            db,
            index,
            waits,
            visible: RwLock::new(Visible { head, pending }),
            journal: Mutex::new(None),
            settling: Mutex::new(()),
            settled: AtomicU64::new(settled),
            failed: AtomicBool::new(false),
            path,
        })
    }

    /// Takes up the journal, of which nothing is in use any more: from here on appends go through it.
    fn begin_journal(
        mut self,
        file: Box<dyn StorageBackend>,
        header: Option<Header>,
        segments: Segments,
    ) -> Result<Self, OpenError> {
        let journal = Journal::begin(file, header, segments, &self.head())?;
        self.journal = Mutex::new(Some(journal));
        Ok(self)
    }
}

/// Opens a file for writing. All that could be refused is looked at before, over memory: opening alone changes
/// the file.
fn open_file(path: PathBuf, progress: &mut dyn FnMut(u64, u64)) -> Result<Log, OpenError> {
    let index_file = index_path(&path);
    // A journal may be left of a log that is gone: what it says is compared with an empty one.
    let looked_at = if path.exists() { inspect(&path)? } else { empty()? };
    let Recovered { header, pending } = read_journal(&looked_at, &path)?;
    let waits = Waits::default();
    let (head, index) = read_all(&looked_at, &pending, Some((&index_file, &waits)), progress)?;
    close(looked_at)?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
    let db = create(WaitingFile::new(file, &waits)?)?;
    initialise(&db)?;
    if Reader::new(&db, pending.clone())?.head()? != head {
        return Err(StoreError::Damaged("the log changed while it was opened".into()).into());
    }
    let journal = journal_path(&path);
    let log = Log::new(db, head, index, pending, Some(path), waits)?;
    log.settle_all()?;
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&journal)?;
    if let Some(parent) = journal.parent() {
        // A commit is acknowledged once it is in these files: so they must be found again.
        sync_directory(parent)?;
    }
    let file = FileBackend::new(file).map_err(StoreError::from)?;
    log.begin_journal(Box::new(file), header, Segments::default())
}

fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(File::open(path)?.sync_all()?)
}

/// Reads what the journal beside a log holds, if there is one.
pub(super) fn read_journal(db: &Database, log: &Path) -> Result<Recovered, OpenError> {
    let file = match File::open(journal_path(log)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Recovered::default()),
        Err(error) => return Err(error.into()),
    };
    let file = FileBackend::new(file).map_err(StoreError::from)?;
    guarded(|| recover(db, &file))
}

/// Reads where the log ends, and its index.
fn read_all(
    db: &Database,
    pending: &Pending,
    index_file: Option<(&Path, &Waits)>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Head, Index), OpenError> {
    guarded(|| {
        let reader = Reader::new(db, pending.clone())?;
        let head = reader.head()?;
        Ok((head, open_index(&reader, head, index_file, progress)?))
    })
}

/// A boxed backend as a backend.
#[derive(Debug)]
struct Boxed(Box<dyn StorageBackend>);

impl StorageBackend for Boxed {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
    fn close(&self) -> std::io::Result<()> {
        self.0.close()
    }
}

/// Closes a database that was only looked at; damage may show even now.
fn close(db: Database) -> Result<(), OpenError> {
    guarded(|| {
        drop(db);
        Ok(())
    })
}

/// A log in memory that holds nothing.
fn empty() -> Result<Database, OpenError> {
    let db = create(InMemoryBackend::new())?;
    initialise(&db)?;
    Ok(db)
}

fn create(backend: impl StorageBackend) -> Result<Database, OpenError> {
    guarded(|| {
        Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)
            .map_err(|e| StoreError::from(e).into())
    })
}

/// Looks at an existing file without changing it: is it a log, of this version, and is its end sound? Gives
/// the log as it is, over memory; an empty one where it is yet to be begun.
pub(super) fn inspect(path: &Path) -> Result<Database, OpenError> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return empty();
    }
    let mut magic = [0; REDB_MAGIC.len()];
    if file.read_exact(&mut magic).is_err() || magic != REDB_MAGIC {
        return Err(OpenError::Foreign);
    }
    let db = create(Overlay::new(file)?)?;
    let begun = guarded::<_, OpenError>(|| {
        let begun = check_format(&db)?;
        if begun {
            Reader::new(&db, Pending::default())?.check_end()?;
        }
        Ok(begun)
    })?;
    if begun {
        return Ok(db);
    }
    close(db)?;
    empty()
}

/// Whether the database holds a log already. An empty one is a log whose creation was cut short.
fn check_format(db: &Database) -> Result<bool, OpenError> {
    let txn = db.begin_read().map_err(StoreError::from)?;
    let mut tables = txn.list_tables().map_err(StoreError::from)?;
    if !tables.any(|t| t.name() == META.name()) {
        let empty = txn.list_tables().map_err(StoreError::from)?.next().is_none();
        return if empty { Ok(false) } else { Err(OpenError::Foreign) };
    }
    let meta = txn.open_table(META).map_err(StoreError::from)?;
    match meta.get(FORMAT_KEY).map_err(StoreError::from)?.map(|v| v.value()) {
        Some(KNOWN_VERSION) => Ok(true),
        Some(found) => Err(OpenError::Version { found, known: KNOWN_VERSION }),
        None => Err(OpenError::Foreign),
    }
}

fn initialise(db: &Database) -> Result<(), OpenError> {
    if check_format(db)? {
        return Ok(());
    }
    let txn = db.begin_write().map_err(StoreError::from)?;
    txn.open_table(META)
        .map_err(StoreError::from)?
        .insert(FORMAT_KEY, KNOWN_VERSION)
        .map_err(StoreError::from)?;
    txn.open_table(ROWS).map_err(StoreError::from)?;
    txn.commit().map_err(StoreError::from)?;
    Ok(())
}

/// Opens the index, builds it anew where it does not belong to this log, and catches up.
fn open_index(
    reader: &Reader,
    head: Head,
    file: Option<(&Path, &Waits)>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Index, OpenError> {
    let opened = match file {
        Some((path, waits)) => usable(open_index_file(path, waits))?.filter(|(_, reached)| match reached {
            None => true,
            Some(r) => reader.commit_of(r.sequence).is_ok_and(|c| c.is_some_and(|c| c.chain == r.chain)),
        }),
        None => Store::open(create(InMemoryBackend::new())?)?,
    };
    let (store, reached) = match (opened, file) {
        (Some((store, reached)), _) => (store, reached.map_or(0, |r| r.sequence)),
        (None, Some((path, waits))) => {
            // Of another log, another version, or damaged: all of it is derived, so begin again.
            if path.exists() {
                std::fs::remove_file(path)?;
            }
            match open_index_file(path, waits)? {
                Some((store, _)) => (store, 0),
                None => return Err(StoreError::Damaged("the index cannot be created".into()).into()),
            }
        }
        (None, None) => return Err(StoreError::Damaged("the index cannot be created".into()).into()),
    };
    let index = Index::new(store, reached);
    let mut at = reached;
    while at < head.sequence {
        let records = reader.after(at, CATCH_UP_RECORDS)?;
        let Some(last) = records.last().map(|r| r.sequence) else { break };
        let mut entries = Vec::with_capacity(records.len());
        let mut commit = None;
        for stored in records {
            let known = commit.filter(|c: &super::CommitInfo| stored.sequence <= c.last_sequence);
            let info = match known {
                Some(info) => info,
                None => reader.commit_of(stored.sequence)?.ok_or_else(|| {
                    StoreError::Damaged(format!("record {} has no commit", stored.sequence))
                })?,
            };
            commit = Some(info);
            entries.push(Fresh::read(stored, info.chain)?);
        }
        index.push(entries);
        at = last;
        progress(at - reached, head.sequence - reached);
        if index.behind() >= super::FLUSH_RECORDS {
            index.flush()?;
        }
    }
    Ok(index)
}

/// An index that cannot be used is no index; one that another process has open must not be thrown away.
fn usable(opened: Result<OpenedStore, OpenError>) -> Result<OpenedStore, OpenError> {
    match opened {
        Err(OpenError::Store(StoreError::Engine(error)))
            if matches!(*error, redb::Error::DatabaseAlreadyOpen) =>
        {
            Err(StoreError::Engine(error).into())
        }
        opened => Ok(opened.unwrap_or_default()),
    }
}

type OpenedStore = Option<(Store, Option<super::index::Reached>)>;

fn open_index_file(path: &Path, waits: &Waits) -> Result<OpenedStore, OpenError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    Ok(Store::open(create(WaitingFile::new(file, waits)?)?)?)
}
