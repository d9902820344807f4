//! Rules that misbehave, alerts and where they go.

use pitchside_model::{AlertId, GapReason, Priority};
use pitchside_tests::mqtt::codec::{self, Packet};
use pitchside_tests::{Clinic, Running, Sensor, Told, frames, soon, until};
use pitchside_wire::Content;
use serde_json::json;

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
async fn a_rule_that_was_switched_off_is_named_and_an_admin_puts_it_back() {
    let odd = "if value > 180.0 { throw \"out\" }\nvalue > 170.0";
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("odd", odd).start().await;
    let mut s7 = clinic.sensor("s7").await;
    for_seconds(&clinic, &mut s7, 9, 190).await;
    let standing = || clinic.pitchside(&["--json", "rules", "status"]).ok().json()[0].clone();
    let off = until("the rule is switched off", || Some(standing()).filter(|rule| rule["off"] == true)).await;
    assert!(off["last_fault"].as_str().unwrap().contains("throw \"out\""), "{off}");
    let doctor = clinic.pitchside(&["doctor"]).out;
    assert!(doctor.contains("switched off: odd") && doctor.contains("pitchside rules again odd"), "{doctor}");
    for_seconds(&clinic, &mut s7, 1, 175).await;
    assert_eq!(clinic.alerts().len(), 0);
    assert!(clinic.pitchside(&["rules", "again", "odd"]).ok().out.contains("odd runs again"));
    for_seconds(&clinic, &mut s7, 1, 176).await;
    clinic.alerted(1).await;
    let running = clinic.pitchside(&["rules", "again", "odd"]);
    assert_eq!(running.code, 1, "{running:?}");
    assert_eq!(clinic.pitchside(&["rules", "again", "other"]).code, 2);
}

#[tokio::test]
async fn an_alert_whose_rule_is_switched_off_is_said_to_stay() {
    let odd = "if value > 180.0 { throw \"out\" }\nvalue > 170.0";
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("odd", odd).start().await;
    let mut s7 = clinic.sensor("s7").await;
    for_seconds(&clinic, &mut s7, 1, 175).await;
    clinic.alerted(1).await;
    assert!(!clinic.pitchside(&["alerts"]).ok().err.contains("switched off"));
    for_seconds(&clinic, &mut s7, 9, 190).await;
    let said = || Some(clinic.pitchside(&["alerts"]).ok().err).filter(|said| said.contains("odd is switched off"));
    let said = until("the rule is switched off", said).await;
    assert!(said.contains("pitchside rules again odd"), "{said}");
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
    let told: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let recorded = clinic.alerted(1).await.remove(0).alert;
    assert_eq!(topic, format!("alerts/{}", recorded.id));
    assert_eq!((&told["type"], &told["alert"]["id"]), (&json!("alert_raised"), &json!(recorded.id)));
    assert_eq!((recorded.rule.as_str(), recorded.priority), ("good", Priority::High));
    for (key, value) in [("rule", "good"), ("priority", "high"), ("athlete", "ada"), ("value", "190"), ("unit", "/min")]
    {
        assert_eq!(told["alert"][key], value, "{key}");
    }
    assert_eq!(told["alert"]["event_time"], recorded.event_time.to_string());
    for_seconds(&clinic, &mut s7, 1, 100).await;
    let (again, payload) = tablet.message().await;
    let told: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!((&told["type"], &told["id"]), (&json!("alert_cleared"), &json!(recorded.id)));
    assert_eq!(again, topic);
    tablet.publish("alerts/x", b"mine").await.unwrap();
    assert_eq!(tablet.ends().await, [], "an app publishes nothing");
}

#[tokio::test]
async fn an_app_that_may_reads_live_values() {
    let clinic = Clinic::new().strap("s7").athlete("ada").app("scoreboard", &["live/#"]).start().await;
    let mut scoreboard = clinic.app("scoreboard").await;
    assert!(scoreboard.subscribe("live/+/heart_rate").await.unwrap() < 0x80);
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(143).await;
    let (topic, payload) = scoreboard.message().await;
    let tile: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(topic, "live/s7/heart_rate");
    assert_eq!((&tile["athlete"], &tile["value"], &tile["unit"]), (&json!("ada"), &json!("143"), &json!("/min")));
}

/// What the tablet finds when it connects and subscribes: topics, and the types of their messages.
async fn found(clinic: &Running) -> Vec<(String, String)> {
    let kind = |told: serde_json::Value| told["type"].as_str().unwrap().to_owned();
    let mut found: Vec<_> = found_whole(clinic).await.into_iter().map(|(topic, told)| (topic, kind(told))).collect();
    found.dedup();
    found
}

/// The same, with the messages.
pub(super) async fn found_whole(clinic: &Running) -> Vec<(String, serde_json::Value)> {
    let mut tablet = clinic.app("tablet").await;
    let mut asks = Vec::new();
    for (id, filter) in [(1, "alerts/#"), (2, "alerts/none")] {
        codec::subscribe(&mut asks, id, filter);
    }
    tablet.send(&asks).await.unwrap();
    let mut found = Vec::new();
    loop {
        match tablet.packet().await.unwrap() {
            Packet::Publish(topic, _, payload) => {
                found.push((topic, serde_json::from_slice(&payload).unwrap()));
            }
            // Subscriptions are served in turn: what was kept for the first has come. What was on its way comes beside it.
            Packet::SubAck(2, _) => {
                found.dedup();
                return found;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_app_that_comes_later_is_told_of_the_alerts_that_hold_and_for_an_hour_how_the_others_ended() {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("good", FAST).app("tablet", &["alerts/#"]);
    let mut clinic = clinic.start().await;
    let mut s7 = clinic.sensor("s7").await;
    let said = |id: AlertId, kind: &str| (format!("alerts/{id}"), kind.to_owned());
    for_seconds(&clinic, &mut s7, 1, 190).await;
    let first = clinic.alerted(1).await.remove(0).alert.id;
    for killed in [false, true] {
        if killed {
            clinic.kill().await;
            clinic.start().await;
            s7.connect().await;
        }
        assert_eq!(found(&clinic).await, [said(first, "alert_raised")], "after a kill: {killed}");
    }
    for_seconds(&clinic, &mut s7, 1, 100).await;
    until("the alert to be over and nothing to be owed", || {
        let owed = clinic.tables().undelivered_alerts(9).unwrap();
        (clinic.alerts()[0].cleared.is_some() && owed.is_empty()).then_some(())
    })
    .await;
    for killed in [false, true] {
        if killed {
            clinic.kill().await;
            // However long it is off: its hours are those it runs.
            clinic.advance(24 * 3_600);
            clinic.start().await;
        }
        assert_eq!(found(&clinic).await, [said(first, "alert_cleared")], "after a kill: {killed}");
    }
    clinic.advance(3_600);
    soon("the end to be forgotten", async { while !found(&clinic).await.is_empty() {} }).await;
    let mut s7 = clinic.sensor("s7").await;
    for_seconds(&clinic, &mut s7, 1, 191).await;
    let second = clinic.alerted(2).await.remove(1).alert.id;
    assert_eq!(found(&clinic).await, [said(second, "alert_raised")]);
}

#[tokio::test]
async fn that_an_alert_was_raised_which_was_over_long_before_it_is_found_to_be_owed_is_kept_for_nobody() {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("good", FAST).app("tablet", &["alerts/#"]);
    let mut clinic = clinic.start().await;
    let mut s7 = clinic.sensor("s7").await;
    for rate in [190, 100] {
        for_seconds(&clinic, &mut s7, 1, rate).await;
    }
    let nothing_owed = |clinic: &Running| clinic.tables().undelivered_alerts(9).unwrap().is_empty();
    let is_over = |clinic: &Running| clinic.alerts().first().is_some_and(|row| row.cleared.is_some());
    until("the alert to be over", || (is_over(&clinic) && nothing_owed(&clinic)).then_some(())).await;
    clinic.advance(2 * 3_600);
    let mut s7 = clinic.sensor("s7").await;
    for_seconds(&clinic, &mut s7, 1, 100).await;
    clinic.kill().await;
    // What could not be marked though it went out, as when the disk was full for a while.
    let database = rusqlite::Connection::open(clinic.dir().join("data/pitchside.db")).unwrap();
    assert_eq!(database.execute("UPDATE alert_steps SET delivered = 0 WHERE step = 0", []).unwrap(), 1);
    drop(database);
    clinic.start().await;
    until("nothing to be owed", || nothing_owed(&clinic).then_some(())).await;
    assert!(found(&clinic).await.is_empty());
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

#[tokio::test]
async fn a_rule_that_is_broken_while_the_box_is_off_runs_as_before_and_keeps_no_other_from_running() {
    let mut clinic =
        Clinic::new().strap("s7").athlete("ada").rule("good", FAST).rule("slow", "value < 50.0").start().await;
    let mut s7 = clinic.sensor("s7").await;
    for_seconds(&clinic, &mut s7, 1, 100).await;
    clinic.stop().await;
    let rules = clinic.dir().join("rules");
    std::fs::write(rules.join("slow/rule.rhai"), "value <").unwrap();
    std::fs::create_dir(rules.join("half")).unwrap();
    std::fs::write(rules.join("half/rule.toml"), "name = ").unwrap();
    clinic.start().await;
    s7.connect().await;
    for rate in [190, 100, 40] {
        for_seconds(&clinic, &mut s7, 1, rate).await;
    }
    let raised = clinic.alerted(2).await;
    let mut rules: Vec<String> = raised.iter().map(|row| row.alert.rule.to_string()).collect();
    rules.sort();
    assert_eq!(rules, ["good", "slow"]);
    // What stood in is known by its text: its alert can be proven and raised again.
    clinic.seal().await;
    let id = raised.iter().find(|row| row.alert.rule.as_str() == "slow").unwrap().alert.id;
    let said = clinic.pitchside(&["--json", "rules", "replay", &id.to_string()]).ok().json();
    assert_eq!(said["result"], "identical", "{said}");
}

#[tokio::test]
async fn a_box_whose_rules_are_gone_answers_a_drill_stores_readings_and_stops_at_once() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("good", FAST).start().await;
    clinic.stop().await;
    let rules = clinic.dir().join("rules");
    let aside = clinic.dir().join("aside");
    std::fs::rename(&rules, &aside).unwrap();
    clinic.start().await;
    let mut s7 = clinic.sensor("s7").await;
    for_seconds(&clinic, &mut s7, 1, 190).await;
    let failed = clinic.pitchside(&["alerts", "drill"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.out.contains("no rule is running"), "{failed:?}");
    // Once they are back they hear what came meanwhile.
    std::fs::rename(&aside, &rules).unwrap();
    let raised = clinic.alerted(2).await;
    assert!(raised.iter().any(|row| row.alert.rule.as_str() == "good"), "{raised:?}");
    clinic.stop().await;
    std::fs::rename(&rules, &aside).unwrap();
    clinic.start().await;
    soon("a box without rules to stop", clinic.stop()).await;
}

#[tokio::test]
async fn after_a_swap_of_mouthguards_each_athletes_rules_hear_the_one_they_wear_now() {
    let guards = Clinic::new().strap("guard-a").athlete("ann").strap("guard-b").athlete("ben");
    let clinic = guards.library(&["head-impact"]).start().await;
    let (mut a, mut b) = (clinic.sensor("guard-a").await, clinic.sensor("guard-b").await);
    let hit = |m_s2: &str| frames::senml(clinic.now().millis(), "head_linear_acceleration", "m/s2", m_s2);
    for guard in [&mut a, &mut b] {
        assert_eq!(guard.says(Content::SenmlJson, hit("300")).await, Told::Stored);
    }
    clinic.advance(1);
    for (guard, athlete) in [("guard-a", "ben"), ("guard-b", "ann")] {
        clinic.pitchside(&["device", "assign", guard, athlete]).ok();
    }
    for guard in ["guard-a", "guard-b"] {
        until("what the guard told of whoever wore it ends", || {
            (clinic.gaps(guard) == [GapReason::Ended]).then_some(())
        })
        .await;
    }
    clinic.advance(2);
    for guard in [&mut a, &mut b] {
        assert_eq!(guard.says(Content::SenmlJson, hit("900")).await, Told::Stored);
    }
    let alerts = clinic.alerted(2).await;
    let told = |row: &pitchside_store::AlertRow| {
        (row.alert.device.to_string(), row.alert.athlete.clone().map(|a| a.to_string()))
    };
    let mut told: Vec<_> = alerts.iter().map(told).collect();
    told.sort();
    let of = |guard: &str, athlete: &str| (guard.to_owned(), Some(athlete.to_owned()));
    assert_eq!(told, [of("guard-a", "ben"), of("guard-b", "ann")]);
    // The end of the other guard is of the athlete's own history: a replay finds it there.
    clinic.seal().await;
    for row in alerts {
        let again = clinic.pitchside(&["--json", "rules", "replay", &row.alert.id.to_string()]).ok().json();
        assert_eq!(again["result"], "identical", "{again}");
    }
}
