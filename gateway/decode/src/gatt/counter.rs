//! Revolutions and event times to rates: cumulative counts that roll over, from sensors that restart, over links that
//! stutter.
//!
//! ```text
//! message   revolutions  last event (1/1024 s)      rate = difference of revolutions / difference of event times
//! A                3            0x0800
//! B                6            0x1034              3 / (2100/1024 s) = 87.77 /min
//! ```
//!
//! Both differences are taken modulo their width. Event times roll over after 64 s (1/1024 s) or 32 s (1/2048 s), so a
//! difference is only believed while the arrival times say that it did not go round: never after a silence of half that time.

use pitchside_model::{Decimal, Timestamp};

/// No event for so long: standing still (below 15 /min).
const STILL_AFTER_US: i64 = 4_000_000;
/// The device's clock may tell of so much more time than passed between arrivals: the older message was fresh late.
const LONGER_US: i64 = 8_000_000;
/// And of so much less: the newer one was held up on its way.
const SHORTER_US: i64 = 3_000_000;

/// How a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// All bits of the revolution count.
    pub mask: u32,
    /// Units of the event time in a second.
    pub ticks_per_s: u32,
    /// A count that rises faster than so many a minute was reset.
    pub rate_max: u32,
}

/// Wheel of CSC: 32 bits, 1/1024 s. 3,000 /min is 375 km/h on a road bike.
pub const CSC_WHEEL: Kind = Kind { mask: u32::MAX, ticks_per_s: 1_024, rate_max: 3_000 };
/// Crank, the same in both services: 16 bits, 1/1024 s.
pub const CRANK: Kind = Kind { mask: 0xffff, ticks_per_s: 1_024, rate_max: 400 };
/// Wheel of Cycling Power: 32 bits, 1/2048 s.
pub const POWER_WHEEL: Kind = Kind { mask: u32::MAX, ticks_per_s: 2_048, rate_max: 3_000 };

/// What one message says of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Cumulative revolutions.
    pub revolutions: u32,
    /// Time of the last one, in the counter's units.
    pub event: u16,
    /// Accumulated torque in 1/32 N.m, if it belongs to this counter.
    pub torque: Option<u16>,
}

/// The last believed state of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    sample: Sample,
    /// When the message came that first told of it.
    arrived: Timestamp,
    /// Whether it was seen to happen. The first one after connecting may be of any age.
    fresh: bool,
}

/// A counter of one device on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counter(Option<Mark>);

/// What a message adds to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing yet: the first message, or the first after a long silence.
    Unknown,
    /// No new revolution, and too early to call that standing still.
    Waiting,
    /// Standing still.
    Still,
    /// The counter was reset or makes no sense; it is followed anew from here.
    Reset,
    /// It turned.
    Moving(Movement),
}

/// Revolutions in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    revolutions: u32,
    ticks: u32,
    ticks_per_s: u32,
    torque: Option<u16>,
}

impl Counter {
    /// Takes in a message that came at `now`: what it means, and the counter after it.
    pub fn advance(self, sample: Sample, kind: Kind, now: Timestamp) -> (Turn, Self) {
        let first = Self(Some(Mark { sample, arrived: now, fresh: false }));
        let Some(last) = self.0 else { return (Turn::Unknown, first) };
        let passed_us = now.micros_since(last.arrived);
        if passed_us < 0 {
            // Our own clock was set back.
            return (Turn::Unknown, first);
        }
        let revolutions = sample.revolutions.wrapping_sub(last.sample.revolutions) & kind.mask;
        if revolutions == 0 {
            // A time that moves on without a revolution is no event: the mark stays at the last one.
            return (if passed_us < STILL_AFTER_US { Turn::Waiting } else { Turn::Still }, self);
        }
        let round_us = (1_000_000 << 16) / i64::from(kind.ticks_per_s);
        if passed_us > round_us / 2 {
            return (Turn::Unknown, first);
        }
        let ticks = u32::from(sample.event.wrapping_sub(last.sample.event));
        let told_us = i64::from(ticks) * 1_000_000 / i64::from(kind.ticks_per_s);
        let agrees = told_us <= passed_us + LONGER_US && told_us >= passed_us - SHORTER_US;
        let possible =
            u64::from(revolutions) * 60 * u64::from(kind.ticks_per_s) <= u64::from(kind.rate_max) * u64::from(ticks);
        if !(agrees && possible) {
            return (if last.fresh { Turn::Reset } else { Turn::Unknown }, first);
        }
        let torque = sample.torque.zip(last.sample.torque).map(|(now, before)| now.wrapping_sub(before));
        let movement = Movement { revolutions, ticks, ticks_per_s: kind.ticks_per_s, torque };
        (Turn::Moving(movement), Self(Some(Mark { sample, arrived: now, fresh: true })))
    }
}

/// The quotient, rounded half up. None if it does not fit or there is no divisor.
fn quotient(dividend: u64, divisor: u64) -> Option<i64> {
    i64::try_from(dividend.checked_add(divisor / 2)?.checked_div(divisor)?).ok()
}

impl Movement {
    /// Revolutions a minute, to the hundredth: a computed value, the only kind that is rounded.
    pub fn per_minute(self) -> Option<Decimal> {
        let dividend = u64::from(self.revolutions).checked_mul(6_000 * u64::from(self.ticks_per_s))?;
        Some(Decimal { mantissa: quotient(dividend, u64::from(self.ticks))?, exponent: -2 })
    }

    /// Metres a second on a wheel of this circumference, to the millimetre.
    pub fn speed(self, circumference_mm: u16) -> Option<Decimal> {
        let dividend = u64::from(self.revolutions)
            .checked_mul(u64::from(circumference_mm))?
            .checked_mul(u64::from(self.ticks_per_s))?;
        Some(Decimal { mantissa: quotient(dividend, u64::from(self.ticks))?, exponent: -3 })
    }

    /// Mean torque in N.m over these revolutions, to the hundredth.
    pub fn torque(self) -> Option<Decimal> {
        let dividend = u64::from(self.torque?) * 100;
        Some(Decimal { mantissa: quotient(dividend, 32 * u64::from(self.revolutions))?, exponent: -2 })
    }
}

#[cfg(test)]
mod tests;
