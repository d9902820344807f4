//! Units of SenML and of UCUM, and exact conversion to the one unit a quantity is stored in.
//!
//! Everything a quantity is stored in is a power of ten of its dimension's base, so a conversion is a whole factor, a
//! shift of the exponent and, for temperatures, an offset. What would need a division (km/h, degrees Fahrenheit) is
//! refused: rounding is the sensor's business, not ours. Profiles of Bluetooth alone let the sensor choose such a unit, and
//! have a conversion of their own (`gatt::rounded`).

use pitchside_model::{Decimal, Quantity, Unit};

use crate::number;

/// Why a value can't be stored in its quantity's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitFault {
    /// The unit measures something else.
    Mismatch,
    /// The conversion has no finite decimal.
    Inexact,
    /// The result has too many digits.
    Range,
}

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    /// Ratios and counts; base 1.
    One,
    /// Base 1/min: heart rates and cadences are stored so, and hertz has no finite factor the other way.
    Frequency,
    /// Base s.
    Time,
    /// Base Cel.
    Temperature,
    /// Base W.
    Power,
    /// Base m/s.
    Speed,
    /// Base m.
    Length,
    /// Base V.
    Voltage,
    /// Base m/s2.
    Acceleration,
    /// Base Pa.
    Pressure,
    /// Base J.
    Energy,
    /// Base N.
    Force,
    /// Base N.m.
    Torque,
    /// Base W/m2.
    Irradiance,
    /// Base deg.
    Angle,
    /// Base rad/s.
    Rotation,
    /// Base rad/s2.
    AngularAcceleration,
    /// Base /m3.
    Concentration,
    /// Known, but no quantity of ours is measured in it.
    Other,
}
use Dimension::{
    Acceleration, Angle, AngularAcceleration, Concentration, Energy, Force, Frequency, Irradiance, Length, One, Other,
    Power, Pressure, Rotation, Speed, Temperature, Time, Torque, Voltage,
};

/// `base = value * factor * 10^power + offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    dimension: Dimension,
    /// 0: no exact factor.
    factor: i64,
    power: i8,
    offset: Option<Decimal>,
}

const fn by(dimension: Dimension, factor: i64, power: i8) -> Scale {
    Scale { dimension, factor, power, offset: None }
}
const fn inexact(dimension: Dimension) -> Scale {
    by(dimension, 0, 0)
}
const KELVIN: Scale =
    Scale { dimension: Temperature, factor: 1, power: 0, offset: Some(Decimal { mantissa: -27_315, exponent: -2 }) };

/// Unit names of the SenML registries (RFC 8428, 12.1; RFC 8798): primary, then secondary. Case matters. `%` is a
/// ratio (RFC 8428, 12.1, note 2), not a percentage; `/100` is. Kept in the order of the registries but for the few
/// that sensors send all day, which stand first.
const SENML: &[(&str, Scale)] = &[
    ("beat/min", by(Frequency, 1, 0)),
    ("Cel", by(Temperature, 1, 0)),
    ("s", by(Time, 1, 0)),
    ("W", by(Power, 1, 0)),
    ("1/min", by(Frequency, 1, 0)),
    ("m/s", by(Speed, 1, 0)),
    ("V", by(Voltage, 1, 0)),
    ("m", by(Length, 1, 0)),
    ("kg", inexact(Other)),
    ("g", inexact(Other)),
    ("A", inexact(Other)),
    ("K", KELVIN),
    ("cd", inexact(Other)),
    ("mol", inexact(Other)),
    ("Hz", by(Frequency, 60, 0)),
    ("rad", inexact(Angle)),
    ("sr", inexact(Other)),
    ("N", by(Force, 1, 0)),
    ("Pa", by(Pressure, 1, 0)),
    ("J", by(Energy, 1, 0)),
    ("C", inexact(Other)),
    ("F", inexact(Other)),
    ("Ohm", inexact(Other)),
    ("S", inexact(Other)),
    ("Wb", inexact(Other)),
    ("T", inexact(Other)),
    ("H", inexact(Other)),
    ("lm", inexact(Other)),
    ("lx", inexact(Other)),
    ("Bq", inexact(Other)),
    ("Gy", inexact(Other)),
    ("Sv", inexact(Other)),
    ("kat", inexact(Other)),
    ("m2", inexact(Other)),
    ("m3", inexact(Other)),
    ("l", inexact(Other)),
    ("m/s2", by(Acceleration, 1, 0)),
    ("m3/s", inexact(Other)),
    ("l/s", inexact(Other)),
    ("W/m2", by(Irradiance, 1, 0)),
    ("cd/m2", inexact(Other)),
    ("bit", inexact(Other)),
    ("bit/s", inexact(Other)),
    ("lat", inexact(Other)),
    ("lon", inexact(Other)),
    ("pH", inexact(Other)),
    ("dB", inexact(Other)),
    ("dBW", inexact(Other)),
    ("Bspl", inexact(Other)),
    ("count", by(One, 1, 0)),
    ("/", by(One, 1, 0)),
    ("%", by(One, 1, 0)),
    ("%RH", by(One, 1, -2)),
    ("%EL", by(One, 1, -2)),
    ("EL", by(Time, 1, 0)),
    ("1/s", by(Frequency, 60, 0)),
    ("beats", by(One, 1, 0)),
    ("S/m", inexact(Other)),
    ("B", inexact(Other)),
    ("VA", inexact(Other)),
    ("VAs", inexact(Other)),
    ("var", inexact(Other)),
    ("vars", inexact(Other)),
    ("J/m", inexact(Other)),
    ("kg/m3", inexact(Other)),
    ("deg", by(Angle, 1, 0)),
    // Secondary.
    ("ms", by(Time, 1, -3)),
    ("min", by(Time, 60, 0)),
    ("h", by(Time, 3_600, 0)),
    ("MHz", by(Frequency, 60, 6)),
    ("kW", by(Power, 1, 3)),
    ("kVA", inexact(Other)),
    ("kvar", inexact(Other)),
    ("Ah", inexact(Other)),
    ("Wh", by(Energy, 3_600, 0)),
    ("kWh", by(Energy, 3_600, 3)),
    ("varh", inexact(Other)),
    ("kvarh", inexact(Other)),
    ("kVAh", inexact(Other)),
    ("Wh/km", inexact(Other)),
    ("KiB", inexact(Other)),
    ("GB", inexact(Other)),
    ("Mbit/s", inexact(Other)),
    ("B/s", inexact(Other)),
    ("MB/s", inexact(Other)),
    ("mV", by(Voltage, 1, -3)),
    ("mA", inexact(Other)),
    ("dBm", inexact(Other)),
    ("ug/m3", inexact(Other)),
    ("mm/h", inexact(Speed)),
    ("m/h", inexact(Speed)),
    ("ppm", by(One, 1, -6)),
    ("/100", by(One, 1, -2)),
    ("/1000", by(One, 1, -3)),
    ("hPa", by(Pressure, 1, 2)),
    ("mm", by(Length, 1, -3)),
    ("cm", by(Length, 1, -2)),
    ("km", by(Length, 1, 3)),
    ("km/h", inexact(Speed)),
];

/// The scale of a SenML unit name. None: not in the registries.
pub fn senml(name: &str) -> Option<Scale> {
    SENML.iter().find(|(known, _)| *known == name).map(|(_, scale)| *scale)
}

/// The scale of a UCUM unit.
pub fn ucum(unit: Unit) -> Scale {
    match unit.ucum() {
        "1" => by(One, 1, 0),
        "%" => by(One, 1, -2),
        "/min" => by(Frequency, 1, 0),
        "s" => by(Time, 1, 0),
        "ms" => by(Time, 1, -3),
        "us" => by(Time, 1, -6),
        "Cel" => by(Temperature, 1, 0),
        "K" => KELVIN,
        "[degF]" => inexact(Temperature),
        "W" => by(Power, 1, 0),
        "m/s" => by(Speed, 1, 0),
        "km/h" => inexact(Speed),
        "m" => by(Length, 1, 0),
        "V" => by(Voltage, 1, 0),
        "mV" => by(Voltage, 1, -3),
        "uV" => by(Voltage, 1, -6),
        "m/s2" => by(Acceleration, 1, 0),
        "Pa" => by(Pressure, 1, 0),
        "hPa" => by(Pressure, 1, 2),
        "kPa" => by(Pressure, 1, 3),
        // UCUM: m[Hg] is 133.3220 kPa exactly, so the way back is a division.
        "mm[Hg]" => by(Pressure, 133_322, -3),
        "J" => by(Energy, 1, 0),
        "kJ" => by(Energy, 1, 3),
        // UCUM: the thermochemical calorie, 4.184 J.
        "kcal" => by(Energy, 4_184, 0),
        "N" => by(Force, 1, 0),
        "N.m" => by(Torque, 1, 0),
        "W/m2" => by(Irradiance, 1, 0),
        "deg" => by(Angle, 1, 0),
        "rad/s" => by(Rotation, 1, 0),
        "deg/s" => inexact(Rotation),
        "rad/s2" => by(AngularAcceleration, 1, 0),
        "/m3" => by(Concentration, 1, 0),
        _ => inexact(Other),
    }
}

/// The value in the unit `quantity` is stored in.
pub fn convert(value: Decimal, from: Scale, quantity: Quantity) -> Result<Decimal, UnitFault> {
    let to = ucum(quantity.unit());
    if from == to {
        return Ok(value);
    }
    if from.dimension != to.dimension || from.dimension == Other {
        return Err(UnitFault::Mismatch);
    }
    if from.factor == 0 || to.factor != 1 || to.offset.is_some() {
        return Err(UnitFault::Inexact);
    }
    let mut base = number::scale(value, from.factor, from.power).ok_or(UnitFault::Range)?;
    if let Some(offset) = from.offset {
        base = number::add(base, offset).ok_or(UnitFault::Range)?;
    }
    let there = number::scale(base, 1, -to.power).ok_or(UnitFault::Range)?;
    Ok(number::without_power(there))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(quantity: Quantity, value: &str, unit: &str) -> Result<String, UnitFault> {
        convert(Decimal::parse(value).unwrap(), senml(unit).unwrap(), quantity).map(|d| d.to_string())
    }

    #[test]
    fn units_convert_exactly() {
        assert_eq!(to(Quantity::HEART_RATE, "71.50", "beat/min"), Ok("71.50".into()));
        assert_eq!(to(Quantity::HEART_RATE, "1.2", "Hz"), Ok("72.0".into()));
        assert_eq!(to(Quantity::RR_INTERVAL, "0.812", "s"), Ok("812".into()));
        assert_eq!(to(Quantity::RR_INTERVAL, "0.8", "s"), Ok("800".into()));
        assert_eq!(to(Quantity::RR_INTERVAL, "812.5", "ms"), Ok("812.5".into()));
        assert_eq!(to(Quantity::CORE_TEMPERATURE, "310.15", "K"), Ok("37.00".into()));
        assert_eq!(to(Quantity::ECG, "0.000245", "V"), Ok("245".into()));
        assert_eq!(to(Quantity::RELATIVE_HUMIDITY, "20", "%RH"), Ok("20".into()));
        assert_eq!(to(Quantity::OXYGEN_SATURATION, "0.97", "/"), Ok("97".into()));
        assert_eq!(to(Quantity::OXYGEN_SATURATION, "0.97", "%"), Ok("97".into()));
        assert_eq!(to(Quantity::POWER, "0.250", "kW"), Ok("250".into()));
        assert_eq!(to(Quantity::AIR_PRESSURE, "1013.25", "hPa"), Ok("101325".into()));
        assert_eq!(to(Quantity::WORK, "0.5", "kWh"), Ok("1800.0".into()));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        assert_eq!(to(Quantity::HEART_RATE, "72", "Cel"), Err(UnitFault::Mismatch));
        assert_eq!(to(Quantity::SPEED, "36", "km/h"), Err(UnitFault::Inexact));
        assert_eq!(to(Quantity::CADENCE, "9223372036854775807", "Hz"), Err(UnitFault::Range));
        assert_eq!(to(Quantity::POWER, "1", "kg"), Err(UnitFault::Mismatch));
        assert_eq!(to(Quantity::SYSTOLIC_PRESSURE, "16000", "Pa"), Err(UnitFault::Inexact));
        assert_eq!(senml("bpm"), None);
        assert_eq!(senml("/min"), None);
        assert_eq!(senml("cel"), None);
    }

    #[test]
    fn every_quantity_takes_its_own_unit_and_no_name_stands_twice() {
        for quantity in Quantity::all() {
            let value = Decimal { mantissa: 12_345, exponent: -3 };
            assert_eq!(convert(value, ucum(quantity.unit()), quantity), Ok(value), "{quantity}");
        }
        for (i, (name, _)) in SENML.iter().enumerate() {
            assert!(SENML.iter().skip(i + 1).all(|(other, _)| other != name), "{name}");
        }
    }
}
