//! The dead-man's switch. A synthetic reading goes the way of readings: through the rules' queue into their worker, where a built-in
//! rule raises a drill of it; the drill is recorded like a step of an alert, shown to the page and MQTT, and told to every output that
//! takes part, each of which must have delivered it in time; an output that was set up and does not run has not. If a leg fails, a
//! technical alert of high priority is raised, which names the legs, goes all the ways that are left, and clears when a drill succeeds
//! again. When others fail than it names, it clears, too, and another is raised: one way that stays broken must not hide the next one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pitchside_admin::{At, Event};
use pitchside_collect::mqtt::{Gate, Qos};
use pitchside_config::Delivery;
use pitchside_model::{Alert, AlertEvent, AlertId, DeviceId, Priority, Quantity, RuleName, Timestamp};
use pitchside_rules::drill::{DRILL_DEVICE, PATH_RULE};
use pitchside_rules::{Subject, alert_id};
use pitchside_store::{DrillRow, Store, StoreError};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::muster::{Muster, Went};
use crate::blocking;
use crate::clock::Clock;
use crate::delivery::drill::{Report, Schedule, judged};
use crate::pipeline::alerts::{Alerts, Recorder};
use crate::pipeline::rules::{RECORDED_WITHIN, RulesFeed};

/// How often it is looked whether a drill is due, or asked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Alerts that hold, looked through at a start.
const STANDING_MAX: u32 = 1_000;
/// Where MQTT subscribers hear of drills.
const TOPIC: &str = "drills";
/// The longest message of an alert, in characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// What drills need of the rest.
pub struct DrillParts {
    /// Where drills are recorded.
    pub store: Store,
    /// Where the alert of a broken path goes.
    pub alerts: Alerts,
    /// The way to the rules.
    pub rules: RulesFeed,
    /// What outputs say.
    pub muster: Muster,
    /// MQTT.
    pub gate: Arc<Gate>,
    /// How often, and how long it may take.
    pub settings: Delivery,
    /// The gateway's clock.
    pub clock: Clock,
}

/// The alert of a broken path, while it is raised.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PathAlert {
    id: AlertId,
    /// The legs it is about; none if that is not known.
    legs: BTreeSet<String>,
}

/// The desk that runs drills, one at a time.
pub struct Drills {
    parts: DrillParts,
    recorder: Recorder,
    schedule: Schedule,
    raised: Option<PathAlert>,
}

impl Drills {
    /// Takes up where the last run ended.
    pub fn new(parts: DrillParts) -> Result<Self, StoreError> {
        let drill = parts.store.last_drill()?;
        let last = drill.as_ref().and_then(|drill| drill.ended);
        let every = parts.settings.drill_every.0.map(pitchside_config::Span::duration);
        let schedule = Schedule::new(every, last, parts.clock.now(), parts.clock.uptime());
        let of_path = |row: &pitchside_store::AlertRow| row.alert.rule.as_str() == PATH_RULE;
        let report: Option<Report> = drill.and_then(|drill| serde_json::from_str(&drill.report).ok());
        let standing = parts.store.standing_alerts(STANDING_MAX)?;
        let raised = standing.iter().find(|row| of_path(row)).map(|row| taken_up(&row.alert, report.as_ref()));
        if let Some(at) = parts.store.path_proved_at()? {
            parts.alerts.metrics.alert_path_proved.set(at.millis() / 1_000);
        }
        let recorder = Recorder::start(parts.alerts.clone(), false);
        Ok(Self { parts, recorder, schedule, raised })
    }

    /// Runs until stopped. A drill that is cut off is run again by the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = every.tick() => {}
            }
            if let Some(Err(error)) = stop.run_until_cancelled(self.look()).await {
                tracing::warn!(%error, "drills of the alert path could not be looked after; they stay due");
            }
        }
        // What it raised is recorded, unless the disk takes nothing: then the next start drills again.
        if !matches!(timeout(RECORDED_WITHIN, self.recorder.done()).await, Ok(true)) {
            tracing::warn!("the alert of a drill waits for the disk; the next start drills again");
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let parts = &self.parts;
        if self.schedule.is_due(parts.clock.uptime()) {
            blocking::here(|| parts.store.ask_drill(false, parts.clock.now()))?;
        }
        let Some(drill) = blocking::here(|| parts.store.waiting_drill())? else { return Ok(()) };
        let report = self.walk(&drill).await;
        self.end(&drill, &report).await
    }

    /// Every leg, in the order of the path; the first that fails on the way to the record ends it.
    async fn walk(&self, drill: &DrillRow) -> Report {
        let (parts, began) = (&self.parts, Instant::now());
        let within = Duration::from_secs(u64::from(parts.settings.drill_within_s));
        let mut report = Report { unproven: parts.muster.aside(), ..Report::default() };
        let at = apart(parts.clock.now(), drill);
        let said = match parts.rules.drill(at) {
            None => Err("their queue is full: readings come faster than the rules judge them".to_owned()),
            Some(told) => match timeout(within, told).await {
                Ok(Ok(said)) => said,
                Ok(Err(_)) => Err("they were stopped".to_owned()),
                Err(_) if parts.rules.is_behind() => {
                    Err(format!("they are behind: after {} s they still judge readings of before", within.as_secs()))
                }
                Err(_) => Err(format!("no word within {} s", within.as_secs())),
            },
        };
        let said = match said {
            Ok(alert) => {
                report.note("rules", judged(began.elapsed(), within));
                alert
            }
            Err(fault) => {
                report.note("rules", Err(fault));
                return report;
            }
        };
        let begun = began.elapsed();
        parts.muster.begin(said.id);
        let walked = match blocking::here(|| parts.store.record_drill(said.id, parts.clock.now())) {
            Ok(Some(_)) => Ok(began.elapsed()),
            Ok(None) => Err("one of this id was recorded before".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let is_recorded = walked.is_ok();
        report.note("recorded", walked);
        if !is_recorded {
            return report;
        }
        report.note("mqtt", self.publish(&said).map(|()| began.elapsed()));
        // They have time of their own: what the rules took is none of their fault.
        for (name, delivered) in parts.muster.wait(within).await {
            match delivered {
                Ok((Went::Nowhere, _)) => report.unproven.push(name.to_string()),
                Ok((Went::Out, took)) => report.note(&format!("output {name}"), Ok(begun + took)),
                Err(fault) => report.note(&format!("output {name}"), Err(fault)),
            }
        }
        for (name, why) in parts.muster.down() {
            report.note(&format!("output {name}"), Err(format!("it does not run: {why}")));
        }
        report
    }

    fn publish(&self, drill: &Alert) -> Result<(), String> {
        let event = serde_json::json!({ "type": "drill", "id": drill.id.to_string(), "message": drill.message });
        let json = Bytes::from(event.to_string());
        self.parts.gate.publish(TOPIC, json, false, Qos::AtLeastOnce).map_err(|error| error.to_string())
    }

    async fn end(&mut self, drill: &DrillRow, report: &Report) -> Result<(), StoreError> {
        let (parts, proved, problems) = (&self.parts, report.proved(), report.problems());
        // Before anybody can read that it is over: the next one counts from here.
        let (uptime, now) = (parts.clock.uptime(), parts.clock.now());
        let text = serde_json::to_string(report).map_err(|error| StoreError::Database(error.to_string()))?;
        // The alert first: cut off between the two, the drill is run again, and what it finds is told again.
        let (events, raised) = follows(self.raised.as_ref(), report, apart(now, drill))?;
        if !events.is_empty() {
            self.raised = raised;
            self.recorder.raise(events, now).await;
            self.recorder.done().await;
        }
        let parts = &self.parts;
        blocking::here(|| parts.store.end_drill(drill.id, proved, &text, now))?;
        self.schedule.ended(proved, uptime);
        if proved {
            parts.alerts.metrics.alert_path_proved.set(now.millis() / 1_000);
            tracing::info!(%report, "the alert path is proven");
        } else {
            parts.alerts.metrics.alert_path_failures.inc();
            tracing::error!(%report, "the alert path is NOT proven: pitchside doctor");
        }
        parts.alerts.events.publish(&Event::Drill { at: At(now), proved, problems });
        Ok(())
    }
}

/// The time of what comes of a drill. No two have the same, and so none the id of another: neither two of one moment nor one that is run
/// again.
const fn apart(now: Timestamp, drill: &DrillRow) -> Timestamp {
    now.plus_micros(drill.id.0 % 1_000)
}

/// The alert that is found raised at a start. What it is about the last drill says, unless the run before was cut off before that was
/// written down, or was of a program that left the alert as it was when other legs failed: then it does not name those legs.
fn taken_up(alert: &Alert, report: Option<&Report>) -> PathAlert {
    let legs = report.map(failed).unwrap_or_default();
    let is_theirs = alert.message.starts_with(&shown(&heading(&legs)));
    PathAlert { id: alert.id, legs: if is_theirs { legs } else { BTreeSet::new() } }
}

/// What is said after a drill, and which alert is raised then.
fn follows(
    raised: Option<&PathAlert>,
    report: &Report,
    at: Timestamp,
) -> Result<(Vec<AlertEvent>, Option<PathAlert>), StoreError> {
    let (proved, legs) = (report.proved(), failed(report));
    let is_told = raised.map_or(proved, |raised| !proved && raised.legs == legs);
    if is_told {
        return Ok((Vec::new(), raised.cloned()));
    }
    let mut events: Vec<AlertEvent> =
        raised.map(|raised| AlertEvent::Cleared { id: raised.id, event_time: at }).into_iter().collect();
    if proved {
        return Ok((events, None));
    }
    let alert = broken(report, at)?;
    let raised = PathAlert { id: alert.id, legs };
    events.push(AlertEvent::Raised(alert));
    Ok((events, Some(raised)))
}

/// The legs that were not walked.
fn failed(report: &Report) -> BTreeSet<String> {
    report.failed().into_keys().map(str::to_owned).collect()
}

/// How the alert begins: with all that failed, so that whatever is cut off after it, nothing is left out.
fn heading(legs: &BTreeSet<String>) -> String {
    let legs: Vec<&str> = legs.iter().map(String::as_str).collect();
    format!("The alert path failed a drill ({}): ", legs.join(", "))
}

/// As much as an alert may say.
fn shown(message: &str) -> String {
    let mut shown: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    if shown.len() < message.len() {
        shown.pop();
        shown.push('\u{2026}');
    }
    shown
}

/// The alert of a broken path: of the box, not of anybody.
fn broken(report: &Report, at: Timestamp) -> Result<Alert, StoreError> {
    let named = |error: pitchside_model::id::NameError| StoreError::Database(error.to_string());
    let (rule, device) = (RuleName::parse(PATH_RULE).map_err(named)?, DeviceId::parse(DRILL_DEVICE).map_err(named)?);
    let faults: Vec<&str> = report.failed().into_values().collect();
    let message = format!("{}{}", heading(&failed(report)), faults.join("; "));
    Ok(Alert {
        id: alert_id(&rule, &Subject::Device(device.clone()), Quantity::BATTERY, at),
        rule,
        rule_version: "1.0.0".to_owned(),
        priority: Priority::High,
        athlete: None,
        device,
        quantity: Quantity::BATTERY,
        value: None,
        unit: Quantity::BATTERY.unit(),
        event_time: at,
        message: shown(&message),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A drill in which these legs failed.
    fn drill(legs: &[(&str, &str)]) -> Report {
        let mut report = Report::default();
        report.note("rules", Ok(Duration::from_millis(1)));
        legs.iter().for_each(|(leg, fault)| report.note(leg, Err((*fault).to_owned())));
        report
    }

    const HOOK: (&str, &str) = ("output hook", "the answer is 503");
    const LAMP: (&str, &str) = ("output lamp", "it does not run");

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_770_000_000 + seconds)
    }

    /// The alerts that a drill clears, and the message of the one that it raises.
    fn said(events: &[AlertEvent]) -> (Vec<AlertId>, Vec<String>) {
        let cleared = |event: &AlertEvent| match event {
            AlertEvent::Cleared { id, .. } => Some(*id),
            AlertEvent::Raised(_) => None,
        };
        let raised = events.iter().filter_map(AlertEvent::raised).map(|alert| alert.message.clone());
        (events.iter().filter_map(cleared).collect(), raised.collect())
    }

    #[test]
    fn each_change_of_what_is_broken_is_told_once_and_a_path_that_works_again_ends_it() {
        let (none, raised) = follows(None, &drill(&[]), at(0)).unwrap();
        assert!(none.is_empty() && raised.is_none());
        let mut raised: Option<PathAlert> = None;
        for (seconds, failing, message) in [
            (1, &[LAMP][..], Some("The alert path failed a drill (output lamp): it does not run")),
            (2, &[("output lamp", "it is there no more")][..], None),
            (
                3,
                &[LAMP, HOOK][..],
                Some("The alert path failed a drill (output hook, output lamp): the answer is 503; it does not run"),
            ),
            (4, &[HOOK, LAMP][..], None),
            (5, &[HOOK][..], Some("The alert path failed a drill (output hook): the answer is 503")),
            (6, &[("mqtt", "closed")][..], Some("The alert path failed a drill (mqtt): closed")),
        ] {
            let (events, now) = follows(raised.as_ref(), &drill(failing), at(seconds)).unwrap();
            let before: Vec<AlertId> = raised.iter().map(|raised| raised.id).collect();
            let (cleared, said) = said(&events);
            assert_eq!(said.first().map(String::as_str), message, "{seconds}");
            assert_eq!(cleared, if message.is_some() { before.clone() } else { Vec::new() }, "{seconds}");
            let id = now.as_ref().unwrap().id;
            assert_eq!(before.contains(&id), message.is_none(), "what is raised anew has an id of its own: {seconds}");
            raised = now;
        }
        let (events, now) = follows(raised.as_ref(), &drill(&[]), at(7)).unwrap();
        assert_eq!(said(&events), (vec![raised.unwrap().id], Vec::new()));
        assert!(now.is_none());
    }

    #[test]
    fn an_alert_names_every_leg_that_failed_however_long_the_faults_are() {
        let faults = "x".repeat(200);
        let long = faults.as_str();
        let alert = broken(&drill(&[("output hook", long), ("output lamp", long), ("output mail", long)]), at(0));
        let message = alert.unwrap().message;
        assert!(message.starts_with("The alert path failed a drill (output hook, output lamp, output mail): xxx"));
        assert_eq!(message.chars().count(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn a_start_knows_what_the_alert_is_about_if_the_last_drill_is_the_one_it_tells_of() {
        let both = drill(&[HOOK, LAMP]);
        let alert = broken(&both, at(0)).unwrap();
        let later = drill(&[LAMP, ("output hook", "no answer within 30 s")]);
        let taken = taken_up(&alert, Some(&later));
        assert!(follows(Some(&taken), &both, at(1)).unwrap().0.is_empty(), "it was told: {taken:?}");
        for other in [Some(drill(&[HOOK])), Some(drill(&[])), None] {
            let taken = taken_up(&alert, other.as_ref());
            assert!(taken.legs.is_empty(), "{other:?}");
            for report in [&both, &drill(&[HOOK])] {
                let (cleared, raised) = said(&follows(Some(&taken), report, at(1)).unwrap().0);
                assert_eq!((cleared, raised.len()), (vec![alert.id], 1), "{other:?}");
            }
        }
        let many: Vec<String> = (10..40).map(|number| format!("output number-{number}")).collect();
        let many = drill(&many.iter().map(|leg| (leg.as_str(), "gone")).collect::<Vec<_>>());
        let taken = taken_up(&broken(&many, at(0)).unwrap(), Some(&many));
        assert_eq!(taken.legs.len(), 30, "also where they are too many to be named");
    }
}
