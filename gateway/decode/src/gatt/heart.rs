//! Heart Rate Measurement, 2A37 (HRS 1.0, 3.1).

use pitchside_model::{Decimal, GapReason, Quantity, Reading};

use super::Context;
use super::fields::Fields;
use super::sheet::Sheet;
use crate::error::GattFault;

const WIDE: u8 = 1;
const CONTACT: u8 = 1 << 1;
const CONTACT_SUPPORTED: u8 = 1 << 2;
const ENERGY: u8 = 1 << 3;
const RR: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// 1/1024 s is 0.9765625 ms exactly.
const RR_MANTISSA: i64 = 9_765_625;
const RR_EXPONENT: i8 = -7;

/// Reads one measurement.
pub fn measurement(bytes: &[u8], context: &Context<'_>) -> Result<Vec<Reading>, GattFault> {
    let mut fields = Fields::new(bytes);
    let flags = fields.u8("the flags")?;
    let rate = match flags & WIDE {
        0 => u16::from(fields.u8("the heart rate")?),
        _ => fields.u16("the heart rate")?,
    };
    let energy = if flags & ENERGY == 0 { None } else { Some(fields.u16("the energy expended")?) };
    // The intervals fill what is left; nothing can be told apart from them, whatever a later version may append.
    let intervals = if flags & RR == 0 {
        fields.end(flags & RESERVED != 0)?;
        &[]
    } else {
        let (intervals, half) = fields.rest().as_chunks::<2>();
        if !half.is_empty() {
            return Err(GattFault::Short("the second octet of an RR interval"));
        }
        intervals
    };

    let mut sheet = Sheet::now(context)?;
    let supported = flags & CONTACT_SUPPORTED != 0;
    let touching = !supported || flags & CONTACT != 0;
    if supported {
        sheet.number(Quantity::SKIN_CONTACT, Decimal::integer(i64::from(touching)));
    }
    if !touching {
        // What a strap reports off the skin is its last guess.
        sheet.gap(Quantity::HEART_RATE, GapReason::ContactLost);
    } else if rate == 0 {
        // A strap that has found no pulse says so with 0: a missing value, not a heart that stands still.
        sheet.gap(Quantity::HEART_RATE, GapReason::Invalid);
    } else {
        sheet.number(Quantity::HEART_RATE, Decimal::integer(i64::from(rate)));
    }
    if let Some(kilojoules) = energy {
        sheet.scaled(Quantity::ENERGY_EXPENDED, kilojoules, 0);
    }
    if touching {
        rr_intervals(intervals, &mut sheet)?;
    } else if flags & RR != 0 {
        sheet.gap(Quantity::RR_INTERVAL, GapReason::ContactLost);
    }
    Ok(sheet.readings())
}

/// Oldest first (HRS 1.0, 3.1.1.4). Each ends where the next begins and the last one ends now, so the way goes back from the
/// end: in units of 1/1024 s, and only the sum is rounded down to microseconds.
fn rr_intervals(intervals: &[[u8; 2]], sheet: &mut Sheet) -> Result<(), GattFault> {
    let intervals = || intervals.iter().map(|field| i64::from(u16::from_le_bytes(*field)));
    let mut ago: i64 = intervals().sum();
    for raw in intervals() {
        ago -= raw;
        let ago_us = ago * 15_625 / 16;
        if raw == 0 {
            // Between two beats there is time: 0 says that one was not found.
            sheet.gap_ago(Quantity::RR_INTERVAL, GapReason::Invalid, ago_us)?;
        } else {
            let value = Decimal { mantissa: raw * RR_MANTISSA, exponent: RR_EXPONENT };
            sheet.ago(Quantity::RR_INTERVAL, value, ago_us)?;
        }
    }
    Ok(())
}
