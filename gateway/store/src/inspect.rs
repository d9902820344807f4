//! Looking after the database: is it whole, what waits to be sealed.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use pitchside_model::Timestamp;
use rusqlite::{Connection, ErrorCode};

use crate::error::StoreError;
use crate::journal::RowId;
use crate::sql;
use crate::tables::Tables;

/// Rows counted at the most.
const ROWS_COUNTED_MAX: u32 = 100_000;
/// Problems named at the most.
const PROBLEMS_MAX: usize = 10;

/// What a look at the whole file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// Every page was read and is sound.
    Sound,
    /// What is wrong, in SQLite's words; the first few.
    Broken(Vec<String>),
    /// The time was up first; what was read until then is sound.
    Unfinished,
}

/// Rows that are in no block yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unsealed {
    /// How many, counted up to 100,000.
    pub rows: u64,
    /// Gateway time of the newest reading in the oldest of them.
    pub oldest: Option<Timestamp>,
}

impl Tables {
    /// Reads every page of the database (`PRAGMA quick_check`), for at most `budget`. Blocks for that long; writers are not
    /// held up, but for the log not being folded back meanwhile.
    pub fn integrity(&self, budget: Duration) -> Result<Integrity, StoreError> {
        self.read(|connection| {
            let handle = connection.get_interrupt_handle();
            let (done, waiting) = sync_channel::<()>(0);
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    if waiting.recv_timeout(budget) == Err(RecvTimeoutError::Timeout) {
                        handle.interrupt();
                    }
                });
                let checked = quick_check(connection);
                // However it ended: the watcher goes with its channel.
                drop(done);
                checked
            })
        })
    }

    /// What is in no block yet.
    pub fn unsealed_backlog(&self) -> Result<Unsealed, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("inspect/unsealed"))?;
            Ok(statement.query_row([ROWS_COUNTED_MAX], |row| {
                let oldest = row.get::<_, Option<i64>>(1)?.map(Timestamp);
                Ok(Unsealed { rows: row.get::<_, i64>(0)?.cast_unsigned(), oldest })
            })?)
        })
    }

    /// The newest row of the journal; 0 if there never was one.
    pub fn newest_row(&self) -> Result<RowId, StoreError> {
        self.read(|connection| {
            Ok(connection.prepare_cached(sql!("journal/standing"))?.query_row([], |row| row.get(0).map(RowId))?)
        })
    }
}

fn quick_check(connection: &Connection) -> Result<Integrity, StoreError> {
    let look = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(&format!("PRAGMA quick_check({PROBLEMS_MAX})"))?;
        let lines = statement.query_map([], |row| row.get(0))?;
        lines.collect()
    };
    match look() {
        Ok(lines) if lines == ["ok"] => Ok(Integrity::Sound),
        Ok(lines) => Ok(Integrity::Broken(lines)),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Ok(Integrity::Unfinished),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Ok(Integrity::Broken(vec![error.to_string()]))
            }
            _ => Err(error.into()),
        },
    }
}
