//! Kill -9 at random moments under load: nothing acknowledged is missing, nothing is there twice, no alert is new twice.
//!
//! The child is this same test binary. It writes what was acknowledged to its standard output, one line each, and the
//! parent kills it after a random number of lines. A pipe outlives its writer: what the child said before it died is
//! read to the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod common;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{device, entry, root};
use pitchside_model::{Alert, AlertEvent, AlertId, Decimal, Epoch, Priority, Quantity, RuleName, Seq, Timestamp};
use pitchside_store::{BlockKey, Claim, Marks, NewBlock, RowId, Store, Tables};

const DIR: &str = "STORE_CRASH_DIR";
const DEVICES: usize = 8;
const ROUNDS: u64 = 20;

fn say(line: &str) {
    // One write a line, so that lines of several threads never mix.
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn alert(device_number: usize, seq: u64) -> AlertEvent {
    let mut id = [device_number as u8; 16];
    id[8..].copy_from_slice(&seq.to_be_bytes());
    AlertEvent::Raised(Alert {
        id: AlertId(id),
        rule: RuleName::parse("crash").unwrap(),
        rule_version: "1.0.0".to_owned(),
        priority: Priority::Low,
        athlete: None,
        device: device(device_number),
        quantity: Quantity::HEART_RATE,
        value: Some(Decimal::integer(seq as i64)),
        unit: Quantity::HEART_RATE.unit(),
        event_time: Timestamp(seq as i64),
        message: String::new(),
    })
}

/// What the parent must find again: a message number, or that an alert was new.
fn ack(device_number: usize, seq: u64) -> String {
    format!("ack {device_number} {seq}")
}

/// A device: takes numbers one after the other, as the parent told it where to begin.
async fn send(store: Store, device_number: usize, first: u64) {
    for seq in first.. {
        match store.claim(&device(device_number), Epoch(3), Seq(seq)) {
            Claim::New => {
                store.journal_append(vec![entry(device_number, seq)]).await.unwrap();
                if seq % 16 == 0 {
                    let store = store.clone();
                    let new = tokio::task::spawn_blocking(move || {
                        store.record_alerts(&[alert(device_number, seq)], Timestamp(1))
                    });
                    if !new.await.unwrap().unwrap().is_empty() {
                        say(&format!("alert {device_number} {seq}"));
                    }
                }
            }
            Claim::Duplicate => {}
            other => panic!("{other:?}"),
        }
        say(&ack(device_number, seq));
    }
}

/// Seals whatever there is, as often as it can, and prunes.
fn seal(store: &Store, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let rows = store.unsealed(64 << 10).unwrap();
        let Some(last) = rows.last() else { continue };
        let index = store.last_block().unwrap().map_or(0, |block| block.key.index + 1);
        let mut marks = Marks::default();
        let mut payload = Vec::new();
        for entry in rows.iter().flat_map(|row| &row.entries) {
            payload.extend_from_slice(entry.device.as_str().as_bytes());
            payload.extend_from_slice(format!(" {}\n", entry.seq.0).as_bytes());
            marks.note(std::slice::from_ref(entry));
        }
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&index.to_be_bytes());
        let block = NewBlock {
            key: BlockKey { incarnation: 1, index },
            hash,
            sealed_at: Timestamp(1),
            header: vec![0; 300],
            readings: payload.len() as u64,
            payload,
            rows_up_to: last.id,
            alerts_up_to: None,
        };
        store.put_block(block, marks).unwrap();
        store.prune_journal(Timestamp(i64::MAX), Timestamp(i64::MAX), RowId(i64::MAX)).unwrap();
    }
}

fn child(dir: &Path) {
    let mut firsts = Vec::new();
    for _ in 0..DEVICES {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        firsts.push(line.trim().parse().unwrap());
    }
    let store = Store::open(dir, root()).unwrap();
    assert!(store.damaged_rows().is_empty());
    let stop = Arc::new(AtomicBool::new(false));
    let (sealing, stopped) = (store.clone(), Arc::clone(&stop));
    let sealer = std::thread::spawn(move || seal(&sealing, &stopped));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let senders: Vec<_> =
            firsts.into_iter().enumerate().map(|(n, first)| tokio::spawn(send(store.clone(), n, first))).collect();
        for sender in senders {
            sender.await.unwrap();
        }
    });
    stop.store(true, Ordering::Relaxed);
    sealer.join().unwrap();
}

/// splitmix64: the seed is printed, so that a failure can be run again (as far as a kill can).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Runs the child until it has said `lines` lines, kills it, and returns everything it said.
fn round(dir: &Path, firsts: &[u64], lines: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed_at_any_moment_it_loses_nothing", "--nocapture"])
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    firsts.iter().for_each(|first| writeln!(input, "{first}").unwrap());
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        said.push(line.unwrap());
        if said.len() as u64 == lines {
            child.kill().unwrap();
        }
    }
    let ended = child.wait().unwrap();
    assert!(said.len() as u64 >= lines, "the child ended by itself: {ended}");
    // The test harness speaks, too.
    said.retain(|line| line.starts_with("ack ") || line.starts_with("alert "));
    said
}

/// Every message number that is durable, from sealed payloads and the journal, each as often as it is there.
fn stored(tables: &Tables) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let blocks = tables.blocks_after(after, 100).unwrap();
        let Some(last) = blocks.last() else { break };
        after = Some(last.key);
        for block in &blocks {
            let payload = String::from_utf8(tables.payload(block.key).unwrap().unwrap()).unwrap();
            found.extend(payload.lines().map(|line| format!("ack {}", line.strip_prefix("strap-").unwrap())));
        }
    }
    let mut after: RowId = tables.sealed_up_to().unwrap();
    loop {
        let rows = tables.journal_since(after, 1 << 20).unwrap();
        let Some(last) = rows.last() else { return found };
        after = last.id;
        for entry in rows.iter().flat_map(|row| &row.entries) {
            found.push(format!("ack {} {}", entry.device.as_str().strip_prefix("strap-").unwrap(), entry.seq.0));
        }
    }
}

#[test]
fn killed_at_any_moment_it_loses_nothing() {
    if let Some(dir) = std::env::var_os(DIR) {
        return child(Path::new(&dir));
    }
    let dir = tempfile::TempDir::new().unwrap();
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let mut seed = seed.unwrap_or_else(|| u64::from(std::process::id()).wrapping_mul(0x1234_5678_9abc_def1));
    println!("SEED={seed}");
    let mut firsts = vec![0u64; DEVICES];
    let (mut acknowledged, mut alerts) = (HashSet::new(), HashSet::new());
    for number in 0..ROUNDS {
        for line in round(dir.path(), &firsts, 1 + next(&mut seed) % 400) {
            if line.starts_with("alert ") {
                assert!(alerts.insert(line.clone()), "round {number}: {line} was new twice");
            } else {
                acknowledged.insert(line);
            }
        }
        let store = Store::open(dir.path(), root()).unwrap();
        assert!(store.damaged_rows().is_empty());
        let stored = stored(&store);
        let once: HashSet<&String> = stored.iter().collect();
        assert_eq!(once.len(), stored.len(), "round {number}: something is there twice");
        for line in &acknowledged {
            assert!(once.contains(line), "round {number}: {line} is lost");
        }
        // Marks say the same as the rows: a device that resends everything from the start gets exactly its receipts.
        for (device_number, first) in firsts.iter_mut().enumerate() {
            let durable = |seq: u64| once.contains(&ack(device_number, seq));
            let end = (0..).find(|seq| !durable(*seq)).unwrap();
            for seq in 0..end {
                assert_eq!(
                    store.claim(&device(device_number), Epoch(3), Seq(seq)),
                    Claim::Duplicate,
                    "{device_number} {seq}"
                );
            }
            assert_eq!(store.claim(&device(device_number), Epoch(3), Seq(end)), Claim::New, "{device_number} {end}");
            // Some of the last numbers again, as a device without their receipts would.
            *first = end.saturating_sub(next(&mut seed) % 20);
        }
    }
    println!("{ROUNDS} kills, {} messages acknowledged, {} alerts", acknowledged.len(), alerts.len());
    assert!(acknowledged.len() > 1_000);
}
