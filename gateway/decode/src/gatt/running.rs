//! RSC Measurement, 2A53 (RSCS 1.0, 3.1).

use pitchside_model::{Quantity, Reading};

use super::Context;
use super::feature::Features;
use super::fields::Fields;
use super::sheet::Sheet;
use crate::error::GattFault;

const STRIDE: u8 = 1;
const DISTANCE: u8 = 1 << 1;
const RUNNING: u8 = 1 << 2;
const RESERVED: u8 = 0xf8;

/// 1/256 m/s is 0.00390625 m/s exactly.
const SPEED_MANTISSA: i64 = 390_625;
const SPEED_EXPONENT: i8 = -8;

/// Reads one measurement. A foot pod that cannot tell walking from running always says that its wearer walks: that is taken of
/// one alone whose features say that it can.
pub fn measurement(bytes: &[u8], features: Features, context: &Context<'_>) -> Result<Vec<Reading>, GattFault> {
    let mut fields = Fields::new(bytes);
    let flags = fields.u8("the flags")?;
    let mut sheet = Sheet::now(context)?;
    sheet.scaled(Quantity::SPEED, i64::from(fields.u16("the speed")?) * SPEED_MANTISSA, SPEED_EXPONENT);
    sheet.scaled(Quantity::CADENCE, fields.u8("the cadence")?, 0);
    if flags & STRIDE != 0 {
        sheet.scaled(Quantity::STRIDE_LENGTH, fields.u16("the stride length")?, -2);
    }
    if flags & DISTANCE != 0 {
        sheet.scaled(Quantity::DISTANCE, fields.u32("the total distance")?, -1);
    }
    fields.end(flags & RESERVED != 0)?;
    sheet.finding(Quantity::RUNNING, flags & RUNNING != 0, features.gait);
    Ok(sheet.readings())
}
