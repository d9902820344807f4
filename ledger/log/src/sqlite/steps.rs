//! Counts the steps of rollouts again, for an index of before migration 3. What the program that wrote it had counted depended on
//! when it was made; what the leaves imply does not.

use std::collections::BTreeMap;

use ledger_block::ingest::Act;
use rusqlite::params;

use super::{Rows, number};
use crate::index::Reads as _;
use crate::machine::{Leaf, STEPS_COUNTED_FROM, step_key};
use crate::objects::{Objects, StorageError};
use crate::state::{FactKind, State as _};
use crate::tree::read_entry;

pub(super) fn count(rows: &Rows<'_>, objects: &dyn Objects) -> Result<(), StorageError> {
    let version = rows.log()?.map_or(0, |(_, version)| version);
    let sql = "SELECT place FROM fact WHERE kind = ?1";
    let Some(since) = rows.one(sql, [FactKind::Version as u8], |row| Ok(Ok(number(row, 0)?)))? else { return Ok(()) };
    if version < STEPS_COUNTED_FROM {
        return Ok(());
    }
    let (size, mut counts) = (rows.size()?, BTreeMap::<Vec<u8>, u8>::new());
    for place in rows.firmware(since, u32::MAX)? {
        // An entry that is gone or unreadable is for `fsck` to tell.
        let Some(Ok(Leaf::Transaction(leaf))) = read_entry(objects, place, size)?.map(|entry| Leaf::read(&entry))
        else {
            continue;
        };
        if let Act::Rollout { release, hardware, .. } = &leaf.transaction().act {
            let count = counts.entry(step_key(release, hardware)).or_default();
            *count = count.saturating_add(1);
        }
    }
    for (key, count) in counts {
        let Some(mut step) = rows.fact(FactKind::Step, &key)? else { continue };
        step.value.push(count);
        let sql = "UPDATE fact SET value = ?1 WHERE kind = ?2 AND key = ?3";
        rows.run(sql, params![step.value, FactKind::Step as u8, key])?;
    }
    Ok(())
}
