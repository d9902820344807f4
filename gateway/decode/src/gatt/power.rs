//! Cycling Power Measurement, 2A63 (CPS 1.1, 3.2).

use pitchside_model::{Quantity, Reading};

use super::Context;
use super::counter;
use super::cycling::{Motion, Service, crank, turn_crank, turn_wheel, wheel};
use super::fields::Fields;
use super::sheet::Sheet;
use crate::error::GattFault;

const BALANCE: u16 = 1;
const BALANCE_LEFT: u16 = 1 << 1;
const TORQUE: u16 = 1 << 2;
const TORQUE_OF_CRANK: u16 = 1 << 3;
const WHEEL: u16 = 1 << 4;
const CRANK: u16 = 1 << 5;
const EXTREME_FORCES: u16 = 1 << 6;
const EXTREME_TORQUES: u16 = 1 << 7;
const EXTREME_ANGLES: u16 = 1 << 8;
const TOP_DEAD_SPOT: u16 = 1 << 9;
const BOTTOM_DEAD_SPOT: u16 = 1 << 10;
const ENERGY: u16 = 1 << 11;
// Bit 12, the offset compensation indicator, tells the rider to calibrate: nothing is measured by it.
const RESERVED: u16 = 0xe000;

/// 1/32 N.m is 0.03125 N.m exactly.
const TORQUE_MANTISSA: i64 = 3_125;
const TORQUE_EXPONENT: i8 = -5;

/// Reads one measurement.
pub fn measurement(bytes: &[u8], motion: &mut Motion, context: &Context<'_>) -> Result<Vec<Reading>, GattFault> {
    let mut fields = Fields::new(bytes);
    let flags = fields.u16("the flags")?;
    let has = |flag: u16| flags & flag != 0;
    let mut sheet = Sheet::now(context)?;
    sheet.scaled(Quantity::POWER, fields.i16("the power")?, 0);
    if has(BALANCE) {
        let quantity = if has(BALANCE_LEFT) { Quantity::PEDAL_BALANCE_LEFT } else { Quantity::PEDAL_BALANCE };
        // Half per cents.
        sheet.scaled(quantity, i64::from(fields.u8("the pedal power balance")?) * 5, -1);
    }
    let torque = if has(TORQUE) { Some(fields.u16("the accumulated torque")?) } else { None };
    if has(WHEEL) {
        let sample = wheel(&mut fields, torque.filter(|_| !has(TORQUE_OF_CRANK)))?;
        let tells = motion.wheel.tells(Service::Power, context.now);
        turn_wheel(sample, counter::POWER_WHEEL, &mut motion.power_wheel, tells, &mut sheet, context);
    }
    if has(CRANK) {
        let sample = crank(&mut fields, torque.filter(|_| has(TORQUE_OF_CRANK)))?;
        let tells = motion.crank.tells(Service::Power, context.now);
        turn_crank(sample, &mut motion.power_crank, tells, &mut sheet, context);
    }
    if has(EXTREME_FORCES) {
        sheet.scaled(Quantity::FORCE_MAX, fields.i16("the maximum force")?, 0);
        sheet.scaled(Quantity::FORCE_MIN, fields.i16("the minimum force")?, 0);
    }
    if has(EXTREME_TORQUES) {
        for (quantity, name) in
            [(Quantity::TORQUE_MAX, "the maximum torque"), (Quantity::TORQUE_MIN, "the minimum torque")]
        {
            sheet.scaled(quantity, i64::from(fields.i16(name)?) * TORQUE_MANTISSA, TORQUE_EXPONENT);
        }
    }
    if has(EXTREME_ANGLES) {
        // Two numbers of 12 bits in 3 octets: 0x123abc has the maximum abc and the minimum 123.
        let both = fields.u24("the extreme angles")?;
        sheet.scaled(Quantity::FORCE_MAX_ANGLE, both & 0xfff, 0);
        sheet.scaled(Quantity::FORCE_MIN_ANGLE, both >> 12, 0);
    }
    for (flag, quantity, name) in [
        (TOP_DEAD_SPOT, Quantity::TOP_DEAD_SPOT, "the top dead spot"),
        (BOTTOM_DEAD_SPOT, Quantity::BOTTOM_DEAD_SPOT, "the bottom dead spot"),
        (ENERGY, Quantity::WORK, "the accumulated energy"),
    ] {
        if has(flag) {
            sheet.scaled(quantity, fields.u16(name)?, 0);
        }
    }
    fields.end(has(RESERVED))?;
    Ok(sheet.readings())
}
