//! The dead-man's switch. A synthetic reading goes the way of readings: through the rules' queue into their worker, where a built-in
//! rule raises a drill of it; the drill is recorded like a step of an alert, shown to the page and MQTT, and told to every output that
//! takes part, each of which must have delivered it in time; an output that was set up and does not run has not. If a leg fails, a
//! technical alert of high priority is raised, which goes all the ways that are left, and clears when a drill succeeds again.

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
use crate::delivery::drill::{Report, Schedule};
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

/// The desk that runs drills, one at a time.
pub struct Drills {
    parts: DrillParts,
    recorder: Recorder,
    schedule: Schedule,
    /// The alert of a broken path, while it is raised.
    raised: Option<AlertId>,
}

impl Drills {
    /// Takes up where the last run ended.
    pub fn new(parts: DrillParts) -> Result<Self, StoreError> {
        let last = parts.store.last_drill()?.and_then(|drill| drill.ended);
        let every = parts.settings.drill_every.0.map(pitchside_config::Span::duration);
        let schedule = Schedule::new(every, last, parts.clock.now(), parts.clock.uptime());
        let of_path = |row: &pitchside_store::AlertRow| row.alert.rule.as_str() == PATH_RULE;
        let raised = parts.store.standing_alerts(STANDING_MAX)?.iter().find(|row| of_path(row)).map(|row| row.alert.id);
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
        // No two have the same time, and so none the id of another: neither two of one moment nor one that is run again.
        let at = parts.clock.now().plus_micros(drill.id.0 % 1_000);
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
                report.note("rules", Ok(began.elapsed()));
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
        for (name, delivered) in parts.muster.wait(within.saturating_sub(begun)).await {
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
        // The alert first: cut off between the two, the drill is run again and finds it raised.
        let event = match (proved, self.raised) {
            (true, Some(id)) => Some(AlertEvent::Cleared { id, event_time: now }),
            (false, None) => Some(AlertEvent::Raised(broken(&problems, now)?)),
            (true, None) | (false, Some(_)) => None,
        };
        if let Some(event) = event {
            self.raised = event.raised().map(|alert| alert.id);
            self.recorder.raise(vec![event], now).await;
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

/// The alert of a broken path: of the box, not of anybody.
fn broken(problems: &[String], at: Timestamp) -> Result<Alert, StoreError> {
    let named = |error: pitchside_model::id::NameError| StoreError::Database(error.to_string());
    let (rule, device) = (RuleName::parse(PATH_RULE).map_err(named)?, DeviceId::parse(DRILL_DEVICE).map_err(named)?);
    let message = format!("The alert path failed a drill: {}", problems.join("; "));
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
        message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
    })
}
