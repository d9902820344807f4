//! Rest between images that come to nothing: what a flash can take is for those that are wanted.

use pitchside_wire::Millis;
use pitchside_wire::firmware::Phase;

use super::{Flash, Updater};

/// The longest rest before the next image may be begun.
const REST_MAX_MS: u64 = 24 * 3_600_000;
/// What is left of it after a start, at the most: a sensor that is switched off every evening would never see its end.
const REST_AFTER_START_MAX_MS: u64 = 3_600_000;

impl<F: Flash> Updater<F> {
    /// An image was begun, or came to nothing: the next may be begun 1, 2, 4 .. minutes later, up to a day.
    pub(super) fn rest(&mut self, now: Millis) {
        let rest_ms = match self.record.begun {
            0 | 1 => 0,
            begun => (60_000 << u32::from(begun - 2).min(11)).min(REST_MAX_MS),
        };
        self.begin_at = now.plus(rest_ms);
    }

    /// How long the rest before this start lasted, nobody knows.
    pub(super) fn rest_after_start(&mut self, now: Millis) {
        self.rest(now);
        self.begin_at = self.begin_at.min(now.plus(REST_AFTER_START_MAX_MS));
    }

    /// Nothing is under way, and nothing may be begun yet.
    pub(super) fn rests(&self, now: Millis) -> bool {
        self.record.phase == Phase::Idle && now < self.begin_at
    }
}
