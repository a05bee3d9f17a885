//! Opening a log: first without touching it, then for writing.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, ReadableDatabase as _, StorageBackend, TableHandle as _, backends::FileBackend,
    backends::InMemoryBackend,
};

use super::{
    CACHE_BYTES, FORMAT_KEY, KNOWN_VERSION, Log, META, ROWS,
    error::{OpenError, StoreError, guarded},
    index::{Index, Store, TailEntry},
    overlay::Overlay,
    read::Reader,
};
use crate::commit::Head;

/// The first bytes of every redb file.
const REDB_MAGIC: [u8; 9] = [b'r', b'e', b'd', b'b', 0x1a, 0x0a, 0xa9, 0x0d, 0x0a];

/// Records read at once while the index catches up with the log.
const CATCH_UP_RECORDS: usize = 4096;

/// Where a log is.
#[derive(Debug)]
pub enum LogSource {
    /// A file, with the index in a second file beside it.
    File(PathBuf),
    /// A file that must not change: what would be written stays in memory. For offline reading.
    ReadOnly(PathBuf),
    /// Memory only.
    Memory,
    /// A backend of the caller's making, with the index in memory: the seam for fault injection.
    Backend(Box<dyn StorageBackend>),
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
        let (db, path) = match source {
            LogSource::File(path) => return open_file(path, progress),
            LogSource::ReadOnly(path) => {
                let inspected = inspect(&path)?;
                close(inspected)?;
                (create(Overlay::new(File::open(&path)?)?)?, Some(path))
            }
            LogSource::Memory => (create(InMemoryBackend::new())?, None),
            LogSource::Backend(backend) => (create(Boxed(backend))?, None),
        };
        initialise(&db)?;
        let (head, index) = read_all(&db, None, progress)?;
        Ok(Self { db, index, head: std::sync::RwLock::new(head), path })
    }
}

/// Opens a file for writing. All that could be refused is looked at before, over memory: opening alone changes
/// the file.
fn open_file(path: PathBuf, progress: &mut dyn FnMut(u64, u64)) -> Result<Log, OpenError> {
    let index_file = index_path(&path);
    let checked = if path.exists() { inspect(&path)? } else { None };
    let checked = match checked {
        Some(db) => {
            let read = read_all(&db, Some(&index_file), progress)?;
            close(Some(db))?;
            Some(read)
        }
        None => None,
    };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
    let db = create(FileBackend::new(file).map_err(StoreError::from)?)?;
    initialise(&db)?;
    let (head, index) = match checked {
        Some(checked) => checked,
        None => read_all(&db, Some(&index_file), progress)?,
    };
    if Reader::new(&db)?.head()? != head {
        return Err(StoreError::Damaged("the log changed while it was opened".into()).into());
    }
    Ok(Log { db, index, head: std::sync::RwLock::new(head), path: Some(path) })
}

/// Reads where the log ends, and its index.
fn read_all(
    db: &Database,
    index_file: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Head, Index), OpenError> {
    guarded(|| {
        let reader = Reader::new(db)?;
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
fn close(db: Option<Database>) -> Result<(), OpenError> {
    guarded(|| {
        drop(db);
        Ok(())
    })
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
/// the log as it is over memory; `None` when it is yet to be begun.
fn inspect(path: &Path) -> Result<Option<Database>, OpenError> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    let mut magic = [0; REDB_MAGIC.len()];
    if file.read_exact(&mut magic).is_err() || magic != REDB_MAGIC {
        return Err(OpenError::Foreign);
    }
    let db = create(Overlay::new(file)?)?;
    let begun = guarded::<_, OpenError>(|| {
        let begun = check_format(&db)?;
        if begun {
            Reader::new(&db)?.check_end()?;
        }
        Ok(begun)
    })?;
    Ok(begun.then_some(db))
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
    path: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Index, OpenError> {
    let opened = match path {
        Some(path) => usable(open_index_file(path))?.filter(|(_, reached)| match reached {
            None => true,
            Some(r) => reader.commit_of(r.sequence).is_ok_and(|c| c.is_some_and(|c| c.chain == r.chain)),
        }),
        None => Store::open(create(InMemoryBackend::new())?)?,
    };
    let (store, reached) = match (opened, path) {
        (Some((store, reached)), _) => (store, reached.map_or(0, |r| r.sequence)),
        (None, Some(path)) => {
            // Of another log, another version, or damaged: all of it is derived, so begin again.
            if path.exists() {
                std::fs::remove_file(path)?;
            }
            match open_index_file(path)? {
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
        for stored in &records {
            let known = commit.filter(|c: &super::CommitInfo| stored.sequence <= c.last_sequence);
            let info = match known {
                Some(info) => info,
                None => reader.commit_of(stored.sequence)?.ok_or_else(|| {
                    StoreError::Damaged(format!("record {} has no commit", stored.sequence))
                })?,
            };
            commit = Some(info);
            entries.push(TailEntry::read(stored, info.chain)?);
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

fn open_index_file(path: &Path) -> Result<OpenedStore, OpenError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let db = create(FileBackend::new(file).map_err(StoreError::from)?)?;
    Ok(Store::open(db)?)
}
