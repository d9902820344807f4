//! What a device says it looks for: Blood Pressure Feature, 2A49 (BLS 1.1.1, 3.3), and RSC Feature, 2A54 (RSCS 1.0, 3.2).
//!
//! A finding has a bit in the value of a measurement, and 0 is what a device sends that found nothing as well as one that
//! cannot look. Which of the two it is, the feature alone says.

use super::fields::Fields;
use crate::error::GattFault;

/// Blood Pressure Feature.
pub const BLOOD_PRESSURE: u16 = 0x2a49;
/// RSC Feature.
pub const RUNNING: u16 = 0x2a54;

/// Irregular Pulse Detection Support.
const IRREGULAR_PULSE: u16 = 1 << 2;
const BLOOD_PRESSURE_RESERVED: u16 = 0xfe00;

/// Walking or Running Status Supported.
const GAIT: u16 = 1 << 2;
const RUNNING_RESERVED: u16 = 0xffe0;

/// What one device looks for, as far as it said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// A cuff: whether the pulse is irregular.
    pub irregular_pulse: bool,
    /// A foot pod: whether its wearer walks or runs.
    pub gait: bool,
}

impl Features {
    /// With what a Blood Pressure Feature says.
    pub fn of_cuff(self, bytes: &[u8]) -> Result<Self, GattFault> {
        let irregular_pulse = has(bytes, IRREGULAR_PULSE, BLOOD_PRESSURE_RESERVED)?;
        Ok(Self { irregular_pulse, ..self })
    }

    /// With what an RSC Feature says.
    pub fn of_foot_pod(self, bytes: &[u8]) -> Result<Self, GattFault> {
        Ok(Self { gait: has(bytes, GAIT, RUNNING_RESERVED)?, ..self })
    }
}

fn has(bytes: &[u8], feature: u16, reserved: u16) -> Result<bool, GattFault> {
    let mut fields = Fields::new(bytes);
    let features = fields.u16("the features")?;
    fields.end(features & reserved != 0)?;
    Ok(features & feature != 0)
}
