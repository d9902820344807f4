use std::path::Path;
use std::sync::atomic::AtomicI64;

use ledger_block::segment::SAMPLES_MAX;
use ledger_block::{ClockState, SignedHeader};
use pitchside_model::{
    Alert, AlertId, Assurance, AthleteId, Decimal, DeviceId, Epoch, Priority, Quality, Quantity, Reading, RuleName,
    Seq, Timestamp, Value, Wave,
};
use pitchside_seal::{Filter, open};
use pitchside_store::{Options, RootKey};
use proptest::prelude::*;

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

/// What the rules said of an entry, from beginning to end.
fn alerts_of(entry: &Entry) -> [AlertEvent; 2] {
    let id = AlertId([u8::try_from(entry.seq.0).unwrap(); 16]);
    let raised = Alert {
        id,
        rule: RuleName::parse("fast").unwrap(),
        rule_version: "1.0.0".to_owned(),
        priority: Priority::Low,
        athlete: entry.athlete.clone(),
        device: entry.device.clone(),
        quantity: Quantity::HEART_RATE,
        value: None,
        unit: Quantity::HEART_RATE.unit(),
        event_time: NOW,
        message: "fast".to_owned(),
    };
    [AlertEvent::Raised(raised), AlertEvent::Cleared { id, event_time: NOW }]
}

/// Ann, whom the box knew.
fn erased(store: &Store) -> AthleteId {
    let ann = athlete("ann");
    let key = pitchside_store::AthleteKey { athlete: ann.clone(), generation: 0, wrapped: vec![1] };
    store.add_athlete(key, NOW).unwrap();
    store.erase_athlete(&ann, NOW).unwrap();
    ann
}

/// Whose messages the blocks hold, by their numbers, and how many steps of alerts; all of them open.
fn held(store: &Store, ring: &KeyRing) -> (Vec<(u64, Option<AthleteId>)>, usize) {
    let (mut messages, mut steps) = (Vec::new(), 0);
    for row in store.blocks_after(None, 100).unwrap() {
        let payload = store.payload(row.key).unwrap().unwrap();
        let header = SignedHeader::verify(&row.header).unwrap();
        let opened = open(&header, &payload, ring, &Filter::default()).unwrap();
        assert_eq!(opened.unopened(), 0);
        messages.extend(opened.entries().into_iter().map(|entry| (entry.seq.0, entry.athlete)));
        steps += opened.alerts().len();
    }
    messages.sort_unstable();
    (messages, steps)
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
    let (ann, bea) = (erased(&store), athlete("bea"));
    let of = |athlete: &AthleteId, seq| Entry { athlete: Some(athlete.clone()), ..good(seq) };
    store.journal_append(vec![of(&ann, 0), of(&bea, 1), good(2)]).await.unwrap();
    sealing(&store).seal_all().await;
    let mut left = sealed(&store).concat();
    left.sort_unstable();
    assert_eq!(left, [1, 2], "whom nobody erased loses nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_alert_that_went_with_its_athlete_while_a_block_was_made_is_not_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    let ann = pitchside_store::AthleteKey { athlete: athlete("ann"), generation: 0, wrapped: vec![1] };
    store.add_athlete(ann.clone(), NOW).unwrap();
    let of = |name: &str, seq| alerts_of(&Entry { athlete: Some(athlete(name)), ..good(seq) });
    store.record_alerts(&[of("ann", 1), of("bea", 2)].concat(), NOW).unwrap();
    let mut steps = store.unsealed_alerts(9).unwrap();
    assert_eq!(steps.len(), 4);
    store.erase_athlete(&ann.athlete, NOW).unwrap();
    keys::forget_erased(&mut [], &mut steps, &ring(), &store).unwrap();
    let left: Vec<AlertEvent> = steps.into_iter().map(|step| step.event).collect();
    assert_eq!(left, of("bea", 2));
}

/// What waits is sealed once there is a key, and is then theirs.
async fn sealed_once_all_have_keys(rows: &[Vec<(usize, bool)>]) {
    const NAMES: [Option<&str>; 4] = [None, Some("bea"), Some("ann"), Some("dan")];
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    let ann = erased(&store);
    let (mut entries, mut said) = (Vec::new(), Vec::new());
    for row in rows {
        let from = entries.len();
        for (whose, alerted) in row {
            let entry = Entry { athlete: NAMES[*whose].map(athlete), ..good(entries.len() as u64) };
            said.extend(alerts_of(&entry).into_iter().filter(|_| *alerted));
            entries.push(entry);
        }
        store.journal_append(entries[from..].to_vec()).await.unwrap();
    }
    let steps = store.record_alerts(&said, NOW).unwrap().len();
    let (sealing, dan, mut ring) = (sealing(&store), Some(athlete("dan")), ring());
    sealing.seal_all().await;
    if entries.iter().any(|entry| entry.athlete == dan) {
        let trouble = sealing.trouble.lock().clone().unwrap_or_default();
        assert!(trouble.contains("pitchside athlete add dan"), "{trouble}");
        assert_eq!((headers(&store), store.sealed_up_to().unwrap()), (Vec::new(), RowId(0)), "all of it waits");
    }
    ring.put(Whose::of(dan.as_ref()), Generation(0), AthleteKey::new([5; 32]));
    sealing.set_ring(ring.clone());
    sealing.seal_all().await;
    let theirs = entries.into_iter().filter(|entry| entry.athlete.as_ref() != Some(&ann));
    let theirs: Vec<_> = theirs.map(|entry| (entry.seq.0, entry.athlete)).collect();
    assert_eq!(held(&store, &ring), (theirs, steps));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_of_an_athlete_without_a_key_waits_for_one_and_goes_under_nobody_elses() {
    // Of one quantity and hour with the house's own.
    sealed_once_all_have_keys(&[vec![(3, true), (0, false), (1, false)]]).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_mix_of_athletes_and_the_houses_own_is_sealed_opens_again_without_the_erased(
        rows in proptest::collection::vec(proptest::collection::vec((0usize..4, any::<bool>()), 1..6), 1..5)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(sealed_once_all_have_keys(&rows));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_one_block_does_not_take_are_in_the_next_though_nobody_says_anything_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    let many = ALERT_STEPS_MAX + 1;
    let said = (0..many).map(|number| {
        let [AlertEvent::Raised(alert), _] = alerts_of(&good(0)) else { panic!("raised") };
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        AlertEvent::Raised(Alert { id: AlertId(id), ..alert })
    });
    store.record_alerts(&said.collect::<Vec<_>>(), NOW).unwrap();
    sealing(&store).seal_due().await;
    assert_eq!(store.unsealed_alerts(1).unwrap(), []);
    assert_eq!(held(&store, &ring()), (Vec::new(), usize::try_from(many).unwrap()));
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
async fn a_block_names_what_was_in_force_as_what_is_in_it_came_though_it_is_sealed_later_and_by_another_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    let first = sealing(&store);
    first.set_rules([1; 32]);
    store.journal_append(vec![good(0)]).await.unwrap();
    store.record_alerts(&alerts_of(&good(0)), NOW).unwrap();
    first.set_rules([2; 32]);
    first.set_plugins([8; 32]);
    store.journal_append(vec![good(1)]).await.unwrap();
    let next = sealing(&store);
    next.set_rules([3; 32]);
    // Under the fourth nothing came.
    next.set_rules([4; 32]);
    next.set_rules([3; 32]);
    store.record_alerts(&alerts_of(&good(2)), NOW).unwrap();
    next.seal_all().await;
    let named: Vec<_> = headers(&store).iter().map(|h| (h.header().rules[0], h.header().plugins[0])).collect();
    assert_eq!(named, [(1, 0), (2, 8), (3, 8)]);
    assert_eq!(sealed(&store), [vec![0], vec![1], vec![]]);
    assert_eq!(held(&store, &ring()).1, 4, "all steps are sealed");
    let steps = |at: usize| {
        let row = &store.blocks_after(None, 100).unwrap()[at];
        let (header, payload) = (SignedHeader::verify(&row.header).unwrap(), store.payload(row.key).unwrap().unwrap());
        open(&header, &payload, &ring(), &Filter::default()).unwrap().alerts().len()
    };
    assert_eq!([steps(0), steps(1), steps(2)], [2, 0, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_the_disk_did_not_take_is_kept_before_anything_is_sealed_also_for_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    let first = sealing(&store);
    first.set_rules([1; 32]);
    store.journal_append(vec![good(0)]).await.unwrap();
    let database = rusqlite::Connection::open(dir.path().join("pitchside.db")).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'disk is full'); END;";
    database.execute_batch(full).unwrap();
    first.set_rules([2; 32]);
    store.journal_append(vec![good(1)]).await.unwrap();
    first.seal_all().await;
    assert!(headers(&store).is_empty() && first.trouble.lock().is_some());
    database.execute_batch("DROP TRIGGER full;").unwrap();
    first.keep_in_force().unwrap();
    sealing(&store).seal_all().await;
    let rules: Vec<Hash> = headers(&store).iter().map(|header| header.header().rules).collect();
    assert_eq!(rules, [[1; 32], [2; 32]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_not_known_where_something_begins_to_be_in_force_none_is_named_until_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), RootKey::new([1; 32]), Options::default()).unwrap();
    let sealing = sealing(&store);
    sealing.set_rules([1; 32]);
    store.journal_append(vec![good(0)]).await.unwrap();
    let database = rusqlite::Connection::open(dir.path().join("pitchside.db")).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    database.execute_batch("CREATE TABLE away AS SELECT * FROM journal_state; DELETE FROM journal_state;").unwrap();
    sealing.set_rules([2; 32]);
    database.execute_batch("INSERT INTO journal_state SELECT * FROM away; DROP TABLE away;").unwrap();
    sealing.set_plugins([8; 32]);
    store.journal_append(vec![good(1)]).await.unwrap();
    sealing.seal_all().await;
    let named: Vec<_> = headers(&store).iter().map(|h| (h.header().rules[0], h.header().plugins[0])).collect();
    assert_eq!(named, [(0, 0), (2, 8)]);
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
