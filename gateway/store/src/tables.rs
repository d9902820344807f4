//! Everything but the journal's writing side: reads, and small writes. The gateway has it through [`Store`]; commands
//! that run beside the gateway attach to the same database and see and change the same rows.
//!
//! [`Store`]: crate::Store

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior};

use crate::connection::{Readers, connect, database_path, make_file};
use crate::error::{OpenError, StoreError};
use crate::health::free_bytes;
use crate::key::{RootKey, Vault};
use crate::migrate::migrate;
use crate::queue::{Job, Queue};
use crate::spare::explain;

/// The tables of one database. Cheap to clone. Every call blocks: reads for microseconds, writes for a commit; from
/// asynchronous code, call it on a thread for blocking work.
#[derive(Clone)]
pub struct Tables(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    readers: Readers,
    writes: Writes,
    vault: Arc<Vault>,
    boot: u64,
    quarantine_rows_max: usize,
}

/// Who writes.
pub(crate) enum Writes {
    /// This handle itself, beside a gateway or none.
    Here(Mutex<Connection>),
    /// The gateway's one writer.
    Writer(Arc<Queue>),
}

impl Tables {
    /// Makes the database if there is none yet, and attaches to it.
    pub fn init(dir: &Path, root: RootKey) -> Result<Self, OpenError> {
        make_file(dir)?;
        Self::attach(dir, root)
    }

    /// Opens the database beside whoever else has it open; there must be one.
    pub fn attach(dir: &Path, root: RootKey) -> Result<Self, OpenError> {
        Self::attach_here(dir, root).map_err(|error| explain(dir, free_bytes(dir), false, error))
    }

    fn attach_here(dir: &Path, root: RootKey) -> Result<Self, OpenError> {
        let path = database_path(dir);
        if !path.is_file() {
            return Err(OpenError::Missing(dir.to_owned()));
        }
        let mut connection = connect(&path, 512)?;
        migrate(&mut connection, &path)?;
        let vault = Arc::new(Vault::new(&root).map_err(StoreError::from)?);
        crate::meta::check_key(&mut connection, &vault)?;
        let boot = crate::meta::boot(&connection)?;
        let quarantine_rows_max = crate::Options::default().quarantine_rows_max;
        Ok(Self::assemble(
            dir,
            Readers::open(&path)?,
            Writes::Here(Mutex::new(connection)),
            vault,
            boot,
            quarantine_rows_max,
        ))
    }

    pub(crate) fn assemble(
        dir: &Path,
        readers: Readers,
        writes: Writes,
        vault: Arc<Vault>,
        boot: u64,
        quarantine_rows_max: usize,
    ) -> Self {
        Self(Arc::new(Shared { dir: dir.to_owned(), readers, writes, vault, boot, quarantine_rows_max }))
    }

    /// The folder of the database.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// How often a gateway has been started on this database, as of this handle's opening. Goes into every key
    /// derivation, beside the randomness.
    pub fn boot(&self) -> u64 {
        self.0.boot
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// For what seals and opens on the writer's thread.
    pub(crate) fn shared_vault(&self) -> Arc<Vault> {
        Arc::clone(&self.0.vault)
    }

    pub(crate) fn quarantine_rows_max(&self) -> usize {
        self.0.quarantine_rows_max
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        read(&self.0.readers.any())
    }

    /// Runs `work` in a transaction and returns once that is durable. `work` may run twice; the second run sees
    /// nothing of the first.
    pub(crate) fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.write_then(work, |_| Ok(()))
    }

    /// As [`Tables::write`], and runs `after` outside any transaction once that is durable.
    pub(crate) fn write_then<T, F, A>(&self, mut work: F, after: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
        A: FnMut(&Connection) -> Result<(), StoreError> + Send + 'static,
    {
        match &self.0.writes {
            Writes::Here(connection) => {
                let mut after = after;
                let mut connection = connection.lock();
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let value = work(&transaction)?;
                transaction.commit()?;
                after(&connection)?;
                Ok(value)
            }
            Writes::Writer(queue) => {
                let (reply, answer) = sync_channel(1);
                queue.push_job(Box::new(Task { work, after, value: None, reply }))?;
                answer.recv().map_err(|_| StoreError::Closed)?
            }
        }
    }
}

/// A closure as a [`Job`], with somebody waiting for its value.
struct Task<T, F, A> {
    work: F,
    after: A,
    value: Option<T>,
    reply: SyncSender<Result<T, StoreError>>,
}

impl<T, F, A> Job for Task<T, F, A>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, StoreError> + Send,
    A: FnMut(&Connection) -> Result<(), StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.value = Some((self.work)(connection)?);
        Ok(())
    }

    fn after(&mut self, connection: &Connection) -> Result<(), StoreError> {
        (self.after)(connection)
    }

    fn settle(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { value, reply, .. } = *self;
        let answer = outcome.and_then(|()| value.ok_or(StoreError::Closed));
        // The channel has room for the one answer; a caller that is gone needs none.
        drop(reply.try_send(answer));
    }
}
