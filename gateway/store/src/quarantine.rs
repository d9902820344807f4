//! What was refused, encrypted and bounded: enough to see why, never enough to fill the disk.

use pitchside_model::{DeviceId, Timestamp};
use rusqlite::{Connection, params};

use crate::devices::device_id;
use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

/// Bytes of a refused payload that are kept.
pub const KEPT_BYTES_MAX: usize = 4 << 10;
/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 200;

/// One refused payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// Who sent it, if that is known.
    pub device: Option<DeviceId>,
    /// Why it was refused. Name the fault, not the values: reasons are not encrypted.
    pub reason: String,
    /// How many bytes it had.
    pub bytes: u64,
    /// The first [`KEPT_BYTES_MAX`] of them.
    pub kept: Vec<u8>,
}

impl Tables {
    /// Keeps a refused payload. The oldest one makes room.
    pub fn quarantine(
        &self,
        device: Option<&DeviceId>,
        payload: &[u8],
        reason: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let refusal = self.refusal(device, payload, reason, at)?;
        self.write(move |connection| refusal.write(connection))
    }

    /// A refused payload, ready to be written.
    pub(crate) fn refusal(
        &self,
        device: Option<&DeviceId>,
        payload: &[u8],
        reason: &str,
        at: Timestamp,
    ) -> Result<Refusal, StoreError> {
        let bytes = payload.len() as i64;
        let kept = &payload[..payload.len().min(KEPT_BYTES_MAX)];
        let device = device.map(|device| device.as_str().to_owned());
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let sealed = self.vault().quarantine.seal_copy(self.boot(), &context(at, device.as_deref(), bytes), kept)?;
        Ok(Refusal { at, device, reason, bytes, sealed, rows_max: self.quarantine_rows_max() as i64 })
    }

    /// What was refused, the latest first.
    pub fn quarantined(&self, rows: u32) -> Result<Vec<Refused>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("quarantine/latest"))?;
            let mut rows = statement.query([rows])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let (id, at, bytes): (i64, _, i64) = (row.get(0)?, Timestamp(row.get(1)?), row.get(4)?);
                let device: Option<String> = row.get(2)?;
                let sealed: Vec<u8> = row.get(5)?;
                let damaged = |_| StoreError::Damaged { table: "quarantine", row: id.to_string() };
                let kept =
                    self.vault().quarantine.open(&context(at, device.as_deref(), bytes), &sealed).map_err(damaged)?;
                let device = device.map(|device| device_id(&device, "quarantine")).transpose()?;
                found.push(Refused { at, device, reason: row.get(3)?, bytes: bytes.cast_unsigned(), kept });
            }
            Ok(found)
        })
    }
}

/// A row of the table.
pub(crate) struct Refusal {
    at: Timestamp,
    device: Option<String>,
    reason: String,
    bytes: i64,
    sealed: Vec<u8>,
    rows_max: i64,
}

impl Refusal {
    pub(crate) fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        let row = params![self.at.0, self.device, self.reason, self.bytes, self.sealed];
        connection.prepare_cached(sql!("quarantine/put"))?.execute(row)?;
        connection.prepare_cached(sql!("quarantine/trim"))?.execute([self.rows_max])?;
        Ok(())
    }
}

fn context(at: Timestamp, device: Option<&str>, bytes: i64) -> Vec<u8> {
    [&at.0.to_be_bytes()[..], &bytes.to_be_bytes(), device.unwrap_or("").as_bytes()].concat()
}
