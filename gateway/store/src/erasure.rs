//! What an erasure takes out of the tables: their rows are sealed under the box's own key, so that of the athlete going makes none of them
//! unreadable. What says only that something was there stays: message numbers, whose durability was promised, and the athlete's pseudonym.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pitchside_model::{AlertEvent, AlertId, AthleteId, Entry, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::connection::{empty_log, overwriting};
use crate::error::StoreError;
use crate::journal::{RowId, row_context};
use crate::key::Vault;
use crate::sql;
use crate::tables::Tables;
use crate::{alerts, delivery, rules, undecoded};

/// Takes everything about one athlete out of the tables, in somebody's transaction.
pub(crate) struct Eraser {
    vault: Arc<Vault>,
    boot: u64,
    athlete: AthleteId,
}

/// A table of journal rows.
#[derive(Clone, Copy)]
struct Journal {
    page: &'static str,
    row: &'static str,
    put: &'static str,
}

/// Both of them: what is to be sealed, and what could not be.
const JOURNALS: [Journal; 2] = [
    Journal { page: sql!("erasure/journal_page"), row: sql!("erasure/journal_row"), put: sql!("erasure/journal_put") },
    Journal { page: sql!("erasure/aside_page"), row: sql!("erasure/aside_row"), put: sql!("erasure/aside_put") },
];
/// Rows of a journal that are written anew in one transaction: new readings wait for the same disk.
const ROWS_AT_ONCE: usize = 16;
/// How long a sweep waits for readers before it empties the log: new readings wait with it, and it is done again.
const SWEEP_WAIT: Duration = Duration::from_millis(250);

impl Eraser {
    pub(crate) fn new(tables: &Tables, athlete: &AthleteId) -> Self {
        Self { vault: tables.shared_vault(), boot: tables.boot(), athlete: athlete.clone() }
    }

    /// All but what the journal says of them, which is read for long: see [`Tables::blank_journal`]. Rows that do not open tell nobody
    /// anything, and stay.
    pub(crate) fn erase(&self, connection: &Connection) -> Result<(), StoreError> {
        self.alerts(connection)?;
        undecoded::drop_of(connection, &self.vault, &self.athlete)?;
        self.shadows(connection)?;
        // While it is known what they wore.
        connection.prepare_cached(sql!("erasure/drop_refused"))?.execute([self.athlete.as_str()])?;
        connection.prepare_cached(sql!("erasure/drop_assignments"))?.execute([self.athlete.as_str()])?;
        Ok(())
    }

    /// Their alerts, with all that happened to them.
    fn alerts(&self, connection: &Connection) -> Result<(), StoreError> {
        let theirs = alerts::of_athlete(connection, &self.vault, &self.athlete)?;
        for alert in &theirs {
            for statement in [sql!("erasure/drop_alert"), sql!("erasure/drop_resets"), sql!("erasure/drop_delivery")] {
                connection.prepare_cached(statement)?.execute([alert.0.as_slice()])?;
            }
        }
        if theirs.is_empty() { Ok(()) } else { delivery::prune_beside(connection) }
    }

    /// The rows of a page that say something of them, and the last of the page; none behind the end.
    fn page(&self, connection: &Connection, table: Journal, after: i64) -> Result<Option<(Vec<i64>, i64)>, StoreError> {
        let mut statement = connection.prepare_cached(table.page)?;
        let mut rows = statement.query([after])?;
        let (mut theirs, mut last) = (Vec::new(), None);
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            last = Some(id);
            let Ok(count) = usize::try_from(row.get::<_, i64>(2)?) else { continue };
            let body: Vec<u8> = row.get(3)?;
            if self.blank(&row_context(RowId(id), row.get(1)?, count), &body)?.is_some() {
                theirs.push(id);
            }
        }
        Ok(last.map(|last| (theirs, last)))
    }

    /// Their entries in a row say no more than that there was a message: its number is durable, and must not be taken twice.
    fn blank_row(&self, connection: &Connection, table: Journal, id: i64) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached(table.row)?;
        let row: Option<(i64, i64, Vec<u8>)> =
            statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
        let Some((newest, entries, body)) = row else { return Ok(()) };
        let Ok(count) = usize::try_from(entries) else { return Ok(()) };
        if let Some(blank) = self.blank(&row_context(RowId(id), newest, count), &body)? {
            connection.prepare_cached(table.put)?.execute(params![id, blank])?;
        }
        Ok(())
    }

    /// The row without what the athlete's entries say; none if it has none of theirs, or does not open.
    fn blank(&self, context: &[u8], body: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Ok(plain) = self.vault.journal.open(context, body) else { return Ok(None) };
        let Ok(mut entries) = postcard::from_bytes::<Vec<Entry>>(&plain) else { return Ok(None) };
        let mut theirs = entries.iter_mut().filter(|entry| entry.athlete.as_ref() == Some(&self.athlete)).peekable();
        if theirs.peek().is_none() {
            return Ok(None);
        }
        for entry in theirs {
            entry.athlete = None;
            entry.readings.clear();
        }
        let plain = postcard::to_stdvec(&entries).map_err(|error| StoreError::Database(error.to_string()))?;
        self.vault.journal.seal_copy(self.boot, context, &plain).map(Some)
    }

    /// What rules in the shadow said of them.
    fn shadows(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut theirs: BTreeSet<AlertId> = BTreeSet::new();
        let mut gone: Vec<i64> = Vec::new();
        {
            let mut statement = connection.prepare_cached(sql!("erasure/shadow"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (id, at, rule): (i64, _, String) = (row.get(0)?, Timestamp(row.get(1)?), row.get(2)?);
                let sealed: Vec<u8> = row.get(3)?;
                let Ok(plain) = self.vault.shadow.open(&rules::shadow_context(at, &rule), &sealed) else { continue };
                let is_theirs = match postcard::from_bytes(&plain) {
                    Ok(AlertEvent::Raised(alert)) if alert.athlete.as_ref() == Some(&self.athlete) => {
                        theirs.insert(alert.id);
                        true
                    }
                    Ok(AlertEvent::Raised(_)) => false,
                    Ok(AlertEvent::Cleared { id, .. }) => theirs.contains(&id),
                    Err(_) => false,
                };
                if is_theirs {
                    gone.push(id);
                }
            }
        }
        for id in gone {
            connection.prepare_cached(sql!("erasure/drop_shadow"))?.execute([id])?;
        }
        Ok(())
    }
}

impl Tables {
    /// Takes out what came under an erased athlete's name after the erasure: a running gateway says so of what its devices send until it
    /// hears of it. Refused while somebody reads for long: then the database's log keeps what was taken out, and it is to be asked again.
    pub fn sweep_erased(&self, id: &AthleteId) -> Result<(), StoreError> {
        let eraser = Arc::new(Eraser::new(self, id));
        let small = Arc::clone(&eraser);
        self.write(move |connection| {
            if !is_erased(connection, &small.athlete)? {
                return Err(StoreError::Unknown { what: "erased athlete", name: small.athlete.to_string() });
            }
            overwriting(connection, |connection| small.erase(connection))
        })?;
        self.blank_journal(&eraser)?;
        self.write_then(|_| Ok(()), |connection| empty_log(connection, SWEEP_WAIT))
    }

    /// Takes out what the journal says of them, a few rows at a time. Cut off, it is done from the beginning by whoever erases them again,
    /// and by a gateway that runs or starts.
    pub(crate) fn blank_journal(&self, eraser: &Arc<Eraser>) -> Result<(), StoreError> {
        for table in JOURNALS {
            let mut after = i64::MIN;
            while let Some((theirs, last)) = self.read(|connection| eraser.page(connection, table, after))? {
                after = last;
                for ids in theirs.chunks(ROWS_AT_ONCE) {
                    let (eraser, ids) = (Arc::clone(eraser), ids.to_vec());
                    self.write(move |connection| {
                        let blank = |connection: &Connection| {
                            ids.iter().try_for_each(|id| eraser.blank_row(connection, table, *id))
                        };
                        overwriting(connection, blank)
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// Whether an athlete was erased: nothing is recorded of them any more.
pub(crate) fn is_erased(connection: &Connection, athlete: &AthleteId) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(sql!("athletes/is_erased"))?;
    Ok(statement.query_row([athlete.as_str()], |row| row.get(0))?)
}
