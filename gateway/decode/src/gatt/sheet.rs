//! The readings of one value as they are collected: one moment, one set of doubts.

use pitchside_model::{Decimal, Gap, GapReason, Quality, Quantity, Reading, Timestamp, Value};

use super::Context;
use super::medical::Number;
use crate::error::GattFault;
use crate::tolerance::{Judge, Moment, TimeTooFar, plausibility};

/// Readings in the making.
#[derive(Debug)]
pub struct Sheet {
    judge: Judge,
    device_time: Timestamp,
    quality: Quality,
    readings: Vec<Reading>,
}

fn too_far(far: TimeTooFar) -> GattFault {
    GattFault::TimeTooFar(far.ahead_us / 1_000_000)
}

impl Sheet {
    /// Of something measured just now, by a device that does not say when.
    pub fn now(context: &Context<'_>) -> Result<Self, GattFault> {
        Self::dated(context, None)
    }

    /// Of something measured at `time` by the device's clock; just now if it does not say, or says what nobody believes
    /// ([`super::clock::instant`]).
    pub fn dated(context: &Context<'_>, time: Option<Timestamp>) -> Result<Self, GattFault> {
        let judge = Judge::new(context.now, context.tolerances);
        let moment = time.map_or(Moment::Relative(0), Moment::Absolute);
        let (device_time, quality) = judge.time(moment).map_err(too_far)?;
        Ok(Self { judge, device_time, quality, readings: Vec::with_capacity(4) })
    }

    /// The device doubts what follows.
    pub fn doubt(&mut self) {
        self.quality |= Quality::POOR_CONTACT;
    }

    fn push(&mut self, quantity: Quantity, device_time: Timestamp, quality: Quality, value: Value) {
        let gateway_time = self.judge.gateway_time;
        self.readings.push(Reading { quantity, unit: quantity.unit(), device_time, gateway_time, quality, value });
    }

    /// A number, in the quantity's unit.
    pub fn number(&mut self, quantity: Quantity, value: Decimal) {
        let quality = self.quality | plausibility(quantity, value);
        self.push(quantity, self.device_time, quality, Value::Number(value));
    }

    /// `raw * 10^exponent`, in the quantity's unit.
    pub fn scaled(&mut self, quantity: Quantity, raw: impl Into<i64>, exponent: i8) {
        self.number(quantity, Decimal { mantissa: raw.into(), exponent });
    }

    /// A finding: 1, or 0 if it was looked for and not found. A bit that nobody would ever have set denies nothing.
    pub fn finding(&mut self, quantity: Quantity, found: bool, looked_for: bool) {
        if found || looked_for {
            self.number(quantity, Decimal::integer(i64::from(found)));
        }
    }

    /// A number measured so many microseconds before now.
    pub fn ago(&mut self, quantity: Quantity, value: Decimal, ago_us: i64) -> Result<(), GattFault> {
        let (time, quality) = self.judge.time(Moment::Relative(ago_us.saturating_neg())).map_err(too_far)?;
        let quality = quality | (self.quality & Quality::POOR_CONTACT) | plausibility(quantity, value);
        self.push(quantity, time, quality, Value::Number(value));
        Ok(())
    }

    /// Nothing was measured, and that is known.
    pub fn gap(&mut self, quantity: Quantity, reason: GapReason) {
        self.push(quantity, self.device_time, self.quality, Value::Gap(Gap { reason, extent: 0 }));
    }

    /// Nothing was measured so many microseconds before now, and that is known.
    pub fn gap_ago(&mut self, quantity: Quantity, reason: GapReason, ago_us: i64) -> Result<(), GattFault> {
        let (time, quality) = self.judge.time(Moment::Relative(ago_us.saturating_neg())).map_err(too_far)?;
        let quality = quality | (self.quality & Quality::POOR_CONTACT);
        self.push(quantity, time, quality, Value::Gap(Gap { reason, extent: 0 }));
        Ok(())
    }

    /// A medical number, in the quantity's unit; a special value is a gap.
    pub fn medical(&mut self, quantity: Quantity, number: Number) {
        match number {
            Number::Decimal(value) => self.number(quantity, value),
            Number::Special(_) => self.gap(quantity, GapReason::Invalid),
        }
    }

    /// What was collected.
    pub fn readings(self) -> Vec<Reading> {
        self.readings
    }
}
