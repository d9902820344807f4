//! Rules in the shadow that are switched off and on, while the gateway runs and while it does not, and what is kept of them.

use pitchside_model::AlertEvent;
use pitchside_tests::clinic::write_rule;
use pitchside_tests::{Clinic, PATIENCE, Running, Sensor, until};
use tokio::time::Instant;

/// A clinic whose shadows each would raise at 140; what is in force raises nothing.
async fn clinic(shadows: &[&str]) -> (Running, Sensor) {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("calm", "false").start().await;
    for name in shadows {
        write_rule(&clinic.dir().join("drafts"), name, "value > 140.0");
        let draft = clinic.dir().join("drafts").join(name);
        clinic.pitchside(&["rules", "publish", draft.to_str().unwrap(), "--note", "x", "--shadow"]).ok();
    }
    let s7 = clinic.sensor("s7").await;
    (clinic, s7)
}

async fn beats(clinic: &Running, s7: &mut Sensor, rates: &[i64]) {
    for rate in rates {
        clinic.advance(1);
        s7.heart_rate(*rate).await;
    }
}

/// One a second, until that is so.
async fn beats_until(clinic: &Running, s7: &mut Sensor, rate: i64, what: &str, done: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < give_up, "waited {PATIENCE:?} in vain: {what}");
        beats(clinic, s7, &[rate]).await;
    }
}

/// What a shadow would have said, the oldest first.
fn said(clinic: &Running, name: &str) -> Vec<AlertEvent> {
    clinic.tables().shadow_log(Some(name), 100).unwrap().into_iter().rev().map(|row| row.event).collect()
}

/// At which values it would have raised an alert.
fn raised(clinic: &Running, name: &str) -> Vec<String> {
    let value = |event| match event {
        AlertEvent::Raised(alert) => Some(alert.value.unwrap().to_string()),
        AlertEvent::Cleared { .. } => None,
    };
    said(clinic, name).into_iter().filter_map(value).collect()
}

fn switch(clinic: &Running, name: &str, to: &str) {
    clinic.pitchside(&["rules", "shadow", name, to]).ok();
}

#[tokio::test]
async fn a_shadow_that_is_switched_on_again_begins_with_what_comes_from_then_on_whatever_was_kept_of_it() {
    let (mut clinic, mut s7) = clinic(&["good"]).await;
    beats_until(&clinic, &mut s7, 150, "the shadow to speak", || !raised(&clinic, "good").is_empty()).await;
    // What it knows is kept, that it has raised something, too.
    clinic.stop().await;
    clinic.start().await;
    s7.connect().await;
    switch(&clinic, "good", "off");
    let kept = || clinic.tables().secret("shadow-snapshot").unwrap();
    until("nothing to be kept", || kept().is_some_and(|kept| kept.is_empty()).then_some(())).await;
    assert!(matches!(said(&clinic, "good")[..], [AlertEvent::Raised(_), AlertEvent::Cleared { .. }]), "it ended");
    beats(&clinic, &mut s7, &[190]).await;
    switch(&clinic, "good", "on");
    beats_until(&clinic, &mut s7, 150, "it to speak again", || raised(&clinic, "good").len() > 1).await;
    assert_eq!(raised(&clinic, "good"), ["150", "150"], "of what came before it was on, it says nothing");
    // Nobody sees that it was off for a moment, but for its files.
    clinic.stop().await;
    switch(&clinic, "good", "off");
    switch(&clinic, "good", "on");
    clinic.start().await;
    s7.connect().await;
    beats_until(&clinic, &mut s7, 150, "it to speak once more", || raised(&clinic, "good").len() > 2).await;
    assert_eq!(raised(&clinic, "good"), ["150", "150", "150"]);
}

#[tokio::test]
async fn shadows_that_stay_on_keep_what_they_know_whatever_is_switched_beside_them() {
    let (mut clinic, mut s7) = clinic(&["good", "steady"]).await;
    let both = || ["good", "steady"].iter().all(|name| !raised(&clinic, name).is_empty());
    beats_until(&clinic, &mut s7, 150, "both to speak", both).await;
    switch(&clinic, "good", "off");
    until("one to end", || (said(&clinic, "good").len() > 1).then_some(())).await;
    beats(&clinic, &mut s7, &[190]).await;
    switch(&clinic, "good", "on");
    beats_until(&clinic, &mut s7, 150, "it to speak again", || raised(&clinic, "good").len() > 1).await;
    clinic.stop().await;
    switch(&clinic, "good", "off");
    switch(&clinic, "good", "on");
    clinic.start().await;
    s7.connect().await;
    beats_until(&clinic, &mut s7, 150, "it to speak once more", || raised(&clinic, "good").len() > 2).await;
    assert_eq!(raised(&clinic, "good"), ["150", "150", "150"]);
    assert_eq!(said(&clinic, "steady").len(), 1, "it has raised its alert, and that stands");
    // Off and not on again: the one beside it goes on.
    clinic.stop().await;
    switch(&clinic, "good", "off");
    clinic.start().await;
    s7.connect().await;
    beats_until(&clinic, &mut s7, 100, "the other to end", || said(&clinic, "steady").len() > 1).await;
    assert_eq!(raised(&clinic, "steady").len(), 1);
}

#[tokio::test]
async fn a_gateway_that_was_killed_writes_nothing_a_second_time_into_the_log_of_a_shadow() {
    let (mut clinic, mut s7) = clinic(&["good"]).await;
    beats_until(&clinic, &mut s7, 150, "the shadow to speak", || !raised(&clinic, "good").is_empty()).await;
    beats(&clinic, &mut s7, &[100, 150, 100]).await;
    until("four lines", || (said(&clinic, "good").len() == 4).then_some(())).await;
    // All of it came after what was kept when the rule was switched on.
    clinic.kill().await;
    clinic.start().await;
    s7.connect().await;
    beats_until(&clinic, &mut s7, 160, "it to go on", || raised(&clinic, "good").contains(&"160".to_owned())).await;
    assert_eq!(raised(&clinic, "good"), ["150", "150", "160"], "what it would raise");
    assert_eq!(said(&clinic, "good").len(), 5, "and what it would clear, each once");
}

#[tokio::test]
async fn what_is_no_name_of_a_rule_switches_no_shadow_off() {
    let (clinic, _s7) = clinic(&["good", "steady"]).await;
    for name in ["", "../shadow-rules/good", "good/"] {
        let told = clinic.pitchside(&["rules", "shadow", name, "off"]);
        assert!(told.code == 1 && told.err.contains("does not run in the shadow"), "{told:?}");
    }
    assert_eq!(clinic.pitchside(&["--json", "rules", "shadow"]).ok().json().as_array().unwrap().len(), 2);
}
