//! The fields of a characteristic's value, front to back. All multi-octet numbers have the least significant octet first
//! (Core 5.4, vol. 3 part G, 2.4).

use pitchside_model::Timestamp;

use super::{Context, clock, date, medical};
use crate::error::GattFault;

/// What is left of a value.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// As many octets as are wanted.
    pub fn octets<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], GattFault> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(GattFault::Short(name))?;
        self.0 = rest;
        Ok(*field)
    }

    pub fn u8(&mut self, name: &'static str) -> Result<u8, GattFault> {
        self.octets(name).map(u8::from_le_bytes)
    }

    pub fn i8(&mut self, name: &'static str) -> Result<i8, GattFault> {
        self.octets(name).map(i8::from_le_bytes)
    }

    pub fn u16(&mut self, name: &'static str) -> Result<u16, GattFault> {
        self.octets(name).map(u16::from_le_bytes)
    }

    pub fn i16(&mut self, name: &'static str) -> Result<i16, GattFault> {
        self.octets(name).map(i16::from_le_bytes)
    }

    pub fn u24(&mut self, name: &'static str) -> Result<u32, GattFault> {
        self.octets(name).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    pub fn i24(&mut self, name: &'static str) -> Result<i32, GattFault> {
        // Three octets at the top of four, then shifted down with their sign.
        self.octets(name).map(|[a, b, c]| i32::from_le_bytes([0, a, b, c]) >> 8)
    }

    pub fn u32(&mut self, name: &'static str) -> Result<u32, GattFault> {
        self.octets(name).map(u32::from_le_bytes)
    }

    /// medfloat16.
    pub fn sfloat(&mut self, name: &'static str) -> Result<medical::Number, GattFault> {
        medical::sfloat(self.u16(name)?).map_err(|raw| GattFault::Reserved(name, u32::from(raw)))
    }

    /// medfloat32.
    pub fn float(&mut self, name: &'static str) -> Result<medical::Number, GattFault> {
        match medical::float(self.u32(name)?) {
            Ok(number) => Ok(number),
            Err(medical::FloatFault::Reserved(raw)) => Err(GattFault::Reserved(name, raw)),
            Err(medical::FloatFault::Exponent(exponent)) => Err(GattFault::Range(name, i64::from(exponent))),
        }
    }

    /// When a Date Time (org.bluetooth.characteristic.date_time) was; none if the device does not know it, or has a clock that
    /// nobody can have set.
    pub fn date_time(&mut self, context: &Context<'_>) -> Result<Option<Timestamp>, GattFault> {
        let shown = date::read(self.octets("the time stamp")?)?;
        Ok(shown.and_then(|shown| clock::instant(shown, context)))
    }

    pub const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Nothing may be left, unless `reserved` flags are set: fields that a later version of the service appends are passed
    /// over with their flags («shall ignore those bits and any additional data», e.g. FTMP 1.0.1, 4.4.2).
    pub const fn end(self, reserved: bool) -> Result<(), GattFault> {
        if self.0.is_empty() || reserved { Ok(()) } else { Err(GattFault::Trailing(self.0.len())) }
    }
}
