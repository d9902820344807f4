//! What a device says of itself, once: no reading, but worth showing beside the device (DIS 1.1; HRS 1.0, 3.2; HTS 1.0, 3.2).

use std::fmt;

use super::thermometer::Site;
use crate::error::GattFault;

/// A sentence of a device about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// About what.
    pub kind: FactKind,
    /// At most 512 bytes, without control characters.
    pub text: String,
}

/// What devices say of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// Manufacturer Name String, 2A29.
    Manufacturer,
    /// Model Number String, 2A24.
    Model,
    /// Serial Number String, 2A25.
    SerialNumber,
    /// Hardware Revision String, 2A27.
    Hardware,
    /// Firmware Revision String, 2A26.
    Firmware,
    /// Software Revision String, 2A28.
    Software,
    /// Body Sensor Location, 2A38.
    BodyLocation,
    /// Temperature Type, 2A1D: where a thermometer measures.
    TemperatureSite,
}

impl FactKind {
    /// The kind of a characteristic.
    pub const fn of(characteristic: u16) -> Option<Self> {
        Some(match characteristic {
            0x2a29 => Self::Manufacturer,
            0x2a24 => Self::Model,
            0x2a25 => Self::SerialNumber,
            0x2a27 => Self::Hardware,
            0x2a26 => Self::Firmware,
            0x2a28 => Self::Software,
            0x2a38 => Self::BodyLocation,
            0x2a1d => Self::TemperatureSite,
            _ => return None,
        })
    }

    /// A word for keys and columns, e.g. `serial_number`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manufacturer => "manufacturer",
            Self::Model => "model",
            Self::SerialNumber => "serial_number",
            Self::Hardware => "hardware",
            Self::Firmware => "firmware",
            Self::Software => "software",
            Self::BodyLocation => "body_location",
            Self::TemperatureSite => "temperature_site",
        }
    }
}

impl fmt::Display for FactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads a fact.
pub fn read(kind: FactKind, bytes: &[u8]) -> Result<Fact, GattFault> {
    let text = match kind {
        FactKind::BodyLocation => location(octet(bytes, "the body sensor location")?)?.to_owned(),
        FactKind::TemperatureSite => site(bytes)?.name().to_owned(),
        _ => string(bytes)?,
    };
    Ok(Fact { kind, text })
}

/// Reads a Temperature Type.
pub fn site(bytes: &[u8]) -> Result<Site, GattFault> {
    Site::from_code(octet(bytes, "the temperature type")?)
}

fn octet(bytes: &[u8], name: &'static str) -> Result<u8, GattFault> {
    match bytes {
        [] => Err(GattFault::Short(name)),
        [octet] => Ok(*octet),
        [_, rest @ ..] => Err(GattFault::Trailing(rest.len())),
    }
}

const fn location(code: u8) -> Result<&'static str, GattFault> {
    Ok(match code {
        0 => "other",
        1 => "chest",
        2 => "wrist",
        3 => "finger",
        4 => "hand",
        5 => "ear lobe",
        6 => "foot",
        _ => return Err(GattFault::Reserved("the body sensor location", code as u32)),
    })
}

/// UTF-8 without an end mark; firmware that sends its C string's is forgiven.
fn string(bytes: &[u8]) -> Result<String, GattFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| GattFault::Text)?.trim_end_matches('\0').trim();
    if text.chars().any(char::is_control) { Err(GattFault::Text) } else { Ok(text.to_owned()) }
}
