//! What `/metrics` counts, for Prometheus (OpenMetrics text). Never an athlete or a device as a label.

use std::sync::Arc;

use pitchside_model::RuleName;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::api::Receipt;

/// Why something was refused. A fixed word, so that what devices send cannot become a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rule {
    rule: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Level {
    level: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The gateway's counters. `gatewayd` holds a clone of the `Arc` and counts; the server writes them out.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Messages accepted.
    pub messages: Counter,
    /// Readings accepted.
    pub readings: Counter,
    /// Samples in accepted waveforms.
    pub samples: Counter,
    /// Journal commits.
    pub commits: Counter,
    /// Seconds a journal commit took.
    pub commit_seconds: Histogram,
    /// Messages in the journal's queue.
    pub journal_queue: Gauge,
    /// Blocks sealed.
    pub blocks: Counter,
    /// Blocks not yet sequenced by the ledger.
    pub blocks_waiting: Gauge,
    /// Devices with a session.
    pub devices_connected: Gauge,
    /// Open event streams.
    pub event_clients: Gauge,
    /// Times a browser fell so far behind that it had to fetch everything anew.
    pub event_resyncs: Counter,
    /// Open HTTPS connections.
    pub connections: Gauge,
    /// Payloads kept because their plugin could not read them.
    pub undecoded: Counter,
    /// Of those, how many still wait.
    pub undecoded_waiting: Gauge,
    /// Plugins that are switched off or not loaded.
    pub plugins_off: Gauge,
    /// When a drill last proved the alert path, in seconds since 1970; 0 if none ever did.
    pub alert_path_proved: Gauge,
    /// Drills that did not prove it.
    pub alert_path_failures: Counter,
    /// Escalations.
    pub escalations: Counter,
    /// Alerts that escalate unless somebody acknowledges them.
    pub alerts_watched: Gauge,
    refusals: Family<Reason, Counter>,
    alerts: Family<Rule, Counter>,
    receipts: Family<Level, Counter>,
    connection_refusals: Family<Reason, Counter>,
    requests: Family<Request, Counter>,
    sign_ins: Family<Outcome, Counter>,
}

impl Metrics {
    /// All counters, at zero.
    pub fn new() -> Arc<Self> {
        Self::with_registry(Registry::with_prefix("pitchside"))
    }

    /// All counters, beside what the registry already holds.
    pub fn with_registry(mut registry: Registry) -> Arc<Self> {
        let r = &mut registry;
        let mut metrics = Self {
            registry: Registry::default(),
            messages: counter(r, "messages", "Messages accepted"),
            readings: counter(r, "readings", "Readings accepted"),
            samples: counter(r, "samples", "Samples in accepted waveforms"),
            commits: counter(r, "journal_commits", "Journal commits"),
            // 0.1 ms to 1.6 s.
            commit_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 15)),
            journal_queue: gauge(r, "journal_queue", "Messages waiting for a journal commit"),
            blocks: counter(r, "blocks", "Blocks sealed"),
            blocks_waiting: gauge(r, "blocks_waiting", "Blocks not yet sequenced by the ledger"),
            devices_connected: gauge(r, "devices_connected", "Devices with a session"),
            event_clients: gauge(r, "event_clients", "Open event streams"),
            event_resyncs: counter(r, "event_resyncs", "Times a browser fell behind and had to fetch everything anew"),
            connections: gauge(r, "http_connections", "Open HTTPS connections"),
            undecoded: counter(r, "undecoded", "Payloads kept because their plugin could not read them"),
            undecoded_waiting: gauge(r, "undecoded_waiting", "Payloads that wait for their plugin"),
            plugins_off: gauge(r, "plugins_off", "Plugins switched off or not loaded, though a device needs them"),
            alert_path_proved: gauge(
                r,
                "alert_path_last_proved_timestamp_seconds",
                "When a drill last proved the alert path, in seconds since 1970; 0 if none ever did",
            ),
            alert_path_failures: counter(r, "alert_path_failures", "Drills that did not prove the alert path"),
            escalations: counter(r, "alert_escalations", "Times an alert escalated as nobody acknowledged it"),
            alerts_watched: gauge(r, "alerts_watched", "Alerts that escalate unless they are acknowledged"),
            refusals: Family::default(),
            alerts: Family::default(),
            receipts: Family::default(),
            connection_refusals: Family::default(),
            requests: Family::default(),
            sign_ins: Family::default(),
        };
        r.register("journal_commit_seconds", "Seconds a journal commit took", metrics.commit_seconds.clone());
        r.register("refusals", "Messages refused, by reason", metrics.refusals.clone());
        r.register("alerts", "Alerts raised, by rule", metrics.alerts.clone());
        r.register("receipts", "Receipts, by level", metrics.receipts.clone());
        r.register(
            "http_connection_refusals",
            "HTTPS connections refused, by reason",
            metrics.connection_refusals.clone(),
        );
        r.register("http_requests", "HTTP requests, by route and status", metrics.requests.clone());
        r.register("sign_ins", "Attempts to sign in, by outcome", metrics.sign_ins.clone());
        metrics.registry = registry;
        Arc::new(metrics)
    }

    /// Counts a refused message. The reason is one of a fixed set of words.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a raised alert.
    pub fn alert(&self, rule: &RuleName) {
        self.alerts.get_or_create(&Rule { rule: rule.to_string() }).inc();
    }

    /// Counts a receipt.
    pub fn receipt(&self, receipt: Receipt) {
        self.receipts.get_or_create(&Level { level: receipt.name() }).inc();
    }

    pub(crate) fn connection_refused(&self, reason: &'static str) {
        self.connection_refusals.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn request(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&Request { route, status }).inc();
    }

    pub(crate) fn sign_in(&self, outcome: &'static str) {
        self.sign_ins.get_or_create(&Outcome { outcome }).inc();
    }

    /// The OpenMetrics text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_every_counter_and_no_person_or_device() {
        let metrics = Metrics::new();
        metrics.readings.inc_by(3);
        metrics.refused("replay");
        metrics.alert(&RuleName::parse("heat-illness").unwrap());
        metrics.receipt(Receipt::R2);
        let text = metrics.text().unwrap();
        for line in [
            "pitchside_readings_total 3",
            "pitchside_undecoded_waiting 0",
            "pitchside_plugins_off 0",
            "pitchside_alert_path_last_proved_timestamp_seconds 0",
            "pitchside_alert_path_failures_total 0",
            "pitchside_refusals_total{reason=\"replay\"} 1",
            "pitchside_alerts_total{rule=\"heat-illness\"} 1",
            "pitchside_receipts_total{level=\"R2\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("athlete") && !text.contains("device="));
    }
}
