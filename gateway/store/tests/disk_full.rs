//! No room: nothing is acknowledged, the caller hears why, and it works again by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use common::{device, entry, root};
use pitchside_model::{Epoch, Seq, Timestamp};
use pitchside_store::{BlockKey, Claim, Marks, NewBlock, OpenError, Options, RowId, Store, StoreError, Tables};
use tempfile::TempDir;

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Appends groups of messages until one is refused; returns the refusal and the number of the first refused message.
fn fill(store: &Store, mut seq: u64) -> (StoreError, u64) {
    loop {
        let entries: Vec<_> = (seq..seq + 500).map(|seq| entry(0, seq)).collect();
        match wait(store.journal_append(entries)) {
            Ok(_) => seq += 500,
            Err(error) => return (error, seq),
        }
    }
}

/// Seals and deletes everything there is.
fn make_room(store: &Store) {
    let rows = store.unsealed(usize::MAX).unwrap();
    let mut marks = Marks::default();
    rows.iter().for_each(|row| marks.note(&row.entries));
    let block = NewBlock {
        key: BlockKey { incarnation: 1, index: 0 },
        hash: [1; 32],
        sealed_at: Timestamp(1),
        header: Vec::new(),
        payload: Vec::new(),
        readings: 0,
        rows_up_to: rows.last().unwrap().id,
        alerts_up_to: None,
    };
    store.put_block(block, marks).unwrap();
    assert!(store.prune_journal(Timestamp(i64::MAX), Timestamp(i64::MAX), RowId(i64::MAX)).unwrap() > 0);
}

fn refused_messages_come_again(store: &Store, refused: u64) {
    assert_eq!(store.claim(&device(0), Epoch(3), Seq(refused)), Claim::New, "a refused number is free again");
    assert_eq!(store.claim(&device(0), Epoch(3), Seq(refused - 1)), Claim::Duplicate);
    wait(store.journal_append(vec![entry(0, refused)])).unwrap();
    assert_eq!(store.claim(&device(0), Epoch(3), Seq(refused)), Claim::Duplicate);
    assert!(store.health().writable && store.health().problem.is_none());
}

#[test]
fn a_database_at_its_limit_refuses_and_goes_on_once_there_is_room() {
    let dir = TempDir::new().unwrap();
    let options = Options { database_bytes_max: Some(2 << 20), disk_reserve_bytes: 0, ..Options::default() };
    let store = Store::open_with(dir.path(), root(), options.clone()).unwrap();
    let (error, refused) = fill(&store, 0);
    assert_eq!(error, StoreError::DatabaseFull);
    assert!(error.passes() && refused > 5_000, "{refused}");
    let health = store.health();
    assert_eq!((health.writable, health.problem), (false, Some(StoreError::DatabaseFull)));
    // What was acknowledged is all there, after a restart, too.
    drop(store);
    let store = Store::open_with(dir.path(), root(), options).unwrap();
    let there: usize = store.unsealed(usize::MAX).unwrap().iter().map(|row| row.entries.len()).sum();
    assert_eq!(there as u64, refused);
    make_room(&store);
    refused_messages_come_again(&store, refused);
}

#[test]
fn readings_leave_the_reserve_to_receipts_and_deletions() {
    let dir = TempDir::new().unwrap();
    let options = Options { disk_reserve_bytes: u64::MAX, ..Options::default() };
    let store = Store::open_with(dir.path(), root(), options).unwrap();
    let error = wait(store.journal_append(vec![entry(0, 0)])).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { reserve_bytes: u64::MAX, .. }), "{error}");
    assert!(error.to_string().contains("nothing was stored"));
    store.set_meta("still", b"writable").unwrap();
    assert_eq!(store.meta("still").unwrap(), Some(b"writable".to_vec()));
}

/// A file system of that size, unmounted when dropped. None where mounting is not permitted.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir.path());
        let mounted = command.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_refuses_and_goes_on_once_there_is_room() {
    let Some(disk) = SmallDisk::mount("12m") else {
        println!("not permitted to mount a small file system here: the limit of the database stands in for it");
        return;
    };
    let data = disk.path().join("data");
    let options = Options { disk_reserve_bytes: 0, ..Options::default() };
    let store = Store::open_with(&data, root(), options).unwrap();
    // Somebody else's file fills the disk while readings come in.
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 7 << 20]).unwrap();
    let (error, refused) = fill(&store, 0);
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(refused > 5_000, "{refused}");
    let (again, still) = fill(&store, refused);
    assert!(matches!(again, StoreError::DiskFull { .. }) && still == refused, "{again} {still}");
    std::fs::remove_file(&ballast).unwrap();
    let there: usize = store.unsealed(usize::MAX).unwrap().iter().map(|row| row.entries.len()).sum();
    assert_eq!(there as u64, refused, "nothing refused was stored, nothing acknowledged was lost");
    refused_messages_come_again(&store, refused);
}

#[test]
fn a_gateway_that_ended_on_a_full_disk_starts_in_the_room_it_had_put_by() {
    let Some(disk) = SmallDisk::mount("20m") else {
        println!("not permitted to mount here");
        return;
    };
    let (data, filler) = (disk.path().join("data"), disk.path().join("filler"));
    let fill_up = || {
        let mut file = File::create(&filler).unwrap();
        while file.write_all(&[0; 4_096]).is_ok() {}
    };
    let options = Options { disk_reserve_bytes: 0, ..Options::default() };
    let open = || Store::open_with(&data, root(), options.clone());
    let spare = data.join("spare.room");
    drop(open().unwrap());
    assert!(spare.exists(), "there was plenty");
    fill_up();
    let store = open().unwrap();
    assert!(!spare.exists());
    store.set_meta("still", b"writable").unwrap();
    drop(store);
    fill_up();
    let refused = [open().err(), Tables::attach(&data, root()).err()];
    for error in refused.map(Option::unwrap) {
        assert!(matches!(error, OpenError::NoRoom { .. }), "{error}");
        assert!(error.to_string().contains("is full: "), "{error}");
    }
    std::fs::remove_file(&filler).unwrap();
    assert_eq!(open().unwrap().meta("still").unwrap(), Some(b"writable".to_vec()));
    assert!(spare.exists(), "for the next time");
}

#[test]
fn a_read_only_file_system_is_refused_though_open_files_still_take_writes() {
    let Some(disk) = SmallDisk::mount("12m") else {
        println!("not permitted to mount here");
        return;
    };
    let data = disk.path().join("data");
    let store = Store::open_with(&data, root(), Options { disk_reserve_bytes: 0, ..Options::default() }).unwrap();
    wait(store.journal_append(vec![entry(0, 0)])).unwrap();
    let mount = |words: &[&str]| {
        let done = Command::new("mount").args(words).arg(&data).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    mount(&["--bind", data.to_str().unwrap()]);
    mount(&["-o", "remount,bind,ro"]);
    assert!(!store.health().writable, "known before anybody tries");
    assert_eq!(wait(store.journal_append(vec![entry(0, 1)])).unwrap_err(), StoreError::ReadOnly);
    assert_eq!(store.health().problem, Some(StoreError::ReadOnly));
    assert!(Command::new("umount").arg(&data).output().unwrap().status.success());
    refused_messages_come_again(&store, 1);
}
