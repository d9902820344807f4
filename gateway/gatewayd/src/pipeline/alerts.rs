//! Alerts go out first and are recorded after: delivery waits for neither commit nor sealing. What a crash leaves
//! undelivered or unrecorded the replay derives again, with the same id; recording the same step twice changes nothing.
//! Once it is recorded the page is told again, under the number of the step.
//!
//! | module | holds |
//! | --- | --- |
//! | `recorder` | what the rules say, out at once and onto the disk behind |
//! | `ends` | how alerts ended, kept a while for MQTT subscribers who come later |
//! | `standing` | whose alerts are kept for them, until an erasure |

mod ends;
mod recorder;
mod standing;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pitchside_admin::{AlertView, At, Event, Events, Metrics, UserName};
use pitchside_collect::mqtt::{Gate, PublishError, Qos};
use pitchside_model::{AlertEvent, AlertId, Timestamp};
use pitchside_store::{
    AlertRow, AlertStep, AlertStepId, DeliveryKind, DeliveryStep, DeliveryStepId, Store, StoreError,
};

use super::delivery::RuleNotes;
use super::sealing::Sealing;
use super::telling::Telling;
use crate::adapters::page::alert_view;
use crate::blocking;
use crate::clock::Clock;
use ends::Ends;
pub use recorder::Recorder;
pub use standing::Standing;

/// Events recorded in one transaction.
const RECORD_MAX: usize = 1_000;
/// Alerts read from the store at a time.
const ROWS_MAX: u32 = 1_000;
/// How long to wait before a refused record is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Where alerts go.
#[derive(Clone)]
pub struct Alerts {
    /// Records them.
    pub store: Store,
    /// Shows them on the page at once.
    pub events: Events,
    /// Shows them on the page from the record.
    pub telling: Arc<Telling>,
    /// Tells MQTT subscribers: `alerts/{id}`.
    pub gate: Arc<Gate>,
    /// How alerts ended, as later subscribers hear it. Held while a step is told, so that of an alert's two the last stays the last word.
    pub ends: Arc<Mutex<Ends>>,
    /// Held while an alert is read from the record and kept for later subscribers, so that what they find never goes back. Taken before `ends`:
    /// what the rules say just now takes that alone, and waits for no disk.
    pub stating: Arc<Mutex<()>>,
    /// Counts them.
    pub metrics: Arc<Metrics>,
    /// Told of each, for a high alert closes the open block.
    pub sealing: Arc<Sealing>,
    /// What the rules in force say of their alerts.
    pub notes: Arc<RuleNotes>,
    /// Whose those are that MQTT subscribers who come later find.
    pub standing: Standing,
    /// The gateway's clock.
    pub clock: Clock,
}

/// What became of sending a few events out.
#[derive(Default)]
struct Sent {
    /// Those that did not reach the router; they go out again later.
    failed: HashSet<(AlertId, bool)>,
}

/// What became of what the rules said.
struct Came {
    /// It is on the disk.
    recorded: bool,
    /// All of it went out.
    sent: bool,
}

/// Which step of which alert an event is.
const fn step_of(event: &AlertEvent) -> (AlertId, bool) {
    match event {
        AlertEvent::Raised(alert) => (alert.id, false),
        AlertEvent::Cleared { id, .. } => (*id, true),
    }
}

fn topic_of(alert: AlertId) -> String {
    format!("alerts/{alert}")
}

/// An event, and who did it if somebody did.
type Deed<'a> = (&'a AlertEvent, Option<&'a str>);

impl Alerts {
    /// An event as the page and MQTT subscribers are told.
    fn told(&self, (event, by): Deed<'_>) -> Event {
        match event {
            AlertEvent::Raised(alert) => {
                Event::AlertRaised { alert: AlertView::raised(alert, self.notes.of(&alert.rule).shown()) }
            }
            AlertEvent::Cleared { id, event_time } => {
                Event::AlertCleared { id: *id, at: At(*event_time), by: by.and_then(UserName::parse) }
            }
        }
    }

    /// Onto the disk what went out just now.
    async fn raised(&self, events: Vec<AlertEvent>, sent: &Sent, now: Timestamp) -> Came {
        let recorded = match self.record(events.clone(), now).await {
            Ok(steps) => {
                self.tell().await;
                self.mark_delivered(&steps, sent, now).await;
                true
            }
            Err(error) => {
                tracing::error!(%error, "alerts were delivered but could not be recorded");
                false
            }
        };
        self.sealing.note_alerts(&events, now);
        Came { recorded, sent: sent.failed.is_empty() }
    }

    /// What the rules said of readings already in the journal: only what is new to the store goes out.
    async fn replayed(&self, events: Vec<AlertEvent>, now: Timestamp) -> Came {
        match self.record(events, now).await {
            Ok(steps) => {
                self.count(steps.iter().map(|step| &step.event));
                Came { recorded: true, sent: self.send_steps(&steps).await }
            }
            Err(error) => {
                tracing::error!(%error, "alerts of the replay could not be recorded");
                Came { recorded: false, sent: true }
            }
        }
    }

    /// For the start: whoever subscribes finds every alert that still holds and how the last ones ended, and what was recorded but, for a
    /// crash, may not have gone out goes out. `last_reading` is the newest of the last run. Up to the step in the answer that is all of the record.
    pub async fn restore(&self, last_reading: Timestamp) -> Result<DeliveryStepId, StoreError> {
        // Before what stands is read: what is recorded between the two is told once more, which changes nothing.
        let told = blocking::here(|| self.store.last_delivery_step())?;
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.standing_alerts(ROWS_MAX)).await {
            Ok(Ok(standing)) => standing.iter().rev().for_each(|row| drop(self.keep(row))),
            Ok(Err(error)) => tracing::error!(%error, "alerts that hold could not be read"),
            Err(error) => tracing::error!(%error, "alerts that hold could not be read"),
        }
        self.restore_ends(last_reading).await;
        self.resend().await;
        Ok(told)
    }

    /// An alert as MQTT subscribers are shown it. What somebody wrote of its end is the page's.
    fn view(&self, row: &AlertRow) -> AlertView {
        AlertView { reset_note: None, ..alert_view(row, self.notes.of(&row.alert.rule).shown()) }
    }

    /// For MQTT subscribers who come later: an alert that holds, how far it has escalated, and who acknowledged it.
    fn keep(&self, row: &AlertRow) -> anyhow::Result<()> {
        let json = serde_json::to_vec(&Event::AlertRaised { alert: self.view(row) })?;
        self.stands(&row.alert);
        Ok(self.gate.publish(&topic_of(row.alert.id), Bytes::from(json), true, Qos::AtLeastOnce)?)
    }

    /// Counts the alerts that escalate unless somebody acknowledges them.
    pub fn watches(&self, alerts: usize) {
        self.metrics.alerts_watched.set(i64::try_from(alerts).unwrap_or(i64::MAX));
    }

    /// Shows the page that an alert has escalated, which is on the record.
    pub fn escalated(&self) {
        self.metrics.escalations.inc();
        self.telling.tell();
    }

    async fn tell(&self) {
        let telling = Arc::clone(&self.telling);
        if let Err(error) = tokio::task::spawn_blocking(move || telling.tell()).await {
            tracing::error!(%error, "open pages could not be told of alerts");
        }
    }

    /// Tells MQTT subscribers that an alert has escalated, or that somebody acknowledged it. Those who come later find the alert as it stands by
    /// now; of one that is over its end, which may have gone out before this.
    pub fn publish_step(&self, step: &DeliveryStep) -> anyhow::Result<()> {
        let (id, topic) = (step.alert, topic_of(step.alert));
        let _stating = self.stating.lock();
        // Of an athlete who was erased meanwhile nobody hears any more.
        let Some(row) = self.store.alert(id)? else { return Ok(()) };
        let stands = Bytes::from(serde_json::to_vec(&Event::AlertRaised { alert: self.view(&row) })?);
        let told = match (step.kind, &row.acknowledged) {
            (DeliveryKind::Escalated(_), _) => Some(Event::AlertEscalated { alert: self.view(&row) }),
            (DeliveryKind::Acknowledged, Some((by, at))) => {
                UserName::parse(by).map(|by| Event::AlertAcknowledged { id, by, at: At(*at) })
            }
            _ => None,
        };
        let told = told.map(|event| serde_json::to_vec(&event)).transpose()?;
        let ends = self.ends.lock();
        if row.cleared.is_none()
            && ends.said(id).is_none()
            && let Err(error) = self.gate.replace(&topic, &stands)
        {
            // Better found as it stood than not at all: it still holds.
            tracing::warn!(%error, alert = %id, "later MQTT subscribers find an alert as it stood before");
        }
        match told {
            Some(json) => Ok(self.gate.publish(&topic, Bytes::from(json), false, Qos::AtLeastOnce)?),
            None => Ok(()),
        }
    }

    /// Sends what was recorded but is not known to have gone out; whether all of it did.
    async fn resend(&self) -> bool {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.undelivered_alerts(ROWS_MAX)).await {
            Ok(Ok(steps)) => self.send_steps(&steps).await && steps.len() < ROWS_MAX as usize,
            Ok(Err(error)) => {
                tracing::error!(%error, "undelivered alerts could not be read");
                false
            }
            Err(error) => {
                tracing::error!(%error, "undelivered alerts could not be read");
                false
            }
        }
    }

    fn count<'a>(&self, events: impl Iterator<Item = &'a AlertEvent>) {
        for event in events {
            if let AlertEvent::Raised(alert) = event {
                self.metrics.alert(&alert.rule);
            }
        }
    }

    /// Sends steps that are recorded.
    async fn send_steps(&self, steps: &[AlertStep]) -> bool {
        self.tell().await;
        let now = self.clock.now();
        let sent = blocking::here(|| self.deliver(steps.iter().map(|step| (&step.event, step.by.as_deref())), true));
        self.mark_delivered(steps, &sent, now).await;
        sent.failed.is_empty()
    }

    /// Records, and tries again for as long as the disk refuses: the rules will not say it a second time. Fails only when
    /// the store is closed; then the start after it says it again.
    async fn record(&self, events: Vec<AlertEvent>, now: Timestamp) -> anyhow::Result<Vec<AlertStep>> {
        let mut recorded = Vec::new();
        for chunk in events.chunks(RECORD_MAX) {
            let mut told = false;
            loop {
                let (store, events) = (self.store.clone(), chunk.to_vec());
                match tokio::task::spawn_blocking(move || store.record_alerts(&events, now)).await? {
                    Ok(steps) => break recorded.extend(steps),
                    Err(StoreError::Closed) => return Err(StoreError::Closed.into()),
                    Err(error) if !told => {
                        told = true;
                        tracing::error!(%error, "alerts went out but can't be recorded yet; trying again");
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
        Ok(recorded)
    }

    async fn mark_delivered(&self, steps: &[AlertStep], sent: &Sent, at: Timestamp) {
        let gone = steps.iter().filter(|step| !sent.failed.contains(&step_of(&step.event)));
        let ids: Vec<AlertStepId> = gone.map(|step| step.id).collect();
        if ids.is_empty() {
            return;
        }
        let store = self.store.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || store.set_alerts_delivered(&ids, at)).await {
            tracing::warn!(%error, "delivered alerts could not be marked; they may go out again after a restart");
        }
    }

    /// To MQTT subscribers; waits for the disk if it `is_recorded`. Which did not reach the router is in the answer.
    fn deliver<'a>(&self, deeds: impl Iterator<Item = Deed<'a>>, is_recorded: bool) -> Sent {
        let mut sent = Sent::default();
        for deed in deeds {
            let event = deed.0;
            let published = if is_recorded { self.publish_recorded(deed) } else { self.publish(deed, None) };
            if let Err(error) = published {
                let (id, _) = step_of(event);
                tracing::warn!(%error, alert = %id, "an alert did not reach the MQTT router; it goes out again");
                sent.failed.insert(step_of(event));
            }
        }
        sent
    }

    /// To MQTT subscribers, `alerts/{id}`: retained while the alert holds and for a while after, so that whoever comes later finds how it
    /// stands or ended. `row`: the record of it, if it is on it.
    fn publish(&self, deed: Deed<'_>, row: Option<&AlertRow>) -> anyhow::Result<()> {
        let (alert, _) = step_of(deed.0);
        let is_over = row.is_some_and(|row| row.cleared.is_some());
        let event = match (deed.0, row) {
            // Somebody may have acknowledged it, or it may be over, before it goes out.
            (AlertEvent::Raised(_), Some(row)) => Event::AlertRaised { alert: self.view(row) },
            _ => self.told(deed),
        };
        let json = Bytes::from(serde_json::to_vec(&event)?);
        let mut ends = self.ends.lock();
        match (deed.0, ends.said(alert)) {
            (AlertEvent::Raised(raised), None) if !is_over => {
                self.publish_retained(alert, json)?;
                self.stands(raised);
            }
            // Told late, it is over already; its end is kept for later subscribers, comes next, or was long ago.
            (AlertEvent::Raised(_), end) => {
                self.gate.publish(&topic_of(alert), json, false, Qos::AtLeastOnce)?;
                if let Some(end) = end {
                    self.publish_retained(alert, end)?;
                }
            }
            (AlertEvent::Cleared { .. }, _) => {
                // Whose it is is known as of one that was heard to be raised: an erasure takes its end off, too.
                if let Some(row) = row {
                    self.stands(&row.alert);
                }
                let make_room = ends.put(alert, json.clone(), self.clock.uptime());
                self.take_off(make_room);
                self.publish_retained(alert, json)?;
            }
        }
        Ok(())
    }

    /// The same of what is on the record, if it still is: an erasure may have come before.
    fn publish_recorded(&self, deed: Deed<'_>) -> anyhow::Result<()> {
        let _stating = self.stating.lock();
        match self.store.alert(step_of(deed.0).0)? {
            Some(row) => self.publish(deed, Some(&row)),
            None => Ok(()),
        }
    }

    fn publish_retained(&self, alert: AlertId, json: Bytes) -> Result<(), PublishError> {
        let topic = topic_of(alert);
        match self.gate.publish(&topic, json.clone(), true, Qos::AtLeastOnce) {
            Err(PublishError::Retained) => {
                tracing::warn!(%alert, "too much is kept for later MQTT subscribers; what is said of this alert goes out once");
                self.gate.forget(&topic);
                self.gate.publish(&topic, json, false, Qos::AtLeastOnce)
            }
            said => said,
        }
    }
}
