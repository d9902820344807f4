//! The schema and how it came about: one folder a step under `migrations/`, counted by SQLite's `user_version`.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{OpenError, StoreError};

/// Marks the file as ours (SQLite's `application_id`): "PITC".
const APPLICATION_ID: i64 = 0x5049_5443;

/// One step of the schema. What has shipped never changes.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) up: &'static str,
    /// The lowest schema a program must know to work with a database that has had this step: the step's own number, or, if it only
    /// adds what an older program never looks at, that program's.
    pub(crate) reader: i64,
}

/// From this step on the database itself says what each asks of its readers.
const RECORDED_FROM: i64 = 4;

/// In order.
pub(crate) const STEPS: &[Step] = &[
    Step { up: include_str!("../migrations/0001_first/up.sql"), reader: 1 },
    Step { up: include_str!("../migrations/0002_undecoded/up.sql"), reader: 2 },
    Step { up: include_str!("../migrations/0003_recovery/up.sql"), reader: 3 },
    Step { up: include_str!("../migrations/0004_steps/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0005_firmware/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0006_rules/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0007_plugins/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0008_plugin_settings/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0009_delivery/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0010_resets/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0011_requests/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0012_tallies/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0013_decoder_states/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0014_request_targets/up.sql"), reader: 4 },
    Step { up: include_str!("../migrations/0015_kept_steps/up.sql"), reader: 4 },
];

/// Brings the schema up to date, all or nothing. Another process may be doing the same at the same moment. A database that a newer
/// program has brought further stays as it is, and is worked with if each step says so: an update that does not prove itself healthy
/// leaves its database to the version before it.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    migrate_by(STEPS, connection, path)
}

/// As [`migrate`], by a program that knows these steps.
pub(crate) fn migrate_by(steps: &[Step], connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let known = steps.len() as i64;
    if check(known, connection, path)? >= known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
    // Once more: whoever held the lock before us may have done it.
    let version = check(known, &transaction, path)?;
    if version >= known {
        return Ok(());
    }
    for (number, step) in (1..).zip(steps).filter(|(number, _)| *number > version) {
        transaction.execute_batch(step.up).map_err(StoreError::from)?;
        if number >= RECORDED_FROM {
            let row = (number, step.reader);
            transaction
                .execute("INSERT INTO schema_steps (step, reader) VALUES (?1, ?2)", row)
                .map_err(StoreError::from)?;
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(StoreError::from)?;
    transaction.pragma_update(None, "user_version", known).map_err(StoreError::from)?;
    transaction.commit().map_err(StoreError::from)?;
    Ok(())
}

/// The schema's number, if the file is ours and a program that knows schema `known` can work with it.
fn check(known: i64, connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let number =
        |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(StoreError::from);
    let (application, found) = (number("application_id")?, number("user_version")?);
    // A file without any schema is new; a foreign file has another id, or tables but no id.
    let fresh = application == 0 && found == 0 && number("schema_version")? == 0;
    if application != APPLICATION_ID && !fresh {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    if found > known {
        let needed = needed(connection, known, found)?;
        if needed > known {
            return Err(OpenError::Newer { found, known, needed });
        }
    }
    Ok(found)
}

/// The lowest schema to know for a database whose steps went beyond `known`. Every step there must speak for itself: one that does not is
/// taken for one that changes everything.
fn needed(connection: &Connection, known: i64, found: i64) -> Result<i64, StoreError> {
    if known < RECORDED_FROM {
        return Ok(found);
    }
    let (spoken_for, highest): (i64, Option<i64>) = connection.query_row(
        "SELECT count(*), max(reader) FROM schema_steps WHERE step > ?1 AND step <= ?2",
        [known, found],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(highest.filter(|_| spoken_for == found - known).unwrap_or(found))
}

#[cfg(test)]
mod tests;
