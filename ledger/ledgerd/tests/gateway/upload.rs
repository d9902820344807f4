//! Blocks and transactions to R2, whatever happens on the way.

use std::sync::atomic::Ordering;

use ledger_block::ingest::{Act, Code, Timestamp, Transaction};
use ledger_block::policy::Policy;
use ledger_block::receipt::{Level, Receipt};
use ledger_block::{SignedHeader, merkle};
use pitchside_sync::{Fault, Link};

use crate::support::{Gateway, Ledger, ORIGIN};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_and_transactions_get_receipts_that_verify_offline() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    ledger.start().await;
    let mut sync = gateway.sync(gateway.config(&ledger));
    for bytes in [0, 1, 61_440, 61_441, 200_000, 3_000_000] {
        gateway.seal(bytes);
    }
    let act = Act::Rule { rules: [1; 32] };
    let transaction = Transaction { signer: gateway.name.clone(), time: Timestamp(1), act };
    let leaf = transaction.sign(ORIGIN, &gateway.key).unwrap();
    gateway.put(leaf.clone(), Vec::new());
    for bytes in [10; 20] {
        gateway.seal(bytes);
    }
    sync.drained(27).await;
    let status = sync.until("the backlog is empty", |status| status.backlog == 0).await;
    assert!(matches!(status.link, Link::Connected { .. }) && status.fault.is_none());
    assert_eq!((gateway.level(Level::R1), gateway.level(Level::R2)), (27, 27));
    let policy = Policy::of_logs([ledger.vkey()]);
    {
        let held = gateway.outbox.held.lock();
        for ((number, _), receipt) in &held.receipts {
            let receipt = Receipt::parse(receipt).unwrap();
            match SignedHeader::verify(&held.parcels[number].0) {
                Ok(header) => assert!(receipt.verify(&header, &policy).is_ok(), "parcel {number}"),
                Err(_) => assert_eq!(receipt.sequenced().leaf, merkle::leaf_hash(&leaf)),
            }
        }
    }
    sync.stop().await;
    ledger.stop().await;
    let report = ledger.assert_sound();
    assert_eq!((report.leaves, report.payloads), (29, 26));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_down_is_tried_until_it_is_up() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    gateway.seal(1_000);
    let mut sync = gateway.sync(gateway.config(&ledger));
    let status = sync.until("it failed three times", |status| status.failures >= 3).await;
    assert!(matches!(status.fault, Some((_, Fault::Unreachable { .. }))));
    assert_eq!((status.reachable_since, status.backlog), (None, 1));
    ledger.start().await;
    sync.drained(1).await;
    ledger.stop().await;
    sync.until("it noticed", |status| matches!(status.link, Link::Waiting { .. })).await;
    gateway.seal(1_000);
    ledger.start().await;
    sync.drained(2).await;
    let status = sync.until("all is well", |status| status.fault.is_none() && status.failures == 0).await;
    assert!(status.reachable_since.is_some());
    sync.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_is_not_sent_again_after_a_restart_of_both() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    ledger.start().await;
    let header = gateway.seal(500_000);
    let mut sync = gateway.sync(gateway.config(&ledger));
    sync.drained(1).await;
    sync.stop().await;
    ledger.stop().await;
    // The gateway was killed before it kept its receipts: it offers the block again.
    let first = std::mem::take(&mut gateway.outbox.held.lock().receipts);
    ledger.start().await;
    let mut sync = gateway.sync(gateway.config(&ledger));
    sync.drained(1).await;
    sync.stop().await;
    assert_eq!(gateway.outbox.handed_out.load(Ordering::SeqCst), 500_000, "the payload went once");
    assert_eq!(gateway.outbox.held.lock().receipts, first, "the same receipts");
    let r1 = Receipt::parse(&first[&(0, Level::R1)]).unwrap();
    assert_eq!((r1.sequenced().leaf, r1.sequenced().leaf_index), (header.hash(), 2));
    ledger.stop().await;
    assert_eq!(ledger.assert_sound().leaves, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflicting_block_is_refused_loudly_and_kept_as_evidence() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    ledger.start().await;
    gateway.seal(100);
    let mut sync = gateway.sync(gateway.config(&ledger));
    sync.drained(1).await;
    sync.stop().await;
    // The same box, restored from an old copy that did not raise its incarnation.
    let mut twin = Gateway::new("box-1", 20);
    twin.seal(101);
    let mut sync = twin.sync(twin.config(&ledger));
    let status = sync.until("it was refused", |status| status.fault.is_some()).await;
    let Some((_, Fault::Refused(refusal))) = status.fault else { panic!("{:?}", status.fault) };
    assert_eq!(refusal.code, Code::Conflict);
    assert_eq!(twin.outbox.held.lock().refused[&0].code, Code::Conflict);
    assert_eq!(twin.outbox.held.lock().parcels.len(), 1, "nothing is deleted");
    assert_eq!(status.head.map(|head| head.index), Some(0));
    sync.stop().await;
    ledger.stop().await;
    let log = ledgerd::open_log(&ledger.path()).unwrap();
    assert_eq!(log.evidence(&gateway.name, 10).unwrap().len(), 1);
    ledger.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_transaction_does_not_hold_up_what_follows() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    ledger.start().await;
    let act = Act::Revoke { grant: [1; 32] };
    let leaf =
        Transaction { signer: gateway.name.clone(), time: Timestamp(1), act }.sign(ORIGIN, &gateway.key).unwrap();
    gateway.seal(5);
    let number = gateway.put(leaf, Vec::new());
    gateway.seal(5);
    let mut sync = gateway.sync(gateway.config(&ledger));
    sync.drained(2).await;
    assert_eq!(gateway.outbox.held.lock().refused[&number].code, Code::NotAllowed);
    sync.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_gateways_at_once_keep_their_chains_apart() {
    let mut ledger = Ledger::new();
    let mut gateways: Vec<Gateway> = (0..8u8).map(|n| Gateway::new(&format!("box-{n}"), 20 + n * 5)).collect();
    gateways.iter().for_each(|gateway| ledger.enrol(gateway));
    ledger.start().await;
    let mut syncs = Vec::new();
    for gateway in &mut gateways {
        (0..10).for_each(|_| drop(gateway.seal(2_000)));
        syncs.push(gateway.sync(gateway.config(&ledger)));
    }
    for mut sync in syncs {
        sync.drained(10).await;
        sync.stop().await;
    }
    ledger.stop().await;
    assert_eq!(ledger.assert_sound().leaves, 1 + 8 + 80);
}
