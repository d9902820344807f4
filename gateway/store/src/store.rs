//! The gateway's handle: the journal's writing side, the duplicate marks and the one writer.

use std::fs::{File, OpenOptions, TryLockError};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::connection::{Readers, connect, database_path, make_file};
use crate::error::{OpenError, StoreError};
use crate::health::{Health, Pulse, database_bytes, free_bytes, is_read_only};
use crate::journal::{Options, RowId, rebuild};
use crate::key::{RootKey, Vault};
use crate::marks::MarkBook;
use crate::migrate::migrate;
use crate::queue::Queue;
use crate::spare::{Spare, explain};
use crate::tables::{Tables, Writes};
use crate::undecoded::Room;
use crate::writer::Writer;

/// The store of a running gateway: [`Tables`], and what only the gateway may do. Cheap to clone; when the last clone
/// is dropped (or at [`Store::close`]) what waits is written and the writer ends.
#[derive(Clone)]
pub struct Store {
    tables: Tables,
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    book: Arc<MarkBook>,
    pulse: Arc<Pulse>,
    damaged: Vec<RowId>,
    room: Arc<Room>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held as long as this gateway runs, so that no second one does.
    lock: File,
}

impl Store {
    /// Opens the database for running, with the usual [`Options`]: makes it if there is none, raises the boot counter
    /// and rebuilds the duplicate marks.
    pub fn open(dir: &Path, root: RootKey) -> Result<Self, OpenError> {
        Self::open_with(dir, root, Options::default())
    }

    /// As [`Store::open`].
    pub fn open_with(dir: &Path, root: RootKey, options: Options) -> Result<Self, OpenError> {
        let limited = options.database_bytes_max.is_some();
        Self::open_here(dir, root, options).map_err(|error| explain(dir, free_bytes(dir), limited, error))
    }

    fn open_here(dir: &Path, root: RootKey, options: Options) -> Result<Self, OpenError> {
        let path = make_file(dir)?;
        let lock = lock(dir)?;
        let mut spare = Spare::look(dir, free_bytes(dir))?;
        let mut connection = connect(&path, 2_048)?;
        migrate(&mut connection, &path)?;
        limit(&connection, options.database_bytes_max)?;
        let vault = Arc::new(Vault::new(&root).map_err(StoreError::from)?);
        crate::meta::check_key(&mut connection, &vault)?;
        let boot = crate::meta::raise_boot(&mut connection)?;
        let book = Arc::new(MarkBook::default());
        book.load(&connection)?;
        let standing = rebuild(&connection, &vault, |entry| book.confirm(&entry.device, entry.epoch, entry.seq))?;
        let room = Room::load(&connection, options.undecoded_bytes_max, options.undecoded_bytes_of_device_max)?;
        let readers = Readers::open(&path)?;
        spare.keep(options.disk_reserve_bytes, || free_bytes(dir));
        let queue = Arc::new(Queue::new(options.queue_bytes_max.clamp(64 << 10, 1 << 30)));
        let pulse = Arc::new(Pulse::default());
        let quarantine_rows_max = options.quarantine_rows_max;
        let writer = Writer {
            connection,
            queue: Arc::clone(&queue),
            vault: Arc::clone(&vault),
            pulse: Arc::clone(&pulse),
            dir: dir.to_owned(),
            options,
            boot,
            last_row: standing.last_row,
            newest: standing.newest,
            spare,
        };
        let writer = writer.spawn().map_err(|cause| OpenError::File { path, cause })?;
        let tables =
            Tables::assemble(dir, readers, Writes::Writer(Arc::clone(&queue)), vault, boot, quarantine_rows_max);
        let (damaged, writer) = (standing.damaged, Mutex::new(Some(writer)));
        let inner = Inner { queue, book, pulse, damaged, room: Arc::new(room), writer, lock };
        Ok(Self { tables, inner: Arc::new(inner) })
    }

    /// As [`Store::open_with`], but makes no database: there must be one.
    pub fn attach_with(dir: &Path, root: RootKey, options: Options) -> Result<Self, OpenError> {
        if !database_path(dir).is_file() {
            return Err(OpenError::Missing(dir.to_owned()));
        }
        Self::open_with(dir, root, options)
    }

    /// The tables alone, for whoever has no business with the journal.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Journal rows that did not open when the store did. They are set aside in `journal_damaged`; their readings are
    /// lost to us, and whoever runs the box must hear of it.
    pub fn damaged_rows(&self) -> &[RowId] {
        &self.inner.damaged
    }

    /// How the store is doing.
    pub fn health(&self) -> Health {
        let pulse = &self.inner.pulse;
        let read_only = is_read_only(self.tables.dir()).then_some(StoreError::ReadOnly);
        let problem = read_only.or_else(|| pulse.problem());
        Health {
            writable: problem.is_none(),
            problem,
            free_bytes: free_bytes(self.tables.dir()),
            database_bytes: database_bytes(self.tables.dir()),
            queue_bytes: self.inner.queue.used_bytes() as u64,
            entries: pulse.entries.load(Ordering::Relaxed),
            commits: pulse.commits.load(Ordering::Relaxed),
            failures: pulse.failures.load(Ordering::Relaxed),
        }
    }

    /// From now on `watcher` is told of every journal row that became durable, and how long its transaction took, before
    /// those who wait for it are. It runs on the writer's thread and must not wait. There is one; false if there was one
    /// before, which stays.
    pub fn watch_commits(&self, watcher: impl Fn(Duration) + Send + Sync + 'static) -> bool {
        self.inner.pulse.watch.set(watcher)
    }

    /// Writes what waits, then ends the writer; everything after answers [`StoreError::Closed`]. Blocks for that long.
    pub fn close(&self) {
        self.inner.end();
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    pub(crate) fn book(&self) -> Arc<MarkBook> {
        Arc::clone(&self.inner.book)
    }

    /// What may still wait for its decoder.
    pub(crate) fn undecoded_room(&self) -> &Arc<Room> {
        &self.inner.room
    }

    pub(crate) fn book_ref(&self) -> &MarkBook {
        &self.inner.book
    }
}

impl Deref for Store {
    type Target = Tables;
    fn deref(&self) -> &Tables {
        &self.tables
    }
}

impl Inner {
    fn end(&self) {
        self.queue.close();
        if let Some(writer) = self.writer.lock().take() {
            // An error means it panicked; the queue has told everybody.
            drop(writer.join());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
        // Not left to the file's end: a child between its fork and its exec shares the file, and would hold the lock on.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the lock of the data folder could not be given back");
        }
    }
}

/// One gateway a database: the kernel releases the lock with the process, however it ends.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("run.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|cause| OpenError::File { path: path.clone(), cause })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(cause)) => Err(OpenError::File { path, cause }),
    }
}

fn limit(connection: &rusqlite::Connection, bytes_max: Option<u64>) -> Result<(), StoreError> {
    let Some(bytes_max) = bytes_max else { return Ok(()) };
    let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = i64::try_from(bytes_max).unwrap_or(i64::MAX) / page.max(512);
    connection.pragma_update(None, "max_page_count", pages.max(1))?;
    Ok(())
}
