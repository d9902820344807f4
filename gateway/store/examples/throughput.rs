//! How many entries a second become durable: 50 callers, single-reading entries, encrypted, fsynced.
//!
//!     cargo run --release -p pitchside-store --example throughput -- [DIR] [ENTRIES A CALL] [CALLS EACH]

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use common::{device, entry, root};
use pitchside_model::{Epoch, Seq};
use pitchside_store::{Claim, Options, Store};

const CALLERS: usize = 50;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let temporary = tempfile::TempDir::new().unwrap();
    let dir = arguments.next().map_or_else(|| temporary.path().to_owned(), Into::into);
    let per_call: u64 = arguments.next().map_or(64, |text| text.parse().unwrap());
    let calls: u64 = arguments.next().map_or(200, |text| text.parse().unwrap());
    let store = Store::open_with(&dir, root(), Options { disk_reserve_bytes: 0, ..Options::default() }).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let begun = Instant::now();
    runtime.block_on(async {
        let callers: Vec<_> =
            (0..CALLERS).map(|caller| tokio::spawn(call(store.clone(), caller, per_call, calls))).collect();
        for caller in callers {
            caller.await.unwrap();
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let health = store.health();
    println!(
        "{} entries in {seconds:.2} s: {:.0} entries/s, {:.0} commits/s, {:.0} entries a commit, {:.1} bytes an entry",
        health.entries,
        health.entries as f64 / seconds,
        health.commits as f64 / seconds,
        health.entries as f64 / health.commits as f64,
        health.database_bytes as f64 / health.entries as f64,
    );
}

async fn call(store: Store, caller: usize, per_call: u64, calls: u64) {
    let name = device(caller);
    for call in 0..calls {
        let entries: Vec<_> = (call * per_call..(call + 1) * per_call).map(|seq| entry(caller, seq)).collect();
        for entry in &entries {
            assert_eq!(store.claim(&name, Epoch(3), Seq(entry.seq.0)), Claim::New);
        }
        store.journal_append(entries).await.unwrap();
    }
}
