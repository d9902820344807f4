//! The ledger's list of copies of keys, read on a connection that does other things, too.

use ledger_block::Hash;
use ledger_block::ingest::COPIES_MAX;

use crate::support::{Gateway, Ledger, PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_copies_is_read_to_its_end_once_each_time_it_is_wanted() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    let count = u8::try_from(2 * COPIES_MAX).unwrap();
    let mut names: Vec<Hash> = (0..count).map(|number| *blake3::hash(&[number]).as_bytes()).collect();
    {
        let log = ledgerd::open_log(&ledger.path()).unwrap();
        for name in &names {
            log.keep_copy(&gateway.name, name, vec![1; 80]).unwrap().unwrap();
        }
    }
    names.sort_unstable();
    ledger.start().await;
    gateway.outbox.held.lock().sought = Some(1);
    let mut sync = gateway.sync(gateway.config(&ledger));
    let outbox = gateway.outbox.clone();
    tokio::time::timeout(PATIENCE, outbox.settled.notified()).await.expect("the list is read");
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
