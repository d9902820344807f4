//! Copies of keys beside the log, and headers recalled from it.

use std::sync::Arc;

use ledger_block::ingest::{COPIES_MAX, Code};
use ledger_block::receipt::{Level, Receipt};

use super::*;
use crate::log::copies::COPIES_PER_FOLDER_MAX;
use crate::room::{Bulk, TestDisk};

#[test]
fn a_copy_is_kept_listed_in_order_and_deleted_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = start(directory.path());
    let (mine, other) = (id("box-1"), id("box-2"));
    let names: Vec<[u8; 32]> = (0..70u8).map(|n| *blake3::hash(&[n]).as_bytes()).collect();
    for (n, copy) in names.iter().enumerate() {
        log.keep_copy(&mine, copy, vec![u8::try_from(n).unwrap() + 1; 80]).unwrap().unwrap();
    }
    // The same again is the same; another body under the name is not.
    log.keep_copy(&mine, &names[0], vec![1; 80]).unwrap().unwrap();
    assert_eq!(log.keep_copy(&mine, &names[0], vec![9; 80]).unwrap().unwrap_err().code, Code::Conflict);
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = log.copies(&mine, after.as_ref(), drop).unwrap();
        assert!(page.len() <= COPIES_MAX);
        let Some(last) = page.last() else { break };
        after = Some(last.name);
        listed.extend(page.into_iter().map(|copy| copy.name));
    }
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(listed, sorted);
    assert!(log.copies(&other, None, drop).unwrap().is_empty(), "nobody else's");
    log.drop_copy(&mine, &names[3]).unwrap();
    log.drop_copy(&mine, &names[3]).unwrap();
    let left: Vec<_> = log.copies(&mine, None, drop).unwrap();
    assert!(left.iter().all(|copy| copy.name != names[3]));
}

#[test]
fn a_copy_that_cannot_be_read_is_named_and_the_others_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = start(directory.path());
    let mine = id("box-1");
    for first in [1, 3] {
        log.keep_copy(&mine, &[first; 32], vec![first; 80]).unwrap().unwrap();
    }
    let file = |first: u8| {
        let folder = directory.path().join(format!("copies/box-1/{first:02x}"));
        std::fs::create_dir_all(&folder).unwrap();
        folder.join(format!("{first:02x}").repeat(32))
    };
    // A link to itself nobody can read, root included; a file that lost its bytes.
    std::os::unix::fs::symlink(file(0), file(0)).unwrap();
    std::fs::write(file(2), "").unwrap();
    let mut unread = Vec::new();
    let listed = log.copies(&mine, None, |error| unread.push(error.to_string())).unwrap();
    assert_eq!(
        listed.iter().map(|copy| (copy.name[0], copy.is_readable())).collect::<Vec<_>>(),
        [(0, false), (1, true), (2, false), (3, true)]
    );
    assert!(unread.len() == 2 && unread[0].contains(&"00".repeat(32)) && unread[1].contains(&"02".repeat(32)));
}

#[test]
fn a_folder_of_copies_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = start(directory.path());
    let gateway = id("box-1");
    let copy = |n: usize| {
        let mut bytes = [7; 32];
        bytes[1..9].copy_from_slice(&n.to_be_bytes());
        bytes
    };
    for n in 0..COPIES_PER_FOLDER_MAX {
        log.keep_copy(&gateway, &copy(n), vec![1]).unwrap().unwrap();
    }
    let refused = log.keep_copy(&gateway, &copy(COPIES_PER_FOLDER_MAX), vec![1]).unwrap().unwrap_err();
    assert_eq!(refused.code, Code::TooLarge);
    log.keep_copy(&gateway, &[8; 32], vec![1]).unwrap().unwrap();
}

#[test]
fn copies_leave_the_log_its_room_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    drop(start(directory.path()));
    let mut storage = Storage::files(directory.path()).unwrap();
    let disk = TestDisk::with(Bulk::Gateway.reserve(64 << 30) + 79);
    storage.disk = Arc::new(disk.clone());
    let log = Log::open(storage, log_key()).unwrap();
    let refused = log.keep_copy(&id("box-1"), &[7; 32], vec![1; 80]).unwrap().unwrap_err();
    assert_eq!(refused.code, Code::Storage);
    disk.leave(1 << 30);
    log.keep_copy(&id("box-1"), &[7; 32], vec![1; 80]).unwrap().unwrap();
    disk.leave(0);
    log.keep_copy(&id("box-1"), &[7; 32], vec![1; 80]).unwrap().unwrap();
    log.drop_copy(&id("box-1"), &[7; 32]).unwrap();
    let second = GatewayKey::new(&[50; 32]);
    log.enter_now(enrol("box-2", &second, Role::Gateway), NOW).unwrap().expect("the log's own leaf finds room");
}

#[test]
fn a_gateways_own_header_is_recalled_with_its_receipt() {
    let directory = tempfile::tempdir().unwrap();
    let (log, mut gateway) = start(directory.path());
    let nothing = log.published();
    let block = gateway.submit(&log, 1);
    log.sequence(std::slice::from_ref(&block), NOW).unwrap()[0].as_ref().unwrap();
    let level = |receipt: &[u8]| Receipt::parse(receipt).unwrap().level();
    let (header, receipt) = log.recall(&gateway.name, 0, &nothing).unwrap().unwrap();
    assert_eq!((header, level(&receipt)), (block.leaf.clone(), Level::R1));
    let shown = log.publish().unwrap();
    let (header, receipt) = log.recall(&gateway.name, 0, &shown).unwrap().unwrap();
    assert_eq!((header, level(&receipt)), (block.leaf, Level::R2));
    assert_eq!(log.recall(&gateway.name, 1, &shown).unwrap(), None);
    assert_eq!(log.recall(&id("box-2"), 0, &shown).unwrap(), None);
}
