//! Characteristics that are one number: Environmental Sensing (ESS 1.0.1) and Battery Level (BAS 1.1), as the GATT
//! Specification Supplement lays them out.

use pitchside_model::{Decimal, GapReason, Quantity, Reading};

use super::Context;
use super::fields::Fields;
use super::sheet::Sheet;
use crate::error::GattFault;

#[derive(Debug, Clone, Copy)]
enum Format {
    I8,
    U8,
    I16,
    U16,
    U24,
    I24,
    U32,
}

/// One characteristic: its number is `raw * 10^exponent` in the quantity's unit.
#[derive(Debug)]
pub struct Scalar {
    pub characteristic: u16,
    pub name: &'static str,
    pub quantity: Quantity,
    format: Format,
    exponent: i8,
    /// This one means that the device does not know.
    unknown: Option<i64>,
    /// Lowest and highest that are not prohibited.
    allowed: (i64, i64),
}

const ANY: (i64, i64) = (i64::MIN, i64::MAX);
/// All round, in 1/100 deg.
const COMPASS: (i64, i64) = (0, 35_999);

const fn row(
    characteristic: u16,
    name: &'static str,
    quantity: Quantity,
    format: Format,
    exponent: i8,
    unknown: Option<i64>,
    allowed: (i64, i64),
) -> Scalar {
    Scalar { characteristic, name, quantity, format, exponent, unknown, allowed }
}

/// All of them.
pub const SCALARS: &[Scalar] = &[
    row(0x2a19, "Battery Level", Quantity::BATTERY, Format::U8, 0, None, (0, 100)),
    row(0x2a6c, "Elevation", Quantity::ALTITUDE, Format::I24, -2, None, ANY),
    row(0x2a6d, "Pressure", Quantity::AIR_PRESSURE, Format::U32, -1, None, ANY),
    row(
        0x2a6e,
        "Temperature",
        Quantity::AMBIENT_TEMPERATURE,
        Format::I16,
        -2,
        Some(i16::MIN as i64),
        (-27_315, i64::MAX),
    ),
    row(0x2a6f, "Humidity", Quantity::RELATIVE_HUMIDITY, Format::U16, -2, Some(u16::MAX as i64), (0, 10_000)),
    row(0x2a70, "True Wind Speed", Quantity::WIND_SPEED, Format::U16, -2, None, ANY),
    row(0x2a71, "True Wind Direction", Quantity::WIND_DIRECTION, Format::U16, -2, None, COMPASS),
    row(0x2a72, "Apparent Wind Speed", Quantity::APPARENT_WIND_SPEED, Format::U16, -2, None, ANY),
    row(0x2a73, "Apparent Wind Direction", Quantity::APPARENT_WIND_DIRECTION, Format::U16, -2, None, COMPASS),
    row(0x2a74, "Gust Factor", Quantity::GUST_FACTOR, Format::U8, -1, None, ANY),
    row(0x2a75, "Pollen Concentration", Quantity::POLLEN_CONCENTRATION, Format::U24, 0, None, ANY),
    row(0x2a76, "UV Index", Quantity::UV_INDEX, Format::U8, 0, None, ANY),
    row(0x2a77, "Irradiance", Quantity::IRRADIANCE, Format::U16, -1, None, ANY),
    row(0x2a78, "Rainfall", Quantity::RAINFALL, Format::U16, -3, None, ANY),
    row(0x2a79, "Wind Chill", Quantity::WIND_CHILL, Format::I8, 0, None, ANY),
    row(0x2a7a, "Heat Index", Quantity::HEAT_INDEX, Format::I8, 0, None, ANY),
    row(0x2a7b, "Dew Point", Quantity::DEW_POINT, Format::I8, 0, None, ANY),
];

impl Scalar {
    /// The row of a characteristic.
    pub fn find(characteristic: u16) -> Option<&'static Self> {
        SCALARS.iter().find(|row| row.characteristic == characteristic)
    }

    /// Reads one value.
    pub fn read(&self, bytes: &[u8], context: &Context<'_>) -> Result<Vec<Reading>, GattFault> {
        let mut fields = Fields::new(bytes);
        let mantissa = match self.format {
            Format::I8 => i64::from(fields.i8(self.name)?),
            Format::U8 => i64::from(fields.u8(self.name)?),
            Format::I16 => i64::from(fields.i16(self.name)?),
            Format::U16 => i64::from(fields.u16(self.name)?),
            Format::U24 => i64::from(fields.u24(self.name)?),
            Format::I24 => i64::from(fields.i24(self.name)?),
            Format::U32 => i64::from(fields.u32(self.name)?),
        };
        fields.end(false)?;
        let mut sheet = Sheet::now(context)?;
        if self.unknown == Some(mantissa) {
            sheet.gap(self.quantity, GapReason::Invalid);
        } else if mantissa < self.allowed.0 || mantissa > self.allowed.1 {
            return Err(GattFault::Range(self.name, mantissa));
        } else {
            sheet.number(self.quantity, Decimal { mantissa, exponent: self.exponent });
        }
        Ok(sheet.readings())
    }
}
