//! Copies of athletes' keys sealed to the clinic's recovery key, on their way to the ledger and out of it.

use pitchside_model::AthleteId;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::devices::limit;
use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

/// The most bytes a copy may have.
pub const COPY_BYTES_MAX: usize = 1 << 10;

/// A sealed copy of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCopy {
    /// Its name in the ledger.
    pub name: [u8; 32],
    /// Whose key; none for the house's.
    pub athlete: Option<AthleteId>,
    /// Which generation.
    pub generation: u32,
    /// The sealed key.
    pub body: Vec<u8>,
}

/// How many copies there are, and of how many keys there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CopyCounts {
    /// To be handed to the ledger.
    pub waiting: u64,
    /// Held by the ledger.
    pub held: u64,
    /// To be deleted by the ledger.
    pub leaving: u64,
    /// Athletes' keys without a copy.
    pub missing: u64,
}

pub(crate) fn add(connection: &Connection, copy: &KeyCopy) -> Result<(), StoreError> {
    let athlete = copy.athlete.as_ref().map(AthleteId::as_str);
    connection.prepare_cached(sql!("copies/add"))?.execute(params![
        copy.name.as_slice(),
        athlete,
        copy.generation,
        copy.body
    ])?;
    Ok(())
}

impl Tables {
    /// Adds a copy to be handed to the ledger. The same one again changes nothing.
    pub fn add_key_copy(&self, copy: KeyCopy) -> Result<(), StoreError> {
        limit("a copy of a key", &copy.body, COPY_BYTES_MAX)?;
        self.write(move |connection| add(connection, &copy))
    }

    /// Copies the ledger is to keep (with their bodies) or to delete (without), at most `rows`.
    pub fn open_key_copies(&self, rows: u32) -> Result<Vec<([u8; 32], Option<Vec<u8>>)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("copies/open"))?;
            let found = statement.query_map([rows], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The ledger has confirmed that it holds a copy, or that it no longer does.
    pub fn note_key_copy(&self, name: &[u8; 32], held: bool) -> Result<(), StoreError> {
        let name = *name;
        self.write(move |connection| {
            let statement = if held { sql!("copies/held") } else { sql!("copies/gone") };
            connection.prepare_cached(statement)?.execute([name.as_slice()])?;
            Ok(())
        })
    }

    /// Every copy of an athlete's keys is to be deleted; our own bodies are overwritten at once. For erasure.
    pub fn forget_key_copies(&self, athlete: &AthleteId) -> Result<u64, StoreError> {
        let athlete = athlete.clone();
        self.write(move |connection| {
            Ok(connection.prepare_cached(sql!("copies/forget"))?.execute([athlete.as_str()])? as u64)
        })
    }

    /// How many copies there are.
    pub fn key_copy_counts(&self) -> Result<CopyCounts, StoreError> {
        self.read(|connection| {
            let missing: i64 = connection.prepare_cached(sql!("copies/missing"))?.query_row([], |row| row.get(0))?;
            let mut statement = connection.prepare_cached(sql!("copies/counts"))?;
            let counts = statement
                .query_row([], |row| {
                    let at = |i| row.get::<_, i64>(i).map(i64::cast_unsigned);
                    Ok(CopyCounts { waiting: at(0)?, held: at(1)?, leaving: at(2)?, missing: missing.cast_unsigned() })
                })
                .optional()?;
            Ok(counts.unwrap_or_default())
        })
    }
}
