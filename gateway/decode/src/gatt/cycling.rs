//! CSC Measurement, 2A5B (CSCS 1.0, 3.1), and what it shares with Cycling Power.

use pitchside_model::{Decimal, GapReason, Quantity, Reading};

use super::Context;
use super::counter::{self, Counter, Sample, Turn};
use super::fields::Fields;
use super::sheet::Sheet;
use crate::error::GattFault;

const WHEEL: u8 = 1;
const CRANK: u8 = 1 << 1;
const RESERVED: u8 = 0xfc;

/// The counters of one device on one link: all the state there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Motion {
    csc_wheel: Counter,
    csc_crank: Counter,
    pub(super) power_wheel: Counter,
    pub(super) power_crank: Counter,
}

/// Wheel revolution data: 4 octets, 2 octets.
pub fn wheel(fields: &mut Fields<'_>, torque: Option<u16>) -> Result<Sample, GattFault> {
    Ok(Sample { revolutions: fields.u32("the wheel revolutions")?, event: fields.u16("the wheel event time")?, torque })
}

/// Crank revolution data: 2 octets, 2 octets.
pub fn crank(fields: &mut Fields<'_>, torque: Option<u16>) -> Result<Sample, GattFault> {
    Ok(Sample {
        revolutions: u32::from(fields.u16("the crank revolutions")?),
        event: fields.u16("the crank event time")?,
        torque,
    })
}

/// Reads one measurement.
pub fn measurement(bytes: &[u8], motion: &mut Motion, context: &Context<'_>) -> Result<Vec<Reading>, GattFault> {
    let mut fields = Fields::new(bytes);
    let flags = fields.u8("the flags")?;
    let wheel = if flags & WHEEL == 0 { None } else { Some(wheel(&mut fields, None)?) };
    let crank = if flags & CRANK == 0 { None } else { Some(crank(&mut fields, None)?) };
    fields.end(flags & RESERVED != 0)?;
    let mut sheet = Sheet::now(context)?;
    if let Some(sample) = wheel {
        turn_wheel(sample, counter::CSC_WHEEL, &mut motion.csc_wheel, &mut sheet, context);
    }
    if let Some(sample) = crank {
        turn_crank(sample, &mut motion.csc_crank, &mut sheet, context);
    }
    Ok(sheet.readings())
}

/// Wheel rate, speed if the circumference is known, torque if it is told.
pub fn turn_wheel(
    sample: Sample,
    kind: counter::Kind,
    counter: &mut Counter,
    sheet: &mut Sheet,
    context: &Context<'_>,
) {
    let turn = advance(sample, kind, counter, context);
    put(turn, Quantity::WHEEL_RATE, sheet, counter::Movement::per_minute, -2);
    if let Some(mm) = context.wheel_mm {
        put(turn, Quantity::SPEED, sheet, |movement| movement.speed(mm), -3);
    }
    if let Turn::Moving(movement) = turn
        && let Some(torque) = movement.torque()
    {
        sheet.number(Quantity::WHEEL_TORQUE, torque);
    }
}

/// Cadence, torque if it is told.
pub fn turn_crank(sample: Sample, counter: &mut Counter, sheet: &mut Sheet, context: &Context<'_>) {
    let turn = advance(sample, counter::CRANK, counter, context);
    put(turn, Quantity::CADENCE, sheet, counter::Movement::per_minute, -2);
    if let Turn::Moving(movement) = turn
        && let Some(torque) = movement.torque()
    {
        sheet.number(Quantity::CRANK_TORQUE, torque);
    }
}

fn advance(sample: Sample, kind: counter::Kind, counter: &mut Counter, context: &Context<'_>) -> Turn {
    let (turn, after) = counter.advance(sample, kind, context.now);
    *counter = after;
    turn
}

fn put(
    turn: Turn,
    quantity: Quantity,
    sheet: &mut Sheet,
    value: impl Fn(counter::Movement) -> Option<Decimal>,
    exponent: i8,
) {
    match turn {
        Turn::Unknown | Turn::Waiting => {}
        Turn::Still => sheet.number(quantity, Decimal { mantissa: 0, exponent }),
        Turn::Reset => sheet.gap(quantity, GapReason::Invalid),
        Turn::Moving(movement) => match value(movement) {
            Some(value) => sheet.number(quantity, value),
            None => sheet.gap(quantity, GapReason::Invalid),
        },
    }
}
