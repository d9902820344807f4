//! CSC Measurement, 2A5B (CSCS 1.0, 3.1), and what it shares with Cycling Power.

use pitchside_model::{Decimal, GapReason, Quantity, Reading, Timestamp};

use super::Context;
use super::counter::{self, Counter, Sample, Turn};
use super::fields::Fields;
use super::sheet::Sheet;
use crate::error::GattFault;

const WHEEL: u8 = 1;
const CRANK: u8 = 1 << 1;
const RESERVED: u8 = 0xfc;

/// A service that told no count for so long has made way for the other.
const SILENT_US: i64 = 10_000_000;

/// Who counts: a power meter tells the same revolutions in both services, each in its own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Cycling Speed and Cadence.
    Csc,
    /// Cycling Power.
    Power,
}

/// Whose counts become rates: of two services that of the one that was first, as long as it goes on. Else a stream would hold every
/// revolution twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Teller(Option<(Service, Timestamp)>);

impl Teller {
    /// Whether what this service counts becomes a rate.
    pub fn tells(&mut self, service: Service, now: Timestamp) -> bool {
        let is_other = |(other, heard): (Service, Timestamp)| {
            other != service && (0..SILENT_US).contains(&now.micros_since(heard))
        };
        if self.0.is_some_and(is_other) {
            return false;
        }
        self.0 = Some((service, now));
        true
    }
}

/// The counters of one device on one link: all the state there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Motion {
    csc_wheel: Counter,
    csc_crank: Counter,
    pub(super) power_wheel: Counter,
    pub(super) power_crank: Counter,
    pub(super) wheel: Teller,
    pub(super) crank: Teller,
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
        let tells = motion.wheel.tells(Service::Csc, context.now);
        turn_wheel(sample, counter::CSC_WHEEL, &mut motion.csc_wheel, tells, &mut sheet, context);
    }
    if let Some(sample) = crank {
        let tells = motion.crank.tells(Service::Csc, context.now);
        turn_crank(sample, &mut motion.csc_crank, tells, &mut sheet, context);
    }
    Ok(sheet.readings())
}

/// Wheel rate, and speed if the circumference is known, if they are told here; torque if it is.
pub fn turn_wheel(
    sample: Sample,
    kind: counter::Kind,
    counter: &mut Counter,
    tells: bool,
    sheet: &mut Sheet,
    context: &Context<'_>,
) {
    let turn = advance(sample, kind, counter, context);
    if tells {
        put(turn, Quantity::WHEEL_RATE, sheet, counter::Movement::per_minute, -2);
        if let Some(mm) = context.wheel_mm {
            put(turn, Quantity::SPEED, sheet, |movement| movement.speed(mm), -3);
        }
    }
    if let Turn::Moving(movement) = turn
        && let Some(torque) = movement.torque()
    {
        sheet.number(Quantity::WHEEL_TORQUE, torque);
    }
}

/// Cadence, if it is told here; torque if it is.
pub fn turn_crank(sample: Sample, counter: &mut Counter, tells: bool, sheet: &mut Sheet, context: &Context<'_>) {
    let turn = advance(sample, counter::CRANK, counter, context);
    if tells {
        put(turn, Quantity::CADENCE, sheet, counter::Movement::per_minute, -2);
    }
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
