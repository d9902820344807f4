//! The real binary, killed with SIGKILL while payloads are arriving.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use ledger_block::receipt::Level;

use crate::support::{Gateway, Ledger, PATIENCE};

fn spawn(ledger: &Ledger) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ledgerd"))
        .args(["--dir", ledger.path().to_str().unwrap(), "serve", "--batch-ms", "5", "--http", "127.0.0.1:0"])
        .args(["--ingest", &ledger.config.ingest.to_string()])
        .env("LEDGERD_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut open = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut open).unwrap();
    assert!(open.contains("ingest"), "{open}");
    child
}

fn partial_bytes(ledger: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(ledger.join("log/partial/box-1")) else { return 0 };
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|file| file.len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_killed_again_and_again_in_the_middle_of_uploads_ends_with_every_block_once() {
    let (ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    const BLOCKS: u64 = 24;
    const BYTES: usize = 1_500_000;
    let mut sync = gateway.sync(gateway.config(&ledger));
    let mut kills = 0;
    for _ in 0..BLOCKS {
        gateway.seal(BYTES);
    }
    let started = std::time::Instant::now();
    while gateway.level(Level::R2) < usize::try_from(BLOCKS).unwrap() && kills < 8 {
        let mut child = spawn(&ledger);
        let before = gateway.level(Level::R2);
        // Kill in the middle of a payload, at another point each time.
        while partial_bytes(&ledger.path()) < 100_000 * (kills + 1) {
            assert!(started.elapsed() < PATIENCE, "no upload began: {:?}", sync.status.borrow());
            if gateway.level(Level::R2) > before + 6 {
                break;
            }
            tokio::task::yield_now().await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        crate::support::assert_sound(&ledger.path());
    }
    let mut child = spawn(&ledger);
    sync.drained(BLOCKS).await;
    sync.stop().await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(kills >= 3, "killed only {kills} times");
    assert_eq!((gateway.level(Level::R1), gateway.level(Level::R2)), (24, 24));
    let sent = gateway.outbox.handed_out.load(Ordering::SeqCst);
    let once = BLOCKS * BYTES as u64;
    assert!(sent < once + kills * 2 * BYTES as u64, "{sent} bytes sent for {once}: uploads resume");
    let report = crate::support::assert_sound(&ledger.path());
    assert_eq!((report.leaves, report.payloads), (2 + BLOCKS, BLOCKS));
}

#[test]
fn the_port_that_was_asked_for_is_the_port_that_is_printed() {
    let ledger = Ledger::new();
    let mut child = spawn(&ledger);
    let connected = std::net::TcpStream::connect::<SocketAddr>(ledger.config.ingest);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(connected.is_ok());
}
