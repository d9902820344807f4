//! A newer version was here, did not prove itself healthy, and the version before it has its database back.

use rusqlite::Connection;

use super::*;
use crate::connection::database_path;
use crate::migrate::{STEPS, Step, migrate_by};

/// What the next version might bring: a table, and columns of tables that this version writes.
const MORE: &str = "
    CREATE TABLE moods (athlete TEXT PRIMARY KEY, mood INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    ALTER TABLE journal ADD COLUMN compressed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE journal_damaged ADD COLUMN why TEXT;
    ALTER TABLE blocks ADD COLUMN colour TEXT;
    ALTER TABLE devices ADD COLUMN nickname TEXT NOT NULL DEFAULT '';
    ALTER TABLE marks ADD COLUMN of_whom TEXT;
";

/// As the next version leaves the database: its step asks for programs that know schema `reader`.
fn newer_version_was_here(dir: &Path, reader: usize) {
    let path = database_path(dir);
    let steps = [STEPS, &[Step { up: MORE, reader: reader as i64 }]].concat();
    migrate_by(&steps, &mut Connection::open(&path).unwrap(), &path).unwrap();
}

#[test]
fn the_version_before_works_on_with_what_was_only_added_to() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    wait(store.journal_append(vec![entry(0)])).unwrap();
    store.add_device(enrolled("strap-1")).unwrap();
    drop(store);
    newer_version_was_here(dir.path(), STEPS.len());

    let store = open(dir.path());
    let up_to = wait(store.journal_append(vec![entry(1)])).unwrap();
    let rows = store.unsealed(1 << 20).unwrap();
    assert_eq!(rows.len(), 2, "the reading from before the update, and one from after it");
    store.put_block(block(0, up_to), marks(&rows)).unwrap();
    store.add_device(enrolled("strap-2")).unwrap();
    assert_eq!(Tables::attach(dir.path(), root()).unwrap().devices().unwrap().len(), 2);
    drop(store);

    // The mended update comes, finds its step done, and everything there.
    newer_version_was_here(dir.path(), STEPS.len());
    let store = open(dir.path());
    assert_eq!(store.sealed_up_to().unwrap(), up_to);
    assert_eq!(store.claim(&device("strap-1"), Epoch(1), Seq(1)), Claim::Duplicate);
}

#[test]
fn a_database_that_was_changed_under_it_is_refused_and_left_whole() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()));
    newer_version_was_here(dir.path(), STEPS.len() + 1);
    let before = std::fs::read(database_path(dir.path())).unwrap();
    for refused in [Store::open(dir.path(), root()).err(), Tables::attach(dir.path(), root()).err()] {
        let needed = STEPS.len() as i64 + 1;
        assert!(matches!(refused, Some(OpenError::Newer { needed: asked, .. }) if asked == needed));
    }
    assert_eq!(std::fs::read(database_path(dir.path())).unwrap(), before);
}
