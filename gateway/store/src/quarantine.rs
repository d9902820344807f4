//! What was refused, encrypted and bounded: enough to see why, never enough to fill the disk.

use pitchside_model::{DeviceId, Timestamp};
use rusqlite::params;

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
        let bytes = payload.len() as i64;
        let kept = payload[..payload.len().min(KEPT_BYTES_MAX)].to_vec();
        let device = device.map(|device| device.as_str().to_owned());
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let (vault, boot, rows_max) = (self.vault_shared(), self.boot(), self.quarantine_rows_max() as i64);
        let context = context(at, device.as_deref(), bytes);
        let sealed = vault.quarantine.seal_copy(boot, &context, &kept)?;
        self.write(move |connection| {
            connection.prepare_cached(sql!("quarantine/put"))?.execute(params![at.0, device, reason, bytes, sealed])?;
            connection.prepare_cached(sql!("quarantine/trim"))?.execute([rows_max])?;
            Ok(())
        })
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

fn context(at: Timestamp, device: Option<&str>, bytes: i64) -> Vec<u8> {
    [&at.0.to_be_bytes()[..], &bytes.to_be_bytes(), device.unwrap_or("").as_bytes()].concat()
}
