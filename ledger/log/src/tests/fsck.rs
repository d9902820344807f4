use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::fsck::FaultKind;
use crate::objects::{FileObjects, Objects, StorageError};

fn report(dir: &Path) -> crate::Report {
    crate::fsck(&Storage::files(dir).unwrap(), log_key().verifier()).unwrap()
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if !path.file_name().unwrap().to_str().unwrap().starts_with("index.sqlite") {
            found.push(path);
        }
    }
}

fn small_log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut gateway) = start(dir.path());
    for fill in 0..2 {
        let block = gateway.submit(&log, fill);
        log.sequence(&[block], NOW).unwrap();
        log.publish().unwrap();
    }
    dir
}

#[test]
fn every_flipped_byte_of_every_file_is_found() {
    let dir = small_log();
    let sound = assert_sound(dir.path());
    assert_eq!((sound.leaves, sound.payloads, sound.checkpoints), (4, 2, 4));
    let storage = Storage::files(dir.path()).unwrap();
    let is_sound = || crate::fsck(&storage, log_key().verifier()).unwrap().is_sound();
    let mut all = Vec::new();
    files(dir.path(), &mut all);
    assert!(all.len() >= 11, "{all:?}");
    for path in all {
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            std::fs::write(&path, &bad).unwrap();
            assert!(!is_sound(), "byte {at} of {}", path.display());
        }
        for cut in [0, good.len() - 1] {
            std::fs::write(&path, &good[..cut]).unwrap();
            assert!(!is_sound(), "{} cut to {cut}", path.display());
        }
        std::fs::write(&path, [good.as_slice(), b"x"].concat()).unwrap();
        assert!(!is_sound(), "{} lengthened", path.display());
        std::fs::write(&path, &good).unwrap();
    }
    assert_sound(dir.path());
}

#[test]
fn every_changed_row_of_the_index_is_found() {
    let dir = small_log();
    let changes = [
        ("UPDATE leaf SET hash = zeroblob(32) WHERE place = 2", FaultKind::Entry),
        ("UPDATE block SET payload = zeroblob(32) WHERE number = 0", FaultKind::Index),
        ("UPDATE block SET incarnation = 7 WHERE number = 1", FaultKind::Index),
        ("DELETE FROM block WHERE number = 1", FaultKind::Index),
        ("UPDATE member SET signing = zeroblob(32)", FaultKind::Index),
        ("UPDATE member SET role = 1", FaultKind::Index),
        ("UPDATE fact SET value = zeroblob(32)", FaultKind::Index),
        ("INSERT INTO fact VALUES (9, x'00', 'box-1', x'', 1)", FaultKind::Index),
        ("UPDATE checkpoint SET root = zeroblob(32) WHERE size = 3", FaultKind::Index),
        ("UPDATE checkpoint SET note = x'00' WHERE size = 3", FaultKind::Signature),
        ("DELETE FROM checkpoint WHERE size = 4", FaultKind::Index),
        ("UPDATE log SET origin = 'other'", FaultKind::Index),
        ("INSERT INTO evidence VALUES (zeroblob(32), 'box-1', x'00', 6, 1, 0)", FaultKind::Evidence),
        ("INSERT INTO evidence VALUES (x'00', 'box-1', x'00', 6, 1, 0)", FaultKind::Index),
        ("UPDATE member SET name = 'no/name'", FaultKind::Index),
    ];
    for (sql, kind) in changes {
        let copy = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        files(dir.path(), &mut all);
        all.push(dir.path().join("index.sqlite"));
        for path in all {
            let to = copy.path().join(path.strip_prefix(dir.path()).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(path, to).unwrap();
        }
        assert_sound(copy.path());
        let connection = rusqlite::Connection::open(copy.path().join("index.sqlite")).unwrap();
        connection.execute_batch("PRAGMA foreign_keys=OFF").unwrap();
        assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
        drop(connection);
        let found = report(copy.path());
        assert!(found.faults.iter().any(|fault| fault.kind == kind), "{sql}: {:?}", found.faults);
    }
}

#[test]
fn missing_files_are_found_and_leftovers_of_a_crash_are_not_faults() {
    let dir = small_log();
    std::fs::write(dir.path().join("tile/0/.tmp-1-1"), b"half").unwrap();
    std::fs::create_dir_all(dir.path().join("tile/0/000.p")).unwrap();
    std::fs::write(dir.path().join("tile/0/000.p/9"), b"beyond the signed size").unwrap();
    assert_eq!(assert_sound(dir.path()).leftovers, 2);
    std::fs::remove_file(dir.path().join("tile/0/000.p/4")).unwrap();
    assert!(report(dir.path()).faults.iter().any(|f| f.kind == FaultKind::Tile && f.text == "missing"));
    std::fs::write(dir.path().join("tile/0/zero"), b"").unwrap();
    assert!(report(dir.path()).faults.iter().any(|f| f.text == "not a tile's name"));
}

#[test]
fn another_key_accepts_nothing() {
    let dir = small_log();
    let other = SignerKey::new(ORIGIN, KeyKind::Ed25519, &[5; 32]).unwrap();
    let report = crate::fsck(&Storage::files(dir.path()).unwrap(), other.verifier()).unwrap();
    assert!(report.faults.iter().any(|fault| fault.kind == FaultKind::Signature));
    assert!(report.faults.iter().any(|fault| fault.kind == FaultKind::Published));
}

/// Files of a log that grows, once, at the moment somebody first looks for an object whose path begins so.
struct Growing {
    files: FileObjects,
    at: &'static str,
    grow: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Growing {
    fn step(&self, path: &str) {
        let due = if path.starts_with(self.at) { self.grow.lock().take() } else { None };
        if let Some(grow) = due {
            grow();
        }
    }
}

impl Objects for Growing {
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.step(path);
        self.files.get(path)
    }
    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> Result<(), StorageError> {
        self.files.put_all(objects)
    }
    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        self.files.remove(paths)
    }
    fn erase(&self, path: &str) -> Result<(), StorageError> {
        self.files.erase(path)
    }
    fn paths(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let listed = self.files.paths(prefix);
        // Between the list and what is read of it.
        self.step(&format!("list:{prefix}"));
        listed
    }
}

#[test]
fn a_log_that_grows_while_it_is_checked_is_sound() {
    for at in ["tile/entries", "list:tile/entries", "tile/0", "list:tile/0"] {
        let dir = tempfile::tempdir().unwrap();
        let (log, mut gateway) = start(dir.path());
        let mut grow = move |count: u16| {
            let batch: Vec<_> = (0..count).map(|n| gateway.submit(&log, u8::try_from(n % 250).unwrap())).collect();
            assert!(log.sequence(&batch, NOW).unwrap().iter().all(Result::is_ok));
            log.publish().unwrap();
        };
        [100, 100].into_iter().for_each(&mut grow);
        let content = dir.path().join("contents/ab").join("ab".repeat(32));
        let more: Box<dyn FnOnce() + Send> = Box::new(move || {
            // Over the edge of a tile: the partial ones are forgotten.
            grow(100);
            // And of a release that stands only now there is a content.
            std::fs::create_dir_all(&content).unwrap();
            std::fs::write(content.join("data"), b"new").unwrap();
        });
        let mut storage = Storage::files(dir.path()).unwrap();
        let files = FileObjects::new(dir.path().to_owned());
        storage.objects = Arc::new(Growing { files, at, grow: Mutex::new(Some(more)) });
        let report = crate::fsck(&storage, log_key().verifier()).unwrap();
        assert!(report.is_sound(), "{at}: {:#?}", report.faults);
        assert_eq!(report.leaves, 202, "{at}: what it was when the check began");
        assert!(!dir.path().join("tile/0/000.p").exists(), "{at}: it did grow");
        std::fs::remove_dir_all(dir.path().join("contents")).unwrap();
        assert_eq!(assert_sound(dir.path()).leaves, 302);
    }
}
