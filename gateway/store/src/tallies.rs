//! How updates ended, counted for the ledger: what was told of each release, and what all boxes counted. Bounded by the releases
//! there are, one row each: a newer tally takes the place of one that still waits.

use pitchside_model::Timestamp;
use rusqlite::params;

use crate::devices::limit;
use crate::error::StoreError;
use crate::firmware::ACT_BYTES_MAX;
use crate::sql;
use crate::tables::Tables;

/// How updates to one release ended here: each device and the box itself once, and only what speaks for or against the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Which release.
    pub release: [u8; 32],
    /// The new image proved itself.
    pub confirmed: u32,
    /// It failed.
    pub failed: u32,
}

/// A signed tally for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTally {
    /// What it says.
    pub counted: Counted,
    /// Hash of its leaf.
    pub hash: [u8; 32],
    /// The signed transaction.
    pub leaf: Vec<u8>,
    /// When it was made.
    pub at: Timestamp,
}

/// The tally of a release that was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What it said.
    pub counted: Counted,
    /// When it was made.
    pub at: Timestamp,
    /// The ledger refused it for good.
    pub refused: bool,
    /// What all boxes counted, confirmed and failed, when the ledger last said so.
    pub all: Option<(u32, u32)>,
}

pub(crate) fn put_tally(connection: &rusqlite::Connection, tally: &NewTally) -> Result<(), StoreError> {
    let NewTally { counted: Counted { release, confirmed, failed }, hash, leaf, at } = tally;
    connection.prepare_cached(sql!("tallies/put"))?.execute(params![release, confirmed, failed, hash, leaf, at.0])?;
    Ok(())
}

impl Tables {
    /// How updates ended here, by release.
    pub fn counted_outcomes(&self) -> Result<Vec<Counted>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("tallies/counted"))?;
            let found = statement.query_map([], |row| {
                Ok(Counted { release: row.get(0)?, confirmed: row.get(1)?, failed: row.get(2)? })
            })?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Keeps a tally until the ledger has it, in place of the one before.
    pub fn put_tally(&self, tally: NewTally) -> Result<(), StoreError> {
        limit("a transaction", &tally.leaf, ACT_BYTES_MAX)?;
        self.write(move |connection| put_tally(connection, &tally))
    }

    /// What was told of every release.
    pub fn tallies(&self) -> Result<Vec<Told>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("tallies/all"))?;
            let found = statement.query_map([], |row| {
                let counted = Counted { release: row.get(0)?, confirmed: row.get(1)?, failed: row.get(2)? };
                let all = row.get::<_, Option<u32>>(5)?.zip(row.get::<_, Option<u32>>(6)?);
                Ok(Told { counted, at: Timestamp(row.get(3)?), refused: row.get::<_, u8>(4)? == 2, all })
            })?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// What all boxes counted of a release, as the ledger says.
    pub fn note_sum(&self, all: Counted) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection.prepare_cached(sql!("tallies/sum"))?.execute(params![all.release, all.confirmed, all.failed])?;
            Ok(())
        })
    }
}
