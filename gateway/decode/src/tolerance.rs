//! What the gateway thinks of a device's clock and values: the quality flags, and where patience ends.

use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_model::{Decimal, Quality, Quantity, Timestamp};

/// How far a device's clock may be from the gateway's. All in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerances {
    /// Ahead by more: [`Quality::FUTURE`].
    pub future_us: i64,
    /// Behind by more: [`Quality::LATE`].
    pub late_us: i64,
    /// Ahead by more: refused. A clock that wrong would open blocks for hours that have not come.
    pub future_us_max: i64,
    /// Behind by more: refused.
    pub late_us_max: i64,
}

impl Default for Tolerances {
    /// Flagged 5 s ahead and 60 s behind, for cases and tests: a box has its own (`clock.future_s`, `clock.late_s`). Refused
    /// a day ahead and 366 days behind (30 days without internet, a device left in a drawer, and room).
    fn default() -> Self {
        Self {
            future_us: 5 * MICROS_PER_SECOND,
            late_us: 60 * MICROS_PER_SECOND,
            future_us_max: 86_400 * MICROS_PER_SECOND,
            late_us_max: 366 * 86_400 * MICROS_PER_SECOND,
        }
    }
}

/// When something was measured, before it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// By the device's clock.
    Absolute(Timestamp),
    /// So many microseconds after the message arrived (mostly 0 or negative): the device has no clock.
    Relative(i64),
}

/// The device time is beyond what [`Tolerances`] allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeTooFar {
    /// Microseconds ahead of the gateway (negative: behind).
    pub ahead_us: i64,
}

/// Judges times against one arrival.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge {
    /// Arrival, to the microsecond.
    now: Timestamp,
    /// Arrival as readings carry it: whole milliseconds.
    pub(crate) gateway_time: Timestamp,
    tolerances: Tolerances,
}

impl Judge {
    pub(crate) const fn new(now: Timestamp, tolerances: Tolerances) -> Self {
        Self { now, gateway_time: Timestamp::from_millis(now.millis()), tolerances }
    }

    /// Device time and the flags it earns.
    pub(crate) fn time(&self, moment: Moment) -> Result<(Timestamp, Quality), TimeTooFar> {
        let (time, mut quality) = match moment {
            Moment::Absolute(time) => (time, Quality::empty()),
            Moment::Relative(micros) => (self.now.plus_micros(micros), Quality::NO_CLOCK),
        };
        let ahead_us = time.micros_since(self.now);
        if ahead_us > self.tolerances.future_us_max || ahead_us < -self.tolerances.late_us_max {
            return Err(TimeTooFar { ahead_us });
        }
        quality.set(Quality::FUTURE, ahead_us > self.tolerances.future_us);
        quality.set(Quality::LATE, ahead_us < -self.tolerances.late_us);
        Ok((time, quality))
    }
}

/// [`Quality::IMPLAUSIBLE`] if the value, in the quantity's unit, lies outside its plausible range.
pub(crate) fn plausibility(quantity: Quantity, value: Decimal) -> Quality {
    let (low, high) = quantity.plausible();
    let inside = if value.exponent == 0 {
        (low..=high).contains(&value.mantissa)
    } else {
        value.compare(Decimal::integer(low)).is_ge() && value.compare(Decimal::integer(high)).is_le()
    };
    if inside { Quality::empty() } else { Quality::IMPLAUSIBLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn clocks_are_flagged_when_off_and_refused_when_absurd() {
        let judge = Judge::new(NOW, Tolerances::default());
        let at = |seconds: i64| judge.time(Moment::Absolute(NOW.plus_micros(seconds * MICROS_PER_SECOND)));
        assert_eq!(at(0).unwrap().1, Quality::empty());
        assert_eq!(at(5).unwrap().1, Quality::empty());
        assert_eq!(at(6).unwrap().1, Quality::FUTURE);
        assert_eq!(at(-61).unwrap().1, Quality::LATE);
        assert!(at(86_401).is_err());
        assert!(at(-367 * 86_400).is_err());
        assert_eq!(judge.time(Moment::Relative(-2_000_000)), Ok((NOW.plus_micros(-2_000_000), Quality::NO_CLOCK)));
    }

    #[test]
    fn values_outside_the_range_of_the_possible_are_flagged() {
        let flag = |text: &str| plausibility(Quantity::HEART_RATE, Decimal::parse(text).unwrap());
        assert_eq!(flag("300"), Quality::empty());
        assert_eq!(flag("300.0"), Quality::empty());
        assert_eq!(flag("300.1"), Quality::IMPLAUSIBLE);
        assert_eq!(flag("-1"), Quality::IMPLAUSIBLE);
        assert_eq!((flag("0"), flag("0.0"), flag("1")), (Quality::IMPLAUSIBLE, Quality::IMPLAUSIBLE, Quality::empty()));
    }
}
