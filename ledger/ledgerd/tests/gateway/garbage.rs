//! Ledgers that are none, lie, or were rolled back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ledger_block::channel::{Psk, Server, Splitter};
use ledger_block::checkpoint::Checkpoint;
use ledger_block::ingest::{Copy, DeviceId, Proven, Reply};
use ledger_block::note::{KeyKind, SignerKey};
use ledger_block::receipt::{Receipt, Sequenced};
use pitchside_sync::Fault;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use zeroize::Zeroizing;

use crate::support::{Gateway, Ledger};

/// A ledger that shakes hands properly and then says what it is told to.
async fn liar(stream: &mut TcpStream, ledger: &Ledger, gateway: &Gateway, says: &[Vec<u8>]) {
    let key = ledgerd::setup::channel_key(&ledger.path()).unwrap();
    let mut splitter = Splitter::new();
    let mut buffer = [0u8; 4_096];
    let hail = loop {
        if let Some(frame) = splitter.next_frame().unwrap() {
            break frame.to_vec();
        }
        let count = stream.read(&mut buffer).await.unwrap();
        splitter.push(&buffer[..count]);
    };
    let server = Server::read(&key, &hail, ledgerd::clock::random().unwrap()).unwrap();
    let (channel, answer) = server.answer(&Psk::new(Zeroizing::new(gateway.psk))).unwrap();
    stream.write_all(&answer).await.unwrap();
    let (mut sealer, _) = channel.split();
    for message in says {
        if stream.write_all(&sealer.seal(message).unwrap()).await.is_err() {
            return;
        }
    }
    // Keeps listening, so that it is the gateway that ends this.
    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

/// What a gateway with a block to hand in says of such a liar.
async fn fault_of(says: impl Fn(&Ledger) -> Vec<Vec<u8>>) -> Fault {
    let mut gateway = Gateway::new("box-1", 20);
    gateway.seal(100);
    fault_at(&gateway, says).await
}

/// Runs sync against a liar; gives the fault, after making sure that it is tried again and nothing is kept.
async fn fault_at(gateway: &Gateway, says: impl Fn(&Ledger) -> Vec<Vec<u8>>) -> Fault {
    let ledger = Ledger::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = gateway.config(&ledger);
    config.address = listener.local_addr().unwrap().to_string();
    let mut sync = gateway.sync(config);
    let says = says(&ledger);
    for _ in 0..2 {
        let (mut stream, _) = listener.accept().await.unwrap();
        liar(&mut stream, &ledger, gateway, &says).await;
    }
    let status = sync.until("it gave up twice", |status| status.failures >= 2 && status.fault.is_some()).await;
    assert_eq!((gateway.outbox.held.lock().receipts.len(), status.included), (0, 0));
    sync.stop().await;
    status.fault.unwrap().1
}

fn note(ledger: &Ledger, key: &SignerKey, size: u64, root: u8) -> Vec<u8> {
    let _ = ledger;
    Checkpoint::new(key.name(), size, [root; 32]).sign(key, 0).unwrap().to_string().into_bytes()
}

fn log_key(ledger: &Path) -> SignerKey {
    SignerKey::parse(std::fs::read_to_string(ledger.join("keys/log.key")).unwrap().trim()).unwrap()
}

fn welcome(note: Option<Vec<u8>>) -> Vec<u8> {
    let checkpoint = note.map(|note| Proven { note, from: 0, proof: Vec::new() });
    let gateway = DeviceId::parse("box-1").unwrap();
    Reply::Welcome { origin: "o".to_owned(), gateway, head: None, checkpoint }.encode()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_lies_is_refused_loudly_and_tried_again() {
    let fault = fault_of(|_| vec![vec![0xff; 90]]).await;
    assert!(matches!(fault, Fault::Garbage(_)) && fault.is_suspicious(), "{fault}");
    let fault = fault_of(|_| vec![Reply::Pong { number: 1 }.encode()]).await;
    assert!(matches!(fault, Fault::OutOfPlace(_)), "{fault}");
    let fault = fault_of(|ledger| {
        let other = SignerKey::new(ledger.vkey().name(), KeyKind::Ed25519, &[77; 32]).unwrap();
        vec![welcome(Some(note(ledger, &other, 5, 1)))]
    })
    .await;
    assert!(matches!(fault, Fault::Untrusted(_)) && fault.is_suspicious(), "{fault}");
    // A true checkpoint, then one of the same size with another root.
    let fault = fault_of(|ledger| {
        let key = log_key(&ledger.path());
        let forked = Proven { note: note(ledger, &key, 5, 2), from: 5, proof: Vec::new() };
        vec![welcome(Some(note(ledger, &key, 5, 1))), Reply::Checkpoint(forked).encode()]
    })
    .await;
    assert!(matches!(fault, Fault::Forked { shown: 5, seen: 5 }), "{fault}");
    // The gateway has kept the checkpoint of size 5 from the first connection; then it is shown a smaller one.
    let fault = fault_of(|ledger| {
        let key = log_key(&ledger.path());
        let older = Proven { note: note(ledger, &key, 4, 1), from: 5, proof: Vec::new() };
        vec![welcome(Some(note(ledger, &key, 5, 1))), Reply::Checkpoint(older).encode()]
    })
    .await;
    assert!(matches!(fault, Fault::RolledBack { shown: 4, seen: 5 }), "{fault}");
    let fault = fault_of(|_| {
        let receipt = Receipt::R1(Sequenced { leaf: [9; 32], leaf_index: 0 }).to_bytes();
        vec![welcome(None), Reply::Receipt { leaf: [9; 32], receipt }.encode()]
    })
    .await;
    assert!(matches!(fault, Fault::OutOfPlace(_)), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_copies_out_of_order_is_not_taken_and_ends_no_connection() {
    let gateway = Gateway::new("box-1", 20);
    gateway.outbox.held.lock().sought = Some(1);
    let page = [[2; 32], [1; 32]].map(|name| Copy { name, body: vec![1; 80] }).to_vec();
    // What comes after the list is heard, and ends the connection.
    let says = [welcome(None), Reply::Copies(page).encode(), Reply::Pong { number: 9 }.encode()];
    let fault = fault_at(&gateway, |_| says.to_vec()).await;
    assert_eq!(fault, Fault::OutOfPlace("an answer to no question"));
    assert!(gateway.outbox.held.lock().listed.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_ledger_at_all_is_tried_again() {
    let (ledger, gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = gateway.config(&ledger);
    config.address = listener.local_addr().unwrap().to_string();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let junk: Vec<u8> = (0..number * 13 % 200).map(|n| u8::try_from(n).unwrap()).collect();
            let _gone = stream.write_all(&junk).await;
        }
    });
    let mut sync = gateway.sync(config);
    sync.until("it failed ten times", |status| status.failures >= 10).await;
    assert!(calls.load(Ordering::SeqCst) >= 10);
    sync.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &target) } else { drop(std::fs::copy(entry.path(), target)) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_restored_from_an_old_copy_is_refused_by_a_gateway_that_saw_more() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    let old = ledger.dir.path().join("old");
    copy(&ledger.path(), &old);
    ledger.start().await;
    gateway.seal(100);
    let mut sync = gateway.sync(gateway.config(&ledger));
    sync.drained(1).await;
    sync.stop().await;
    ledger.stop().await;
    // The whole directory is put back, published note and all: the ledger cannot know, the gateway does.
    std::fs::remove_dir_all(ledger.path()).unwrap();
    copy(&old, &ledger.path());
    ledger.start().await;
    gateway.seal(100);
    let mut sync = gateway.sync(gateway.config(&ledger));
    let status = sync.until("it was refused", |status| status.failures >= 2 && status.fault.is_some()).await;
    let fault = status.fault.unwrap().1;
    assert!(matches!(fault, Fault::RolledBack { .. }), "{fault}");
    sync.stop().await;
    ledger.stop().await;
    // Another gateway fills the rolled-back log with other leaves: now it is longer, and a fork.
    let mut other = Gateway::new("box-2", 60);
    ledger.enrol(&other);
    ledger.start().await;
    other.seal(5);
    other.seal(6);
    let mut filling = other.sync(other.config(&ledger));
    filling.drained(2).await;
    filling.stop().await;
    let mut sync = gateway.sync(gateway.config(&ledger));
    let status = sync.until("it was refused", |status| status.failures >= 1 && status.fault.is_some()).await;
    let fault = status.fault.unwrap().1;
    assert!(matches!(fault, Fault::Forked { .. }), "{fault}");
    sync.stop().await;
}
