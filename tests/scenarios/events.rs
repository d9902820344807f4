//! Alerts on the page's stream of events: at least once, whoever drops, and whichever run of the gateway tells them.

use pitchside_tests::page::Heard;
use pitchside_tests::{Clinic, Running, Sensor};
use serde_json::json;

async fn clinic() -> Running {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    clinic.pitchside_fed(&["user", "add", "ann", "--role", "clinician", "--password-stdin"], "ann of tests\n").ok();
    clinic
}

async fn beats(clinic: &Running, s7: &mut Sensor, rates: &[i64]) {
    for rate in rates {
        clinic.advance(1);
        s7.heart_rate(*rate).await;
    }
}

fn said(heard: &Heard) -> (&str, Option<u64>) {
    (&heard.name, heard.id)
}

/// Waits until this many alerts are on the record, and the last is over.
async fn over(clinic: &Running, count: usize) {
    clinic.alerted(count).await;
    pitchside_tests::until("it to be over", || clinic.alerts().iter().all(|row| row.cleared.is_some()).then_some(()))
        .await;
}

#[tokio::test]
async fn an_alert_raised_and_over_while_nobody_listens_is_heard_by_whoever_comes_back() {
    let clinic = clinic().await;
    let ann = clinic.visitor("ann", "ann of tests").await;
    let mut page = ann.listens(None).await;
    assert_eq!(said(&page.hears().await), ("hello", Some(0)));
    let mut s7 = clinic.sensor("s7").await;
    drop(page);
    beats(&clinic, &mut s7, &[190, 100]).await;
    over(&clinic, 1).await;
    let id = clinic.alerts()[0].alert.id.to_string();

    let mut page = ann.listens(Some(0)).await;
    assert_eq!(said(&page.hears().await), ("hello", Some(0)));
    let (raised, cleared) = (page.hears().await, page.hears().await);
    assert_eq!((said(&raised), said(&cleared)), (("alert_raised", Some(1)), ("alert_cleared", Some(2))));
    assert_eq!((&raised.data["alert"]["id"], &raised.data["alert"]["state"]), (&json!(id), &json!("cleared")));
    assert_eq!(cleared.data["id"], json!(id));

    // And on with what happens, each step once under its number.
    let (status, said_of_it) = ann.asks(&format!("POST /api/v1/alerts/{id}/acknowledge"), &json!(null)).await;
    assert_eq!(status, 200, "{said_of_it}");
    assert_eq!(said(&page.hears_recorded().await), ("alert_acknowledged", Some(3)));
    // The rule is silent for a minute after an alert.
    clinic.advance(100);
    beats(&clinic, &mut s7, &[190]).await;
    assert_eq!(said(&page.hears_recorded().await), ("alert_raised", Some(4)));
    assert_eq!(ann.reads("/api/v1/live").await["last_event_id"], 4);
}

#[tokio::test]
async fn the_id_of_an_alert_heard_from_one_run_of_the_gateway_is_good_for_the_next() {
    let mut clinic = clinic().await;
    let mut s7 = clinic.sensor("s7").await;
    let ann = clinic.visitor("ann", "ann of tests").await;
    let mut page = ann.listens(None).await;
    let hello = page.hears().await;
    beats(&clinic, &mut s7, &[190]).await;
    let raised = page.hears_recorded().await;
    assert_eq!(said(&raised), ("alert_raised", Some(1)));
    drop(page);
    beats(&clinic, &mut s7, &[100]).await;
    clinic.advance(100);
    beats(&clinic, &mut s7, &[195, 100]).await;
    over(&clinic, 2).await;
    clinic.kill().await;
    clinic.start().await;

    let ann = clinic.visitor("ann", "ann of tests").await;
    let mut page = ann.listens(raised.id).await;
    let again = page.hears().await;
    assert_eq!(said(&again), ("hello", Some(1)));
    assert_ne!(again.data["run"], hello.data["run"]);
    for told in [("alert_cleared", Some(2)), ("alert_raised", Some(3)), ("alert_cleared", Some(4))] {
        assert_eq!(said(&page.hears().await), told);
    }
    let mut page = ann.listens(Some(5)).await;
    assert_eq!(said(&page.hears().await), ("hello", None));
    assert_eq!(said(&page.hears().await), ("resync", Some(4)), "no step has that number yet");
}
