//! What outputs are told of, and how far they are.

use rusqlite::Connection;

use super::*;
use crate::connection::database_path;
use crate::delivery::{KEPT_MAX, Written};
use crate::migrate::{STEPS, migrate_by};

const ID: AlertId = AlertId([1; 16]);

fn name() -> PluginName {
    PluginName::parse("hook").unwrap()
}

fn cleared(number: u8) -> AlertEvent {
    AlertEvent::Cleared { id: AlertId([number; 16]), event_time: Timestamp(9) }
}

fn kinds(store: &Tables) -> Vec<DeliveryKind> {
    store.delivery_steps_after(DeliveryStepId(0), 100).unwrap().iter().map(|step| step.kind).collect()
}

#[test]
fn every_step_is_told_in_one_order_whoever_recorded_it() {
    use DeliveryKind::{Acknowledged, Cleared, Drill, Escalated, Raised};
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let beside = Tables::attach(dir.path(), root()).unwrap();
    let recorded = store.record_alerts(&[raised(1), raised(1)], Timestamp(1)).unwrap();
    assert_eq!(recorded.len(), 1);
    store.escalate_alert(ID, 1, Timestamp(2)).unwrap().unwrap();
    beside.acknowledge_alert(ID, "ann", Timestamp(3)).unwrap();
    store.record_drill(AlertId([9; 16]), Timestamp(4)).unwrap().unwrap();
    assert_eq!(store.record_alerts(&[cleared(1)], Timestamp(5)).unwrap().len(), 1);
    assert_eq!(kinds(&store), [Raised, Escalated(1), Acknowledged, Drill, Cleared]);
    let last = store.delivery_steps_after(DeliveryStepId(0), 100).unwrap()[4];
    assert_eq!((store.last_delivery_step().unwrap(), last.recorded_at, last.alert), (last.id, Timestamp(5), ID));
    // The numbers of alerts' own steps are as they were: sealing and delivery rest on them.
    assert_eq!(store.undelivered_alerts(9).unwrap().last().unwrap().event, cleared(1));
}

#[test]
fn an_alert_escalates_once_a_level_and_not_after_somebody_saw_it_or_it_was_over() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    assert_eq!(store.escalate_alert(ID, 1, Timestamp(1)).unwrap(), None, "nobody raised it");
    store.record_alerts(&[raised(1), raised(2), raised(3)], Timestamp(1)).unwrap();
    assert!(store.escalate_alert(ID, 1, Timestamp(2)).unwrap().is_some());
    assert_eq!(store.escalate_alert(ID, 1, Timestamp(3)).unwrap(), None);
    assert!(matches!(store.escalate_alert(ID, 0, Timestamp(3)), Err(StoreError::TooLarge { .. })));
    assert!(matches!(store.escalate_alert(ID, 10, Timestamp(3)), Err(StoreError::TooLarge { .. })));
    let waiting: Vec<_> =
        store.waiting_alerts(9).unwrap().into_iter().map(|w| (w.alert.id.0[0], w.since, w.level)).collect();
    assert_eq!(waiting, [(3, Timestamp(1), 0), (2, Timestamp(1), 0), (1, Timestamp(2), 1)]);
    store.acknowledge_alert(ID, "ann", Timestamp(4)).unwrap();
    store.record_alerts(&[cleared(2)], Timestamp(4)).unwrap();
    assert_eq!(store.escalate_alert(ID, 2, Timestamp(5)).unwrap(), None);
    assert_eq!(store.escalate_alert(AlertId([2; 16]), 1, Timestamp(5)).unwrap(), None);
    assert_eq!(store.waiting_alerts(9).unwrap().len(), 1);
    assert_eq!(store.alert(ID).unwrap().unwrap().escalations, [(1, Timestamp(2))]);
}

#[test]
fn what_is_held_for_an_output_stays_until_it_is_released_and_goes_with_the_output() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.record_alerts(&[raised(1), raised(2)], Timestamp(1)).unwrap();
    let steps = store.delivery_steps_after(DeliveryStepId(0), 9).unwrap();
    assert_eq!(store.plugin_told(&name()).unwrap(), None);
    assert!(store.hold_for_plugin(&name(), steps[0].id).unwrap());
    assert!(store.hold_for_plugin(&name(), steps[1].id).unwrap());
    assert_eq!(
        store.plugin_told(&name()).unwrap(),
        None,
        "it may be told out of turn: whoever tells says how far it is"
    );
    store.set_plugin_told(&name(), steps[1].id).unwrap();
    assert_eq!(store.held_for_plugin(&name(), 9).unwrap(), steps);
    store.release_for_plugin(&name(), steps[0].id).unwrap();
    assert_eq!(store.held_for_plugin(&name(), 9).unwrap(), steps[1..]);
    store.change_plugin(&name(), PluginChange::Enable(true), "on", Timestamp(2)).unwrap();
    store.change_plugin(&name(), PluginChange::Remove, "gone", Timestamp(3)).unwrap();
    assert_eq!((store.held_for_plugin(&name(), 9).unwrap(), store.plugin_told(&name()).unwrap()), (Vec::new(), None));
}

#[test]
fn what_is_kept_for_an_output_stays_until_it_is_let_go_and_goes_with_the_output_or_the_alert() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.record_alerts(&[raised(1), raised(2)], Timestamp(1)).unwrap();
    let steps = store.delivery_steps_after(DeliveryStepId(0), 9).unwrap();
    let kept = || store.kept_for_plugin(&name()).unwrap();
    for (step, why) in [(1, KeptFor::ItsTurn), (0, KeptFor::Failed), (1, KeptFor::Failed)] {
        store.keep_for_plugin(&name(), steps[step].id, why).unwrap();
    }
    assert_eq!(kept(), [(steps[0], KeptFor::Failed), (steps[1], KeptFor::Failed)], "each once, for the last reason");
    assert_eq!(store.steps_failed().unwrap(), [(name(), 2)]);
    store.keep_for_plugin(&name(), steps[0].id, KeptFor::ItsTurn).unwrap();
    store.let_go_for_plugin(&name(), steps[1].id).unwrap();
    assert_eq!(kept(), [(steps[0], KeptFor::ItsTurn)]);
    assert!(store.steps_failed().unwrap().is_empty(), "what only waits for its turn is no failure");
    store.change_plugin(&name(), PluginChange::Enable(true), "on", Timestamp(2)).unwrap();
    store.change_plugin(&name(), PluginChange::Remove, "gone", Timestamp(3)).unwrap();
    assert!(kept().is_empty());
}

#[test]
fn no_more_steps_are_kept_for_an_output_than_so_many() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let database = Connection::open(database_path(dir.path())).unwrap();
    let numbers = "WITH RECURSIVE n (step) AS (SELECT 1 UNION ALL SELECT step + 1 FROM n WHERE step < ?1)";
    let kept = format!("{numbers} INSERT INTO delivery_kept (name, step, why) SELECT 'hook', step, 1 FROM n");
    database.execute(&kept, [KEPT_MAX]).unwrap();
    let keep = |step| store.keep_for_plugin(&name(), DeliveryStepId(step), KeptFor::Failed);
    keep(7).unwrap();
    assert_eq!(store.steps_failed().unwrap(), [(name(), 1)], "one that is there is there once");
    let beyond = i64::from(KEPT_MAX) + 1;
    keep(beyond).unwrap();
    store.let_go_for_plugin(&name(), DeliveryStepId(beyond)).unwrap();
    let steps = format!(
        "{numbers} INSERT INTO delivery_steps (id, alert, kind, recorded_at) SELECT step, CAST(printf('%016d', step) AS BLOB), 0, 1 FROM n"
    );
    database.execute(&steps, [KEPT_MAX]).unwrap();
    assert!(matches!(keep(beyond), Err(StoreError::TooLarge { .. })), "steps that there are");
    keep(8).unwrap();
}

#[test]
fn an_output_was_set_up_if_it_was_granted_something_or_told_of_a_step() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let granted = PluginName::parse("granted").unwrap();
    assert!(store.outputs_set_up().unwrap().is_empty());
    store.set_plugin_told(&name(), DeliveryStepId(1)).unwrap();
    for capability in ["mqtt:a", "mqtt:b"] {
        store.change_plugin(&granted, PluginChange::Grant(capability.into()), "granted", Timestamp(1)).unwrap();
    }
    assert_eq!(store.outputs_set_up().unwrap(), [granted.clone(), name()]);
    store.change_plugin(&granted, PluginChange::Remove, "gone", Timestamp(2)).unwrap();
    assert_eq!(store.outputs_set_up().unwrap(), [name()]);
}

#[test]
fn a_request_that_waits_is_found_until_it_is_done_and_the_log_goes_with_the_alert() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.record_alerts(&[raised(1), raised(2)], Timestamp(1)).unwrap();
    let steps = store.delivery_steps_after(DeliveryStepId(0), 9).unwrap();
    let note = |step: usize, requests: &[(u32, Came)], at: i64| {
        let written =
            |(number, came): &(u32, Came)| Written { number: *number, came: *came, target: None, replaces: false };
        let requests = requests.iter().map(written).collect();
        store.note_requests(&name(), steps[step].id, requests, Timestamp(at)).unwrap();
    };
    note(0, &[(0, Came::Done), (1, Came::Waits)], 2);
    note(1, &[(0, Came::Waits)], 3);
    assert_eq!(store.requests_waiting(&name()).unwrap(), [(steps[0], 1), (steps[1], 0)]);
    note(0, &[(1, Came::GivenUp)], 9);
    note(1, &[(1, Came::Owed)], 9);
    assert_eq!(store.requests_waiting(&name()).unwrap(), [(steps[1], 0)]);
    let log = store.requests_of(ID).unwrap();
    let told: Vec<_> = log.iter().map(|request| (request.number, request.came, request.at)).collect();
    assert_eq!(told, [(0, Came::Done, Timestamp(2)), (1, Came::GivenUp, Timestamp(9))]);
    assert!(log.iter().all(|request| request.step == steps[0] && request.name == "hook"));
    // What waits or is owed goes with the output, what is done stays for as long as its alert.
    store.change_plugin(&name(), PluginChange::Enable(true), "on", Timestamp(10)).unwrap();
    store.change_plugin(&name(), PluginChange::Remove, "gone", Timestamp(11)).unwrap();
    assert_eq!((store.requests_waiting(&name()).unwrap(), store.requests_of(ID).unwrap()), (Vec::new(), log));
    assert!(store.requests_of_step(&name(), steps[1].id).unwrap().is_empty());
}

#[test]
fn whom_a_request_is_for_stays_with_its_number() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.record_alerts(&[raised(1)], Timestamp(1)).unwrap();
    let step = store.delivery_steps_after(DeliveryStepId(0), 9).unwrap()[0].id;
    let of = |number, came, target| Written { number, came, target, replaces: false };
    let first = vec![of(1, Came::Waits, Some([1; 32])), of(0, Came::Waits, None)];
    store.note_requests(&name(), step, first, Timestamp(2)).unwrap();
    let later = vec![of(1, Came::Done, None), of(0, Came::Waits, Some([2; 32]))];
    store.note_requests(&name(), step, later, Timestamp(3)).unwrap();
    let known = [of(0, Came::Waits, Some([2; 32])), of(1, Came::Done, Some([1; 32]))];
    assert_eq!(store.requests_of_step(&name(), step).unwrap(), known);
    assert!(store.requests_of_step(&PluginName::parse("other").unwrap(), step).unwrap().is_empty());
}

#[test]
fn a_request_that_is_asked_for_no_longer_or_owed_is_told_from_one_that_was_given_up_but_not_to_an_older_program() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.record_alerts(&[raised(1)], Timestamp(1)).unwrap();
    let step = store.delivery_steps_after(DeliveryStepId(0), 9).unwrap()[0].id;
    let of =
        |number, came| Written { number, came, target: Some([u8::try_from(number).unwrap(); 32]), replaces: false };
    let all = [of(0, Came::Unasked), of(1, Came::GivenUp), of(2, Came::Waits), of(3, Came::Waits), of(4, Came::Owed)];
    store.note_requests(&name(), step, all.to_vec(), Timestamp(5)).unwrap();
    assert_eq!(store.requests_of_step(&name(), step).unwrap(), all);
    assert_eq!(store.requests_given_up(Timestamp(5)).unwrap(), [("hook".to_owned(), 1)]);
    assert_eq!(store.requests_by_target(&name()).unwrap(), [(Some([2; 32]), 1), (Some([3; 32]), 1)]);
    let waiting: Vec<u32> = store.requests_waiting(&name()).unwrap().into_iter().map(|(_, number)| number).collect();
    assert_eq!(waiting, [2, 3], "what is owed waits with its step");
    let database = Connection::open(database_path(dir.path())).unwrap();
    let given_up = "SELECT number FROM delivery_requests WHERE came = 2 ORDER BY number";
    let given_up: Vec<u32> =
        database.prepare(given_up).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(given_up, [0, 1, 4]);
    store.note_requests(&name(), step, vec![of(0, Came::Waits)], Timestamp(6)).unwrap();
    assert_eq!(
        store.requests_of_step(&name(), step).unwrap()[0],
        of(0, Came::Waits),
        "asked for again, it waits again"
    );
    store.note_requests(&name(), step, vec![of(0, Came::GivenUp)], Timestamp(7)).unwrap();
    assert_eq!(store.requests_of_step(&name(), step).unwrap()[0].came, Came::GivenUp);
}

#[test]
fn what_is_owed_to_a_receiver_is_found_up_to_a_step_and_what_is_owed_no_longer_is_not() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.record_alerts(&[raised(1), raised(2), raised(3)], Timestamp(1)).unwrap();
    let steps: Vec<DeliveryStepId> =
        store.delivery_steps_after(DeliveryStepId(0), 9).unwrap().iter().map(|step| step.id).collect();
    let (hall, gate) = ([1; 32], [2; 32]);
    let note = |step: usize, number, came, target| {
        let written = vec![Written { number, came, target: Some(target), replaces: false }];
        store.note_requests(&name(), steps[step], written, Timestamp(2)).unwrap();
    };
    note(0, 0, Came::Owed, hall);
    note(0, 1, Came::Owed, gate);
    note(1, 1, Came::Owed, hall);
    note(2, 0, Came::Owed, hall);
    let owed = |before: usize| store.requests_owed(&name(), hall, steps[before]).unwrap();
    assert_eq!(owed(2), [(steps[0], 0), (steps[1], 1)]);
    assert!(owed(0).is_empty());
    note(0, 0, Came::Done, hall);
    note(1, 1, Came::Unasked, hall);
    assert!(owed(2).is_empty());
    assert!(store.requests_owed(&PluginName::parse("other").unwrap(), hall, DeliveryStepId(99)).unwrap().is_empty());
}

#[test]
fn what_came_to_a_receiver_replaces_what_older_steps_have_for_it_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.record_alerts(&[raised(1), raised(2), raised(3)], Timestamp(1)).unwrap();
    let steps: Vec<DeliveryStepId> =
        store.delivery_steps_after(DeliveryStepId(0), 9).unwrap().iter().map(|step| step.id).collect();
    let (hall, gate) = ([1; 32], [2; 32]);
    let note = |step: usize, came, target, replaces| {
        let written = vec![Written { number: 0, came, target: Some(target), replaces }];
        store.note_requests(&name(), steps[step], written, Timestamp(2)).unwrap();
    };
    let is_replaced = |target| [0, 1, 2].map(|step: usize| store.is_replaced(&name(), target, steps[step]).unwrap());
    for came in [Came::Waits, Came::GivenUp, Came::Unasked, Came::Owed] {
        note(1, came, hall, true);
        assert_eq!(is_replaced(hall), [false; 3], "{came:?}");
    }
    note(1, Came::Done, hall, false);
    assert_eq!(is_replaced(hall), [false; 3], "it stands beside what was there");
    note(1, Came::Done, hall, true);
    assert!(store.requests_of_step(&name(), steps[1]).unwrap()[0].replaces);
    assert_eq!(is_replaced(hall), [true, false, false], "not by itself, nor what comes later");
    assert_eq!(is_replaced(gate), [false; 3], "another receiver");
    assert!(!store.is_replaced(&PluginName::parse("other").unwrap(), hall, steps[0]).unwrap());
}

#[test]
fn an_output_that_gave_requests_up_is_named_until_it_brings_something_newer() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.record_alerts(&[raised(1), raised(2)], Timestamp(1)).unwrap();
    let steps = store.delivery_steps_after(DeliveryStepId(0), 9).unwrap();
    let given_up = |since| store.requests_given_up(Timestamp(since)).unwrap();
    let of = |number, came| Written { number, came, target: None, replaces: false };
    store.note_requests(&name(), steps[0].id, vec![of(0, Came::GivenUp), of(1, Came::GivenUp)], Timestamp(5)).unwrap();
    store.note_requests(&name(), steps[1].id, vec![of(0, Came::Waits)], Timestamp(6)).unwrap();
    assert_eq!(given_up(5), [("hook".to_owned(), 2)]);
    assert!(given_up(6).is_empty(), "that was before");
    store.note_requests(&name(), steps[1].id, vec![of(0, Came::Done)], Timestamp(4)).unwrap();
    assert_eq!(given_up(5), [("hook".to_owned(), 1)], "on the other way nothing came");
    store.note_requests(&name(), steps[1].id, vec![of(1, Came::Done)], Timestamp(4)).unwrap();
    assert!(given_up(5).is_empty(), "replaced by a newer one, or on its way again");
}

#[test]
fn one_drill_waits_at_a_time_and_the_last_that_proved_the_path_is_remembered() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let first = store.ask_drill(false, Timestamp(1)).unwrap();
    assert_eq!(store.ask_drill(true, Timestamp(2)).unwrap(), first);
    assert_eq!(store.waiting_drill().unwrap().unwrap().asked_at, Timestamp(1));
    store.end_drill(first, true, "{}", Timestamp(3)).unwrap();
    for at in 4..400 {
        let id = store.ask_drill(true, Timestamp(at)).unwrap();
        store.end_drill(id, false, "late", Timestamp(at)).unwrap();
    }
    assert_eq!(store.path_proved_at().unwrap(), Some(Timestamp(3)));
    let last = store.last_drill().unwrap().unwrap();
    assert_eq!((last.ended, last.report.as_str(), last.by_hand), (Some((Timestamp(399), false)), "late", true));
    assert!(store.drill(first).unwrap().is_some() && store.waiting_drill().unwrap().is_none());
    assert!(matches!(
        store.end_drill(first, true, &"x".repeat(1 << 15), Timestamp(9)),
        Err(StoreError::TooLarge { .. })
    ));
}

#[test]
fn an_output_goes_on_where_it_stood_before_the_update() {
    let dir = TempDir::new().unwrap();
    let path = database_path(dir.path());
    let before = STEPS.iter().position(|step| step.up.contains("CREATE TABLE delivery_steps")).unwrap();
    migrate_by(&STEPS[..before], &mut Connection::open(&path).unwrap(), &path).unwrap();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "INSERT INTO alert_steps (id, alert, step, recorded_at, sealed_body) VALUES (5, x'01010101010101010101010101010101', 0, 7, x'00');
         INSERT INTO alert_steps (id, alert, step, recorded_at, sealed_body) VALUES (6, x'02020202020202020202020202020202', 0, 8, x'00');
         INSERT INTO plugin_outputs (name, told_up_to) VALUES ('hook', 5);",
    )
    .unwrap();
    drop(old);
    let store = open(dir.path());
    let told = store.plugin_told(&name()).unwrap().unwrap();
    let new = store.delivery_steps_after(told, 9).unwrap();
    assert_eq!((new.len(), new[0].alert, new[0].kind), (1, AlertId([2; 16]), DeliveryKind::Raised));
}

#[test]
fn what_an_output_still_has_to_do_is_found_without_a_walk_through_all_it_did() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()));
    let connection = Connection::open(database_path(dir.path())).unwrap();
    let of_waiting = ["requests_waiting", "requests_by_target"].map(|name| (name, "delivery_requests_waiting"));
    for (name, index) in of_waiting.into_iter().chain([("requests_owed", "delivery_requests_owed")]) {
        let statement =
            std::fs::read_to_string(format!("{}/sql/delivery/{name}.sql", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let nothing = vec![rusqlite::types::Null; plan.parameter_count()];
        let steps = plan.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        assert!(steps.iter().any(|step| step.contains(index)), "{name}: {steps:?}");
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER")), "{name}: {steps:?}");
    }
}
