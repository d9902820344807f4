//! How much, how often: firmware never takes what readings need.

use tokio::time::Instant;

/// Image bytes a second for one device, and for all of them.
pub(super) const DEVICE_BYTES_PER_S: u64 = 64 << 10;
pub(super) const ALL_BYTES_PER_S: u64 = 1 << 20;
/// Pulls a second that are looked at, of one device. One a KiB needs 64.
pub(super) const DEVICE_PULLS_PER_S: u64 = 128;
/// Words a second, of one device, that may have to be stored. They have a credit of their own: a report must not be lost
/// because the image before it came quickly.
pub(super) const DEVICE_KEPT_WORDS_PER_S: u64 = 8;
/// With more waiting for a peer than this, a chunk waits: receipts go before it.
pub(super) const QUEUED_BYTES_MAX: usize = 8 << 10;

/// A credit that fills in a second.
pub(super) struct Pace {
    per_s: u64,
    credit: u64,
    at: Instant,
}

impl Pace {
    /// Full at first.
    pub fn new(per_s: u64) -> Self {
        Self { per_s, credit: per_s, at: Instant::now() }
    }

    fn fill(&mut self) {
        let now = Instant::now();
        let micros = u64::try_from((now - self.at).as_micros()).unwrap_or(u64::MAX);
        let gained = self.per_s.saturating_mul(micros) / 1_000_000;
        if gained > 0 {
            (self.credit, self.at) = (self.credit.saturating_add(gained).min(self.per_s), now);
        }
    }

    /// Whether there is credit for so much.
    pub fn has(&mut self, cost: u64) -> bool {
        self.fill();
        self.credit >= cost
    }

    /// Spends it.
    pub const fn spend(&mut self, cost: u64) {
        self.credit = self.credit.saturating_sub(cost);
    }
}
