//! Resolved records to readings: the last part of a name is the quantity, the unit is converted, the time judged.

use std::borrow::Cow;

use pitchside_model::{Decimal, Quality, Quantity, Reading, Timestamp, Value};

use super::record::{Resolved, Source, Written};
use crate::error::{DecodeError, Fault, Text};
use crate::tolerance::{Judge, Tolerances, plausibility};
use crate::unit::{self, UnitFault};

/// The most readings one message carries.
pub const READINGS_MAX: usize = 1_024;

/// Reads a SenML pack in CBOR. All or nothing.
pub fn cbor(bytes: &[u8], now: Timestamp, tolerances: Tolerances) -> Result<Vec<Reading>, DecodeError> {
    // The array's own count is a hint at most: the allocation follows the bytes that are there.
    let source = super::cbor::Pack::new(bytes).map_err(|fault| DecodeError::Senml { record: 1, fault })?;
    readings(source, bytes.len() / 12, now, tolerances)
}

/// Reads a SenML pack in JSON. All or nothing.
pub fn json(bytes: &[u8], now: Timestamp, tolerances: Tolerances) -> Result<Vec<Reading>, DecodeError> {
    let source = super::json::Pack::new(bytes).map_err(|fault| DecodeError::Senml { record: 1, fault })?;
    readings(source, bytes.len() / 24, now, tolerances)
}

fn readings<'a>(
    source: impl Source<'a>,
    expected: usize,
    now: Timestamp,
    tolerances: Tolerances,
) -> Result<Vec<Reading>, DecodeError> {
    let judge = Judge::new(now, tolerances);
    let mut readings = Vec::with_capacity(expected.clamp(1, 32));
    let mut first: Option<Prefix<'a>> = None;
    let mut untouched: Vec<Timestamp> = Vec::new();
    super::resolve(source, |record| {
        if readings.len() == READINGS_MAX {
            return Err(Fault::TooMany(READINGS_MAX));
        }
        let (quantity, prefix) = quantity(record)?;
        if quantity.is_gateways_own() {
            return Err(Fault::GatewaysOwn(quantity.name()));
        }
        match &first {
            None => first = Some(prefix),
            Some(first) if first.same(&prefix) => {}
            Some(_) => return Err(Fault::TwoSensors(Text::from(record.full_name().as_str()))),
        }
        let reading = reading(record, quantity, &judge)?;
        if quantity == Quantity::SKIN_CONTACT && reading.value == Value::Number(Decimal::integer(0)) {
            untouched.push(reading.device_time);
        }
        readings.push(reading);
        Ok(())
    })
    .map_err(|(record, fault)| DecodeError::Senml { record, fault })?;
    if readings.is_empty() {
        return Err(DecodeError::Senml { record: 1, fault: Fault::Empty });
    }
    mark_poor_contact(&mut readings, &untouched);
    Ok(readings)
}

/// What a sensor measured while it says it touched no skin is worth little, and says so.
fn mark_poor_contact(readings: &mut [Reading], untouched: &[Timestamp]) {
    if untouched.is_empty() {
        return;
    }
    for reading in readings.iter_mut().filter(|r| untouched.contains(&r.device_time)) {
        if reading.quantity != Quantity::SKIN_CONTACT {
            reading.quality |= Quality::POOR_CONTACT;
        }
    }
}

fn reading(record: &Resolved<'_, '_>, quantity: Quantity, judge: &Judge) -> Result<Reading, Fault> {
    let (device_time, mut quality) =
        judge.time(record.time).map_err(|far| Fault::TimeTooFar(far.ahead_us / 1_000_000))?;
    let value = match record.value.as_ref().ok_or(Fault::NoValue)? {
        Written::Number(number) => {
            let number = number.nearest().map_err(|_| Fault::Range)?;
            in_unit_of(quantity, number, record.unit.as_deref())?
        }
        // A Boolean is a number where the quantity is a switch.
        Written::Boolean(on) if quantity == Quantity::SKIN_CONTACT => Decimal::integer(i64::from(*on)),
        Written::Boolean(_) => return Err(Fault::ValueType(quantity.name(), "a Boolean")),
        Written::Text(_) => return Err(Fault::ValueType(quantity.name(), "a string")),
        Written::Data(_) => return Err(Fault::ValueType(quantity.name(), "data")),
    };
    quality |= plausibility(quantity, value);
    Ok(Reading {
        quantity,
        unit: quantity.unit(),
        device_time,
        gateway_time: judge.gateway_time,
        quality,
        value: Value::Number(value),
    })
}

fn in_unit_of(quantity: Quantity, value: Decimal, name: Option<&str>) -> Result<Decimal, Fault> {
    let Some(name) = name else {
        // A plain number needs no unit; for everything else guessing one is how Fahrenheit becomes Celsius.
        return if quantity.unit() == pitchside_model::Unit::ONE {
            Ok(value)
        } else {
            Err(Fault::NoUnit(quantity.name()))
        };
    };
    let scale = unit::senml(name).ok_or_else(|| Fault::UnknownUnit(Text::from(name)))?;
    unit::convert(value, scale, quantity).map_err(|fault| unit_fault(fault, name, quantity))
}

pub(crate) fn unit_fault(fault: UnitFault, name: &str, quantity: Quantity) -> Fault {
    match fault {
        UnitFault::Mismatch => Fault::UnitMismatch(Text::from(name), quantity.name()),
        UnitFault::Inexact => Fault::InexactUnit(Text::from(name), quantity.name()),
        UnitFault::Range => Fault::Range,
    }
}

/// What stands before the last part of a name: it names the sensor. Kept as the pieces it is made of.
#[derive(Debug, Clone)]
struct Prefix<'a> {
    base: Cow<'a, str>,
    base_end: usize,
    name: Cow<'a, str>,
    name_end: usize,
}

impl Prefix<'_> {
    fn same(&self, other: &Self) -> bool {
        let bytes = |p: &Self| p.base_end + p.name_end;
        if bytes(self) != bytes(other) {
            return false;
        }
        fn parts<'p>(p: &'p Prefix<'_>) -> impl Iterator<Item = u8> + 'p {
            p.base.bytes().take(p.base_end).chain(p.name.bytes().take(p.name_end))
        }
        if self.name_end == 0 && other.name_end == 0 {
            return self.base.as_bytes().get(..self.base_end) == other.base.as_bytes().get(..other.base_end);
        }
        parts(self).eq(parts(other))
    }
}

/// The quantity a name ends in: what follows its last `:` or `/`, e.g. `urn:dev:mac:0024befffe804ff1:heart_rate`.
fn quantity<'a>(record: &Resolved<'_, 'a>) -> Result<(Quantity, Prefix<'a>), Fault> {
    let after = |text: &str| text.bytes().rposition(|b| matches!(b, b':' | b'/')).map_or(0, |at| at + 1);
    let name_end = after(&record.name);
    let base_end = if name_end > 0 { record.base_name.len() } else { after(record.base_name) };
    let tail = record.name.get(name_end..).unwrap_or_default();
    let head = record.base_name.get(base_end..).unwrap_or_default();
    let quantity = if head.is_empty() {
        Quantity::parse(tail)
    } else if tail.is_empty() {
        Quantity::parse(head)
    } else {
        Quantity::parse(&format!("{head}{tail}"))
    };
    let quantity = quantity.ok_or_else(|| Fault::UnknownQuantity(Text::from(format!("{head}{tail}").as_str())))?;
    Ok((quantity, Prefix { base: record.base_name.clone(), base_end, name: record.name.clone(), name_end }))
}
