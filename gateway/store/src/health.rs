//! How the store is doing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::fs::StatVfsMountFlags;

use crate::commits::CommitWatch;
use crate::error::StoreError;

/// How the store is doing, for the health page and the metrics. Holds nothing about anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The last write succeeded (or none was tried yet).
    pub writable: bool,
    /// Why the last failed write failed, while nothing has succeeded since.
    pub problem: Option<StoreError>,
    /// Bytes the file system has left for us; none if it does not say.
    pub free_bytes: Option<u64>,
    /// Bytes of the database, its log included.
    pub database_bytes: u64,
    /// Bytes of entries waiting for the writer.
    pub queue_bytes: u64,
    /// Entries made durable since the start.
    pub entries: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Failed commits since the start.
    pub failures: u64,
}

/// The writer's counters.
#[derive(Default)]
pub(crate) struct Pulse {
    failing: AtomicBool,
    pub(crate) entries: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) watch: CommitWatch,
    problem: Mutex<Option<StoreError>>,
}

impl Pulse {
    pub(crate) fn note_commit(&self, entries: usize, problem: Option<&StoreError>) {
        match problem {
            None => {
                self.entries.fetch_add(entries as u64, Ordering::Relaxed);
                self.commits.fetch_add(1, Ordering::Relaxed);
                if self.failing.swap(false, Ordering::Relaxed) {
                    *self.problem.lock() = None;
                    tracing::info!("the store writes again");
                }
            }
            Some(problem) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                *self.problem.lock() = Some(problem.clone());
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%problem, "the store refuses readings: nothing is acknowledged until this is over");
                }
            }
        }
    }

    pub(crate) fn problem(&self) -> Option<StoreError> {
        self.problem.lock().clone()
    }
}

/// Bytes the file system of this folder has left for us.
pub(crate) fn free_bytes(dir: &Path) -> Option<u64> {
    let state = rustix::fs::statvfs(dir).ok()?;
    Some(state.f_bavail.saturating_mul(state.f_frsize))
}

/// Whether the folder's file system takes nothing now, whatever it answers to files that are open.
pub(crate) fn is_read_only(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|state| state.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Bytes of the database and its log.
pub(crate) fn database_bytes(dir: &Path) -> u64 {
    let size = |name: &str| std::fs::metadata(dir.join(name)).map_or(0, |data| data.len());
    size("pitchside.db") + size("pitchside.db-wal")
}
