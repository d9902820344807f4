//! How long a device that failed is left alone: doubling, with jitter, so that a squad that walks back into range together
//! does not knock together.

use super::{CoreConfig, Ms};

/// A refusal counts as so many failures before it: nothing changes until somebody mends it.
pub(super) const REFUSED_AS: u32 = 5;

/// Draws pauses. The numbers need not be secret, so they come from a seed (SplitMix64).
#[derive(Debug)]
pub(super) struct Backoff {
    state: u64,
}

impl Backoff {
    pub(super) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The pause after so many failures in a row: three to five quarters of it, never beyond the longest.
    pub(super) fn pause(&mut self, config: &CoreConfig, failures: u32) -> Ms {
        let doublings = failures.saturating_sub(1).min(20);
        let pause = config.backoff_min_ms.saturating_mul(1 << doublings).min(config.backoff_max_ms);
        let spread = pause / 2;
        let drawn = if spread == 0 { 0 } else { self.next() % (spread + 1) };
        (pause - pause / 4).saturating_add(drawn).min(config.backoff_max_ms)
    }

    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
