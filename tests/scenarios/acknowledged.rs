//! Who acknowledged an alert, over MQTT: told once to whoever is connected, and found by whoever comes later for as long as the alert holds.

use pitchside_model::AlertId;
use pitchside_tests::{Client, Clinic, Running, Sensor, soon, until};
use serde_json::{Value, json};

use crate::rules::found_whole;

fn clinic() -> Clinic {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0");
    clinic.app("wall", &["alerts/#"]).app("tablet", &["alerts/#"])
}

async fn beats(clinic: &Running, s7: &mut Sensor, rates: &[i64]) {
    for rate in rates {
        clinic.advance(1);
        s7.heart_rate(*rate).await;
    }
}

/// The screen on the wall, which hears of alerts from now on. It is the tablet that comes later: a new connection of an app ends its last.
async fn listening(clinic: &Running) -> Client {
    let mut wall = clinic.app("wall").await;
    assert!(wall.subscribe("alerts/#").await.unwrap() < 0x80);
    wall
}

/// The next message of an alert; of none but this one.
async fn hears(wall: &mut Client, id: AlertId) -> Value {
    let (topic, payload) = wall.message().await;
    assert_eq!(topic, format!("alerts/{id}"));
    serde_json::from_slice(&payload).unwrap()
}

/// What whoever comes later finds of the one alert there is.
async fn finds(clinic: &Running, id: AlertId) -> Value {
    let mut found = found_whole(clinic).await;
    let (topic, told) = found.pop().unwrap();
    assert_eq!((topic, found), (format!("alerts/{id}"), Vec::new()));
    told
}

fn acknowledge(clinic: &Running, id: AlertId) {
    clinic.tables().acknowledge_alert(id, "ann", clinic.now()).unwrap();
}

#[tokio::test]
async fn who_acknowledged_an_alert_is_told_and_found_later_until_it_is_over() {
    let mut clinic = clinic().start().await;
    clinic.pitchside_fed(&["user", "add", "ann", "--role", "clinician", "--password-stdin"], "ann of tests\n").ok();
    let mut wall = listening(&clinic).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190]).await;
    let id = clinic.alerted(1).await[0].alert.id;
    assert_eq!(hears(&mut wall, id).await["type"], "alert_raised");
    let ann = clinic.visitor("ann", "ann of tests").await;
    clinic.advance(5);
    let mut seen = Value::Null;
    // Whoever acknowledges it again changes nothing.
    for _ in 0..2 {
        let (status, view) = ann.asks(&format!("POST /api/v1/alerts/{id}/acknowledge"), &Value::Null).await;
        assert_eq!((status, &view["acknowledged_by"]), (200, &json!("ann")));
        seen = view["acknowledged_at"].clone();
    }
    let told = hears(&mut wall, id).await;
    assert_eq!(told, json!({ "type": "alert_acknowledged", "id": id, "by": "ann", "at": seen }));
    for killed in [false, true] {
        if killed {
            clinic.kill().await;
            clinic.start().await;
            s7.connect().await;
        }
        let found = finds(&clinic, id).await;
        let alert = &found["alert"];
        assert_eq!((&found["type"], &alert["state"]), (&json!("alert_raised"), &json!("acknowledged")), "{killed}");
        assert_eq!((&alert["acknowledged_by"], &alert["acknowledged_at"]), (&json!("ann"), &seen), "{killed}");
        assert_eq!((&alert["athlete"], &alert["value"]), (&json!("ada"), &json!("190")), "whose it is, and of what");
    }
    beats(&clinic, &mut s7, &[100]).await;
    until("it to be over", || clinic.alerts()[0].cleared).await;
    assert_eq!(finds(&clinic, id).await["type"], "alert_cleared");
}

#[tokio::test]
async fn an_acknowledgement_of_what_is_over_is_told_and_its_end_is_what_is_found() {
    let clinic = clinic().start().await;
    let mut wall = listening(&clinic).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    until("it to be over", || clinic.alerts().first().and_then(|row| row.cleared)).await;
    let first = clinic.alerts()[0].alert.id;
    for kind in ["alert_raised", "alert_cleared"] {
        assert_eq!(hears(&mut wall, first).await["type"], kind);
    }
    acknowledge(&clinic, first);
    assert_eq!(hears(&mut wall, first).await["type"], "alert_acknowledged");
    assert_eq!(finds(&clinic, first).await["type"], "alert_cleared");

    // And of one whose end is kept no longer nothing is found.
    clinic.advance(100);
    beats(&clinic, &mut s7, &[190, 100]).await;
    until("it to be over", || clinic.alerts().get(1).and_then(|row| row.cleared)).await;
    let second = clinic.alerts()[1].alert.id;
    for kind in ["alert_raised", "alert_cleared"] {
        assert_eq!(hears(&mut wall, second).await["type"], kind);
    }
    clinic.advance(3_600);
    soon("the ends to be forgotten", async { while !found_whole(&clinic).await.is_empty() {} }).await;
    acknowledge(&clinic, second);
    assert_eq!(hears(&mut wall, second).await["type"], "alert_acknowledged");
    assert!(found_whole(&clinic).await.is_empty());
}

#[tokio::test]
async fn an_acknowledgement_between_an_end_and_its_record_does_not_bring_the_alert_back() {
    let clinic = clinic().start().await;
    let mut wall = listening(&clinic).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190]).await;
    let id = clinic.alerted(1).await[0].alert.id;
    // What a full disk does to this one record, and to no other.
    let database = rusqlite::Connection::open(clinic.dir().join("data/pitchside.db")).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON alert_steps WHEN NEW.step = 2 BEGIN SELECT RAISE(ABORT, 'disk is full'); END;";
    database.execute_batch(full).unwrap();
    beats(&clinic, &mut s7, &[100]).await;
    for kind in ["alert_raised", "alert_cleared"] {
        assert_eq!(hears(&mut wall, id).await["type"], kind);
    }
    acknowledge(&clinic, id);
    assert_eq!(hears(&mut wall, id).await["type"], "alert_acknowledged");
    assert_eq!(clinic.alerts()[0].cleared, None, "only the record does not know");
    assert_eq!(finds(&clinic, id).await["type"], "alert_cleared");
    database.execute_batch("DROP TRIGGER full;").unwrap();
    until("it to be over", || clinic.alerts()[0].cleared).await;
    assert_eq!(finds(&clinic, id).await["type"], "alert_cleared");
}

#[tokio::test]
async fn an_alert_that_is_told_again_after_a_restart_says_who_acknowledged_it() {
    let mut clinic = clinic().start().await;
    let mut wall = listening(&clinic).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190]).await;
    let id = clinic.alerted(1).await[0].alert.id;
    let nothing_owed = |clinic: &Running| clinic.tables().undelivered_alerts(9).unwrap().is_empty();
    until("nothing to be owed", || nothing_owed(&clinic).then_some(())).await;
    acknowledge(&clinic, id);
    for kind in ["alert_raised", "alert_acknowledged"] {
        assert_eq!(hears(&mut wall, id).await["type"], kind);
    }
    clinic.kill().await;
    // What could not be marked though it went out, as when the disk was full for a while.
    let database = rusqlite::Connection::open(clinic.dir().join("data/pitchside.db")).unwrap();
    assert_eq!(database.execute("UPDATE alert_steps SET delivered = 0 WHERE step = 0", []).unwrap(), 1);
    drop(database);
    clinic.start().await;
    until("nothing to be owed", || nothing_owed(&clinic).then_some(())).await;
    let alert = finds(&clinic, id).await["alert"].clone();
    assert_eq!((&alert["state"], &alert["acknowledged_by"]), (&json!("acknowledged"), &json!("ann")));
}

#[tokio::test]
async fn one_that_latched_and_escalated_is_found_so_then_acknowledged_then_reset() {
    let clinic = clinic();
    let manifest = clinic.dir().join("rules/fast/rule.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("[state]", "latch = true\n[state]")).unwrap();
    let clinic = clinic.start().await;
    let mut wall = listening(&clinic).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    let id = clinic.alerted(1).await[0].alert.id;
    assert_eq!(hears(&mut wall, id).await["type"], "alert_raised");
    until("it to be watched", || (clinic.metric("alerts_watched") == 1).then_some(())).await;
    clinic.advance(300);
    let told = hears(&mut wall, id).await;
    assert_eq!((&told["type"], &told["alert"]["escalation"]), (&json!("alert_escalated"), &json!(1)));
    let found = finds(&clinic, id).await;
    assert_eq!((&found["type"], &found["alert"]["escalation"]), (&json!("alert_raised"), &json!(1)));
    assert_eq!(found["alert"]["state"], "raised");
    // Twice, and it is told once.
    acknowledge(&clinic, id);
    acknowledge(&clinic, id);
    assert_eq!(hears(&mut wall, id).await["type"], "alert_acknowledged");
    let alert = finds(&clinic, id).await["alert"].clone();
    assert_eq!((&alert["state"], &alert["escalation"]), (&json!("acknowledged"), &json!(1)));
    assert_eq!(alert["latches"], json!(true), "it stays until somebody resets it");
    clinic.pitchside(&["alerts", "reset", &id.to_string(), "--author", "bob", "--note", "Seen to."]).ok();
    let told = hears(&mut wall, id).await;
    assert_eq!((&told["type"], &told["by"]), (&json!("alert_cleared"), &json!("bob")));
    assert_eq!(finds(&clinic, id).await, told);
}
