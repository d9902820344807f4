//! What a script returned, made readings or refused by name.

use pitchside_model::decimal::EXPONENT_MAX;
use pitchside_model::reading::WAVE_SAMPLES_MAX;
use pitchside_model::{Decimal, Gap, GapReason, Quality, Quantity, Reading, Timestamp, Unit, Value, Wave};

use super::message::{RawContent, RawNumber, RawReading, RawTime};
use crate::error::{Fault, Text};
use crate::senml::reading::{READINGS_MAX, unit_fault};
use crate::tolerance::{Judge, Moment, Tolerances, plausibility};
use crate::unit;

/// Every reading checked, or the number (from 1) and fault of the first that is none.
pub fn readings(
    raw: Vec<RawReading>,
    outputs: &[Quantity],
    now: Timestamp,
    tolerances: Tolerances,
) -> Result<Vec<Reading>, (usize, Fault)> {
    if raw.len() > READINGS_MAX {
        return Err((READINGS_MAX + 1, Fault::TooMany(READINGS_MAX)));
    }
    let judge = Judge::new(now, tolerances);
    raw.into_iter().enumerate().map(|(i, raw)| reading(raw, outputs, &judge).map_err(|fault| (i + 1, fault))).collect()
}

fn reading(raw: RawReading, outputs: &[Quantity], judge: &Judge) -> Result<Reading, Fault> {
    let quantity =
        Quantity::parse(&raw.quantity).ok_or_else(|| Fault::UnknownQuantity(Text::from(raw.quantity.as_str())))?;
    if quantity.is_gateways_own() {
        return Err(Fault::GatewaysOwn(quantity.name()));
    }
    if !outputs.contains(&quantity) {
        return Err(Fault::Undeclared(quantity.name()));
    }
    let moment = match raw.time {
        RawTime::Ago(micros) => Moment::Relative(micros.saturating_neg()),
        RawTime::At(micros) => Moment::Absolute(Timestamp(micros)),
    };
    let too_far = |far: crate::tolerance::TimeTooFar| Fault::TimeTooFar(far.ahead_us / 1_000_000);
    let (device_time, mut quality) = judge.time(moment).map_err(too_far)?;
    quality.set(Quality::POOR_CONTACT, raw.poor_contact);
    let value = match raw.content {
        RawContent::Number(number, unit) => {
            let value = number_of(number, &unit, quantity)?;
            quality |= plausibility(quantity, value);
            Value::Number(value)
        }
        RawContent::Gap(name) => {
            let reason = GapReason::from_name(&name).ok_or_else(|| Fault::GapReason(Text::from(name.as_str())))?;
            Value::Gap(Gap { reason, extent: 0 })
        }
        RawContent::Wave { period_ns, exponent, samples } => {
            let wave = wave_of(period_ns, exponent, &samples)?;
            let length_us = period_ns.saturating_mul(samples.len() as i64 - 1) / 1_000;
            judge.time(Moment::Absolute(device_time.plus_micros(length_us))).map_err(too_far)?;
            for sample in [samples.iter().min(), samples.iter().max()].into_iter().flatten() {
                quality |= plausibility(quantity, Decimal { mantissa: *sample, exponent: wave.exponent });
            }
            Value::Wave(Box::new(wave))
        }
    };
    Ok(Reading { quantity, unit: quantity.unit(), device_time, gateway_time: judge.gateway_time, quality, value })
}

fn number_of(number: RawNumber, name: &str, quantity: Quantity) -> Result<Decimal, Fault> {
    let value = match number {
        RawNumber::Decimal(value) => value,
        RawNumber::Float => return Err(Fault::Float),
        RawNumber::TooLarge => return Err(Fault::Range),
    };
    if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&value.exponent) {
        return Err(Fault::Range);
    }
    let unit = Unit::parse(name).ok_or_else(|| Fault::UnknownUnit(Text::from(name)))?;
    unit::convert(value, unit::ucum(unit), quantity).map_err(|fault| unit_fault(fault, name, quantity))
}

fn wave_of(period_ns: i64, exponent: i64, samples: &[i64]) -> Result<Wave, Fault> {
    let exponent = i8::try_from(exponent).ok().filter(|e| (-EXPONENT_MAX..=EXPONENT_MAX).contains(e));
    let period_ns = u64::try_from(period_ns).ok().filter(|ns| *ns > 0).ok_or(Fault::Period)?;
    if samples.is_empty() {
        return Err(Fault::Empty);
    }
    if samples.len() > WAVE_SAMPLES_MAX {
        return Err(Fault::TooMany(WAVE_SAMPLES_MAX));
    }
    let samples: Result<Vec<i32>, _> = samples.iter().map(|s| i32::try_from(*s)).collect();
    Ok(Wave {
        period_ns,
        exponent: exponent.ok_or(Fault::Range)?,
        offset: 0,
        samples: samples.map_err(|_| Fault::Range)?,
    })
}
