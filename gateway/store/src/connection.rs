//! Connections and the promises they are opened with.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OpenFlags};

use crate::error::{OpenError, StoreError};

/// How long to wait for another process' transaction.
pub(crate) const BUSY_WAIT: Duration = Duration::from_secs(5);
const READERS: usize = 3;

/// The database file in its folder.
pub(crate) fn database_path(dir: &Path) -> PathBuf {
    dir.join("pitchside.db")
}

/// Makes the folder (only for us) and an empty database file (only for us), if they are not there, and makes their
/// names durable: SQLite syncs the names of its log, not that of the database itself.
pub(crate) fn make_file(dir: &Path) -> Result<PathBuf, OpenError> {
    let path = database_path(dir);
    let explain = |path: &Path| {
        let path = path.to_owned();
        move |cause: io::Error| OpenError::File { path, cause }
    };
    if !dir.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(explain(dir))?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(explain(parent))?;
        }
    }
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(explain(&path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(explain(dir))?;
    Ok(path)
}

/// Opens with the promises every connection of ours keeps.
pub(crate) fn connect(path: &Path, cache_kib: i64) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: the log is synced before a commit returns. This is what R0 means.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "wal_autocheckpoint", 2_000)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    // FAST: what a row said does not stay behind in its page when it grows or goes. Pages that fall free altogether are overwritten only
    // where somebody asks for it: see `overwriting`.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    // Negative: KiB, not pages.
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.set_prepared_statement_cache_capacity(96);
    Ok(connection)
}

/// What `work` deletes or replaces is overwritten, whole pages as well. The log still holds them as they were: see [`empty_log`].
pub(crate) fn overwriting<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.pragma_update(None, "secure_delete", true)?;
    let done = work(connection);
    connection.pragma_update(None, "secure_delete", "FAST")?;
    done
}

/// Empties the log, which holds pages as they were. Readers are waited for that long; refused if they take longer.
pub(crate) fn empty_log(connection: &Connection, wait: Duration) -> Result<(), StoreError> {
    connection.busy_timeout(wait)?;
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(BUSY_WAIT)?;
    if busy? == 0 { Ok(()) } else { Err(StoreError::Busy) }
}

/// A few connections for reading: a long answer to one does not keep the others waiting.
pub(crate) struct Readers([Mutex<Connection>; READERS]);

impl Readers {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let reader = || -> Result<_, StoreError> {
            let connection = connect(path, 512)?;
            connection.pragma_update(None, "query_only", true)?;
            Ok(Mutex::new(connection))
        };
        Ok(Self([reader()?, reader()?, reader()?]))
    }

    pub(crate) fn any(&self) -> MutexGuard<'_, Connection> {
        self.0.iter().find_map(Mutex::try_lock).unwrap_or_else(|| self.0[0].lock())
    }
}
