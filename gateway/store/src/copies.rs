//! Copies of athletes' keys sealed to the clinic's recovery key, on their way to the ledger and out of it.

use pitchside_model::AthleteId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::athletes::athlete_id;
use crate::devices::limit;
use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

/// The most bytes a copy may have.
pub const COPY_BYTES_MAX: usize = 1 << 10;
/// How many athletes were erased when the ledger's list was last gone through.
const SOUGHT: &str = "store/copies-sought";
/// Which copies the ledger could not read then: their number, and the names of the first.
const UNREADABLE: &str = "store/copies-unreadable";
/// So many names of them are kept.
const UNREADABLE_NAMES: usize = 16;

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

/// A sealed copy of a key by its name alone: what the ledger may hold of it is known, not what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyName {
    /// Its name in the ledger.
    pub name: [u8; 32],
    /// Whose key; none for the house's.
    pub athlete: Option<AthleteId>,
    /// Which generation.
    pub generation: u32,
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

/// Copies that the ledger has and could not read when its list was last gone through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnreadableCopies {
    /// How many.
    pub count: u64,
    /// The names of the first.
    pub first: Vec<[u8; 32]>,
}

impl UnreadableCopies {
    fn to_bytes(names: &[[u8; 32]]) -> Vec<u8> {
        let mut bytes = (names.len() as u64).to_be_bytes().to_vec();
        names.iter().take(UNREADABLE_NAMES).for_each(|name| bytes.extend_from_slice(name));
        bytes
    }

    fn parse(bytes: &[u8]) -> Self {
        let Some((count, names)) = bytes.split_first_chunk::<8>() else { return Self::default() };
        let (first, _) = names.as_chunks::<32>();
        Self { count: u64::from_be_bytes(*count), first: first.to_vec() }
    }
}

fn meta(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(connection.prepare_cached(sql!("meta/get"))?.query_row([key], |row| row.get(0)).optional()?)
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

pub(crate) fn know(connection: &Connection, copy: &CopyName) -> Result<(), StoreError> {
    let athlete = copy.athlete.as_ref().map(AthleteId::as_str);
    connection.prepare_cached(sql!("copies/know"))?.execute(params![copy.name.as_slice(), athlete, copy.generation])?;
    Ok(())
}

pub(crate) fn name(row: &Row<'_>) -> Result<CopyName, StoreError> {
    let athlete: Option<String> = row.get(1)?;
    Ok(CopyName {
        name: row.get(0)?,
        athlete: athlete.map(|athlete| athlete_id(&athlete, "key_copies")).transpose()?,
        generation: row.get(2)?,
    })
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

    /// Enters copies that the ledger may hold: to be deleted there if their athlete was erased, held otherwise. One that is
    /// known already stays as it is, but for an erased athlete's.
    pub fn know_key_copies(&self, copies: Vec<CopyName>) -> Result<(), StoreError> {
        self.write(move |connection| copies.iter().try_for_each(|copy| know(connection, copy)))
    }

    /// How many athletes are erased, if the ledger's list was not gone through since for copies of their keys that are not
    /// known here: a box that was restored does not know them all. Or if there were some in it that the ledger could not read: it may
    /// have been mended. None if there is nothing to look for.
    pub fn copies_to_seek(&self) -> Result<Option<u64>, StoreError> {
        self.read(|connection| {
            let erased: i64 = connection.prepare_cached(sql!("copies/erased"))?.query_row([], |row| row.get(0))?;
            let (sought, unreadable) = (meta(connection, SOUGHT)?, meta(connection, UNREADABLE)?);
            let erased = erased.cast_unsigned();
            let is_done = sought.is_some_and(|sought| sought == erased.to_be_bytes());
            let all_read = unreadable.is_none_or(|bytes| UnreadableCopies::parse(&bytes).count == 0);
            Ok((erased > 0 && !(is_done && all_read)).then_some(erased))
        })
    }

    /// The list was gone through for what [`Tables::copies_to_seek`] had said.
    pub fn note_copies_sought(&self, erased: u64) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection.prepare_cached(sql!("meta/put"))?.execute(params![SOUGHT, erased.to_be_bytes().as_slice()])?;
            Ok(())
        })
    }

    /// Notes which copies of its list the ledger could not read. True if there are some, and others than were noted before.
    pub fn note_unreadable_copies(&self, names: &[[u8; 32]]) -> Result<bool, StoreError> {
        let (bytes, some) = (UnreadableCopies::to_bytes(names), !names.is_empty());
        self.write(move |connection| {
            let before = meta(connection, UNREADABLE)?;
            if before.unwrap_or_else(|| UnreadableCopies::to_bytes(&[])) == bytes {
                return Ok(false);
            }
            connection.prepare_cached(sql!("meta/put"))?.execute(params![UNREADABLE, bytes])?;
            Ok(some)
        })
    }

    /// Which copies the ledger could not read when its list was last gone through.
    pub fn unreadable_copies(&self) -> Result<UnreadableCopies, StoreError> {
        self.read(|connection| {
            Ok(meta(connection, UNREADABLE)?
                .map_or_else(UnreadableCopies::default, |bytes| UnreadableCopies::parse(&bytes)))
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
