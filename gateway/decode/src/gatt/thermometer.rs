//! Temperature Measurement, 2A1C, and Intermediate Temperature, 2A1E (HTS 1.0, 3.1 and 3.3).

use pitchside_model::{Quantity, Reading};

use super::Context;
use super::fields::Fields;
use super::rounded;
use super::sheet::Sheet;
use crate::error::GattFault;

const FAHRENHEIT: u8 = 1;
const TIME_STAMP: u8 = 1 << 1;
const TYPE: u8 = 1 << 2;
const RESERVED: u8 = 0xf8;

/// Where a thermometer measures: Temperature Type, 2A1D.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    Armpit,
    Body,
    Ear,
    Finger,
    GastroIntestinal,
    Mouth,
    Rectum,
    Toe,
    Tympanum,
}

impl Site {
    /// The site of a Temperature Type.
    pub const fn from_code(code: u8) -> Result<Self, GattFault> {
        Ok(match code {
            1 => Self::Armpit,
            2 => Self::Body,
            3 => Self::Ear,
            4 => Self::Finger,
            5 => Self::GastroIntestinal,
            6 => Self::Mouth,
            7 => Self::Rectum,
            8 => Self::Toe,
            9 => Self::Tympanum,
            _ => return Err(GattFault::Reserved("the temperature type", code as u32)),
        })
    }

    /// Its name in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Armpit => "armpit",
            Self::Body => "body (general)",
            Self::Ear => "ear",
            Self::Finger => "finger",
            Self::GastroIntestinal => "gastrointestinal tract",
            Self::Mouth => "mouth",
            Self::Rectum => "rectum",
            Self::Toe => "toe",
            Self::Tympanum => "tympanum",
        }
    }

    /// What is measured there. A rule on the core temperature must not take an ear for it.
    const fn quantity(self) -> Quantity {
        match self {
            Self::GastroIntestinal | Self::Rectum => Quantity::CORE_TEMPERATURE,
            Self::Finger | Self::Toe => Quantity::SKIN_TEMPERATURE,
            Self::Armpit | Self::Body | Self::Ear | Self::Mouth | Self::Tympanum => Quantity::BODY_TEMPERATURE,
        }
    }
}

/// Reads one measurement. `site` is what the device's own Temperature Type says, if it was read; `settled` is false for
/// intermediate ones.
pub fn measurement(
    bytes: &[u8],
    settled: bool,
    site: Option<Site>,
    context: &Context<'_>,
) -> Result<Vec<Reading>, GattFault> {
    let mut fields = Fields::new(bytes);
    let flags = fields.u8("the flags")?;
    let value = fields.float("the temperature")?;
    let time = if flags & TIME_STAMP == 0 { None } else { fields.date_time(context)? };
    let site = if flags & TYPE == 0 { site } else { Some(Site::from_code(fields.u8("the temperature type")?)?) };
    fields.end(flags & RESERVED != 0)?;

    let quantity = match site {
        _ if !settled => Quantity::INTERMEDIATE_TEMPERATURE,
        Some(site) => site.quantity(),
        None => Quantity::BODY_TEMPERATURE,
    };
    let value = if flags & FAHRENHEIT == 0 { value } else { rounded::FAHRENHEIT.apply(value, "the temperature")? };
    let mut sheet = Sheet::dated(context, time)?;
    sheet.medical(quantity, value);
    Ok(sheet.readings())
}
