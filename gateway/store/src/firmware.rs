//! What sensors said about their firmware, how updates ended, and the halts this box has asked the ledger for.

use pitchside_model::{DeviceId, Timestamp};
use rusqlite::{OptionalExtension as _, Row, params};

use crate::devices::{device_id, limit};
use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;
use crate::tallies::{NewTally, put_tally};

/// The most bytes of a transaction.
pub const ACT_BYTES_MAX: usize = 8 << 10;

/// A sensor's firmware, as it last spoke of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorFirmware {
    /// Which sensor.
    pub device: DeviceId,
    /// Its board.
    pub hardware: String,
    /// What is updated.
    pub component: String,
    /// The version that runs.
    pub version: String,
    /// The highest security counter it ever said.
    pub counter: u32,
    /// When it last said so.
    pub seen_at: Timestamp,
    /// The release it was offered last.
    pub release: Option<[u8; 32]>,
    /// Its version.
    pub target: Option<String>,
    /// Bytes of its image.
    pub size: u64,
    /// Bytes of it the sensor has.
    pub have: u64,
    /// How often that release came to nothing here.
    pub attempts: u32,
    /// How far the last report said it was (`wire::firmware::Stage`).
    pub stage: Option<u8>,
    /// Why no further (`wire::firmware::Reason`).
    pub reason: u8,
    /// In words.
    pub text: String,
    /// When it was said.
    pub reported_at: Option<Timestamp>,
    /// Why it is not offered now.
    pub held: Option<String>,
}

/// How one update ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareOutcome {
    /// Which release.
    pub release: [u8; 32],
    /// On which sensor, or the box's own name.
    pub device: DeviceId,
    /// The new image proved itself.
    pub confirmed: bool,
    /// If not, why (`wire::firmware::Reason`).
    pub reason: u8,
    /// It speaks for or against the release.
    pub counts: bool,
    /// When.
    pub at: Timestamp,
}

/// How far a transaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActState {
    /// The ledger does not have it yet.
    Waiting,
    /// The ledger has it.
    Told,
    /// The ledger refused it for good.
    Refused,
}

fn read(row: &Row<'_>) -> Result<SensorFirmware, StoreError> {
    let device: String = row.get(0)?;
    let time = |at: usize| row.get::<_, i64>(at).map(Timestamp);
    Ok(SensorFirmware {
        device: device_id(&device, "sensor_firmware")?,
        hardware: row.get(1)?,
        component: row.get(2)?,
        version: row.get(3)?,
        counter: row.get(4)?,
        seen_at: time(5)?,
        release: row.get(6)?,
        target: row.get(7)?,
        size: row.get::<_, i64>(8)?.cast_unsigned(),
        have: row.get::<_, i64>(9)?.cast_unsigned(),
        attempts: row.get(10)?,
        stage: row.get(11)?,
        reason: row.get(12)?,
        text: row.get(13)?,
        reported_at: row.get::<_, Option<i64>>(14)?.map(Timestamp),
        held: row.get(15)?,
    })
}

fn put(connection: &rusqlite::Connection, row: &SensorFirmware) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("firmware/put"))?.execute(params![
        row.device.as_str(),
        row.hardware,
        row.component,
        row.version,
        row.counter,
        row.seen_at.0,
        row.release,
        row.target,
        row.size.cast_signed(),
        row.have.cast_signed(),
        row.attempts,
        row.stage,
        row.reason,
        row.text,
        row.reported_at.map(|at| at.0),
        row.held,
    ])?;
    Ok(())
}

fn put_outcome(connection: &rusqlite::Connection, outcome: &FirmwareOutcome) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("firmware/outcome_put"))?.execute(params![
        outcome.release,
        outcome.device.as_str(),
        outcome.confirmed,
        outcome.reason,
        outcome.counts,
        outcome.at.0,
    ])?;
    connection.prepare_cached(sql!("firmware/outcome_trim"))?.execute([])?;
    Ok(())
}

impl Tables {
    /// Keeps what a sensor said, and with it how an update ended, if one did: both or neither.
    pub fn put_sensor_firmware(&self, row: SensorFirmware, outcome: Option<FirmwareOutcome>) -> Result<(), StoreError> {
        self.write(move |connection| {
            put(connection, &row)?;
            outcome.iter().try_for_each(|outcome| put_outcome(connection, outcome))
        })
    }

    /// Keeps how an update of the box itself ended.
    pub fn put_firmware_outcome(&self, outcome: FirmwareOutcome) -> Result<(), StoreError> {
        self.write(move |connection| put_outcome(connection, &outcome))
    }

    /// Every update that came to nothing on a sensor or the box, by whosever fault.
    pub fn failed_outcomes(&self) -> Result<Vec<FirmwareOutcome>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("firmware/failed"))?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let device: String = row.get(1)?;
                found.push(FirmwareOutcome {
                    release: row.get(0)?,
                    device: device_id(&device, "firmware_outcomes")?,
                    confirmed: false,
                    reason: row.get(2)?,
                    counts: row.get(3)?,
                    at: Timestamp(row.get(4)?),
                });
            }
            Ok(found)
        })
    }

    /// What every sensor last said.
    pub fn sensor_firmware(&self) -> Result<Vec<SensorFirmware>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("firmware/all"))?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(read(row)?);
            }
            Ok(found)
        })
    }

    /// On how many sensors a release was confirmed, and on how many it failed by its own fault.
    pub fn firmware_tally(&self, release: &[u8; 32]) -> Result<(u32, u32), StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("firmware/tally"))?;
            Ok(statement.query_row([release.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })
    }

    /// Keeps a signed transaction about a release until the ledger has it, and with it what was counted of that release, which goes
    /// first: both or neither. The same one again changes nothing.
    pub fn add_act(
        &self,
        hash: [u8; 32],
        about: [u8; 32],
        leaf: Vec<u8>,
        at: Timestamp,
        tally: Option<NewTally>,
    ) -> Result<(), StoreError> {
        limit("a transaction", &leaf, ACT_BYTES_MAX)?;
        tally.iter().try_for_each(|tally| limit("a transaction", &tally.leaf, ACT_BYTES_MAX))?;
        self.write(move |connection| {
            connection.prepare_cached(sql!("firmware/act_add"))?.execute(params![hash, about, leaf, at.0])?;
            tally.iter().try_for_each(|tally| put_tally(connection, tally))
        })
    }

    /// The ledger has a transaction, or refuses it for good.
    pub fn settle_act(&self, hash: &[u8; 32], taken: bool) -> Result<(), StoreError> {
        let (hash, state) = (*hash, if taken { 1 } else { 2 });
        self.write(move |connection| {
            connection.prepare_cached(sql!("firmware/act_settle"))?.execute(params![hash, state])?;
            connection.prepare_cached(sql!("tallies/settle"))?.execute(params![hash, state])?;
            Ok(())
        })
    }

    /// How far a transaction has come; none if it is not kept here, e.g. because the box was restored since.
    pub fn act_state(&self, hash: &[u8; 32]) -> Result<Option<ActState>, StoreError> {
        let state: Option<i64> = self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("firmware/act_state"))?;
            Ok(statement.query_row([hash.as_slice()], |row| row.get(0)).optional()?)
        })?;
        Ok(state.map(|state| match state {
            0 => ActState::Waiting,
            1 => ActState::Told,
            _ => ActState::Refused,
        }))
    }

    /// Transactions the ledger does not have yet: halts and the like first, each behind what was counted of its release, since the
    /// ledger takes no count after it; then tallies; oldest first.
    pub fn waiting_acts(&self, rows: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("firmware/acts_waiting"))?;
            let found = statement.query_map([rows], |row| row.get(0))?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Every release this box has asked to halt, whatever became of it.
    pub fn acts_about(&self) -> Result<Vec<[u8; 32]>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("firmware/acts_about"))?;
            let found = statement.query_map([], |row| row.get(0))?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }
}
