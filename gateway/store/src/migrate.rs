//! The schema and how it came about: one folder a step under `migrations/`, counted by SQLite's `user_version`.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{OpenError, StoreError};

/// Marks the file as ours (SQLite's `application_id`): "PITC".
const APPLICATION_ID: i64 = 0x5049_5443;

/// In order; a step that has shipped never changes.
const STEPS: &[&str] = &[
    include_str!("../migrations/0001_first/up.sql"),
    include_str!("../migrations/0002_undecoded/up.sql"),
    include_str!("../migrations/0003_recovery/up.sql"),
    include_str!("../migrations/0004_firmware/up.sql"),
];

/// Brings the schema up to date, all or nothing. Another process may be doing the same at the same moment.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let known = STEPS.len() as i64;
    let version = check(connection, path)?;
    if version == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
    // Once more: whoever held the lock before us may have done it.
    let version = check(&transaction, path)?;
    for step in STEPS.iter().skip(usize::try_from(version).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step).map_err(StoreError::from)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(StoreError::from)?;
    transaction.pragma_update(None, "user_version", known).map_err(StoreError::from)?;
    transaction.commit().map_err(StoreError::from)?;
    Ok(())
}

/// The schema's number, if the file is ours and not from the future.
fn check(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let number =
        |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(StoreError::from);
    let (application, found) = (number("application_id")?, number("user_version")?);
    let known = STEPS.len() as i64;
    // A file without any schema is new; a foreign file has another id, or tables but no id.
    let fresh = application == 0 && found == 0 && number("schema_version")? == 0;
    if application != APPLICATION_ID && !fresh {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_file_becomes_ours_and_twice_is_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        connection.execute("INSERT INTO meta VALUES ('a', x'00')", []).unwrap();
    }

    #[test]
    fn an_older_schema_is_brought_up_to_date_and_keeps_its_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection.execute("INSERT INTO blocks VALUES (0, 0, x'00', 0, 0, 0, 0, 3, x'00')", []).unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        let alerts: i64 = connection.query_row("SELECT alerts_up_to FROM blocks", [], |row| row.get(0)).unwrap();
        assert_eq!(alerts, 0, "an old block speaks for no alert");
        connection.execute_batch("SELECT * FROM undecoded").unwrap();
    }

    #[test]
    fn a_newer_schema_is_refused_with_both_numbers() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut connection, Path::new("x")).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 99, .. }));
        assert!(error.to_string().contains("newer pitchside"));
    }

    #[test]
    fn somebody_elses_database_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(matches!(migrate(&mut connection, Path::new("x")), Err(OpenError::Foreign(_))));
    }
}
