//! When the open batch becomes a block: after an interval, at a size, or at once when a high alert is raised.

use pitchside_model::{AlertEvent, Entry, Priority, Timestamp, Value};

/// Limits of an open batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosingPolicy {
    /// Longest time from the first entry to the block, in microseconds.
    pub interval_us: i64,
    /// Largest weight, see [`weight`].
    pub weight_max: usize,
}

impl Default for ClosingPolicy {
    /// 60 s and 1 MiB.
    fn default() -> Self {
        Self { interval_us: 60_000_000, weight_max: 1024 * 1024 }
    }
}

/// Why a batch closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// A high alert was raised.
    HighAlert,
    /// The batch is full.
    Full,
    /// The interval is over.
    Interval,
}

/// What an entry weighs, in bytes before compression: 16 for the message and each reading (two times and a value beyond what
/// its neighbours tell), 2 for each waveform sample.
pub fn weight(entry: &Entry) -> usize {
    let of = |value: &Value| match value {
        Value::Wave(wave) => 16 + 2 * wave.samples.len(),
        Value::Number(_) | Value::Gap(_) => 16,
    };
    entry.readings.iter().map(|reading| of(&reading.value)).sum::<usize>().max(16)
}

/// The open batch, as far as closing is concerned: it counts, and holds nothing.
#[derive(Debug, Clone)]
pub struct Batch {
    policy: ClosingPolicy,
    opened_at: Option<Timestamp>,
    weight: usize,
    high: bool,
}

impl Batch {
    /// An empty batch.
    pub const fn new(policy: ClosingPolicy) -> Self {
        Self { policy, opened_at: None, weight: 0, high: false }
    }

    /// Notes entries that came in.
    pub fn add_entries(&mut self, entries: &[Entry], now: Timestamp) {
        self.add_weight(entries.iter().map(weight).fold(0, usize::saturating_add), now);
    }

    /// Notes entries that came in and weigh so much together, see [`weight`]; 0 is no entry.
    pub fn add_weight(&mut self, weight: usize, now: Timestamp) {
        if weight > 0 {
            self.open(now);
            self.weight = self.weight.saturating_add(weight);
        }
    }

    /// Notes alerts that came up.
    pub fn add_alerts(&mut self, alerts: &[AlertEvent], now: Timestamp) {
        if !alerts.is_empty() {
            self.open(now);
            self.weight = self.weight.saturating_add(alerts.len().saturating_mul(256));
            self.high |= alerts
                .iter()
                .any(|event| matches!(event, AlertEvent::Raised(alert) if alert.priority == Priority::High));
        }
    }

    fn open(&mut self, now: Timestamp) {
        self.opened_at.get_or_insert(now);
    }

    /// Whether the batch must become a block now, and why. An empty batch never does. If the clock was set back, the
    /// interval starts anew instead of lasting until the clock has caught up.
    pub fn due(&mut self, now: Timestamp) -> Option<CloseReason> {
        let opened_at = self.opened_at?;
        if now < opened_at {
            self.opened_at = Some(now);
        }
        if self.high {
            Some(CloseReason::HighAlert)
        } else if self.weight >= self.policy.weight_max {
            Some(CloseReason::Full)
        } else if now.micros_since(opened_at) >= self.policy.interval_us {
            Some(CloseReason::Interval)
        } else {
            None
        }
    }

    /// When the interval ends, if the batch is not empty.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.opened_at.map(|opened_at| opened_at.plus_micros(self.policy.interval_us))
    }

    /// The batch was sealed: the next one is empty.
    pub fn closed(&mut self) {
        *self = Self::new(self.policy);
    }
}

#[cfg(test)]
mod tests;
