//! Payloads whose decoder could not be asked: kept whole, encrypted and bounded, acknowledged like a reading, decoded
//! when the plugin can be asked again.
//!
//! A payload comes in with its journal entry, and goes out with the entry of its readings, each time in one transaction:
//! at no instant is it in neither place or in both. The bounds hold for what is on its way to the disk too, so they are
//! counted in memory ([`Room`]), from what the table says at opening; only the running gateway changes the table, and an erasure.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_model::{AthleteId, DeviceId, Entry, Reading, Timestamp};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use crate::devices::device_id;
use crate::error::StoreError;
use crate::journal::RowId;
use crate::key::Vault;
use crate::sql;
use crate::store::Store;
use crate::tables::Tables;

/// What a row costs besides its payload, as it counts against the bounds.
const ROW_BYTES: u64 = 512;
/// The most rows one call lists.
pub const ROWS_MAX: u32 = 256;

/// Number of a payload that waits, rising in the order they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct UndecodedId(pub i64);

/// One payload that waits for its decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Undecoded {
    /// Its number.
    pub id: UndecodedId,
    /// When it came, by the gateway's clock.
    pub arrived_at: Timestamp,
    /// Who sent it, whose it is, its message number; no readings yet.
    pub entry: Entry,
    /// The vendor's bytes.
    pub payload: Vec<u8>,
    /// Where a hub published them, if it did.
    pub topic: Option<Arc<str>>,
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Payloads.
    pub payloads: u64,
    /// When the oldest came.
    pub oldest: Option<Timestamp>,
}

/// Behind it stands the topic, if there is one: a program from before there were topics reads no further.
#[derive(Serialize, Deserialize)]
struct Body {
    entry: Entry,
    payload: Vec<u8>,
}

/// How many bytes may wait, and do.
pub(crate) struct Room {
    used: Mutex<Used>,
    max: u64,
    of_device_max: u64,
}

#[derive(Default)]
struct Used {
    all: u64,
    of: HashMap<DeviceId, u64>,
}

impl Used {
    fn read(connection: &Connection) -> Result<Self, StoreError> {
        let mut used = Self::default();
        let mut statement = connection.prepare(sql!("undecoded/of_devices"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let device: String = row.get(0)?;
            let (count, bytes): (i64, i64) = (row.get(1)?, row.get(2)?);
            let bytes = bytes.cast_unsigned().saturating_add(count.cast_unsigned().saturating_mul(ROW_BYTES));
            used.all = used.all.saturating_add(bytes);
            used.of.insert(device_id(&device, "undecoded")?, bytes);
        }
        Ok(used)
    }
}

impl Room {
    pub(crate) fn load(connection: &Connection, max: u64, of_device_max: u64) -> Result<Self, StoreError> {
        Ok(Self { used: Mutex::new(Used::read(connection)?), max, of_device_max })
    }

    /// What is on its way to the disk at this moment goes uncounted until the next time.
    fn recount(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut used = self.used.lock();
        *used = Used::read(connection)?;
        Ok(())
    }

    fn take(self: &Arc<Self>, device: &DeviceId, payload: usize) -> Result<Taken, StoreError> {
        let bytes = (payload as u64).saturating_add(ROW_BYTES);
        let mut used = self.used.lock();
        let own = used.of.get(device).copied().unwrap_or(0);
        if used.all.saturating_add(bytes) > self.max || own.saturating_add(bytes) > self.of_device_max {
            return Err(StoreError::UndecodedFull(device.clone()));
        }
        used.all += bytes;
        used.of.insert(device.clone(), own + bytes);
        drop(used);
        Ok(Taken { room: Arc::clone(self), device: device.clone(), bytes, stays: false })
    }

    fn give_back(&self, device: &DeviceId, bytes: u64) {
        let mut used = self.used.lock();
        used.all = used.all.saturating_sub(bytes);
        if let Some(own) = used.of.get_mut(device) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                used.of.remove(device);
            }
        }
    }
}

/// A share of the room: given back when dropped, unless its row is durable.
pub(crate) struct Taken {
    room: Arc<Room>,
    device: DeviceId,
    bytes: u64,
    stays: bool,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.stays {
            self.room.give_back(&self.device, self.bytes);
        }
    }
}

/// What an append writes beside its entries, in the same transaction.
pub(crate) enum Beside {
    /// A payload that waits from now on.
    Kept { at: Timestamp, payload_bytes: i64, sealed: Vec<u8>, room: Taken },
    /// One that was decoded: the entries are its readings.
    Decoded { id: UndecodedId, room: Taken },
}

impl Beside {
    pub(crate) fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        match self {
            Self::Kept { at, payload_bytes, sealed, room } => connection
                .prepare_cached(sql!("undecoded/put"))?
                .execute(params![at.0, room.device.as_str(), payload_bytes, sealed])?,
            Self::Decoded { id, .. } => connection.prepare_cached(sql!("undecoded/remove"))?.execute([id.0])?,
        };
        Ok(())
    }

    /// The transaction is durable.
    pub(crate) fn durable(self) {
        match self {
            Self::Kept { mut room, .. } => room.stays = true,
            Self::Decoded { mut room, .. } => room.stays = false,
        }
    }
}

fn context(at: Timestamp, device: &str, bytes: i64) -> Vec<u8> {
    [&at.0.to_be_bytes()[..], &bytes.to_be_bytes(), device.as_bytes()].concat()
}

/// A row as it is stored, opened.
fn open(vault: &Vault, row: &Row<'_>) -> Result<Result<Undecoded, StoreError>, StoreError> {
    let (id, arrived_at) = (UndecodedId(row.get(0)?), Timestamp(row.get(1)?));
    let (device, bytes, sealed): (String, i64, Vec<u8>) = (row.get(2)?, row.get(3)?, row.get(4)?);
    let opened = || {
        let plain = vault.undecoded.open(&context(arrived_at, &device, bytes), &sealed).ok()?;
        let (Body { entry, payload }, rest) = postcard::take_from_bytes::<Body>(&plain).ok()?;
        let topic: Option<&str> = match rest {
            [] => None,
            topic => Some(postcard::from_bytes(topic).ok()?),
        };
        let is_its = entry.device.as_str() == device;
        is_its.then(|| Undecoded { id, arrived_at, entry, payload, topic: topic.map(Arc::from) })
    };
    Ok(opened().ok_or_else(|| StoreError::Damaged { table: "undecoded", row: id.0.to_string() }))
}

/// Lets go of payloads that an athlete's device sent. A running gateway counts its room anew: [`Store::recount_undecoded`].
pub(crate) fn drop_of(connection: &Connection, vault: &Vault, athlete: &AthleteId) -> Result<(), StoreError> {
    let mut theirs = Vec::new();
    {
        let mut statement = connection.prepare_cached(sql!("erasure/undecoded"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Ok(kept) = open(vault, row)?
                && kept.entry.athlete.as_ref() == Some(athlete)
            {
                theirs.push(kept.id);
            }
        }
    }
    for id in theirs {
        connection.prepare_cached(sql!("undecoded/remove"))?.execute([id.0])?;
    }
    Ok(())
}

impl Store {
    /// Counts anew what waits: an erasure has let go of some of it.
    pub fn recount_undecoded(&self) -> Result<(), StoreError> {
        let room = Arc::clone(self.undecoded_room());
        self.read(|connection| room.recount(connection))
    }

    /// Keeps a payload until it can be decoded, with the entry it came in (no readings of its own yet, but what the
    /// gateway noticed). Returns after the fsync: the sender may be told. The entry's claim is settled as by
    /// [`Store::journal_append`]. [`StoreError::UndecodedFull`] if as many wait as may.
    pub async fn journal_undecoded(
        &self,
        entry: Entry,
        payload: &[u8],
        topic: Option<&str>,
        at: Timestamp,
    ) -> Result<RowId, StoreError> {
        let release = |error| {
            self.release(&entry.device, entry.epoch, entry.seq);
            Err(error)
        };
        let room = match self.undecoded_room().take(&entry.device, payload.len()) {
            Ok(room) => room,
            Err(error) => return release(error),
        };
        let payload_bytes = payload.len() as i64;
        let body = Body { entry: Entry { readings: Vec::new(), ..entry.clone() }, payload: payload.to_vec() };
        let sealed = match topic {
            Some(topic) => postcard::to_stdvec(&(body, topic)),
            None => postcard::to_stdvec(&body),
        }
        .map_err(|error| StoreError::Database(error.to_string()))
        .and_then(|plain| {
            let context = context(at, entry.device.as_str(), payload_bytes);
            self.vault().undecoded.seal_copy(self.boot(), &context, &plain)
        });
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(error) => return release(error),
        };
        let beside = Beside::Kept { at, payload_bytes, sealed, room };
        self.enter(vec![entry], Some(beside)).await?.durable().await
    }

    /// A payload that waited was decoded: its readings are in the journal and it waits no more, both or neither.
    pub async fn journal_decoded(&self, kept: &Undecoded, readings: Vec<Reading>) -> Result<RowId, StoreError> {
        let entry = Entry { readings, ..kept.entry.clone() };
        let beside = Beside::Decoded { id: kept.id, room: self.leaving(kept) };
        self.enter(vec![entry], Some(beside)).await?.durable().await
    }

    /// A payload that waited turned out to be none: it goes to quarantine.
    pub fn refuse_undecoded(&self, kept: &Undecoded, reason: &str) -> Result<(), StoreError> {
        let refusal = self.refusal(Some(&kept.entry.device), &kept.payload, reason, kept.arrived_at)?;
        let (id, mut leaving) = (kept.id, self.leaving(kept));
        self.write(move |connection| {
            refusal.write(connection)?;
            connection.prepare_cached(sql!("undecoded/remove"))?.execute([id.0])?;
            Ok(())
        })?;
        leaving.stays = false;
        Ok(())
    }

    /// The room a row that is there has. It stays taken unless the row's leaving becomes durable.
    fn leaving(&self, kept: &Undecoded) -> Taken {
        let bytes = (kept.payload.len() as u64).saturating_add(ROW_BYTES);
        Taken { room: Arc::clone(self.undecoded_room()), device: kept.entry.device.clone(), bytes, stays: true }
    }
}

impl Tables {
    /// Payloads that wait for their decoder, after `after`, the oldest first, at most [`ROWS_MAX`]. One that does not
    /// open does not hide the others.
    pub fn undecoded(
        &self,
        after: UndecodedId,
        rows: u32,
    ) -> Result<Vec<(UndecodedId, Result<Undecoded, StoreError>)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("undecoded/after"))?;
            let mut rows = statement.query([after.0, i64::from(rows.min(ROWS_MAX))])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let id = UndecodedId(row.get(0)?);
                found.push((id, open(self.vault(), row)?));
            }
            Ok(found)
        })
    }

    /// How much waits for its decoder.
    pub fn undecoded_waiting(&self) -> Result<Waiting, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("undecoded/waiting"))?;
            Ok(statement.query_row([], |row| {
                let oldest = row.get::<_, Option<i64>>(1)?.map(Timestamp);
                Ok(Waiting { payloads: row.get::<_, i64>(0)?.cast_unsigned(), oldest })
            })?)
        })
    }
}
