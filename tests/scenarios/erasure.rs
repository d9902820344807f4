//! An athlete is erased while the box runs: what it knew of them it lets go of, and of nobody else.

use pitchside_model::AthleteId;
use pitchside_tests::{Clinic, Running, until};
use serde_json::{Value, json};

/// Ada's alert and ben's, both still standing.
async fn clinic() -> (Running, [String; 2]) {
    let clinic = Clinic::new().strap("s7").athlete("ada").strap("s8").athlete("ben").rule("fast", "value > 180.0");
    let clinic = clinic.app("tablet", &["alerts/#"]).ledger().start().await;
    clinic.pitchside_fed(&["user", "add", "ann", "--role", "clinician", "--password-stdin"], "ann of tests\n").ok();
    for strap in ["s7", "s8"] {
        clinic.advance(1);
        clinic.sensor(strap).await.heart_rate(190).await;
    }
    let alerts = clinic.alerted(2).await;
    let of = |name: &str| {
        let of = |athlete: &AthleteId| athlete.as_str() == name;
        alerts.iter().find(|row| row.alert.athlete.as_ref().is_some_and(of)).unwrap().alert.id.to_string()
    };
    let ids = ["ada", "ben"].map(of);
    (clinic, ids)
}

fn rows(clinic: &Running, args: &[&str]) -> Vec<Value> {
    let all = [&["--json"][..], args].concat();
    clinic.pitchside(&all).ok().json().as_array().unwrap().clone()
}

#[tokio::test]
async fn a_running_box_lets_go_of_an_athlete_who_is_erased_and_of_nobody_else() {
    let (mut clinic, [ada, ben]) = clinic().await;
    clinic.seal().await;
    clinic.synced().await;
    let ann = clinic.visitor("ann", "ann of tests").await;
    let mut page = ann.listens(None).await;
    assert_eq!(page.hears().await.name, "hello");
    clinic.pitchside(&["athlete", "erase", "ada", "--confirm", "ada"]).ok();
    while page.hears().await.name != "hello" {}
    let live = ann.reads("/api/v1/live").await.to_string();
    assert!(!live.contains("\"ada\"") && live.contains("\"ben\""), "{live}");
    let alerts: Vec<Value> = rows(&clinic, &["alerts"]).into_iter().map(|row| row["id"].clone()).collect();
    assert_eq!(alerts, [json!(ben)]);
    let readings = rows(&clinic, &["readings"]);
    assert!(readings.iter().all(|row| row["athlete"] != "ada"), "{readings:?}");
    let with_value = |device: &str| readings.iter().any(|row| row["device"] == device && row["value"] == "190");
    assert!(!with_value("s7") && with_value("s8"), "{readings:?}");
    let mut tablet = clinic.app("tablet").await;
    assert!(tablet.subscribe("alerts/#").await.unwrap() < 0x80);
    assert_eq!(tablet.message().await.0, format!("alerts/{ben}"));
    clinic.advance(1);
    clinic.sensor("s8").await.heart_rate(100).await;
    let (topic, told) = tablet.message().await;
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((topic, &told["type"]), (format!("alerts/{ben}"), &json!("alert_cleared")));
    for asked in [&["rules", "replay", &ada][..], &["evidence", "export", &ada, "--out", "-"]] {
        let answer = clinic.pitchside(asked);
        assert!(answer.code == 1 && answer.err.contains("about an athlete who was erased"), "{answer:?}");
    }
    let heard = clinic.pitchside(&["rules", "backtest", "fast", "--athlete", "ada"]);
    assert!(heard.code == 2 && heard.err.contains("ada was erased"), "{heard:?}");
    // Nor does anything come back with the next start, which hears the journal again.
    clinic.kill().await;
    clinic.start().await;
    clinic.advance(1);
    clinic.sensor("s8").await.heart_rate(101).await;
    let ids = || clinic.alerts().iter().map(|row| row.alert.id.to_string()).collect::<Vec<_>>();
    until("ben's alert to be over", || clinic.alerts().iter().all(|row| row.cleared.is_some()).then_some(())).await;
    assert_eq!(ids(), [ben]);
}

#[tokio::test]
async fn what_a_device_says_after_its_athlete_was_erased_is_nobodys() {
    let (clinic, _) = clinic().await;
    let mut s7 = clinic.sensor("s7").await;
    clinic.pitchside(&["athlete", "erase", "ada", "--confirm", "ada"]).ok();
    // Sent at once: whatever the gateway still takes it for, in the end it is nobody's.
    for rate in [191, 192, 193] {
        clinic.advance(1);
        s7.heart_rate(rate).await;
    }
    clinic.seal().await;
    let is_ada = |one: Option<&AthleteId>| one.is_some_and(|one| one.as_str() == "ada");
    // Time goes on: she is let go of twice, and the second time is counted from whenever the first was.
    until("nothing is said of her", || {
        clinic.advance(1);
        let said = clinic.entries().iter().any(|entry| is_ada(entry.athlete.as_ref()));
        let raised = clinic.alerts().iter().any(|row| is_ada(row.alert.athlete.as_ref()));
        (!said && !raised).then_some(())
    })
    .await;
}
