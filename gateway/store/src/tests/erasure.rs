//! What is left of an athlete who was erased.

use super::secrecy::holds;
use super::*;

fn athlete(name: &str) -> AthleteId {
    AthleteId::parse(name).unwrap()
}

/// A box that knows ann, who wears strap-1, and bea, who wears pill-1.
fn clinic(dir: &Path) -> Store {
    let store = open(dir);
    for (name, worn) in [("ann", "strap-1"), ("bea", "pill-1")] {
        store
            .add_athlete(AthleteKey { athlete: athlete(name), generation: 0, wrapped: vec![5; 60] }, Timestamp(0))
            .unwrap();
        store.add_device(enrolled(worn)).unwrap();
        store.assign(&device(worn), &athlete(name), Timestamp(10)).unwrap();
    }
    store
}

fn of(name: &str, seq: u64) -> Entry {
    let worn = if name == "ann" { "strap-1" } else { "pill-1" };
    Entry { device: device(worn), athlete: Some(athlete(name)), ..entry(seq) }
}

fn alert_of(name: Option<&str>, number: u8) -> AlertEvent {
    let AlertEvent::Raised(alert) = raised(number) else { panic!("raised") };
    AlertEvent::Raised(Alert { athlete: name.map(athlete), ..alert })
}

fn entries(store: &Store) -> Vec<Entry> {
    store.journal_since(RowId(0), 8 << 20).unwrap().into_iter().flat_map(|row| row.entries).collect()
}

fn left(store: &Store) -> Vec<u8> {
    let mut left: Vec<u8> = store.alerts(100).unwrap().iter().map(|row| row.alert.id.0[0]).collect();
    left.sort_unstable();
    left
}

#[test]
fn of_an_erased_athletes_alerts_nothing_is_left_and_everybody_elses_stand() {
    let dir = TempDir::new().unwrap();
    let store = clinic(dir.path());
    store
        .record_alerts(&[alert_of(Some("ann"), 1), alert_of(Some("bea"), 2), alert_of(None, 3)], Timestamp(20))
        .unwrap();
    let ids = [1, 2].map(|number| AlertId([number; 16]));
    let hook = PluginName::parse("hook").unwrap();
    let reset = Reset { by: "doctor".to_owned(), note: None };
    for id in ids {
        store.acknowledge_alert(id, "doctor", Timestamp(21)).unwrap();
        store.ask_reset(id, &reset, Timestamp(22)).unwrap();
        store.record_reset(id, Timestamp(22), Timestamp(23)).unwrap().unwrap();
    }
    for step in store.delivery_steps_after(DeliveryStepId(0), 100).unwrap() {
        assert!(store.hold_for_plugin(&hook, step.id).unwrap());
        store.keep_for_plugin(&hook, step.id, KeptFor::Failed).unwrap();
    }
    assert_eq!(store.held_for_plugin(&hook, 100).unwrap().len(), 7);
    store.erase_athlete(&athlete("ann"), Timestamp(30)).unwrap();
    assert_eq!(left(&store), [2, 3]);
    assert!(store.alert(ids[0]).unwrap().is_none() && store.alert(ids[1]).unwrap().unwrap().reset.is_some());
    let told = store.delivery_steps_after(DeliveryStepId(0), 100).unwrap();
    assert!(told.len() == 4 && told.iter().all(|step| step.alert != ids[0]), "{told:?}");
    assert_eq!(store.held_for_plugin(&hook, 100).unwrap(), told);
    assert_eq!(store.kept_for_plugin(&hook).unwrap().len(), 4);
    assert_eq!(store.done_resets().unwrap(), [(Timestamp(22), ids[1])]);
    assert!(store.unsealed_alerts(100).unwrap().iter().all(|step| step.event != alert_of(Some("ann"), 1)));
}

#[test]
fn nothing_new_is_recorded_of_an_erased_athlete_whatever_the_rules_say_again() {
    let dir = TempDir::new().unwrap();
    let store = clinic(dir.path());
    let cleared = AlertEvent::Cleared { id: AlertId([1; 16]), event_time: Timestamp(25) };
    store.record_alerts(&[alert_of(Some("ann"), 1)], Timestamp(20)).unwrap();
    store.erase_athlete(&athlete("ann"), Timestamp(30)).unwrap();
    let said = [alert_of(Some("ann"), 1), cleared, alert_of(Some("ann"), 4), alert_of(Some("bea"), 2)];
    let new = store.record_alerts(&said, Timestamp(31)).unwrap();
    assert_eq!(new.iter().map(|step| step.event.clone()).collect::<Vec<_>>(), [alert_of(Some("bea"), 2)]);
    assert_eq!(left(&store), [2]);
}

#[test]
fn the_journal_says_of_an_erased_athlete_only_that_there_were_messages() {
    let dir = TempDir::new().unwrap();
    let store = clinic(dir.path());
    let first = wait(store.journal_append(vec![of("ann", 1), of("bea", 1)])).unwrap();
    store.put_block(block(0, first), marks(&store.unsealed(1 << 20).unwrap())).unwrap();
    wait(store.journal_append(vec![of("ann", 2)])).unwrap();
    let payload = "core 39.7";
    let waits = Entry { readings: Vec::new(), ..of("ann", 3) };
    wait(store.journal_undecoded(waits, payload.as_bytes(), None, Timestamp(20))).unwrap();
    let others = Entry { readings: Vec::new(), ..of("bea", 3) };
    wait(store.journal_undecoded(others, payload.as_bytes(), None, Timestamp(20))).unwrap();
    for (worn, at) in [("strap-1", 9), ("strap-1", 20), ("pill-1", 20)] {
        store.quarantine(Some(&device(worn)), payload.as_bytes(), "too long", Timestamp(at)).unwrap();
    }
    store.erase_athlete(&athlete("ann"), Timestamp(30)).unwrap();
    let said = |name: &str| entries(&store).into_iter().filter(|entry| entry.athlete == Some(athlete(name))).count();
    assert_eq!((said("ann"), said("bea")), (0, 2));
    let of_strap: Vec<Entry> = entries(&store).into_iter().filter(|entry| entry.device == device("strap-1")).collect();
    assert!(of_strap.len() == 3 && of_strap.iter().all(|entry| entry.readings.is_empty()), "{of_strap:?}");
    assert_eq!(store.undecoded_waiting().unwrap().payloads, 1);
    let refused: Vec<_> =
        store.quarantined(9).unwrap().iter().map(|one| (one.device.clone().unwrap(), one.at.0)).collect();
    assert_eq!(refused, [(device("pill-1"), 20), (device("strap-1"), 9)], "before she wore it");
    assert_eq!(store.assignment_at(&device("strap-1"), Timestamp(20)).unwrap(), None);
    assert!(store.assignment_at(&device("pill-1"), Timestamp(20)).unwrap().is_some());
    // Their numbers were promised.
    drop(store);
    let store = open(dir.path());
    for number in [1, 2, 3] {
        assert_eq!(store.claim(&device("strap-1"), Epoch(1), Seq(number)), Claim::Duplicate);
    }
}

#[test]
fn what_the_gateway_took_before_it_heard_of_an_erasure_is_swept() {
    let dir = TempDir::new().unwrap();
    let store = clinic(dir.path());
    assert!(matches!(store.sweep_erased(&athlete("ann")), Err(StoreError::Unknown { .. })), "she is not erased");
    store.erase_athlete(&athlete("ann"), Timestamp(30)).unwrap();
    wait(store.journal_append(vec![of("ann", 1), of("bea", 1)])).unwrap();
    store.sweep_erased(&athlete("ann")).unwrap();
    let whose: Vec<_> = entries(&store).into_iter().map(|entry| (entry.athlete, entry.readings.len())).collect();
    assert_eq!(whose, [(None, 0), (Some(athlete("bea")), 1)]);
}

#[test]
fn what_rules_in_the_shadow_said_of_an_erased_athlete_goes_and_the_rest_stays() {
    let dir = TempDir::new().unwrap();
    let store = clinic(dir.path());
    let rule = RuleName::parse("heat-illness").unwrap();
    let cleared = |number: u8| AlertEvent::Cleared { id: AlertId([number; 16]), event_time: Timestamp(9) };
    let said = [alert_of(Some("ann"), 1), alert_of(Some("bea"), 2), cleared(1), cleared(2)];
    store.log_shadow(&said.map(|event| (rule.clone(), event)), Timestamp(20)).unwrap();
    store.erase_athlete(&athlete("ann"), Timestamp(30)).unwrap();
    let left: Vec<AlertEvent> = store.shadow_log(None, 9).unwrap().into_iter().map(|row| row.event).collect();
    assert_eq!(left, [cleared(2), alert_of(Some("bea"), 2)]);
}

/// Pieces of what the rows say: of a body that is taken out, some may be written over by chance.
fn pieces(dir: &Path, rows: &str) -> Vec<Vec<u8>> {
    let file = rusqlite::Connection::open(dir.join("pitchside.db")).unwrap();
    let mut statement = file.prepare(rows).unwrap();
    let bodies: Vec<Vec<u8>> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let cut = |body: &Vec<u8>| (16..body.len() - 32).step_by(4_096).map(|at| body[at..at + 32].to_vec()).collect();
    let pieces: Vec<Vec<Vec<u8>>> = bodies.iter().map(cut).collect();
    let pieces = pieces.concat();
    assert!(!pieces.is_empty() && pieces.iter().all(|piece| holds(dir, piece)), "the search does find what is there");
    pieces
}

#[test]
fn what_an_erasure_and_the_sweep_after_it_take_out_is_in_none_of_the_files() {
    let dir = TempDir::new().unwrap();
    let store = clinic(dir.path());
    let many = |from: u64| (from..from + 400).map(|seq| of("ann", seq)).collect::<Vec<_>>();
    let steps = store.record_alerts(&[alert_of(Some("ann"), 1), alert_of(Some("bea"), 2)], Timestamp(20)).unwrap();
    let mut said = pieces(dir.path(), "SELECT sealed_body FROM alert_steps ORDER BY id LIMIT 1");
    let others = pieces(dir.path(), "SELECT sealed_body FROM alert_steps ORDER BY id DESC LIMIT 1");
    // The row grows, and leaves its place beside the other's.
    store.set_alerts_delivered(&[steps[0].id], Timestamp::from_seconds(1_800_000_000)).unwrap();
    wait(store.journal_append(many(0))).unwrap();
    said.extend(pieces(dir.path(), "SELECT sealed_body FROM journal"));
    store.set_secret("rules-snapshot", &[7; 10_000]).unwrap();
    said.extend(pieces(dir.path(), "SELECT value FROM meta WHERE key = 'rules-snapshot'"));
    store.set_secret("rules-snapshot", b"nothing of ann").unwrap();
    let is_left = |said: &[Vec<u8>]| said.iter().filter(|piece| holds(dir.path(), piece)).count();
    store.erase_athlete(&athlete("ann"), Timestamp(30)).unwrap();
    assert_eq!(is_left(&said), 0, "of {}", said.len());
    // From before the gateway heard of it.
    wait(store.journal_append(many(400))).unwrap();
    let late = pieces(dir.path(), "SELECT sealed_body FROM journal ORDER BY id DESC LIMIT 1");
    store.sweep_erased(&athlete("ann")).unwrap();
    assert_eq!((is_left(&said), is_left(&late)), (0, 0), "of {}", late.len());
    assert_eq!(is_left(&others), others.len(), "somebody else's stays");
}
