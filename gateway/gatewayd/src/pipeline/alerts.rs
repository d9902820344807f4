//! Alerts go out first and are recorded after: delivery waits for neither commit nor sealing. What a crash leaves
//! undelivered or unrecorded the replay derives again, with the same id; recording the same step twice changes nothing.

use std::sync::Arc;

use pitchside_admin::{AlertView, At, Event, Events, Metrics};
use pitchside_collect::mqtt::{Gate, Qos};
use pitchside_model::{AlertEvent, Timestamp};
use pitchside_store::{AlertStep, Store};

use super::sealing::Sealing;

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
    /// What the rules said just now: out first, then onto the disk.
    pub async fn raise(&self, events: Vec<AlertEvent>, now: Timestamp) {
        for event in &events {
            self.deliver(event);
        }
        match self.record(events.clone(), now).await {
            Ok(steps) => self.mark_delivered(&steps).await,
            Err(error) => tracing::error!(%error, "alerts were delivered but could not be recorded"),
        }
        self.sealing.note_alerts(&events, now);
    }

    /// What the rules said of readings already in the journal: only what is new to the store goes out.
    pub async fn replayed(&self, events: Vec<AlertEvent>, now: Timestamp) {
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

    async fn record(&self, events: Vec<AlertEvent>, now: Timestamp) -> anyhow::Result<Vec<AlertStep>> {
        let store = self.store.clone();
        Ok(tokio::task::spawn_blocking(move || store.record_alerts(&events, now)).await??)
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
