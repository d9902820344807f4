use super::*;

fn by(name: &str, note: Option<&str>) -> Reset {
    Reset { by: name.to_owned(), note: note.map(str::to_owned) }
}

const ID: AlertId = AlertId([1; 16]);

#[test]
fn an_alert_is_reset_once_by_the_first_who_asks_and_that_is_known_as_long_as_a_replay_may_ask() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    assert!(matches!(store.ask_reset(ID, &by("ann", None), Timestamp(1)), Err(StoreError::Unknown { .. })));
    store.record_alerts(&[raised(1)], Timestamp(1)).unwrap();
    store.acknowledge_alert(ID, "bob", Timestamp(2)).unwrap();
    for (name, note) in [("ann", Some("Seen to.")), ("bob", None)] {
        assert_eq!(store.ask_reset(ID, &by(name, note), Timestamp(3)).unwrap(), Asked::Waits);
    }
    assert_eq!(store.waiting_resets().unwrap(), [ID]);
    assert_eq!((store.alert(ID).unwrap().unwrap().reset, store.done_resets().unwrap()), (None, vec![]), "only asked");
    drop(store);

    let store = open(dir.path());
    let step = store.record_reset(ID, Timestamp(40), Timestamp(50)).unwrap().unwrap();
    assert_eq!(step.event, AlertEvent::Cleared { id: ID, event_time: Timestamp(50) });
    assert_eq!(step.by.as_deref(), Some("ann"));
    assert!(store.waiting_resets().unwrap().is_empty());
    let row = store.alert(ID).unwrap().unwrap();
    assert_eq!((row.cleared, row.reset), (Some(Timestamp(50)), Some(by("ann", Some("Seen to.")))));
    assert_eq!(store.done_resets().unwrap(), [(Timestamp(40), ID)]);
    // It goes out, is sealed, and is told to outputs like any other end.
    let steps = store.undelivered_alerts(9).unwrap();
    assert_eq!(steps.iter().map(|step| step.by.as_deref()).collect::<Vec<_>>(), [None, Some("ann")]);
    assert_eq!(store.unsealed_alerts(9).unwrap().len(), 2);
    let last = store.delivery_steps_after(DeliveryStepId(0), 9).unwrap().pop().unwrap();
    assert_eq!((last.alert, last.kind), (ID, DeliveryKind::Cleared));
    assert_eq!(store.record_reset(ID, Timestamp(60), Timestamp(70)).unwrap(), None, "done twice is done once");
    assert_eq!(store.ask_reset(ID, &by("eve", None), Timestamp(80)).unwrap(), Asked::Over);
    assert_eq!(store.done_resets().unwrap(), [(Timestamp(40), ID)]);
    let ids: Vec<_> = steps.iter().map(|step| step.id).collect();
    store.set_alerts_delivered(&ids, Timestamp(60)).unwrap();
    let ends = store.ends_since(Timestamp(0), 9).unwrap();
    assert_eq!(ends.iter().map(|step| step.by.as_deref()).collect::<Vec<_>>(), [Some("ann")]);
}

#[test]
fn an_alert_that_ends_by_itself_before_its_reset_was_reset_by_nobody() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.record_alerts(&[raised(1)], Timestamp(1)).unwrap();
    store.ask_reset(ID, &by("ann", None), Timestamp(2)).unwrap();
    store.record_alerts(&[AlertEvent::Cleared { id: ID, event_time: Timestamp(3) }], Timestamp(3)).unwrap();
    assert_eq!(store.record_reset(ID, Timestamp(4), Timestamp(5)).unwrap(), None);
    let row = store.alert(ID).unwrap().unwrap();
    assert_eq!((row.cleared, row.reset), (Some(Timestamp(3)), None));
    assert!(store.waiting_resets().unwrap().is_empty() && store.done_resets().unwrap().is_empty());
}

#[test]
fn what_nobody_asked_for_is_not_done_and_notes_are_bounded() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.record_alerts(&[raised(1)], Timestamp(1)).unwrap();
    assert!(matches!(store.record_reset(ID, Timestamp(2), Timestamp(3)), Err(StoreError::Unknown { .. })));
    assert_eq!(store.alert(ID).unwrap().unwrap().cleared, None, "nothing of it was done");
    let long = "x".repeat(crate::resets::NOTE_CHARS_MAX + 1);
    assert!(matches!(store.ask_reset(ID, &by("ann", Some(&long)), Timestamp(4)), Err(StoreError::TooLarge { .. })));
    let dr = "é".repeat(80);
    store.ask_reset(ID, &by(&dr, Some(&long[1..])), Timestamp(4)).unwrap();
    let step = store.record_reset(ID, Timestamp(5), Timestamp(6)).unwrap().unwrap();
    assert_eq!(step.by.unwrap().chars().count(), 64);
}
