//! Alerts that somebody resets by hand. Whoever asks writes a row; the gateway does it, in the transaction that records the alert's
//! last step, and notes where in what the rules hear: so a crash leaves it asked for or done, and a replay does it again at its place.

use pitchside_model::{AlertEvent, AlertId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use crate::alerts::{AlertStep, Clearing, context};
use crate::error::StoreError;
use crate::key::Vault;
use crate::sql;
use crate::tables::Tables;

/// The most resets that may wait.
pub const WAITING_MAX: u32 = 1_000;
/// The most that are kept once done; the oldest make room.
pub const DONE_MAX: u32 = 10_000;
/// The longest name of somebody, in characters; what is longer is cut.
const BY_CHARS_MAX: usize = 64;
/// The longest note, in characters.
pub const NOTE_CHARS_MAX: usize = 500;

/// In the context of a sealed body, where an alert's steps have their number (0 to 2).
const RESET: i64 = 3;

/// Who reset an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// Who.
    pub by: String,
    /// Why, if they said.
    pub note: Option<String>,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The gateway will do it: this asking, or one before it.
    Waits,
    /// The alert is over already; nothing was asked.
    Over,
}

/// A sealed body opened.
pub(crate) fn open(vault: &Vault, alert: AlertId, body: &[u8]) -> Result<Reset, StoreError> {
    let damaged = || StoreError::Damaged { table: "alert_resets", row: alert.to_string() };
    let plain = vault.alerts.open(&context(alert, RESET), body).map_err(|_| damaged())?;
    postcard::from_bytes(&plain).map_err(|_| damaged())
}

/// The sealed body of an alert's reset, if it was done.
pub(crate) fn done_of(connection: &Connection, alert: AlertId) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = connection.prepare_cached(sql!("resets/one"))?;
    Ok(statement.query_row([alert.0.as_slice()], |row| row.get(0)).optional()?)
}

/// Whether an alert was raised, and whether it is over.
fn state(connection: &Connection, alert: AlertId) -> Result<(bool, bool), StoreError> {
    let mut statement = connection.prepare_cached(sql!("resets/state"))?;
    Ok(statement.query_row([alert.0.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

impl Tables {
    /// Asks for an alert to be reset. Asking twice changes nothing: the first name stays.
    pub fn ask_reset(&self, alert: AlertId, reset: &Reset, now: Timestamp) -> Result<Asked, StoreError> {
        let Reset { by, note } = reset;
        let size = note.as_ref().map_or(0, |note| note.chars().count());
        if size > NOTE_CHARS_MAX {
            let (size, max) = (size as u64, NOTE_CHARS_MAX as u64);
            return Err(StoreError::TooLarge { what: "a note", size, max });
        }
        let body = Reset { by: by.chars().take(BY_CHARS_MAX).collect(), note: note.clone() };
        let plain = postcard::to_stdvec(&body).map_err(|error| StoreError::Database(error.to_string()))?;
        let body = self.vault().alerts.seal_copy(self.boot(), &context(alert, RESET), &plain)?;
        self.write(move |connection| {
            match state(connection, alert)? {
                (false, _) => return Err(StoreError::Unknown { what: "alert", name: alert.to_string() }),
                (true, true) => return Ok(Asked::Over),
                (true, false) => {}
            }
            let mut count = connection.prepare_cached(sql!("resets/waiting_count"))?;
            let waiting: u32 = count.query_row([], |row| row.get(0))?;
            if waiting >= WAITING_MAX {
                let why = format!("{waiting} alerts wait to be reset: is the gateway running?");
                return Err(StoreError::Conflict(why));
            }
            let mut ask = connection.prepare_cached(sql!("resets/ask"))?;
            ask.execute(params![alert.0.as_slice(), now.0, body])?;
            Ok(Asked::Waits)
        })
    }

    /// Alerts that wait to be reset, in the order of asking, at most [`WAITING_MAX`].
    pub fn waiting_resets(&self) -> Result<Vec<AlertId>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("resets/waiting"))?;
            let alerts = statement.query_map([WAITING_MAX], |row| row.get(0).map(AlertId))?;
            Ok(alerts.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Does what was asked for: in one transaction the alert is over, and it is known where. `position`: the rules have heard what came
    /// before this gateway time, and nothing from it on. None if the alert was over by itself; then nobody has reset it.
    pub fn record_reset(
        &self,
        alert: AlertId,
        position: Timestamp,
        now: Timestamp,
    ) -> Result<Option<AlertStep>, StoreError> {
        let clearing = Clearing::new(self, alert, now)?;
        let recorded = self.write(move |connection| {
            let step = match state(connection, alert)? {
                (true, false) => clearing.record(connection, now)?,
                _ => None,
            };
            let id = alert.0.as_slice();
            match step {
                Some(step) => {
                    let mut put = connection.prepare_cached(sql!("resets/done_put"))?;
                    if put.execute(params![id, now.0, position.0])? == 0 {
                        return Err(StoreError::Unknown { what: "asked reset of alert", name: alert.to_string() });
                    }
                    connection.prepare_cached(sql!("resets/trim"))?.execute([DONE_MAX])?;
                    Ok(Some((step, done_of(connection, alert)?)))
                }
                None => {
                    connection.prepare_cached(sql!("resets/drop"))?.execute([id])?;
                    Ok(None)
                }
            }
        })?;
        let Some((id, body)) = recorded else { return Ok(None) };
        let by = body.map(|body| open(self.vault(), alert, &body)).transpose()?.map(|reset| reset.by);
        Ok(Some(AlertStep { id, recorded_at: now, event: AlertEvent::Cleared { id: alert, event_time: now }, by }))
    }

    /// Every reset that was done and is still known, in the order of the rules' hearing: before which gateway time, and of which alert.
    pub fn done_resets(&self) -> Result<Vec<(Timestamp, AlertId)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("resets/done"))?;
            let rows = statement.query_map([], |row| Ok((Timestamp(row.get(0)?), AlertId(row.get(1)?))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}
