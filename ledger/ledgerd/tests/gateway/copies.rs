//! The ledger's list of copies of keys, read on a connection that does other things, too.

use ledger_block::Hash;
use ledger_block::ingest::COPIES_MAX;
use pitchside_sync::{CopyTask, Link, Status};

use crate::support::{Gateway, Ledger, PATIENCE, Sync};

/// Copies on a page of the list.
const PAGE: u8 = COPIES_MAX as u8;

/// The ledger keeps so many copies of the gateway's keys. Their names.
fn kept(ledger: &Ledger, gateway: &Gateway, count: u8) -> Vec<Hash> {
    let log = ledgerd::open_log(&ledger.path()).unwrap();
    let names: Vec<Hash> = (0..count).map(|number| *blake3::hash(&[number]).as_bytes()).collect();
    for name in &names {
        log.keep_copy(&gateway.name, name, vec![1; 80]).unwrap().unwrap();
    }
    names
}

/// A gateway that wants the list connects, and has read it.
async fn reading(ledger: &mut Ledger, gateway: &Gateway) -> Sync {
    ledger.start().await;
    gateway.outbox.held.lock().sought = Some(1);
    let sync = gateway.sync(gateway.config(ledger));
    tokio::time::timeout(PATIENCE, gateway.outbox.settled.notified()).await.expect("the list is read");
    sync
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_copies_is_read_to_its_end_once_each_time_it_is_wanted() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    let mut names = kept(&ledger, &gateway, 2 * PAGE);
    names.sort_unstable();
    let mut sync = reading(&mut ledger, &gateway).await;
    let outbox = gateway.outbox.clone();
    gateway.seal(1_000);
    sync.drained(1).await;
    assert_eq!(outbox.held.lock().listed, [(1, names.clone())], "whole, in order, and once");
    outbox.held.lock().sought = Some(2);
    gateway.seal(1_000);
    sync.drained(2).await;
    tokio::time::timeout(PATIENCE, outbox.settled.notified()).await.expect("the list is read again");
    assert_eq!(outbox.held.lock().listed.last(), Some(&(2, names)));
    sync.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_the_ledger_cannot_read_holds_no_block_back_and_is_not_asked_for_again_at_once() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    let copies = ledger.path().join("log/copies/box-1");
    std::fs::create_dir_all(&copies).unwrap();
    // What copies there are nobody can tell: a link to itself, which root cannot read either.
    let folder = copies.join("00");
    std::os::unix::fs::symlink(&folder, &folder).unwrap();
    ledger.start().await;
    gateway.outbox.held.lock().sought = Some(1);
    gateway.seal(1_000);
    let mut sync = gateway.sync(gateway.config(&ledger));
    sync.drained(1).await;
    let is_back = |status: &Status| status.failures > 0 && matches!(status.link, Link::Connected { .. });
    let link = sync.until("it was cut off over the list, and is back", is_back).await.link;
    for count in 2..12 {
        gateway.seal(1_000);
        sync.drained(count).await;
    }
    assert_eq!(sync.status.borrow().link, link, "no other connection was cut off");
    assert!(gateway.outbox.held.lock().listed.is_empty());
    sync.stop().await;
}

/// A copy of this gateway that nobody can read, root included: a link to itself. Its name.
fn unreadable(ledger: &Ledger, gateway: &Gateway, byte: u8) -> Hash {
    let hex = format!("{byte:02x}");
    let folder = ledger.path().join(format!("log/copies/{}/{hex}", gateway.name));
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join(hex.repeat(32));
    std::os::unix::fs::symlink(&copy, &copy).unwrap();
    [byte; 32]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_the_ledger_cannot_read_ends_no_connection_and_the_rest_of_the_list_is_gone_through() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    let bad = unreadable(&ledger, &gateway, 0);
    // More than a page, so that it is asked on from there.
    let mut names = kept(&ledger, &gateway, PAGE);
    names.push(bad);
    names.sort_unstable();
    let mut sync = reading(&mut ledger, &gateway).await;
    let outbox = gateway.outbox.clone();
    assert_eq!(outbox.held.lock().listed, [(1, names)], "whole");
    assert_eq!(outbox.held.lock().unreadable, [bad]);
    gateway.seal(1_000);
    sync.drained(1).await;
    assert_eq!(sync.status.borrow().failures, 0, "no connection ended");
    sync.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_the_ledger_can_neither_keep_nor_delete_holds_neither_blocks_nor_other_copies_back() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    let [gone, there] = [0, 1].map(|byte| unreadable(&ledger, &gateway, byte));
    ledger.start().await;
    let task = |name: Hash, body: Option<u8>| CopyTask { name, body: body.map(|byte| vec![byte; 80]) };
    let bad = [task(gone, None), task(there, Some(1))];
    gateway.outbox.held.lock().copies = [&bad[..], &[task([2; 32], Some(2))]].concat();
    let mut sync = gateway.sync(gateway.config(&ledger));
    let outbox = gateway.outbox.clone();
    tokio::time::timeout(PATIENCE, outbox.settled.notified()).await.expect("the other one is kept");
    assert_eq!(outbox.held.lock().copies, bad, "and these wait");
    gateway.seal(1_000);
    sync.drained(1).await;
    assert_eq!(sync.status.borrow().failures, 0, "no connection ended");
    sync.stop().await;
}
