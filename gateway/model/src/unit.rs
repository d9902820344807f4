//! Units by their UCUM code (Unified Code for Units of Measure, case-sensitive form).

use std::fmt;

/// A unit the box knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit(u8);

/// Position = the number in sealed blocks: append only, never reorder.
const CODES: &[&str] = &[
    "1", "/min", "ms", "s", "Cel", "W", "m/s", "m", "uV", "mV", "%", "g", "deg/s", "kcal", "J", "kJ", "mm[Hg]", "Pa",
    "kPa", "N", "km/h", "deg", "rad/s", "m/s2", "lx", "kg", "mmol/L", "uL", "V", "K", "[degF]", "us", "hPa", "m2",
    "N.m", "W/m2", "Hz", "rad/s2", "/m3",
];

macro_rules! units {
    ($($(#[$doc:meta])* $name:ident = $index:literal;)*) => {
        impl Unit { $($(#[$doc])* pub const $name: Unit = Unit($index);)* }
    };
}
units! {
    /// A plain number.
    ONE = 0;
    /// Per minute.
    PER_MINUTE = 1;
    /// Milliseconds.
    MILLISECOND = 2;
    /// Seconds.
    SECOND = 3;
    /// Degrees Celsius.
    CELSIUS = 4;
    /// Watts.
    WATT = 5;
    /// Metres per second.
    METRE_PER_SECOND = 6;
    /// Metres.
    METRE = 7;
    /// Microvolts.
    MICROVOLT = 8;
    /// Millivolts.
    MILLIVOLT = 9;
    /// Per cent.
    PERCENT = 10;
    /// Kilojoules.
    KILOJOULE = 15;
    /// Millimetres of mercury.
    MILLIMETRE_OF_MERCURY = 16;
    /// Pascals.
    PASCAL = 17;
    /// Kilopascals.
    KILOPASCAL = 18;
    /// Newtons.
    NEWTON = 19;
    /// Degrees of a plane angle.
    DEGREE = 21;
    /// Radians per second.
    RADIAN_PER_SECOND = 22;
    /// Metres per second squared.
    METRE_PER_SECOND_SQUARED = 23;
    /// Degrees Fahrenheit.
    FAHRENHEIT = 30;
    /// Newton metres (torque).
    NEWTON_METRE = 34;
    /// Watts per square metre.
    WATT_PER_SQUARE_METRE = 35;
    /// Hertz: frequencies of a signal; rates of a body are per minute.
    HERTZ = 36;
    /// Radians per second squared.
    RADIAN_PER_SECOND_SQUARED = 37;
    /// Grains, or whatever is counted, in a cubic metre.
    PER_CUBIC_METRE = 38;
}

impl Unit {
    /// The unit of a UCUM code.
    pub fn parse(ucum: &str) -> Option<Self> {
        CODES.iter().position(|code| *code == ucum).and_then(|i| u8::try_from(i).ok()).map(Unit)
    }

    /// The unit of a number in a sealed block.
    pub fn from_code(code: u8) -> Option<Self> {
        (usize::from(code) < CODES.len()).then_some(Unit(code))
    }

    /// The number that stands for it in a sealed block.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The UCUM code.
    pub fn ucum(self) -> &'static str {
        CODES.get(usize::from(self.0)).copied().unwrap_or("1")
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.ucum())
    }
}
impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unit({})", self.ucum())
    }
}
impl serde::Serialize for Unit {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.serialize_str(self.ucum()) } else { s.serialize_u8(self.0) }
    }
}
impl<'de> serde::Deserialize<'de> for Unit {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            let code = u8::deserialize(d)?;
            return Self::from_code(code).ok_or_else(|| serde::de::Error::custom(format_args!("unknown unit {code}")));
        }
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format_args!("unknown unit {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_units_are_where_the_table_has_them() {
        for (unit, code) in [
            (Unit::PER_MINUTE, "/min"),
            (Unit::CELSIUS, "Cel"),
            (Unit::MICROVOLT, "uV"),
            (Unit::PERCENT, "%"),
            (Unit::METRE_PER_SECOND_SQUARED, "m/s2"),
            (Unit::KILOJOULE, "kJ"),
            (Unit::MILLIMETRE_OF_MERCURY, "mm[Hg]"),
            (Unit::PASCAL, "Pa"),
            (Unit::KILOPASCAL, "kPa"),
            (Unit::NEWTON, "N"),
            (Unit::DEGREE, "deg"),
            (Unit::FAHRENHEIT, "[degF]"),
            (Unit::NEWTON_METRE, "N.m"),
            (Unit::WATT_PER_SQUARE_METRE, "W/m2"),
            (Unit::HERTZ, "Hz"),
            (Unit::PER_CUBIC_METRE, "/m3"),
        ] {
            assert_eq!(unit.ucum(), code);
            assert_eq!(Unit::parse(code), Some(unit));
        }
        assert_eq!(Unit::parse("bpm"), None);
    }
}
