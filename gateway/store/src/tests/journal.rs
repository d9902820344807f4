use super::*;

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
fn every_row_that_became_durable_is_told_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let told = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let watcher = std::sync::Arc::clone(&told);
    assert!(store.watch_commits(move |took| watcher.lock().push(took)));
    assert!(!store.watch_commits(|_| panic!("the first watcher stays")));
    for seq in 0..3 {
        wait(store.journal_append(vec![entry(seq), entry(seq + 10)])).unwrap();
        assert_eq!(told.lock().len(), seq as usize + 1, "before whoever waits is answered");
    }
    assert!(told.lock().iter().all(|took| !took.is_zero()));
    wait(store.journal_barrier()).unwrap();
    store.acknowledge_alert(AlertId([9; 16]), "ada", Timestamp(0)).unwrap_err();
    store.close();
    wait(store.journal_append(vec![entry(50)])).unwrap_err();
    assert_eq!(told.lock().len(), 3);
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
    let many = vec![entry(0); crate::journal::APPEND_ENTRIES_MAX + 1];
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
    assert_eq!(replayed.rows.iter().map(|row| row.entries[0].seq).collect::<Vec<_>>(), [Seq(1)]);
    let late = wait(store.journal_append(vec![entry(2)])).unwrap();
    assert_eq!(
        store.prune_journal(Timestamp::from_seconds(1_001), Timestamp::from_seconds(1_002), RowId(0)).unwrap(),
        0,
        "rows that are still wanted stay"
    );
    assert_eq!(
        store.prune_journal(Timestamp::from_seconds(1_001), Timestamp::from_seconds(1_002), RowId(i64::MAX)).unwrap(),
        1
    );
    assert_eq!(
        store.prune_journal(Timestamp(i64::MAX), Timestamp::from_seconds(1_002), RowId(i64::MAX)).unwrap(),
        1,
        "unsealed rows stay"
    );
    assert_eq!(store.unsealed(1 << 20).unwrap()[0].id, late);
    drop(store);
    let store = open(dir.path());
    for seq in 0..3 {
        assert_eq!(store.claim(&device("strap-1"), Epoch(1), Seq(seq)), Claim::Duplicate, "{seq}");
    }
    // Numbers of rows are never reused, even if all rows are gone.
    store.put_block(block(1, late), marks(&store.unsealed(1 << 20).unwrap())).unwrap();
    store.prune_journal(Timestamp(i64::MAX), Timestamp::from_seconds(1_002), RowId(i64::MAX)).unwrap();
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
fn the_rules_read_past_a_row_that_does_not_open() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let rows: Vec<RowId> = (0..3).map(|seq| wait(store.journal_append(vec![entry(seq)])).unwrap()).collect();
    let raw = rusqlite::Connection::open(dir.path().join("pitchside.db")).unwrap();
    raw.execute("UPDATE journal SET newest = newest + 1 WHERE id = ?1", [rows[1].0]).unwrap();
    let replayed = store.replay(Timestamp(0), RowId(0), 1 << 20).unwrap();
    assert_eq!(replayed.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [rows[0], rows[2]]);
    assert_eq!((replayed.unreadable, replayed.last), (vec![rows[1]], Some(rows[2])));
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
