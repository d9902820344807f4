//! What can go wrong, and what to do about it.

use std::path::PathBuf;

use pitchside_model::DeviceId;

use crate::journal::RowId;

/// Why the database did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or file could not be made or read.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// There is no database here.
    #[error("{0} holds no Pitchside database: check data_dir, or make one with `pitchside init`")]
    Missing(PathBuf),
    /// Somebody else's SQLite file.
    #[error("{0} is an SQLite database, but not one of Pitchside's: point data_dir elsewhere")]
    Foreign(PathBuf),
    /// A newer version changed what this one relies on. One that only added is no error.
    #[error(
        "the database has schema {found}, which asks for a program that knows schema {needed}; this one knows up to {known}: install the newer pitchside, or restore a backup made before the update"
    )]
    Newer {
        /// In the file.
        found: i64,
        /// The latest this version knows.
        known: i64,
        /// The lowest that a program must know to work with the file.
        needed: i64,
    },
    /// Another gateway process has it.
    #[error("{0} is in use by another running gateway: stop that one first")]
    InUse(PathBuf),
    /// The disk is full, and not even what opening takes is left.
    #[error(
        "the disk of {dir} is full: {free_bytes} bytes are free, and opening the database takes up to {needed_bytes} ({cause}). Delete or move away what is not Pitchside's, such as old backups, logs and downloads (`df {dir}` says which disk it is, `du -xah` what is large), and never pitchside.db or what lies beside it; then start again"
    )]
    NoRoom {
        /// The data folder.
        dir: PathBuf,
        /// What the file system has left.
        free_bytes: u64,
        /// What is enough.
        needed_bytes: u64,
        /// What failed for it.
        cause: String,
    },
    /// The root key is not the one it was made with.
    #[error("the root key is not the one this database was made with: give the right key file")]
    WrongKey,
    /// Reading or writing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a read or write did not happen. Nothing of a failed write is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room. Nothing was stored; it works again by itself once there is room.
    #[error(
        "the disk is full ({free_bytes} bytes left, {reserve_bytes} are kept in reserve): nothing was stored; make room"
    )]
    DiskFull {
        /// What the file system has left.
        free_bytes: u64,
        /// What the journal leaves free.
        reserve_bytes: u64,
    },
    /// The file system became read-only, as it does after an error of the disk. Files opened before may still seem to take
    /// writes; nothing of them would be there after a restart.
    #[error(
        "the file system of the data folder is read-only: nothing was stored; look at the disk (`dmesg`) and mount it again"
    )]
    ReadOnly,
    /// The database reached its configured size.
    #[error(
        "the database has reached its limit: nothing was stored; raise journal.database_bytes_max or let blocks sync"
    )]
    DatabaseFull,
    /// As many payloads as may wait for their decoder do.
    #[error(
        "no more payloads of {0} can wait for their decoder: nothing was stored; install, correct or reload its plugin"
    )]
    UndecodedFull(DeviceId),
    /// Another process holds the database.
    #[error("another process kept the database locked for too long: nothing was stored; try again")]
    Busy,
    /// More in one call than is allowed.
    #[error("{what} of {size} is over the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The store is shutting down.
    #[error("the store is closed: nothing was stored")]
    Closed,
    /// It is there already.
    #[error("{what} {name} exists already")]
    Exists {
        /// Which kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It is not there.
    #[error("there is no {what} {name}")]
    Unknown {
        /// Which kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It contradicts what is stored.
    #[error("{0}")]
    Conflict(String),
    /// A stored thing does not open or parse: it was changed or damaged.
    #[error("{table} row {row} is damaged: it was changed outside pitchside, or the disk lost it")]
    Damaged {
        /// Where.
        table: &'static str,
        /// Which row.
        row: String,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: nothing was stored")]
    NoRandomness,
    /// SQLite or the disk failed.
    #[error("the database failed: {0}")]
    Database(String),
}

impl StoreError {
    pub(crate) fn damaged_row(row: RowId) -> Self {
        Self::Damaged { table: "journal", row: row.0.to_string() }
    }

    /// True if trying again later can help.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::DatabaseFull | Self::UndecodedFull(_) | Self::Busy)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            // The writer refines this one: it knows whether the file system or our own limit is full.
            Some(ErrorCode::DiskFull) => Self::DatabaseFull,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Database(error.to_string()),
        }
    }
}
