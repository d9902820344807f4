//! The one writer: a thread that turns whatever waits into one transaction, one encrypted row and one fsync.
//!
//! A crash leaves either the whole group or nothing of it: SQLite's log holds a commit record or it does not. Nobody
//! is told of success before `COMMIT` returned, and with synchronous = FULL that is after the log was synced.
//! If a shared transaction fails, appends and jobs are tried once more apart: a job too large for the last free
//! bytes must not cost the readings their place.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};

use crate::error::StoreError;
use crate::health::Pulse;
use crate::journal::{Options, RowId, row_context};
use crate::key::{HEAD_BYTES, Vault};
use crate::queue::{Gather, Group, Item, Job, Queue};
use crate::spare::Spare;
use crate::sql;
use crate::undecoded::Beside;

/// Bytes of entries in one row, unless a single append is larger.
const ROW_BYTES_MAX: usize = 1 << 20;
/// More than any group of ours writes: with so much free, it was not the disk that was full.
const GROUP_BYTES_MAX: u64 = 32 << 20;

/// The writer's own state; nobody else touches it.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) queue: Arc<Queue>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) boot: u64,
    /// Id of the newest row ever written.
    pub(crate) last_row: RowId,
    /// Gateway time of the newest reading ever written, for rows that have none of their own.
    pub(crate) newest: i64,
    pub(crate) spare: Spare,
}

/// An encrypted row, ready to insert.
struct Row<'a> {
    id: RowId,
    newest: i64,
    entries: usize,
    sealed: Vec<u8>,
    beside: Vec<&'a Beside>,
}

impl Writer {
    /// Starts the thread. It ends once the queue is closed and drained.
    pub(crate) fn spawn(mut self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            // However this thread ends, nobody may be left waiting for it.
            let _close = CloseOnDrop(Arc::clone(&self.queue));
            self.run();
        })
    }

    fn run(&mut self) {
        let entries = self.options.group_entries_max;
        let mut gather = Gather { items: 1, entries, wait: Duration::ZERO };
        while let Some(group) = self.queue.take(gather, ROW_BYTES_MAX) {
            let items = group.items.len();
            let begun = Instant::now();
            self.write(group);
            // As many as came during the last commit are likely to come again: wait for them, but never longer than
            // half of what a commit takes. Alone, a message is never kept waiting.
            gather =
                Gather { items: items.max(1), entries, wait: (begun.elapsed() / 2).min(self.options.group_wait_max) };
            self.spare.keep(self.options.disk_reserve_bytes, || crate::health::free_bytes(&self.dir));
        }
    }

    fn write(&mut self, group: Group) {
        let Group { items, mut jobs } = group;
        let entries: usize = items.iter().map(Item::entries).sum();
        let row = if entries == 0 { Ok(None) } else { self.room().and_then(|()| self.row(&items, entries).map(Some)) };
        let begun = Instant::now();
        let (appended, mut outcomes) = match row {
            Ok(row) => self.together(row.as_ref(), &mut jobs),
            Err(error) => (Err(error), self.jobs_apart(&mut jobs)),
        };
        let appended = appended.map_err(|error| self.explain(error));
        self.pulse.note_commit(entries, appended.as_ref().err());
        if entries > 0 && appended.is_ok() {
            self.pulse.watch.tell(begun.elapsed());
        }
        self.settle_items(items, &appended);
        for (job, outcome) in jobs.iter_mut().zip(&mut outcomes) {
            if outcome.is_ok() {
                *outcome = job.after(&self.connection);
            }
        }
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            job.settle(outcome.map_err(|error| self.explain(error)));
        }
    }

    fn settle_items(&self, items: Vec<Item>, appended: &Result<RowId, StoreError>) {
        for item in items {
            match item {
                Item::Barrier(reply) => drop(reply.send(())),
                Item::Append(append) => {
                    // Marks first: whoever hears of success finds the number durable.
                    match appended {
                        Ok(_) => {
                            append.claims.confirm();
                            if let Some(beside) = append.beside {
                                beside.durable();
                            }
                        }
                        Err(_) => drop((append.claims, append.beside)),
                    }
                    // A caller that no longer waits has lost nothing but the answer.
                    drop(append.reply.send(appended.clone()));
                }
            }
        }
    }

    /// Refuses readings while the reserve is touched: receipts, deletions and the outbox need room to make room.
    fn room(&self) -> Result<(), StoreError> {
        if crate::health::is_read_only(&self.dir) {
            return Err(StoreError::ReadOnly);
        }
        let reserve_bytes = self.options.disk_reserve_bytes;
        match crate::health::free_bytes(&self.dir) {
            Some(free_bytes) if free_bytes < reserve_bytes => Err(StoreError::DiskFull { free_bytes, reserve_bytes }),
            _ => Ok(()),
        }
    }

    /// Joins the appends into one row.
    fn row<'a>(&self, items: &'a [Item], entries: usize) -> Result<Row<'a>, StoreError> {
        let appends =
            || items.iter().filter_map(|item| if let Item::Append(append) = item { Some(append) } else { None });
        let bytes: usize = appends().map(|append| append.bytes.len()).sum();
        let newest = appends().filter_map(|append| append.newest).max().unwrap_or(self.newest);
        let id = RowId(self.last_row.0 + 1);
        let mut plain = Vec::with_capacity(HEAD_BYTES + 10 + bytes + 16);
        plain.resize(HEAD_BYTES, 0);
        // postcard writes a Vec as its length, then its elements; the callers have encoded those.
        plain =
            postcard::to_extend(&(entries as u64), plain).map_err(|error| StoreError::Database(error.to_string()))?;
        appends().for_each(|append| plain.extend_from_slice(&append.bytes));
        let sealed = self.vault.journal.seal(self.boot, &row_context(id, newest, entries), plain)?;
        let beside = appends().filter_map(|append| append.beside.as_ref()).collect();
        Ok(Row { id, newest, entries, sealed, beside })
    }

    /// Everything in one transaction; if that fails, the row alone and each job alone.
    fn together(
        &mut self,
        row: Option<&Row<'_>>,
        jobs: &mut [Box<dyn Job>],
    ) -> (Result<RowId, StoreError>, Vec<Result<(), StoreError>>) {
        match self.transact(row, jobs) {
            Ok(outcomes) => (Ok(self.advance(row)), outcomes),
            Err(error) if jobs.is_empty() => (Err(error), Vec::new()),
            Err(_) => {
                let appended = self.transact(row, &mut []).map(|_| self.advance(row));
                (appended, self.jobs_apart(jobs))
            }
        }
    }

    fn jobs_apart(&mut self, jobs: &mut [Box<dyn Job>]) -> Vec<Result<(), StoreError>> {
        jobs.iter_mut()
            .map(|job| {
                let outcomes = self.transact(None, std::slice::from_mut(job))?;
                outcomes.into_iter().collect::<Result<(), _>>()
            })
            .collect()
    }

    fn advance(&mut self, row: Option<&Row<'_>>) -> RowId {
        if let Some(row) = row {
            self.last_row = row.id;
            self.newest = row.newest;
        }
        self.last_row
    }

    /// One transaction: the row, then each job in a savepoint of its own. The outer error means nothing was kept.
    fn transact(
        &mut self,
        row: Option<&Row<'_>>,
        jobs: &mut [Box<dyn Job>],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        if row.is_none() && jobs.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(row) = row {
            let mut insert = transaction.prepare_cached(sql!("journal/append"))?;
            insert.execute(params![row.id.0, row.newest, row.entries as i64, row.sealed])?;
            row.beside.iter().try_for_each(|beside| beside.write(&transaction))?;
        }
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            let savepoint = transaction.savepoint()?;
            match job.run(&savepoint) {
                Ok(()) => {
                    savepoint.commit()?;
                    outcomes.push(Ok(()));
                }
                Err(error) => {
                    // A full disk makes SQLite undo the whole transaction, not only the savepoint.
                    if savepoint.is_autocommit() {
                        return Err(error);
                    }
                    savepoint.finish()?;
                    outcomes.push(Err(error));
                }
            }
        }
        transaction.commit()?;
        Ok(outcomes)
    }

    /// SQLite says only "full": find out whether that is the disk or our own limit. A failed write to a disk without
    /// room is the same thing under another name.
    fn explain(&self, error: StoreError) -> StoreError {
        let reserve_bytes = self.options.disk_reserve_bytes;
        let free_bytes = crate::health::free_bytes(&self.dir).unwrap_or(u64::MAX);
        match error {
            StoreError::DatabaseFull if self.options.database_bytes_max.is_some() && free_bytes > GROUP_BYTES_MAX => {
                error
            }
            StoreError::DatabaseFull => StoreError::DiskFull { free_bytes, reserve_bytes },
            StoreError::Database(_) if free_bytes < 64 << 10 => StoreError::DiskFull { free_bytes, reserve_bytes },
            other => other,
        }
    }
}

struct CloseOnDrop(Arc<Queue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
