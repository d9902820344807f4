//! Alerts go out first and are recorded after: delivery waits for neither commit nor sealing. What a crash leaves
//! undelivered or unrecorded the replay derives again, with the same id; recording the same step twice changes nothing.

use std::sync::Arc;
use std::time::Duration;

use pitchside_admin::{AlertView, At, Event, Events, Metrics};
use pitchside_collect::mqtt::{Gate, Qos};
use pitchside_model::{AlertEvent, Timestamp};
use pitchside_store::{AlertStep, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::sealing::Sealing;

/// Alerts that may be on their way to the disk before the rules wait.
const RECORDING_MAX: usize = 64;

/// Events recorded in one transaction.
const RECORD_MAX: usize = 1_000;
/// How long to wait before a refused record is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Where alerts go.
#[derive(Clone)]
pub struct Alerts {
    /// Records them.
    pub store: Store,
    /// Shows them on the page.
    pub events: Events,
    /// Tells MQTT subscribers: `alerts/{id}`.
    pub gate: Arc<Gate>,
    /// Counts them.
    pub metrics: Arc<Metrics>,
    /// Told of each, for a high alert closes the open block.
    pub sealing: Arc<Sealing>,
}

impl Alerts {
    /// Onto the disk what went out just now.
    async fn raised(&self, events: Vec<AlertEvent>, now: Timestamp) {
        match self.record(events.clone(), now).await {
            Ok(steps) => self.mark_delivered(&steps).await,
            Err(error) => tracing::error!(%error, "alerts were delivered but could not be recorded"),
        }
        self.sealing.note_alerts(&events, now);
    }

    /// What the rules said of readings already in the journal: only what is new to the store goes out.
    async fn replayed(&self, events: Vec<AlertEvent>, now: Timestamp) {
        match self.record(events, now).await {
            Ok(steps) => {
                for step in &steps {
                    self.deliver(&step.event);
                }
                self.mark_delivered(&steps).await;
            }
            Err(error) => tracing::error!(%error, "alerts of the replay could not be recorded"),
        }
    }

    /// Sends what was recorded but, for a crash, may not have gone out.
    pub async fn resend(&self) {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.undelivered_alerts(1_000)).await {
            Ok(Ok(steps)) => {
                for step in &steps {
                    self.deliver(&step.event);
                }
                self.mark_delivered(&steps).await;
            }
            Ok(Err(error)) => tracing::error!(%error, "undelivered alerts could not be read"),
            Err(error) => tracing::error!(%error, "undelivered alerts could not be read"),
        }
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

    async fn mark_delivered(&self, steps: &[AlertStep]) {
        if steps.is_empty() {
            return;
        }
        let (store, ids) = (self.store.clone(), steps.iter().map(|step| step.id).collect::<Vec<_>>());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || store.set_alerts_delivered(&ids)).await {
            tracing::warn!(%error, "delivered alerts could not be marked; they may go out again after a restart");
        }
    }

    fn deliver(&self, event: &AlertEvent) {
        match event {
            AlertEvent::Raised(alert) => {
                self.metrics.alert(&alert.rule);
                self.events.publish(&Event::AlertRaised { alert: AlertView::raised(alert) });
                self.publish(alert.id.to_string(), event);
            }
            AlertEvent::Cleared { id, event_time } => {
                self.events.publish(&Event::AlertCleared { id: *id, at: At(*event_time) });
                self.publish(id.to_string(), event);
            }
        }
    }

    fn publish(&self, id: String, event: &AlertEvent) {
        match serde_json::to_vec(event) {
            Ok(json) => {
                if let Err(error) = self.gate.publish(&format!("alerts/{id}"), json.into(), false, Qos::AtLeastOnce) {
                    tracing::warn!(%error, alert = %id, "an alert did not reach the MQTT router");
                }
            }
            Err(error) => tracing::error!(%error, "an alert could not be written as JSON"),
        }
    }
}

enum Step {
    Raised(Vec<AlertEvent>, Timestamp),
    Replayed(Vec<AlertEvent>, Timestamp),
    Done(oneshot::Sender<()>),
}

/// Sends alerts out at once and records them behind, in order: none waits for the commit of the one before it.
pub struct Recorder {
    alerts: Alerts,
    steps: mpsc::Sender<Step>,
}

impl Recorder {
    /// Starts the task that records; it ends when the recorder is dropped and everything is recorded.
    pub fn start(alerts: Alerts) -> Self {
        let (steps, mut queue) = mpsc::channel(RECORDING_MAX);
        let behind = alerts.clone();
        tokio::spawn(async move {
            while let Some(step) = queue.recv().await {
                match step {
                    Step::Raised(events, now) => behind.raised(events, now).await,
                    Step::Replayed(events, now) => behind.replayed(events, now).await,
                    Step::Done(told) => drop(told.send(())),
                }
            }
        });
        Self { alerts, steps }
    }

    /// What the rules said just now: out first, then onto the disk. Waits only while the disk is far behind.
    pub async fn raise(&self, events: Vec<AlertEvent>, now: Timestamp) {
        for event in &events {
            self.alerts.deliver(event);
        }
        self.send(Step::Raised(events, now)).await;
    }

    /// What the rules said of readings already in the journal. Returns once it is recorded and sent, so that nothing said
    /// later overtakes it.
    pub async fn replayed(&self, events: Vec<AlertEvent>, now: Timestamp) {
        self.send(Step::Replayed(events, now)).await;
        self.done().await;
    }

    /// Returns once everything said before is on the disk.
    pub async fn done(&self) {
        let (told, done) = oneshot::channel();
        self.send(Step::Done(told)).await;
        if done.await.is_err() {
            tracing::error!("alerts are no longer recorded; restart the gateway");
        }
    }

    async fn send(&self, step: Step) {
        if self.steps.send(step).await.is_err() {
            tracing::error!("alerts are no longer recorded; restart the gateway");
        }
    }
}
