//! The bounded way to the one writer: appends in order, and jobs (any other write) beside them.
//!
//! Waiting for room is where a slow disk becomes slow senders: an append holds permits for its bytes until its group is
//! settled. Jobs need no permits, for each has a thread waiting for it; past [`JOBS_MAX`] they are refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::StoreError;
use crate::journal::RowId;
use crate::marks::Claims;
use crate::undecoded::Beside;

const JOBS_MAX: usize = 1_024;
/// Added to the bytes of every append: what it costs besides.
const APPEND_BYTES: usize = 256;

/// Entries on their way to the disk.
pub(crate) struct Append {
    /// The entries, encoded one after the other.
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: usize,
    /// Latest gateway time among them, in microseconds.
    pub(crate) newest: Option<i64>,
    pub(crate) claims: Claims,
    /// Written in the same transaction.
    pub(crate) beside: Option<Beside>,
    pub(crate) reply: oneshot::Sender<Result<RowId, StoreError>>,
    pub(crate) _room: OwnedSemaphorePermit,
}

/// What waits in order.
pub(crate) enum Item {
    /// Entries to store.
    Append(Append),
    /// Answered once all before it is settled.
    Barrier(oneshot::Sender<()>),
}

impl Item {
    pub(crate) fn entries(&self) -> usize {
        match self {
            Self::Append(append) => append.entries,
            Self::Barrier(_) => 0,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Append(append) => append.bytes.len(),
            Self::Barrier(_) => 0,
        }
    }
}

/// A write other than an append. May be run again if the group it shared a transaction with failed.
pub(crate) trait Job: Send {
    /// Runs inside a transaction; an error undoes what it did.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    /// Runs outside any transaction, after a successful commit.
    fn after(&mut self, _connection: &Connection) -> Result<(), StoreError> {
        Ok(())
    }
    /// Called once: the transaction is durable, or failed.
    fn settle(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// What the writer takes at once.
pub(crate) struct Group {
    pub(crate) items: Vec<Item>,
    pub(crate) jobs: Vec<Box<dyn Job>>,
}

/// How long and for how much the writer may wait before it takes a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gather {
    /// Go as soon as so many items wait. 1 = at once.
    pub(crate) items: usize,
    /// Go as soon as they hold so many entries.
    pub(crate) entries: usize,
    /// Go at the latest after this.
    pub(crate) wait: Duration,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    jobs: Vec<Box<dyn Job>>,
    closed: bool,
    /// In `items`.
    entries: usize,
    /// The writer sleeps until so many items wait, so many entries, a job, or the end.
    wanted: Wanted,
}

struct Wanted {
    items: usize,
    entries: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { items: 1, entries: usize::MAX }
    }
}

impl State {
    fn enough(&self) -> bool {
        self.items.len() >= self.wanted.items || self.entries >= self.wanted.entries
    }
}

/// The way to the writer.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    room: Arc<Semaphore>,
    bytes_max: usize,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), room: Arc::new(Semaphore::new(bytes_max)), bytes_max }
    }

    /// Waits until there is room for so many bytes.
    pub(crate) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, StoreError> {
        let bytes = bytes.saturating_add(APPEND_BYTES).min(self.bytes_max);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| StoreError::Closed)
    }

    /// Bytes waiting or being written.
    pub(crate) fn used_bytes(&self) -> usize {
        self.bytes_max - self.room.available_permits().min(self.bytes_max)
    }

    pub(crate) fn push(&self, item: Item) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            // The item goes here, outside the lock: its claims are released.
            drop(item);
            return Err(StoreError::Closed);
        }
        state.entries = state.entries.saturating_add(item.entries());
        state.items.push_back(item);
        let enough = state.enough();
        drop(state);
        if enough {
            self.wake.notify_one();
        }
        Ok(())
    }

    pub(crate) fn push_job(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        if state.jobs.len() >= JOBS_MAX {
            return Err(StoreError::TooLarge {
                what: "the queue of writes",
                size: JOBS_MAX as u64,
                max: JOBS_MAX as u64,
            });
        }
        state.jobs.push(job);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// No more pushes; the writer drains what is there and ends.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.room.close();
        self.wake.notify_all();
    }

    /// For the writer: waits for work, then takes what is there, up to about so many bytes. None once closed and
    /// drained.
    pub(crate) fn take(&self, gather: Gather, bytes_max: usize) -> Option<Group> {
        let mut state = self.state.lock();
        state.wanted = Wanted::default();
        while state.items.is_empty() && state.jobs.is_empty() {
            if state.closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
        let deadline = Instant::now() + gather.wait;
        state.wanted = Wanted { items: gather.items, entries: gather.entries };
        while !state.enough() && state.jobs.is_empty() && !state.closed {
            if self.wake.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let (mut entries, mut bytes, mut count) = (0usize, 0usize, 0usize);
        for item in &state.items {
            let more = bytes.saturating_add(item.bytes());
            if count > 0 && more > bytes_max {
                break;
            }
            (entries, bytes, count) = (entries + item.entries(), more, count + 1);
        }
        state.entries = state.entries.saturating_sub(entries);
        Some(Group { items: state.items.drain(..count).collect(), jobs: std::mem::take(&mut state.jobs) })
    }
}
