//! Blood Pressure Measurement, 2A35, and Intermediate Cuff Pressure, 2A36 (BLS 1.1.1, 3.1 and 3.2): one layout.

use pitchside_model::{Quantity, Reading};

use super::Context;
use super::feature::Features;
use super::fields::Fields;
use super::medical::Number;
use super::rounded;
use super::sheet::Sheet;
use crate::error::GattFault;

const KILOPASCAL: u8 = 1;
const TIME_STAMP: u8 = 1 << 1;
const PULSE_RATE: u8 = 1 << 2;
const USER_ID: u8 = 1 << 3;
const STATUS: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

const UNKNOWN_USER: u8 = 0xff;

/// Body movement, cuff too loose, improper position: set, they take away from the values; not set, they add nothing, so it does
/// not matter whether the cuff looks for them. The pulse's range, bits 3 and 4, is neither a doubt nor a quantity of ours.
const STATUS_DOUBTS: u16 = 1 | 1 << 1 | 1 << 5;
const STATUS_IRREGULAR: u16 = 1 << 2;

/// Reads one measurement, or a step on the way to one (`settled` false), in which only the first of the three values counts:
/// the others are unused and NaN. That a pulse is not irregular is taken of a cuff alone whose features say that it looks for
/// that, and only if it felt one: a measurement that failed comes with NaN and a status of 0.
pub fn measurement(
    bytes: &[u8],
    settled: bool,
    features: Features,
    context: &Context<'_>,
) -> Result<Vec<Reading>, GattFault> {
    let mut fields = Fields::new(bytes);
    let flags = fields.u8("the flags")?;
    let pressure = |fields: &mut Fields<'_>, name| {
        let value = fields.sfloat(name)?;
        if flags & KILOPASCAL == 0 { Ok(value) } else { rounded::KILOPASCAL.apply(value, name) }
    };
    let first = pressure(&mut fields, "the first pressure")?;
    let second = pressure(&mut fields, "the second pressure")?;
    let third = pressure(&mut fields, "the third pressure")?;
    let time = if flags & TIME_STAMP == 0 { None } else { fields.date_time(context)? };
    let pulse_rate = if flags & PULSE_RATE == 0 { None } else { Some(fields.sfloat("the pulse rate")?) };
    let user = if flags & USER_ID == 0 { None } else { Some(fields.u8("the user id")?) };
    let status = if flags & STATUS == 0 { None } else { Some(fields.u16("the measurement status")?) };
    fields.end(flags & RESERVED != 0)?;

    let mut sheet = Sheet::dated(context, time)?;
    if status.is_some_and(|bits| bits & STATUS_DOUBTS != 0) {
        sheet.doubt();
    }
    let values: &[(Quantity, Number)] = if settled {
        &[
            (Quantity::SYSTOLIC_PRESSURE, first),
            (Quantity::DIASTOLIC_PRESSURE, second),
            (Quantity::MEAN_ARTERIAL_PRESSURE, third),
        ]
    } else {
        &[(Quantity::CUFF_PRESSURE, first)]
    };
    for (quantity, value) in values {
        sheet.medical(*quantity, *value);
    }
    if let Some(rate) = pulse_rate {
        sheet.medical(Quantity::PULSE_RATE, rate);
    }
    if let Some(user) = user.filter(|user| *user != UNKNOWN_USER) {
        sheet.scaled(Quantity::USER_INDEX, user, 0);
    }
    if let Some(bits) = status.filter(|_| settled) {
        let pressed = [first, second, third].iter().any(|value| matches!(value, Number::Decimal(_)));
        let felt = pressed && !matches!(pulse_rate, Some(Number::Special(_)));
        let looked_for = features.irregular_pulse && felt;
        sheet.finding(Quantity::IRREGULAR_PULSE, bits & STATUS_IRREGULAR != 0, looked_for);
    }
    Ok(sheet.readings())
}
