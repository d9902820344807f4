//! A kill at any point leaves a log that `fsck` accepts and that goes on where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::objects::{FileObjects, Objects, StorageError};

/// Files that stop working after so many writes, as a process does that is killed.
struct Dying {
    files: FileObjects,
    left: AtomicU64,
}

impl Dying {
    fn step(&self) -> Result<(), StorageError> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(|_| ()).map_err(|_| StorageError::Missing("power".to_owned()))
    }
}

impl Objects for Dying {
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.files.get(path)
    }
    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> Result<(), StorageError> {
        for object in objects {
            self.step()?;
            self.files.put_all(std::slice::from_ref(object))?;
        }
        self.step()
    }
    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        self.step()?;
        self.files.remove(paths)
    }
    fn erase(&self, path: &str) -> Result<(), StorageError> {
        self.step()?;
        self.files.erase(path)
    }
    fn paths(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        self.files.paths(prefix)
    }
}

fn open_dying(dir: &Path, writes: u64) -> Log {
    let mut storage = Storage::files(dir).unwrap();
    let files = FileObjects::new(dir.to_owned());
    storage.objects = Arc::new(Dying { files, left: AtomicU64::new(writes) });
    Log::open(storage, log_key()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = entry.map(|e| (e.path(), to.join(e.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

#[test]
fn a_kill_after_any_write_leaves_a_sound_log_that_goes_on() {
    // Enough leaves that the batch finishes one tile and begins another.
    let base = tempfile::tempdir().unwrap();
    let (log, mut sealer) = start(base.path());
    let first: Vec<_> = (0..250).map(|n| sealer.submit(&log, u8::try_from(n).unwrap())).collect();
    log.sequence(&first, NOW).unwrap();
    let before = log.publish().unwrap();
    let batch: Vec<_> = (0..9).map(|n| sealer.submit(&log, n)).collect();
    drop(log);
    let mut deaths = 0;
    for writes in 0.. {
        let dir = tempfile::tempdir().unwrap();
        copy(base.path(), dir.path());
        let log = open_dying(dir.path(), writes);
        let sequenced = log.sequence(&batch, NOW);
        let published = log.publish();
        let done = sequenced.is_ok() && published.is_ok();
        deaths += u32::from(!done);
        drop(log);

        assert_sound(dir.path());
        let log = reopen(dir.path());
        let seen = log.published();
        assert!(seen.size >= before.size, "nothing published is taken back");
        if sequenced.is_ok() {
            assert_eq!(seen.size, 261, "what was sequenced is published by opening");
        }
        // The client sends again what it has no receipt for.
        assert!(log.sequence(&batch, NOW).unwrap().iter().all(Result::is_ok));
        assert_eq!(log.publish().unwrap().size, 261);
        assert_sound(dir.path());
        if done {
            break;
        }
    }
    assert!(deaths >= 5, "the test must die in every write of a batch, it died {deaths} times");
}

#[test]
fn an_index_restored_from_an_old_copy_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut gateway) = start(dir.path());
    drop(log);
    let old = std::fs::read(dir.path().join("index.sqlite")).unwrap();
    let log = reopen(dir.path());
    let block = gateway.submit(&log, 1);
    log.sequence(&[block], NOW).unwrap();
    log.publish().unwrap();
    drop(log);
    for leftover in ["index.sqlite-wal", "index.sqlite-shm"] {
        let _absent = std::fs::remove_file(dir.path().join(leftover));
    }
    std::fs::write(dir.path().join("index.sqlite"), old).unwrap();
    let error = Log::open(Storage::files(dir.path()).unwrap(), log_key()).err().unwrap();
    assert!(error.to_string().contains("old copy"), "{error}");
    let report = crate::fsck(&Storage::files(dir.path()).unwrap(), log_key().verifier()).unwrap();
    assert!(!report.is_sound());
}

#[test]
fn two_processes_may_write_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let (serving, mut gateway) = start(dir.path());
    let console = reopen(dir.path());
    let second = GatewayKey::new(&[50; 32]);
    console.enter_now(enrol("box-2", &second, Role::Gateway), NOW).unwrap().unwrap();
    let block = gateway.submit(&serving, 1);
    assert_eq!(serving.sequence(&[block], NOW).unwrap()[0].as_ref().unwrap().place, 3);
    assert_eq!(serving.publish().unwrap().size, 4);
    assert!(serving.member(&id("box-2")).unwrap().is_some());
    assert!(console.note().unwrap().is_some());
    assert_eq!(console.published().size, 4);
    assert_sound(dir.path());
}
