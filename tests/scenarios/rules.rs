//! Rules that misbehave, alerts and where they go.

use pitchside_model::{AlertEvent, Priority};
use pitchside_tests::{Clinic, Running, Sensor, until};

const FAST: &str = "value > 180.0";

/// So many seconds of a heart rate, one reading a second.
async fn for_seconds(clinic: &Running, sensor: &mut Sensor, seconds: u32, per_minute: i64) {
    for _ in 0..seconds {
        clinic.advance(1);
        sensor.heart_rate(per_minute).await;
    }
}

#[tokio::test]
async fn rules_that_loop_sleep_grow_or_throw_stop_neither_the_others_nor_ingest() {
    let clinic = Clinic::new()
        .strap("s7")
        .athlete("ada")
        .rule("good", FAST)
        .rule("loops", "loop {}")
        .rule("sleeps", "let f = Fn(\"sleep\"); f.call(3600); true")
        .rule("grows", "let m = #{}; for i in 0..10000000 { m[`k${i}`] = i; } true")
        .rule("doubles", "let s = \"x\"; loop { s += s; } true")
        .rule("throws", "throw \"out\"")
        .start()
        .await;
    let mut s7 = clinic.sensor("s7").await;
    for wave in 1..=6 {
        for_seconds(&clinic, &mut s7, 3, 150).await;
        for_seconds(&clinic, &mut s7, 3, 190).await;
        let alerts = clinic.alerted(wave).await;
        assert_eq!(alerts.len(), wave);
        assert!(alerts.iter().all(|row| row.alert.rule.as_str() == "good"), "{alerts:?}");
    }
    assert!(clinic.refused("rule_fault") >= 5, "each of the five was named");
    assert_eq!(clinic.values("s7").len(), 36);
}

#[tokio::test]
async fn a_rule_that_reaches_out_is_not_loaded_and_those_in_force_stay() {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("good", FAST).start().await;
    let mut s7 = clinic.sensor("s7").await;
    clinic.write_rule("worse", "sleep(10); true");
    for_seconds(&clinic, &mut s7, 1, 190).await;
    clinic.alerted(1).await;
    clinic.write_rule("worse", "value > 170.0");
    // Loaded within a second of real time, so ask until it is.
    let mut tries = 0;
    while !clinic.alerts().iter().any(|row| row.alert.rule.as_str() == "worse") {
        for_seconds(&clinic, &mut s7, 1, if tries % 2 == 0 { 100 } else { 175 }).await;
        tries += 1;
        assert!(tries < 5_000, "the new rule takes hold");
    }
    assert_eq!(clinic.alerts().iter().filter(|row| row.alert.rule.as_str() == "good").count(), 1);
}

#[tokio::test]
async fn an_alert_reaches_an_app_over_mqtt_and_only_an_app_that_may_read_it() {
    let clinic = Clinic::new()
        .strap("s7")
        .athlete("ada")
        .rule("good", FAST)
        .app("tablet", &["alerts/#"])
        .app("scoreboard", &["live/#"])
        .start()
        .await;
    let mut tablet = clinic.app("tablet").await;
    assert!(tablet.subscribe("alerts/#").await.unwrap() < 0x80);
    let mut scoreboard = clinic.app("scoreboard").await;
    for filter in ["alerts/#", "#", "+/+", "ps/1/s7/up"] {
        assert_eq!(scoreboard.subscribe(filter).await, Ok(0x80), "{filter}");
    }
    let mut s7 = clinic.sensor("s7").await;
    for_seconds(&clinic, &mut s7, 1, 190).await;
    let (topic, payload) = tablet.message().await;
    let AlertEvent::Raised(alert) = serde_json::from_slice(&payload).unwrap() else {
        panic!("an alert is raised first")
    };
    assert_eq!(topic, format!("alerts/{}", alert.id));
    let recorded = clinic.alerted(1).await.remove(0).alert;
    assert_eq!(alert, recorded);
    assert_eq!((alert.rule.as_str(), alert.priority), ("good", Priority::High));
    assert_eq!((alert.athlete.unwrap().as_str(), alert.value.unwrap().to_string().as_str()), ("ada", "190"));
    for_seconds(&clinic, &mut s7, 1, 100).await;
    let (again, payload) = tablet.message().await;
    assert!(matches!(serde_json::from_slice(&payload).unwrap(), AlertEvent::Cleared { id, .. } if id == alert.id));
    assert_eq!(again, topic);
    tablet.publish("alerts/x", b"mine").await.unwrap();
    assert_eq!(tablet.ends().await, [], "an app publishes nothing");
}

#[tokio::test]
async fn a_high_alert_closes_a_block_at_once() {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("good", FAST).start().await;
    let mut s7 = clinic.sensor("s7").await;
    for_seconds(&clinic, &mut s7, 3, 100).await;
    assert!(clinic.blocks().is_empty());
    for_seconds(&clinic, &mut s7, 1, 190).await;
    let alert = clinic.alerted(1).await.remove(0).alert;
    until("a block", || (!clinic.blocks().is_empty()).then_some(())).await;
    assert_eq!(clinic.sealed_alerts(), [alert]);
}

#[tokio::test]
async fn the_rules_know_after_a_restart_what_they_knew_before_and_say_nothing_twice() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").library(&["heart-rate-ceiling"]).start().await;
    let mut s7 = clinic.sensor("s7").await;
    // Ten seconds at the ceiling raise; six of them are before the end.
    for_seconds(&clinic, &mut s7, 6, 205).await;
    assert!(clinic.alerts().is_empty());
    clinic.kill().await;
    clinic.start().await;
    s7.connect().await;
    for_seconds(&clinic, &mut s7, 6, 205).await;
    let raised = clinic.alerted(1).await;
    assert_eq!(raised.len(), 1, "six seconds and six are more than ten");
    clinic.kill().await;
    clinic.start().await;
    s7.connect().await;
    for_seconds(&clinic, &mut s7, 6, 205).await;
    // A silence brings the rules to the end of what was said.
    clinic.seal().await;
    let after = clinic.alerts();
    assert_eq!(after.iter().map(|row| row.alert.id).collect::<Vec<_>>(), [raised[0].alert.id]);
    assert_eq!(after[0].alert.event_time, raised[0].alert.event_time);
}
