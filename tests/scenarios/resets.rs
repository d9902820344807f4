//! Alerts that latch, and how somebody ends them: told everywhere, once, and replayed at their place.

use pitchside_model::{AlertEvent, AlertId, GapReason, RuleName};
use pitchside_store::Reset;
use pitchside_tests::{Clinic, Running, Sensor, until};
use serde_json::{Value, json};

/// A rule that latches; cooling down it would be silent for a minute of the sensor's time.
const FAST: &str = "value > 180.0";

fn clinic() -> Clinic {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", FAST).app("tablet", &["alerts/#"]);
    with_keys(&clinic, "latch = true\n");
    clinic
}

fn with_keys(clinic: &Clinic, keys: &str) {
    let manifest = clinic.dir().join("rules/fast/rule.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("[state]", &format!("{keys}[state]"))).unwrap();
}

async fn beats(clinic: &Running, s7: &mut Sensor, rates: &[i64]) {
    for rate in rates {
        clinic.advance(1);
        s7.heart_rate(*rate).await;
    }
}

fn ids(clinic: &Running) -> Vec<AlertId> {
    clinic.alerts().iter().map(|row| row.alert.id).collect()
}

fn reset(clinic: &Running, id: AlertId) -> pitchside_tests::program::Answer {
    clinic.pitchside(&["--json", "alerts", "reset", &id.to_string(), "--author", "ann", "--note", "Seen to."])
}

fn replay(clinic: &Running, id: AlertId) -> Value {
    clinic.pitchside(&["--json", "rules", "replay", &id.to_string()]).ok().json()
}

#[tokio::test]
async fn a_latched_alert_is_reset_by_hand_told_to_apps_and_whatever_comes_after_replays_bit_for_bit() {
    let mut clinic = clinic().ledger().start().await;
    let mut tablet = clinic.app("tablet").await;
    assert!(tablet.subscribe("alerts/#").await.unwrap() < 0x80);
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[100, 190, 100, 100, 185, 100]).await;
    let first = clinic.alerted(1).await[0].alert.id;
    assert_eq!(clinic.alerts()[0].cleared, None, "it stays, and nothing is raised beside it");

    let said = reset(&clinic, first).ok().json();
    assert_eq!((&said["rule"], &said["reset_by"]), (&json!("fast"), &json!("ann")));
    let row = clinic.alerts().remove(0);
    assert_eq!(row.reset, Some(Reset { by: "ann".to_owned(), note: Some("Seen to.".to_owned()) }));
    assert_eq!(row.cleared, Some(clinic.now()));
    for (kind, by) in [("alert_raised", Value::Null), ("alert_cleared", json!("ann"))] {
        let (topic, payload) = tablet.message().await;
        let told: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!((topic, &told["type"], &told["by"]), (format!("alerts/{first}"), &json!(kind), &by));
        assert!(told["alert"].is_null() || told["alert"]["latches"] == json!(true), "{told}");
    }

    beats(&clinic, &mut s7, &[190, 100]).await;
    let second = clinic.alerted(2).await[1].alert.id;
    clinic.seal().await;
    clinic.synced().await;
    assert_eq!(clinic.sealed_alerts().len(), 2);
    for id in [first, second] {
        assert_eq!(replay(&clinic, id)["result"], "identical");
    }

    // Evidence of the first names who ended it; the second follows from the state before, which knows of the reset.
    for (id, follows) in [(first, "from_readings"), (second, "from_state")] {
        let file = clinic.dir().join(format!("{id}.evidence"));
        clinic.pitchside(&["evidence", "export", &id.to_string(), "--out", file.to_str().unwrap()]).ok();
        let policy = clinic.ledger().policy();
        let (file, policy) = (file.to_str().unwrap(), policy.to_str().unwrap());
        let said = clinic.pitchside(&["--json", "evidence", "verify", file, "--policy", policy]).ok().json();
        assert_eq!(said["follows"], follows, "{said}");
        let over = said["log"].as_array().unwrap().iter().find(|line| line["what"] == "cleared");
        assert_eq!(over.map(|line| &line["by"]), (id == first).then_some(&json!("ann")), "{said}");
    }
}

#[tokio::test]
async fn a_latched_alert_stays_when_another_takes_the_device_whose_own_is_raised_beside_it() {
    let clinic = Clinic::new().strap("s7").athlete("ada").strap("spare").athlete("ben").rule("fast", FAST);
    with_keys(&clinic, "scope = \"device\"\nlatch = true\n");
    let clinic = clinic.start().await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    clinic.alerted(1).await;
    clinic.pitchside(&["device", "assign", "s7", "ben"]).ok();
    until("what it told of ada to end", || (clinic.gaps("s7") == [GapReason::Ended]).then_some(())).await;
    beats(&clinic, &mut s7, &[100, 190, 100]).await;
    let rows = clinic.alerted(2).await;
    let mut whose: Vec<String> = rows.iter().filter_map(|row| Some(row.alert.athlete.as_ref()?.to_string())).collect();
    whose.sort();
    assert_eq!(whose, ["ada", "ben"]);
    assert!(rows.iter().all(|row| row.cleared.is_none()), "{rows:?}");
    for row in rows {
        assert_eq!(reset(&clinic, row.alert.id).ok().json()["reset_by"], "ann");
    }
    assert!(clinic.alerts().iter().all(|row| row.cleared.is_some()));
    clinic.seal().await;
    for id in ids(&clinic) {
        assert_eq!(replay(&clinic, id)["result"], "identical");
    }
}

#[tokio::test]
async fn a_reset_is_done_once_wherever_the_gateway_ends() {
    let mut clinic = clinic().start().await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    let first = clinic.alerted(1).await[0].alert.id;
    let by = |name: &str| Reset { by: name.to_owned(), note: None };

    // Asked for, and the gateway ends before it is done.
    clinic.kill().await;
    clinic.tables().ask_reset(first, &by("ann"), clinic.now()).unwrap();
    clinic.start().await;
    until("the alert to be over", || clinic.alerts()[0].cleared).await;
    s7.connect().await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    let second = clinic.alerted(2).await[1].alert.id;

    // On the record, and the gateway ends before the rules hear of it.
    clinic.kill().await;
    clinic.tables().ask_reset(second, &by("bob"), clinic.now()).unwrap();
    clinic.tables().record_reset(second, clinic.now().plus_micros(1), clinic.now()).unwrap().unwrap();
    clinic.start().await;
    s7.connect().await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    let third = clinic.alerted(3).await[2].alert.id;

    // Done, and the gateway ends before anything of it is kept but the record.
    reset(&clinic, third).ok();
    clinic.kill().await;
    clinic.start().await;
    s7.connect().await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    clinic.alerted(4).await;
    clinic.stop().await;
    let who: Vec<Option<String>> = clinic.alerts().into_iter().map(|row| row.reset.map(|reset| reset.by)).collect();
    assert_eq!(who, [Some("ann".to_owned()), Some("bob".to_owned()), Some("ann".to_owned()), None]);
    let steps = clinic.tables().delivery_steps_after(pitchside_store::DeliveryStepId(0), 99).unwrap();
    assert_eq!(steps.len(), 7, "four raised, three over, each once: {steps:?}");
    for id in ids(&clinic) {
        assert_eq!(replay(&clinic, id)["result"], "identical");
    }
}

#[tokio::test]
async fn what_cannot_be_reset_is_refused_with_the_reason() {
    let mut clinic = clinic().start().await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    let row = clinic.alerted(1).await.remove(0);
    let id = row.alert.id;
    let unknown = reset(&clinic, AlertId([7; 16]));
    assert!(unknown.code == 2 && unknown.err.contains("there is no alert"), "{unknown:?}");
    assert_eq!(clinic.pitchside(&["alerts", "reset", "fast"]).code, 2);
    assert_eq!(clinic.pitchside(&["alerts", "reset", &id.to_string(), "--note", "a\nb"]).code, 2);
    reset(&clinic, id).ok();
    let over = reset(&clinic, id);
    assert!(over.code == 1 && over.err.contains("is over: ann reset it"), "{over:?}");

    let mut broken = row.alert.clone();
    (broken.id, broken.rule) = (AlertId([8; 16]), RuleName::parse("alert-path").unwrap());
    clinic.tables().record_alerts(&[AlertEvent::Raised(broken.clone())], clinic.now()).unwrap();
    let drill = reset(&clinic, broken.id);
    assert!(drill.code == 1 && drill.err.contains("pitchside alerts drill"), "{drill:?}");

    // Nobody there to do it: it is done later.
    beats(&clinic, &mut s7, &[190]).await;
    let second = clinic.alerted(3).await.into_iter().find(|row| ![id, broken.id].contains(&row.alert.id)).unwrap();
    clinic.stop().await;
    let later = reset(&clinic, second.alert.id);
    assert!(later.code == 1 && later.err.contains("it is reset once they run"), "{later:?}");
    clinic.start().await;
    let over = || clinic.tables().alert(second.alert.id).unwrap().unwrap().reset;
    assert_eq!(until("the alert to be over", over).await.by, "ann");
}

#[tokio::test]
async fn a_clinician_resets_an_alert_from_the_page_and_one_that_still_holds_is_raised_anew() {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", FAST);
    with_keys(&clinic, "category = \"technical\"\n");
    let clinic = clinic.start().await;
    for role in ["viewer", "clinician"] {
        let password = format!("{role} of tests\n");
        clinic.pitchside_fed(&["user", "add", role, "--role", role, "--password-stdin"], &password).ok();
    }
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190]).await;
    let first = clinic.alerted(1).await[0].alert.id;
    let reset = format!("POST /api/v1/alerts/{first}/reset");
    let (viewer, clinician) =
        (clinic.visitor("viewer", "viewer of tests").await, clinic.visitor("clinician", "clinician of tests").await);
    assert_eq!(viewer.asks(&reset, &json!({})).await.0, 403);
    let (status, said) = clinician.asks(&reset, &json!({ "note": "Strap was off." })).await;
    assert_eq!((status, &said["state"], &said["reset_by"]), (200, &json!("cleared"), &json!("clinician")));
    assert_eq!((&said["reset_note"], &said["latches"]), (&json!("Strap was off."), &json!(false)));
    assert_eq!(said["category"], "technical", "as its rule says");
    let (status, said) = clinician.asks(&reset, &json!({})).await;
    assert_eq!((status, &said["type"]), (409, &json!("urn:pitchside:problem:alert-over")));
    assert_eq!(clinician.asks(&reset.replace(&first.to_string(), &"0".repeat(32)), &json!({})).await.0, 404);

    // It still holds: the next reading says so, under another id.
    beats(&clinic, &mut s7, &[190]).await;
    let second = clinic.alerted(2).await.remove(1);
    assert_ne!(second.alert.id, first);
    let listed = clinic.pitchside(&["--json", "alerts"]).ok().json();
    assert_eq!(listed[1]["reset_by"], "clinician");
    assert_eq!(listed[0]["category"], "technical");
    clinic.seal().await;
    assert_eq!(replay(&clinic, second.alert.id)["result"], "identical");
}
