//! The journal: what was accepted, durable before anybody hears of it.

use std::time::Duration;

use pitchside_model::{Entry, Timestamp};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::key::Vault;
use crate::marks::{Claim, Claims, Mark};
use crate::queue::{Append, Item};
use crate::sql;
use crate::store::Store;
use crate::tables::Tables;
use crate::undecoded::Beside;

/// The most entries in one append.
pub const APPEND_ENTRIES_MAX: usize = 8_192;
/// The most bytes one append may take, encoded.
pub const APPEND_BYTES_MAX: usize = 8 << 20;

/// Number of a journal row: rises by one a group commit, never reused. 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct RowId(pub i64);

/// One group commit, read back.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRow {
    /// Its number.
    pub id: RowId,
    /// Its entries, in the order they were accepted.
    pub entries: Vec<Entry>,
}

/// A stretch of the journal for the rules: what can be read of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Replayed {
    /// The rows that open, oldest first.
    pub rows: Vec<JournalRow>,
    /// Rows that do not.
    pub unreadable: Vec<RowId>,
    /// The last row of both; none at the end of the journal.
    pub last: Option<RowId>,
}

/// How the store behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// With so many entries waiting, the writer waits for no more. What came while the disk was busy goes in one group
    /// all the same: a slow disk makes larger groups, not a longer queue.
    pub group_entries_max: usize,
    /// The longest the writer waits for a group to grow.
    pub group_wait_max: Duration,
    /// Bytes of entries waiting for the writer; beyond that, senders wait.
    pub queue_bytes_max: usize,
    /// The journal refuses readings when the file system has less left: receipts and deletions need room.
    pub disk_reserve_bytes: u64,
    /// The largest the database may grow; none for as large as the disk allows.
    pub database_bytes_max: Option<u64>,
    /// Refused payloads kept for inspection.
    pub quarantine_rows_max: usize,
    /// Bytes of payloads that wait for their decoder, of all devices together; beyond it senders keep theirs.
    pub undecoded_bytes_max: u64,
    /// The same, of one device.
    pub undecoded_bytes_of_device_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            group_entries_max: 1_024,
            group_wait_max: Duration::from_millis(5),
            queue_bytes_max: 8 << 20,
            disk_reserve_bytes: 32 << 20,
            database_bytes_max: None,
            quarantine_rows_max: 1_000,
            undecoded_bytes_max: 64 << 20,
            undecoded_bytes_of_device_max: 8 << 20,
        }
    }
}

/// What a journal row is bound to: its number and the two columns beside it.
pub(crate) fn row_context(id: RowId, newest: i64, entries: usize) -> [u8; 24] {
    let mut context = [0u8; 24];
    let parts = [id.0.to_be_bytes(), newest.to_be_bytes(), (entries as u64).to_be_bytes()];
    for (room, part) in context.chunks_exact_mut(8).zip(parts) {
        room.copy_from_slice(&part);
    }
    context
}

/// Entries on their way to the disk.
#[derive(Debug)]
#[must_use = "nothing is known to be durable before `durable` says so"]
pub struct Entered(oneshot::Receiver<Result<RowId, StoreError>>);

impl Entered {
    /// Returns after the fsync of the group they went into, with that group's row.
    pub async fn durable(self) -> Result<RowId, StoreError> {
        self.0.await.map_err(|_| StoreError::Closed)?
    }
}

impl Store {
    /// Makes entries durable: returns after the fsync of the group they went into, with that group's row.
    ///
    /// Claims on the entries' numbers (see [`Store::claim`]) are settled here: durable on success, released on any
    /// failure, including this future being dropped before the entries were handed to the writer. Waits while the
    /// queue is full.
    pub async fn journal_append(&self, entries: Vec<Entry>) -> Result<RowId, StoreError> {
        self.journal_enter(entries).await?.durable().await
    }

    /// The first half of [`Store::journal_append`]: returns as soon as the entries have their place in the order of the
    /// journal, so that whoever enters one after the other is stored in that order without waiting for the disk between.
    pub async fn journal_enter(&self, entries: Vec<Entry>) -> Result<Entered, StoreError> {
        self.enter(entries, None).await
    }

    pub(crate) async fn enter(&self, entries: Vec<Entry>, beside: Option<Beside>) -> Result<Entered, StoreError> {
        let marks: Vec<Mark> = entries.iter().map(|entry| (entry.device.clone(), entry.epoch, entry.seq)).collect();
        let claims = Claims::new(self.book(), marks);
        let (count, max) = (entries.len(), APPEND_ENTRIES_MAX);
        if count > max {
            return Err(StoreError::TooLarge { what: "an append (entries)", size: count as u64, max: max as u64 });
        }
        let newest = entries.iter().flat_map(|entry| &entry.readings).map(|reading| reading.gateway_time.0).max();
        let bytes = encode(&entries)?;
        // The readings are in `bytes` now: only those wait for room.
        drop(entries);
        let room = self.queue().room(bytes.len()).await?;
        let (reply, answer) = oneshot::channel();
        self.queue().push(Item::Append(Append {
            bytes,
            entries: count,
            newest,
            claims,
            beside,
            reply,
            _room: room,
        }))?;
        Ok(Entered(answer))
    }

    /// Returns once everything appended before is settled: durable or refused.
    pub async fn journal_barrier(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue().push(Item::Barrier(reply))?;
        answer.await.map_err(|_| StoreError::Closed)
    }

    /// Takes a message number. [`Claim::New`] and [`Claim::Skipped`] are yours: append an entry with that number, or
    /// [release](Store::release) it.
    pub fn claim(
        &self,
        device: &pitchside_model::DeviceId,
        epoch: pitchside_model::Epoch,
        seq: pitchside_model::Seq,
    ) -> Claim {
        self.book_ref().claim(device, epoch, seq)
    }

    /// Gives back a number that was claimed and will not be appended. Durable numbers stay durable.
    pub fn release(
        &self,
        device: &pitchside_model::DeviceId,
        epoch: pitchside_model::Epoch,
        seq: pitchside_model::Seq,
    ) {
        self.book_ref().release(device, epoch, seq);
    }
}

/// The entries one after the other, without the length that postcard puts before a list.
fn encode(entries: &[Entry]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(entries.len() * 96);
    for entry in entries {
        bytes = postcard::to_extend(entry, bytes).map_err(|error| StoreError::Database(error.to_string()))?;
    }
    if bytes.len() > APPEND_BYTES_MAX {
        let (size, max) = (bytes.len() as u64, APPEND_BYTES_MAX as u64);
        return Err(StoreError::TooLarge { what: "an append (bytes)", size, max });
    }
    Ok(bytes)
}

/// A row as it is stored.
struct SealedRow {
    id: RowId,
    newest: i64,
    entries: i64,
    body: Vec<u8>,
}

impl SealedRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: RowId(row.get(0)?), newest: row.get(1)?, entries: row.get(2)?, body: row.get(3)? })
    }

    fn open(&self, vault: &Vault) -> Result<JournalRow, StoreError> {
        let damaged = || StoreError::damaged_row(self.id);
        let count = usize::try_from(self.entries).map_err(|_| damaged())?;
        let context = row_context(self.id, self.newest, count);
        let plain = vault.journal.open(&context, &self.body).map_err(|_| damaged())?;
        let entries: Vec<Entry> = postcard::from_bytes(&plain).map_err(|_| damaged())?;
        if entries.len() != count {
            return Err(damaged());
        }
        Ok(JournalRow { id: self.id, entries })
    }
}

impl Tables {
    /// The oldest rows that are in no block yet, at least one if there is one, up to about so many bytes.
    pub fn unsealed(&self, bytes_max: usize) -> Result<Vec<JournalRow>, StoreError> {
        let sealed = self.read(sealed_up_to)?;
        self.journal_since(sealed, bytes_max)
    }

    /// The rows after `after`, oldest first, at least one if there is one, up to about so many bytes.
    pub fn journal_since(&self, after: RowId, bytes_max: usize) -> Result<Vec<JournalRow>, StoreError> {
        let sealed = self.read(|connection| rows_after(connection, Timestamp(i64::MIN), after, bytes_max))?;
        sealed.iter().map(|row| row.open(self.vault())).collect()
    }

    /// As [`Tables::journal_since`], without rows that hold only readings older than `from` (gateway time), and past rows
    /// that do not open. For rebuilding the rules' state: call again with the last row's id until there is none.
    pub fn replay(&self, from: Timestamp, after: RowId, bytes_max: usize) -> Result<Replayed, StoreError> {
        let sealed = self.read(|connection| rows_after(connection, from, after, bytes_max))?;
        let mut replayed = Replayed { last: sealed.last().map(|row| row.id), ..Replayed::default() };
        for row in &sealed {
            match row.open(self.vault()) {
                Ok(row) => replayed.rows.push(row),
                Err(_) => replayed.unreadable.push(row.id),
            }
        }
        Ok(replayed)
    }

    /// The last row ever written, and the gateway time of the newest reading in it.
    pub fn journal_end(&self) -> Result<(RowId, Timestamp), StoreError> {
        self.read(journal_end)
    }

    /// The last row that is in a block.
    pub fn sealed_up_to(&self) -> Result<RowId, StoreError> {
        self.read(sealed_up_to)
    }

    /// Deletes rows up to `up_to` that are in a block and hold only readings from before `before` (gateway time); returns
    /// how many rows went. Readings dated after `now` (a clock that once ran ahead) do not keep a row.
    pub fn prune_journal(&self, before: Timestamp, now: Timestamp, up_to: RowId) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            // In small bites: readings are waiting for the same writer.
            let gone = self.write(move |connection| {
                let pruned = connection
                    .prepare_cached(sql!("journal/prune_up_to"))?
                    .query_row(params![before.0, now.plus_micros(DAY_MICROS).0, up_to.0], |row| {
                        row.get::<_, Option<i64>>(0)
                    })?;
                let Some(up_to) = pruned else { return Ok(0) };
                connection.prepare_cached(sql!("journal/note_used"))?.execute([up_to])?;
                Ok(connection.prepare_cached(sql!("journal/prune"))?.execute([up_to])?)
            })?;
            if gone == 0 {
                return Ok(all);
            }
            all += gone as u64;
        }
    }
}

impl Tables {
    /// Rows that are kept in `journal_damaged` because they did not open, or because no block can hold something in them.
    pub fn rows_set_aside(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            let count =
                connection.prepare_cached(sql!("journal/count_aside"))?.query_row([], |row| row.get::<_, i64>(0));
            Ok(count?.cast_unsigned())
        })
    }
}

const DAY_MICROS: i64 = 86_400_000_000;

pub(crate) fn sealed_up_to(connection: &Connection) -> Result<RowId, StoreError> {
    Ok(RowId(connection.prepare_cached(sql!("journal/sealed_up_to"))?.query_row([], |row| row.get(0))?))
}

fn journal_end(connection: &Connection) -> Result<(RowId, Timestamp), StoreError> {
    let mut standing = connection.prepare_cached(sql!("journal/standing"))?;
    Ok(standing.query_row([], |row| Ok((RowId(row.get(0)?), Timestamp(row.get(1)?))))?)
}

fn rows_after(
    connection: &Connection,
    from: Timestamp,
    after: RowId,
    bytes_max: usize,
) -> Result<Vec<SealedRow>, StoreError> {
    let mut statement = connection.prepare_cached(sql!("journal/after"))?;
    let mut rows = statement.query(params![after.0, from.0])?;
    let (mut found, mut bytes) = (Vec::new(), 0usize);
    while let Some(row) = rows.next()? {
        let row = SealedRow::read(row)?;
        bytes = bytes.saturating_add(row.body.len());
        if !found.is_empty() && bytes > bytes_max {
            break;
        }
        found.push(row);
    }
    Ok(found)
}

/// Where the journal stands when it is opened.
pub(crate) struct Standing {
    pub(crate) last_row: RowId,
    pub(crate) newest: i64,
    /// Rows that did not open; they have been set aside.
    pub(crate) damaged: Vec<RowId>,
}

/// Marks the numbers of all rows after the last block as durable. Rows that do not open are set aside, loudly: the
/// box must keep taking readings, and sealing must not stumble over them for ever.
pub(crate) fn rebuild(
    connection: &Connection,
    vault: &Vault,
    mut confirm: impl FnMut(&Entry),
) -> Result<Standing, StoreError> {
    let mut after = sealed_up_to(connection)?;
    let mut damaged = Vec::new();
    loop {
        let rows = rows_after(connection, Timestamp(i64::MIN), after, 4 << 20)?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        for row in &rows {
            match row.open(vault) {
                Ok(row) => row.entries.iter().for_each(&mut confirm),
                Err(problem) => {
                    tracing::error!(%problem, "set aside in journal_damaged: its readings cannot be read");
                    damaged.push(row.id);
                }
            }
        }
    }
    for id in &damaged {
        connection.execute(sql!("journal/set_aside"), [id.0])?;
        connection.execute(sql!("journal/note_used"), [id.0])?;
        connection.execute(sql!("journal/remove"), [id.0])?;
    }
    let (last_row, newest) = journal_end(connection)?;
    Ok(Standing { last_row, newest: newest.0, damaged })
}
