use super::*;

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
    let first = |step: usize| store.alerts(100).unwrap().remove(step);
    assert_eq!((first(1).delivered, first(1).delivered_at), (false, None));
    let out = Timestamp::from_seconds(11);
    store.set_alerts_delivered(&new.iter().map(|step| step.id).collect::<Vec<_>>(), out).unwrap();
    assert_eq!(store.undelivered_alerts(100).unwrap().len(), 1);
    assert_eq!((first(1).delivered, first(1).delivered_at), (true, Some(out)), "when it went out is known later");
    assert_eq!(store.unsealed_alerts(100).unwrap().len(), 3);
    let up_to = Some(store.unsealed_alerts(100).unwrap()[2].id);
    store.put_block(NewBlock { alerts_up_to: up_to, ..block(0, RowId(0)) }, Marks::default()).unwrap();
    assert!(store.unsealed_alerts(100).unwrap().is_empty());
    assert_eq!(store.alerts(100).unwrap().len(), 2);
    assert_eq!(store.alerts(100).unwrap()[1].cleared, Some(Timestamp::from_seconds(9)));
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
fn an_alert_that_holds_is_found_beside_however_many_that_nobody_has_seen_end() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let end = |number: u8| AlertEvent::Cleared { id: AlertId([number; 16]), event_time: Timestamp(5) };
    store.record_alerts(&[raised(1), raised(2)], Timestamp(1)).unwrap();
    store.acknowledge_alert(AlertId([2; 16]), "ann", Timestamp(2)).unwrap();
    for number in 3..9 {
        store.record_alerts(&[raised(number), end(number)], Timestamp(3)).unwrap();
    }
    let of = |rows: Vec<AlertRow>| rows.into_iter().map(|row| row.alert.id.0[0]).collect::<Vec<_>>();
    assert_eq!(of(store.open_alerts(3).unwrap()), [8, 7, 6]);
    assert_eq!(of(store.standing_alerts(3).unwrap()), [2, 1], "seen or not");
    assert_eq!(of(store.standing_alerts(1).unwrap()), [2]);
}

#[test]
fn how_alerts_ended_is_found_by_when_that_was_recorded_once_it_has_gone_out() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let end = |number: u8| AlertEvent::Cleared { id: AlertId([number; 16]), event_time: Timestamp(5) };
    for (number, at) in [(1, 100), (2, 200), (3, 300), (4, 400)] {
        store.record_alerts(&[raised(number), end(number)], Timestamp(at)).unwrap();
    }
    store.record_alerts(&[raised(5)], Timestamp(500)).unwrap();
    deliver(&store);
    store.record_alerts(&[raised(6), end(6)], Timestamp(600)).unwrap();
    let found = |since: i64, rows: u32| {
        let steps = store.ends_since(Timestamp(since), rows).unwrap();
        steps.into_iter().map(|step| step.event).collect::<Vec<_>>()
    };
    assert_eq!(found(200, 9), [end(4), end(3), end(2)], "neither what holds nor what is still to go out");
    assert_eq!(found(0, 2), [end(4), end(3)], "the newest");
}

/// Raised, seen, over and delivered.
fn over(store: &Store, number: u8, at: i64) {
    let id = AlertId([number; 16]);
    store
        .record_alerts(&[raised(number), AlertEvent::Cleared { id, event_time: Timestamp(at) }], Timestamp(at))
        .unwrap();
    store.acknowledge_alert(id, "ann", Timestamp(at)).unwrap();
    deliver(store);
}

fn deliver(store: &Store) {
    let waiting = store.undelivered_alerts(100).unwrap();
    let ids: Vec<_> = waiting.iter().map(|step| step.id).collect();
    // However the clock stood, it has gone out.
    store.set_alerts_delivered(&ids, Timestamp(0)).unwrap();
}

fn seal_alerts(store: &Store, index: u64) -> BlockKey {
    let up_to = store.unsealed_alerts(100).unwrap().last().map(|step| step.id);
    let block = NewBlock { alerts_up_to: up_to, ..block(index, RowId(0)) };
    let key = block.key;
    store.put_block(block, Marks::default()).unwrap();
    key
}

fn left(store: &Store) -> Vec<u8> {
    let mut left: Vec<u8> = store.alerts(100).unwrap().iter().map(|row| row.alert.id.0[0]).collect();
    left.sort_unstable();
    left
}

#[test]
fn an_alert_is_deleted_only_when_over_seen_delivered_old_and_proven() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let r3 = |key| store.set_receipt(key, Level::R3, b"cosigned", Timestamp(0)).unwrap();
    let prune = || store.prune_alerts(Timestamp(1_000)).unwrap();
    let steps = |number: u8, cleared: bool, seen: bool| {
        let id = AlertId([number; 16]);
        store.record_alerts(&[raised(number)], Timestamp(10)).unwrap();
        if cleared {
            store.record_alerts(&[AlertEvent::Cleared { id, event_time: Timestamp(11) }], Timestamp(11)).unwrap();
        }
        if seen {
            store.acknowledge_alert(id, "ann", Timestamp(12)).unwrap();
        }
    };
    over(&store, 1, 10);
    assert_eq!(prune(), 0, "not sealed");
    let first = seal_alerts(&store, 0);
    assert_eq!(prune(), 0, "sealed, but without R3");
    store.set_receipt(first, Level::R2, b"proof", Timestamp(0)).unwrap();
    assert_eq!(prune(), 0, "R2 is not R3");
    steps(2, true, false);
    steps(3, false, true);
    over(&store, 4, 2_000);
    steps(5, true, true);
    let second = seal_alerts(&store, 1);
    r3(second);
    assert_eq!(prune(), 0, "the block before has no R3");
    r3(first);
    assert_eq!(prune(), 3, "three steps of the first");
    assert_eq!(left(&store), [2, 3, 4, 5], "not seen, not over, too young, not delivered");
    deliver(&store);
    assert_eq!((prune(), left(&store)), (3, vec![2, 3, 4]));
    // A block without alerts speaks for those of the blocks before.
    over(&store, 6, 20);
    r3(seal_alerts(&store, 2));
    r3(seal_alerts(&store, 3));
    over(&store, 7, 20);
    assert_eq!((prune(), left(&store)), (3, vec![2, 3, 4, 7]));
}

#[test]
fn several_blocks_of_one_row_are_stored_together_or_not_at_all() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let row = wait(store.journal_append(vec![entry(0)])).unwrap();
    let parts = || vec![block(0, RowId(0)), block(1, row)];
    let broken = vec![block(0, RowId(0)), block(7, row)];
    assert!(matches!(store.put_blocks(broken, Marks::default(), &[row]), Err(StoreError::Conflict(_))));
    assert_eq!((store.last_block().unwrap(), store.rows_set_aside().unwrap()), (None, 0));
    store.put_blocks(parts(), Marks::default(), &[row]).unwrap();
    assert_eq!((store.sealed_up_to().unwrap(), store.rows_set_aside().unwrap()), (row, 1));
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
