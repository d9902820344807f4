use std::path::Path;
use std::sync::atomic::AtomicI64;

use ledger_block::segment::SAMPLES_MAX;
use ledger_block::{ClockState, SignedHeader};
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value, Wave,
};
use pitchside_seal::{Filter, open};
use pitchside_store::{Options, RootKey};

use pitchside_seal::{AthleteKey, Generation, Whose};

use super::*;
use crate::clock::CLOCK_FLOOR_MS;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn athlete(name: &str) -> AthleteId {
    AthleteId::parse(name).unwrap()
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    ring.put(Whose::House, Generation(0), AthleteKey::new([3; 32]));
    ring.put(Whose::Athlete(athlete("bea")), Generation(0), AthleteKey::new([4; 32]));
    ring
}

pub fn sealing(store: &Store) -> Arc<Sealing> {
    by_clock(store, Clock::Manual(Arc::new(AtomicI64::new(NOW.millis()))), Path::new("/nonexistent/synchronised"))
}

fn by_clock(store: &Store, clock: Clock, synchronised: &Path) -> Arc<Sealing> {
    Arc::new(Sealing::new(SealingParts {
        store: store.clone(),
        key: GatewayKey::new(&[7; 32]),
        ring: ring(),
        inventory: Inventory::default(),
        policy: ClosingPolicy { interval_us: 1_000_000, weight_max: 1 << 20 },
        events: Events::new([1; 8]),
        metrics: Metrics::new(),
        clock,
        judge: ClockJudge::new(synchronised.to_owned(), Timestamp::from_millis(CLOCK_FLOOR_MS)),
    }))
}

fn entry(seq: u64, value: Value) -> Entry {
    let reading = Reading {
        quantity: if matches!(value, Value::Wave(_)) { Quantity::ECG } else { Quantity::HEART_RATE },
        unit: Quantity::HEART_RATE.unit(),
        device_time: NOW,
        gateway_time: NOW,
        quality: Quality::empty(),
        value,
    };
    Entry {
        device: DeviceId::parse("strap-1").unwrap(),
        athlete: None,
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(seq),
        readings: vec![Reading { unit: reading.quantity.unit(), ..reading }],
    }
}

fn good(seq: u64) -> Entry {
    entry(seq, Value::Number(Decimal::integer(60)))
}

/// More samples than a segment can hold. No decoder lets that through.
fn unsealable(seq: u64) -> Entry {
    let samples = vec![0; SAMPLES_MAX + 1];
    entry(seq, Value::Wave(Box::new(Wave { period_ns: 1_000_000, exponent: 0, offset: 0, samples })))
}

fn headers(store: &Store) -> Vec<SignedHeader> {
    let rows = store.blocks_after(None, 100).unwrap();
    rows.iter().map(|row| SignedHeader::verify(&row.header).unwrap()).collect()
}

/// The message numbers in each block.
fn sealed(store: &Store) -> Vec<Vec<u64>> {
    let rows = store.blocks_after(None, 100).unwrap();
    rows.iter()
        .map(|row| {
            let header = SignedHeader::verify(&row.header).unwrap();
            let payload = store.payload(row.key).unwrap().unwrap();
            let opened = open(&header, &payload, &ring(), &Filter::default()).unwrap();
            opened.entries().iter().map(|entry| entry.seq.0).collect()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_block_can_hold_is_set_aside_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    store.journal_append(vec![good(0)]).await.unwrap();
    let row = store.journal_append(vec![good(1), good(2), unsealable(3), good(4), good(5)]).await.unwrap();
    store.journal_append(vec![good(6)]).await.unwrap();
    let last = store.journal_append(vec![unsealable(7)]).await.unwrap();
    let sealing = sealing(&store);
    sealing.seal_all().await;
    assert_eq!(store.sealed_up_to().unwrap(), last, "nothing is tried for ever");
    assert_eq!(store.rows_set_aside().unwrap(), 2);
    let sealed = sealed(&store);
    assert_eq!(sealed.concat(), [0, 1, 2, 4, 5, 6], "each once, in order");
    assert_eq!(sealed.last(), Some(&Vec::new()), "a block of nothing for the row of nothing else");
    let blocks = store.blocks_after(None, 100).unwrap();
    let parts: Vec<_> = blocks.iter().filter(|block| block.rows_up_to == row).collect();
    assert_eq!(parts.len(), 1, "only the last part says that the row is sealed");
    for (before, next) in headers(&store).iter().zip(headers(&store).iter().skip(1)) {
        assert_eq!(next.header().previous, before.hash());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_under_the_name_of_an_erased_athlete_is_in_no_block() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    let [ann, bea] = ["ann", "bea"].map(athlete);
    let key = pitchside_store::AthleteKey { athlete: ann.clone(), generation: 0, wrapped: vec![1] };
    store.add_athlete(key, NOW).unwrap();
    store.erase_athlete(&ann, NOW).unwrap();
    let of = |athlete: &AthleteId, seq| Entry { athlete: Some(athlete.clone()), ..good(seq) };
    store.journal_append(vec![of(&ann, 0), of(&bea, 1), good(2)]).await.unwrap();
    sealing(&store).seal_all().await;
    let mut left = sealed(&store).concat();
    left.sort_unstable();
    assert_eq!(left, [1, 2], "whom nobody erased loses nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_of_a_start_name_the_rules_of_the_last_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    sealing(&store).set_rules([9; 32]);
    store.journal_append(vec![good(0)]).await.unwrap();
    let next = sealing(&store);
    next.seal_all().await;
    next.set_rules([0; 32]);
    store.journal_append(vec![good(1)]).await.unwrap();
    next.seal_all().await;
    let rules: Vec<Hash> = headers(&store).iter().map(|header| header.header().rules).collect();
    assert_eq!(rules, [[9; 32], [0; 32]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn block_headers_say_how_far_the_clock_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    let (millis, file) = (Arc::new(AtomicI64::new(0)), dir.path().join("synchronised"));
    let sealing = by_clock(&store, Clock::Manual(Arc::clone(&millis)), &file);
    let seal = async |seq| {
        store.journal_append(vec![good(seq)]).await.unwrap();
        sealing.seal_all().await;
    };
    seal(0).await;
    millis.store(NOW.millis(), Ordering::Release);
    seal(1).await;
    std::fs::write(&file, "").unwrap();
    seal(2).await;
    std::fs::remove_file(&file).unwrap();
    seal(3).await;
    let states: Vec<ClockState> = headers(&store).iter().map(|header| header.header().clock).collect();
    assert_eq!(states, [ClockState::Unset, ClockState::Free, ClockState::Synchronised, ClockState::Free]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_no_block_can_be_made_is_known_before_there_is_anything_to_seal() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    let sealing = sealing(&store);
    sealing.seal_all().await;
    assert_eq!(sealing.try_out().await, Ok(()));
    assert_eq!(headers(&store), [], "a trial leaves nothing");
    store.set_meta(crate::adapters::outbox::CHECKPOINT, b"no note").unwrap();
    assert!(sealing.try_out().await.is_err());
    store.journal_append(vec![good(0)]).await.unwrap();
    sealing.seal_all().await;
    let failed = sealing.trouble.lock().clone().expect("sealing failed");
    assert_eq!(sealing.try_out().await, Err(failed), "what the last attempt failed on");
}
