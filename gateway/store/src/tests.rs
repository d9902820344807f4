use std::path::Path;

use pitchside_model::{
    Alert, AlertEvent, AlertId, Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, PluginName, Priority, Quality, Quantity,
    Reading, RuleName, Seq, Timestamp, Value,
};
use tempfile::TempDir;

use crate::*;

fn root() -> RootKey {
    RootKey::new([7; 32])
}

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

fn entry(seq: u64) -> Entry {
    Entry {
        device: device("strap-1"),
        athlete: Some(AthleteId::parse("zebra").unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(seq),
        readings: vec![Reading {
            quantity: Quantity::HEART_RATE,
            unit: Quantity::HEART_RATE.unit(),
            device_time: Timestamp::from_seconds(1_000 + seq as i64),
            gateway_time: Timestamp::from_seconds(1_000 + seq as i64),
            quality: Quality::empty(),
            value: Value::Number(Decimal::integer(61)),
        }],
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, root()).unwrap()
}

/// Runs a future of ours to its end: they wait for the writer thread, never for a timer.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn block(index: u64, up_to: RowId) -> NewBlock {
    NewBlock {
        key: BlockKey { incarnation: 1, index },
        hash: [index as u8; 32],
        sealed_at: Timestamp::from_seconds(index as i64),
        header: vec![1, 2, 3],
        payload: vec![index as u8; 5_000],
        readings: 9,
        rows_up_to: up_to,
        alerts_up_to: None,
    }
}

fn marks(rows: &[JournalRow]) -> Marks {
    let mut marks = Marks::default();
    rows.iter().for_each(|row| marks.note(&row.entries));
    marks
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let row = wait(store.journal_append(vec![entry(0), entry(1)])).unwrap();
    wait(store.journal_barrier()).unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.unsealed(1 << 20).unwrap(), [JournalRow { id: row, entries: vec![entry(0), entry(1)] }]);
    assert_eq!(store.boot(), 2);
    assert_eq!(store.claim(&device("strap-1"), Epoch(1), Seq(1)), Claim::Duplicate);
    assert_eq!(store.claim(&device("strap-1"), Epoch(1), Seq(2)), Claim::New);
    assert_eq!(store.claim(&device("strap-1"), Epoch(2), Seq(1)), Claim::New);
}

#[test]
fn a_duplicate_is_answered_only_once_the_first_is_durable() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let claim = || store.claim(&device("strap-1"), Epoch(1), Seq(0));
    assert_eq!((claim(), claim()), (Claim::New, Claim::Pending));
    wait(store.journal_append(vec![entry(0)])).unwrap();
    assert_eq!(claim(), Claim::Duplicate);
}

#[test]
fn an_append_that_fails_or_is_abandoned_gives_its_numbers_back() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let claim = || store.claim(&device("strap-1"), Epoch(1), Seq(0));
    claim();
    let many = vec![entry(0); journal::APPEND_ENTRIES_MAX + 1];
    assert!(matches!(wait(store.journal_append(many)), Err(StoreError::TooLarge { .. })));
    assert_eq!(claim(), Claim::New);
    store.close();
    assert_eq!(wait(store.journal_append(vec![entry(0)])), Err(StoreError::Closed));
    assert_eq!(claim(), Claim::New);
}

#[test]
fn a_block_seals_rows_once_and_keeps_them_until_they_are_old() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    wait(store.journal_append(vec![entry(0)])).unwrap();
    let up_to = wait(store.journal_append(vec![entry(1)])).unwrap();
    let rows = store.unsealed(1 << 20).unwrap();
    assert_eq!(rows.len(), 2);
    store.put_block(block(0, up_to), marks(&rows)).unwrap();
    assert!(store.unsealed(1 << 20).unwrap().is_empty());
    assert!(matches!(store.put_block(block(0, up_to), Marks::default()), Err(StoreError::Conflict(_))));
    assert!(matches!(store.put_block(block(2, up_to), Marks::default()), Err(StoreError::Conflict(_))));
    assert!(matches!(store.put_block(block(1, RowId(0)), Marks::default()), Err(StoreError::Conflict(_))));
    // Still there for the rules.
    let replayed = store.replay(Timestamp::from_seconds(1_001), RowId(0), 1 << 20).unwrap();
    assert_eq!(replayed.iter().map(|row| row.entries[0].seq).collect::<Vec<_>>(), [Seq(1)]);
    let late = wait(store.journal_append(vec![entry(2)])).unwrap();
    assert_eq!(store.prune_journal(Timestamp::from_seconds(1_001), Timestamp::from_seconds(1_002)).unwrap(), 1);
    assert_eq!(store.prune_journal(Timestamp(i64::MAX), Timestamp::from_seconds(1_002)).unwrap(), 1, "unsealed rows stay");
    assert_eq!(store.unsealed(1 << 20).unwrap()[0].id, late);
    drop(store);
    let store = open(dir.path());
    for seq in 0..3 {
        assert_eq!(store.claim(&device("strap-1"), Epoch(1), Seq(seq)), Claim::Duplicate, "{seq}");
    }
    // Numbers of rows are never reused, even if all rows are gone.
    store.put_block(block(1, late), marks(&store.unsealed(1 << 20).unwrap())).unwrap();
    store.prune_journal(Timestamp(i64::MAX), Timestamp::from_seconds(1_002)).unwrap();
    drop(store);
    let store = open(dir.path());
    assert!(wait(store.journal_append(vec![entry(3)])).unwrap() > late);
}

#[test]
fn rows_are_read_in_bounded_pieces() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    for seq in 0..10 {
        wait(store.journal_append(vec![entry(seq)])).unwrap();
    }
    let (mut after, mut seen) = (RowId(0), Vec::new());
    loop {
        let rows = store.journal_since(after, 300).unwrap();
        let Some(last) = rows.last() else { break };
        assert!(rows.len() < 4);
        after = last.id;
        seen.extend(rows.into_iter().flat_map(|row| row.entries).map(|entry| entry.seq.0));
    }
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_damaged_row_is_set_aside_and_named() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let first = wait(store.journal_append(vec![entry(0)])).unwrap();
    wait(store.journal_append(vec![entry(1)])).unwrap();
    drop(store);
    let raw = rusqlite::Connection::open(dir.path().join("pitchside.db")).unwrap();
    raw.execute("UPDATE journal SET newest = newest + 1 WHERE id = ?1", [first.0]).unwrap();
    drop(raw);
    let store = open(dir.path());
    assert_eq!(store.damaged_rows(), [first]);
    assert_eq!(store.unsealed(1 << 20).unwrap().len(), 1);
    assert_eq!(store.claim(&device("strap-1"), Epoch(1), Seq(0)), Claim::New, "no receipt for what cannot be read");
}

#[test]
fn a_second_gateway_the_wrong_key_and_an_empty_folder_are_refused() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(Tables::attach(dir.path(), root()), Err(OpenError::Missing(_))));
    let store = open(dir.path());
    assert!(matches!(Store::open(dir.path(), root()), Err(OpenError::InUse(_))));
    drop(store);
    assert!(matches!(Store::open(dir.path(), RootKey::new([8; 32])), Err(OpenError::WrongKey)));
    assert!(matches!(Tables::attach(dir.path(), RootKey::new([8; 32])), Err(OpenError::WrongKey)));
}

#[test]
fn only_we_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let inner = dir.path().join("data");
    let _store = open(&inner);
    for path in [inner.clone(), inner.join("pitchside.db"), inner.join("pitchside.db-wal"), inner.join("run.lock")] {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

fn raised(number: u8) -> AlertEvent {
    AlertEvent::Raised(Alert {
        id: AlertId([number; 16]),
        rule: RuleName::parse("heat-illness").unwrap(),
        rule_version: "1.0.0".to_owned(),
        priority: Priority::High,
        athlete: None,
        device: device("pill-1"),
        quantity: Quantity::HEART_RATE,
        value: Some(Decimal::parse("39.70").unwrap()),
        unit: Quantity::HEART_RATE.unit(),
        event_time: Timestamp::from_seconds(5),
        message: "core temperature rising".to_owned(),
    })
}

#[test]
fn a_step_in_an_alerts_life_is_recorded_once() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let cleared = AlertEvent::Cleared { id: AlertId([1; 16]), event_time: Timestamp::from_seconds(9) };
    let now = Timestamp::from_seconds(10);
    let new = store.record_alerts(&[raised(1), raised(2), raised(1)], now).unwrap();
    assert_eq!(new.iter().map(|step| step.event.clone()).collect::<Vec<_>>(), [raised(1), raised(2)]);
    drop(store);
    let store = open(dir.path());
    let again = store.record_alerts(&[raised(1), cleared.clone(), cleared.clone()], now).unwrap();
    assert_eq!(again.iter().map(|step| step.event.clone()).collect::<Vec<_>>(), [cleared]);
    assert_eq!(store.undelivered_alerts(100).unwrap().len(), 3);
    store.set_alerts_delivered(&new.iter().map(|step| step.id).collect::<Vec<_>>()).unwrap();
    assert_eq!(store.undelivered_alerts(100).unwrap().len(), 1);
    assert_eq!(store.unsealed_alerts(100).unwrap().len(), 3);
    let up_to = Some(store.unsealed_alerts(100).unwrap()[2].id);
    store.put_block(NewBlock { alerts_up_to: up_to, ..block(0, RowId(0)) }, Marks::default()).unwrap();
    assert!(store.unsealed_alerts(100).unwrap().is_empty());
    assert_eq!(store.alerts(100).unwrap().len(), 2);
    assert_eq!(store.prune_alerts(Timestamp::from_seconds(11)).unwrap(), 1, "only the delivered one goes");
    assert_eq!(store.alerts(100).unwrap()[0].cleared, Some(Timestamp::from_seconds(9)));
}

#[test]
fn an_alert_is_open_until_it_is_seen_and_over() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let id = AlertId([1; 16]);
    assert!(matches!(store.acknowledge_alert(id, "ann", Timestamp(0)), Err(StoreError::Unknown { .. })));
    store.record_alerts(&[raised(1)], Timestamp(1)).unwrap();
    store.acknowledge_alert(id, "ann", Timestamp(2)).unwrap();
    let row = store.acknowledge_alert(id, "bob", Timestamp(3)).unwrap();
    assert_eq!(row.acknowledged, Some(("ann".to_owned(), Timestamp(2))));
    assert_eq!(store.open_alerts(10).unwrap().len(), 1);
    store.record_alerts(&[AlertEvent::Cleared { id, event_time: Timestamp(4) }], Timestamp(4)).unwrap();
    assert!(store.open_alerts(10).unwrap().is_empty());
    assert_eq!(store.alerts(10).unwrap()[0].cleared, Some(Timestamp(4)));
}

#[test]
fn receipts_only_rise_and_the_outbox_follows_the_chain() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    for index in 0..3 {
        store.put_block(block(index, RowId(0)), Marks::default()).unwrap();
    }
    assert_eq!(store.backlog().unwrap(), Backlog { blocks: 3, bytes: 15_000, oldest: Some(Timestamp(0)) });
    let key = store.next_unsent().unwrap().unwrap().key;
    assert_eq!(key.index, 0);
    assert_eq!(store.payload(key).unwrap(), Some(vec![0; 5_000]));
    store.set_receipt(key, Level::R2, b"proof", Timestamp(5)).unwrap();
    store.set_receipt(key, Level::R1, b"leaf 0", Timestamp(6)).unwrap();
    assert_eq!(store.block(key).unwrap().unwrap().level, Level::R2);
    assert_eq!(store.receipt(key, Level::R1).unwrap().unwrap(), b"leaf 0");
    assert_eq!(store.next_unsent().unwrap().unwrap().key.index, 1);
    assert_eq!(store.blocks_at(Level::R2, 10).unwrap().len(), 1);
    assert_eq!(store.prune_payloads(Timestamp(i64::MAX)).unwrap(), 0, "nothing goes before R3");
    store.set_receipt(key, Level::R3, b"cosigned", Timestamp(7)).unwrap();
    assert_eq!(store.prune_payloads(Timestamp(i64::MAX)).unwrap(), 1);
    assert_eq!(store.payload(key).unwrap(), None);
    assert_eq!(store.blocks_before(None, 2).unwrap().iter().map(|row| row.key.index).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(store.blocks_after(Some(key), 9).unwrap().len(), 2);
    assert_eq!(store.block_by_hash(&[2; 32]).unwrap(), store.last_block().unwrap());
    let unknown = BlockKey { incarnation: 1, index: 77 };
    assert!(matches!(store.set_receipt(unknown, Level::R1, b"", Timestamp(0)), Err(StoreError::Unknown { .. })));
    // After a restore the incarnation rises and the index goes on.
    let restored = BlockKey { incarnation: 2, index: 9 };
    store.put_block(NewBlock { key: restored, hash: [9; 32], ..block(9, RowId(0)) }, Marks::default()).unwrap();
}

fn enrolled(name: &str) -> Device {
    Device {
        id: device(name),
        class: "p1".to_owned(),
        secret: vec![1; 60],
        decoder: Some(PluginName::parse("polar-h10").unwrap()),
        filters: vec!["alerts/#".to_owned(), "live/#".to_owned()],
        enrolled_at: Timestamp(1),
        revoked_at: None,
    }
}

#[test]
fn a_command_beside_the_gateway_changes_what_the_gateway_sees() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let beside = Tables::attach(dir.path(), root()).unwrap();
    let before = store.changes().unwrap();
    beside.add_device(enrolled("strap-1")).unwrap();
    let after = store.changes().unwrap();
    assert_eq!((after.devices, after.users), (before.devices + 1, before.users));
    assert_eq!(store.device(&device("strap-1")).unwrap(), Some(enrolled("strap-1")));
    assert!(matches!(beside.add_device(enrolled("strap-1")), Err(StoreError::Exists { .. })));
    wait(store.journal_append(vec![entry(0)])).unwrap();
    store.set_p2_timestamp(&device("strap-1"), b"later").unwrap();
    assert_eq!(store.changes().unwrap(), after, "readings and handshakes are no such change");
    assert_eq!(store.p2_timestamp(&device("strap-1")).unwrap(), Some(b"later".to_vec()));
    beside.revoke_device(&device("strap-1"), Timestamp(5)).unwrap();
    beside.revoke_device(&device("strap-1"), Timestamp(6)).unwrap();
    assert_eq!(store.devices().unwrap()[0].revoked_at, Some(Timestamp(5)));
    assert!(matches!(beside.revoke_device(&device("nobody"), Timestamp(6)), Err(StoreError::Unknown { .. })));
}

#[test]
fn sessions_are_bounded_and_end_with_the_device() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.add_device(enrolled("strap-1")).unwrap();
    let session = |number: u8| DeviceSession { id: vec![number; 8], device: device("strap-1"), ceiling: 1_024, body: vec![number; 90] };
    for number in 0..7 {
        store.put_session(session(number)).unwrap();
    }
    assert_eq!(store.sessions().unwrap(), (3..7).map(session).collect::<Vec<_>>());
    store.set_session_ceiling(&[6; 8], 2_048).unwrap();
    store.set_session_ceiling(&[6; 8], 1_000).unwrap();
    assert_eq!(store.sessions().unwrap()[3].ceiling, 2_048);
    store.set_session_ceiling(&[6; 8], u64::MAX).unwrap();
    store.set_session_ceiling(&[6; 8], 5).unwrap();
    assert_eq!(store.sessions().unwrap()[3].ceiling, u64::MAX);
    store.drop_session(&[6; 8]).unwrap();
    assert!(matches!(store.set_session_ceiling(&[6; 8], 1), Err(StoreError::Unknown { .. })));
    store.revoke_device(&device("strap-1"), Timestamp(9)).unwrap();
    assert!(store.sessions().unwrap().is_empty());
}

#[test]
fn a_device_measures_one_athlete_at_a_time() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let athlete = |name: &str| AthleteId::parse(name).unwrap();
    let key = |name: &str, generation| AthleteKey { athlete: athlete(name), generation, wrapped: vec![5; 60] };
    store.add_device(enrolled("strap-1")).unwrap();
    assert!(matches!(store.assign(&device("strap-1"), &athlete("ann"), Timestamp(0)), Err(StoreError::Unknown { .. })));
    store.add_athlete(key("ann", 1), Timestamp(0)).unwrap();
    store.add_athlete(key("bea", 1), Timestamp(0)).unwrap();
    store.assign(&device("strap-1"), &athlete("ann"), Timestamp(10)).unwrap();
    store.assign(&device("strap-1"), &athlete("bea"), Timestamp(20)).unwrap();
    assert!(matches!(store.assign(&device("strap-1"), &athlete("ann"), Timestamp(15)), Err(StoreError::Conflict(_))));
    let whose = |at| store.assignment_at(&device("strap-1"), Timestamp(at)).unwrap().map(|found| found.athlete);
    assert_eq!((whose(9), whose(10), whose(19), whose(20)), (None, Some(athlete("ann")), Some(athlete("ann")), Some(athlete("bea"))));
    store.unassign(&device("strap-1"), Timestamp(30)).unwrap();
    assert_eq!(whose(30), None);
    assert!(store.assignments().unwrap().is_empty());
    store.assign(&device("strap-1"), &athlete("ann"), Timestamp(30)).unwrap();
    assert_eq!(store.assignments().unwrap().len(), 1);

    assert!(matches!(store.add_athlete_key(key("ann", 3)), Err(StoreError::Conflict(_))));
    store.add_athlete_key(key("ann", 2)).unwrap();
    assert_eq!(store.athlete_key(&athlete("ann"), 1).unwrap(), Some(key("ann", 1)));
    store.erase_athlete(&athlete("ann"), Timestamp(40)).unwrap();
    assert_eq!(store.athlete_key(&athlete("ann"), 1).unwrap(), None);
    assert_eq!(store.athlete(&athlete("ann")).unwrap().unwrap().erased_at, Some(Timestamp(40)));
    assert!(store.assignments().unwrap().is_empty());
    assert!(matches!(store.assign(&device("strap-1"), &athlete("ann"), Timestamp(50)), Err(StoreError::Unknown { .. })));
}

#[test]
fn an_erased_key_is_gone_from_the_files() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let wrapped = b"wrapped-key-of-ann-0123456789abcdef".to_vec();
    let ann = AthleteId::parse("ann").unwrap();
    store.add_athlete(AthleteKey { athlete: ann.clone(), generation: 1, wrapped: wrapped.clone() }, Timestamp(0)).unwrap();
    assert!(holds(dir.path(), &wrapped));
    store.erase_athlete(&ann, Timestamp(1)).unwrap();
    assert!(!holds(dir.path(), &wrapped));
}

/// True if any file of the database holds these bytes.
fn holds(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn no_file_tells_of_anybodys_health() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let mut telling = entry(0);
    telling.readings[0].value = Value::Number(Decimal::integer(0x1234_5678_9abc));
    let value = postcard::to_stdvec(&telling.readings[0].value).unwrap();
    wait(store.journal_append(vec![telling])).unwrap();
    store.record_alerts(&[raised(1)], Timestamp(1)).unwrap();
    store.acknowledge_alert(AlertId([1; 16]), "doctor-ann", Timestamp(2)).unwrap();
    store.quarantine(Some(&device("pill-1")), b"core 39.7 Cel", "truncated", Timestamp(3)).unwrap();
    store.set_secret("gateway/identity", b"a private signing key").unwrap();
    for secret in [&value[..], b"zebra", b"core temperature", b"heat-illness", b"doctor-ann", b"core 39.7", b"private signing"] {
        assert!(!holds(dir.path(), secret), "{}", String::from_utf8_lossy(secret));
    }
    assert!(holds(dir.path(), b"truncated"), "the search does find what is in the clear");
    assert_eq!(store.secret("gateway/identity").unwrap().unwrap().as_slice(), b"a private signing key");
}

#[test]
fn quarantine_makes_room_for_the_latest() {
    let dir = TempDir::new().unwrap();
    let options = Options { quarantine_rows_max: 3, ..Options::default() };
    let store = Store::open_with(dir.path(), root(), options).unwrap();
    for number in 0..5u8 {
        store.quarantine(None, &vec![number; 10_000], "too long", Timestamp(i64::from(number))).unwrap();
    }
    let kept = store.quarantined(10).unwrap();
    assert_eq!(kept.iter().map(|refused| refused.at.0).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!((kept[0].bytes, kept[0].kept.len()), (10_000, quarantine::KEPT_BYTES_MAX));
}

#[test]
fn users_are_stored_with_argon2id_hashes_only() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let user = |name: &str, hash: &str| User {
        name: name.to_owned(),
        role: "admin".to_owned(),
        password_hash: hash.to_owned(),
        added_at: Timestamp(1),
        disabled_at: None,
    };
    assert!(matches!(store.add_user(user("ann", "secret")), Err(StoreError::Conflict(_))));
    store.add_user(user("ann", "$argon2id$v=19$x")).unwrap();
    assert!(matches!(store.add_user(user("ann", "$argon2id$v=19$x")), Err(StoreError::Exists { .. })));
    store.put_user(user("ann", "$argon2id$v=19$y")).unwrap();
    assert_eq!(store.user("ann").unwrap().unwrap().password_hash, "$argon2id$v=19$y");
    assert_eq!(store.users().unwrap().len(), 1);
    store.remove_user("ann").unwrap();
    assert_eq!(store.user("ann").unwrap(), None);
}

#[test]
fn the_stores_own_names_cannot_be_set() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    assert!(matches!(store.set_meta("store/boot", b"x"), Err(StoreError::Conflict(_))));
    store.set_meta("incarnation", b"1").unwrap();
    assert_eq!(store.meta("incarnation").unwrap(), Some(b"1".to_vec()));
    // A secret moved to another name does not open.
    store.set_secret("a", b"x").unwrap();
    let sealed = store.meta("a").unwrap().unwrap();
    store.set_meta("b", &sealed).unwrap();
    assert!(matches!(store.secret("b"), Err(StoreError::Damaged { .. })));
}

#[test]
fn every_statement_fits_the_schema() {
    let dir = TempDir::new().unwrap();
    let _store = open(dir.path());
    let raw = rusqlite::Connection::open(dir.path().join("pitchside.db")).unwrap();
    let mut count = 0;
    for folder in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            raw.prepare(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            count += 1;
        }
    }
    assert!(count > 50);
}
