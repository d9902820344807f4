//! What the rules know outlives the end of the box, also where other rules are in force at its next start.

use pitchside_store::AlertRow;
use pitchside_tests::{Clinic, Running, Sensor, until};

const FAST: &str = "value > 180.0";

/// A clinic that forgets everything but what it keeps: nothing of the journal is heard again by rules that know nothing.
fn clinic(rules: &[&str]) -> Clinic {
    let clinic = Clinic::new().strap("s7").athlete("ada").with(|settings| settings.journal.horizon_s = 0);
    rules.iter().fold(clinic, |clinic, rule| clinic.rule(rule, FAST))
}

async fn beats(clinic: &Running, s7: &mut Sensor, rates: &[i64]) {
    for rate in rates {
        clinic.advance(1);
        s7.heart_rate(*rate).await;
    }
}

fn of(clinic: &Running, rule: &str) -> AlertRow {
    let mut rows = clinic.alerts();
    rows.retain(|row| row.alert.rule.as_str() == rule);
    assert_eq!(rows.len(), 1, "{rule} is raised once: {rows:?}");
    rows.remove(0)
}

async fn is_cleared(clinic: &Running, rule: &str) {
    until(&format!("the alert of {rule} to be over"), || of(clinic, rule).cleared).await;
}

#[tokio::test]
async fn what_a_rule_said_since_it_was_published_outlives_a_power_cut() {
    let mut clinic = clinic(&["good"]).start().await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190]).await;
    clinic.alerted(1).await;
    clinic.write_rule("late", "value > 170.0");
    let mut tries = 0;
    while clinic.alerts().len() < 2 {
        beats(&clinic, &mut s7, &[190]).await;
        tries += 1;
        assert!(tries < 5_000, "the new rule takes hold");
    }
    clinic.kill().await;
    clinic.start().await;
    s7.connect().await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    for rule in ["good", "late"] {
        is_cleared(&clinic, rule).await;
    }
}

#[tokio::test]
async fn rules_that_change_while_the_box_is_off_take_over_as_in_any_reload() {
    for is_killed in [false, true] {
        let mut clinic = clinic(&["same", "changed", "gone"]).start().await;
        let mut s7 = clinic.sensor("s7").await;
        beats(&clinic, &mut s7, &[100, 190]).await;
        clinic.alerted(3).await;
        if is_killed {
            clinic.kill().await;
        } else {
            clinic.stop().await;
        }
        std::fs::remove_dir_all(clinic.dir().join("rules/gone")).unwrap();
        clinic.write_rule("changed", "value > 150.0");
        clinic.write_rule("new", "value > 165.0");
        clinic.start().await;
        is_cleared(&clinic, "gone").await;
        assert_eq!(clinic.alerts().len(), 3, "the new rule was not there then");
        s7.connect().await;
        // Below the limit of one, above that of the other, which is raised already.
        beats(&clinic, &mut s7, &[160]).await;
        is_cleared(&clinic, "same").await;
        assert_eq!(of(&clinic, "changed").cleared, None);
        beats(&clinic, &mut s7, &[170, 100]).await;
        for rule in ["changed", "new"] {
            is_cleared(&clinic, rule).await;
        }
        assert_eq!(clinic.alerts().len(), 4, "killed: {is_killed}");
    }
}

#[tokio::test]
async fn a_rule_that_did_not_change_counts_on_where_others_come_while_the_box_is_off() {
    // The fourth reading raises, whatever happens between.
    let mut clinic = clinic(&[]).rule("fourth", "n += 1; n >= 4").start().await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[100, 101]).await;
    clinic.stop().await;
    clinic.write_rule("other", FAST);
    clinic.start().await;
    s7.connect().await;
    beats(&clinic, &mut s7, &[102]).await;
    clinic.kill().await;
    clinic.write_rule("another", FAST);
    clinic.start().await;
    s7.connect().await;
    assert_eq!(clinic.alerts().len(), 0);
    beats(&clinic, &mut s7, &[103]).await;
    assert_eq!(clinic.alerted(1).await[0].alert.value.map(|value| value.to_string()).as_deref(), Some("103"));
}

#[tokio::test]
async fn rules_that_begin_without_a_memory_have_one_before_they_hear_anything() {
    let clinic = clinic(&["good"]).start().await;
    // Cut off from here on, what they raise is theirs, whatever rules come after them. What is kept every minute is not kept yet.
    assert!(clinic.tables().secret("rules-snapshot").unwrap().is_some());
}

/// Starts a box that was stopped as an update does that cannot take up what the rules knew.
async fn forget(clinic: &mut Running) {
    clinic.tables().set_secret("rules-snapshot", b"of another layout").unwrap();
    clinic.start().await;
}

async fn is_in_force(clinic: &Running, rule: &str) {
    let names = || clinic.tables().rule_changes().unwrap().pop().map(|last| last.rules).unwrap_or_default();
    until(&format!("{rule} to be in force"), || names().iter().any(|(name, _)| name == rule).then_some(())).await;
}

#[tokio::test]
async fn rules_that_lost_their_memory_hear_nothing_from_before_they_were_in_force() {
    for comes_with_an_update in [false, true] {
        let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("good", FAST).rule("gone", FAST).start().await;
        let mut s7 = clinic.sensor("s7").await;
        beats(&clinic, &mut s7, &[100, 170, 190]).await;
        clinic.alerted(2).await;
        if comes_with_an_update {
            clinic.stop().await;
        }
        std::fs::remove_dir_all(clinic.dir().join("rules/gone")).unwrap();
        clinic.write_rule("late", "value > 150.0");
        if !comes_with_an_update {
            is_in_force(&clinic, "late").await;
            clinic.stop().await;
        }
        forget(&mut clinic).await;
        is_cleared(&clinic, "gone").await;
        assert_eq!(clinic.alerts().len(), 2, "nothing of the new rule; it came with an update: {comes_with_an_update}");
        assert_eq!(of(&clinic, "good").cleared, None);
        s7.connect().await;
        beats(&clinic, &mut s7, &[160]).await;
        is_cleared(&clinic, "good").await;
        clinic.alerted(3).await;
        let value = of(&clinic, "late").alert.value.map(|value| value.to_string());
        assert_eq!(value.as_deref(), Some("160"), "what still holds is raised by the first reading it hears");
    }
}

#[tokio::test]
async fn rules_that_lost_their_memory_hear_what_came_since_they_were_in_force() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("good", FAST).start().await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[170, 100]).await;
    clinic.write_rule("late", "value > 150.0");
    is_in_force(&clinic, "late").await;
    beats(&clinic, &mut s7, &[160]).await;
    clinic.alerted(1).await;
    clinic.stop().await;
    forget(&mut clinic).await;
    assert_eq!(clinic.alerts().len(), 1, "it is known to be raised, and 170 was before it");
    s7.connect().await;
    beats(&clinic, &mut s7, &[100]).await;
    is_cleared(&clinic, "late").await;
}
