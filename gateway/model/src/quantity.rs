//! What can be measured: name, canonical unit and the range outside which a value is a fault of the sensor.

use std::fmt;

use crate::unit::Unit;

/// One measurable thing. The number is stable: it stands in sealed blocks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(u16);

struct Row {
    name: &'static str,
    unit: Unit,
    low: i64,
    high: i64,
}

macro_rules! quantities {
    ($($konst:ident $name:literal $unit:literal $low:literal $high:literal;)*) => {
        const ROWS: &[Row] = &[$(Row { name: $name, unit: unit($unit), low: $low, high: $high }),*];
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, dead_code)]
        #[repr(u16)]
        enum Index { $($konst),* }
        impl Quantity {
            $(#[doc = concat!("`", $name, "`")] pub const $konst: Quantity = Quantity(Index::$konst as u16);)*
        }
    };
}

const fn unit(code: u8) -> Unit {
    match code {
        1 => Unit::PER_MINUTE,
        2 => Unit::MILLISECOND,
        3 => Unit::SECOND,
        4 => Unit::CELSIUS,
        5 => Unit::WATT,
        6 => Unit::METRE_PER_SECOND,
        7 => Unit::METRE,
        8 => Unit::MICROVOLT,
        10 => Unit::PERCENT,
        15 => Unit::KILOJOULE,
        16 => Unit::MILLIMETRE_OF_MERCURY,
        17 => Unit::PASCAL,
        19 => Unit::NEWTON,
        21 => Unit::DEGREE,
        22 => Unit::RADIAN_PER_SECOND,
        23 => Unit::METRE_PER_SECOND_SQUARED,
        34 => Unit::NEWTON_METRE,
        35 => Unit::WATT_PER_SQUARE_METRE,
        36 => Unit::HERTZ,
        37 => Unit::RADIAN_PER_SECOND_SQUARED,
        38 => Unit::PER_CUBIC_METRE,
        _ => Unit::ONE,
    }
}

// constant, name, unit (number in `unit`), plausible range in that unit. Append only, never reorder.
// A heart rate of 0 is a sensor that found no pulse: it says nothing of a heart.
quantities! {
    HEART_RATE "heart_rate" 1 1 300;
    RR_INTERVAL "rr_interval" 2 0 10000;
    CORE_TEMPERATURE "core_temperature" 4 20 50;
    SKIN_TEMPERATURE "skin_temperature" 4 0 60;
    AMBIENT_TEMPERATURE "ambient_temperature" 4 -60 80;
    RELATIVE_HUMIDITY "relative_humidity" 10 0 100;
    POWER "power" 5 -500 4000;
    CADENCE "cadence" 1 0 300;
    SPEED "speed" 6 0 60;
    DISTANCE "distance" 7 0 10000000;
    ALTITUDE "altitude" 7 -500 9000;
    ECG "ecg" 8 -1000000 1000000;
    EMG "emg" 8 -1000000 1000000;
    OXYGEN_SATURATION "oxygen_saturation" 10 0 100;
    RESPIRATORY_RATE "respiratory_rate" 1 0 120;
    BATTERY "battery" 10 0 100;
    SKIN_CONTACT "skin_contact" 0 0 1;
    CLOCK_OFFSET "clock_offset" 2 -9000000000000000 9000000000000000;
    ACCELERATION_X "acceleration_x" 23 -4000 4000;
    ACCELERATION_Y "acceleration_y" 23 -4000 4000;
    ACCELERATION_Z "acceleration_z" 23 -4000 4000;
    HEALTH "health" 0 0 1000000;
    ENERGY_EXPENDED "energy_expended" 15 0 100000;
    BODY_TEMPERATURE "body_temperature" 4 20 50;
    INTERMEDIATE_TEMPERATURE "intermediate_temperature" 4 0 60;
    SYSTOLIC_PRESSURE "systolic_pressure" 16 20 300;
    DIASTOLIC_PRESSURE "diastolic_pressure" 16 10 250;
    MEAN_ARTERIAL_PRESSURE "mean_arterial_pressure" 16 10 280;
    CUFF_PRESSURE "cuff_pressure" 16 0 350;
    PULSE_RATE "pulse_rate" 1 0 300;
    IRREGULAR_PULSE "irregular_pulse" 0 0 1;
    USER_INDEX "user_index" 0 0 254;
    OXYGEN_SATURATION_FAST "oxygen_saturation_fast" 10 0 100;
    OXYGEN_SATURATION_SLOW "oxygen_saturation_slow" 10 0 100;
    PULSE_RATE_FAST "pulse_rate_fast" 1 0 300;
    PULSE_RATE_SLOW "pulse_rate_slow" 1 0 300;
    PULSE_AMPLITUDE_INDEX "pulse_amplitude_index" 10 0 100;
    WHEEL_RATE "wheel_rate" 1 0 2000;
    PEDAL_BALANCE "pedal_balance" 10 0 100;
    PEDAL_BALANCE_LEFT "pedal_balance_left" 10 0 100;
    WHEEL_TORQUE "wheel_torque" 34 -500 1000;
    CRANK_TORQUE "crank_torque" 34 -500 1000;
    FORCE_MAX "force_max" 19 -5000 5000;
    FORCE_MIN "force_min" 19 -5000 5000;
    TORQUE_MAX "torque_max" 34 -1000 1000;
    TORQUE_MIN "torque_min" 34 -1000 1000;
    FORCE_MAX_ANGLE "force_max_angle" 21 0 359;
    FORCE_MIN_ANGLE "force_min_angle" 21 0 359;
    TOP_DEAD_SPOT "top_dead_spot" 21 0 359;
    BOTTOM_DEAD_SPOT "bottom_dead_spot" 21 0 359;
    WORK "work" 15 0 65535;
    STRIDE_LENGTH "stride_length" 7 0 5;
    RUNNING "running" 0 0 1;
    AIR_PRESSURE "air_pressure" 17 30000 110000;
    WIND_SPEED "wind_speed" 6 0 120;
    APPARENT_WIND_SPEED "apparent_wind_speed" 6 0 120;
    IRRADIANCE "irradiance" 35 0 2000;
    UV_INDEX "uv_index" 0 0 20;
    HEAT_INDEX "heat_index" 4 -60 100;
    DEW_POINT "dew_point" 4 -90 60;
    WIND_CHILL "wind_chill" 4 -100 60;
    GLOBE_TEMPERATURE "globe_temperature" 4 -60 120;
    RMSSD "rmssd" 2 0 1000;
    SDNN "sdnn" 2 0 1000;
    HEART_RATE_RECOVERY "heart_rate_recovery" 1 -100 200;
    WBGT "wbgt" 4 -30 80;
    WBGT_SIMPLIFIED "wbgt_simplified" 4 -30 80;
    TRAINING_LOAD "training_load" 0 0 10000;
    WORKLOAD_RATIO "workload_ratio" 0 0 100;
    WORKLOAD_RATIO_EWMA "workload_ratio_ewma" 0 0 100;
    EMG_MEDIAN_FREQUENCY "emg_median_frequency" 36 0 2000;
    IMPACT_PEAK "impact_peak" 23 0 7000;
    GROUND_REACTION_FORCE "ground_reaction_force" 19 -20000 20000;
    CENTRE_OF_PRESSURE_X "centre_of_pressure_x" 7 -2 2;
    CENTRE_OF_PRESSURE_Y "centre_of_pressure_y" 7 -2 2;
    LATITUDE "latitude" 21 -90 90;
    LONGITUDE "longitude" 21 -180 180;
    HEADING "heading" 21 0 360;
    SATELLITES "satellites" 0 0 64;
    HEAD_LINEAR_ACCELERATION "head_linear_acceleration" 23 0 5000;
    HEAD_ANGULAR_VELOCITY "head_angular_velocity" 22 0 200;
    HEAD_ANGULAR_ACCELERATION "head_angular_acceleration" 37 0 50000;
    WIND_DIRECTION "wind_direction" 21 0 360;
    APPARENT_WIND_DIRECTION "apparent_wind_direction" 21 0 360;
    GUST_FACTOR "gust_factor" 0 0 10;
    RAINFALL "rainfall" 7 0 5;
    POLLEN_CONCENTRATION "pollen_concentration" 38 0 100000;
}

impl Quantity {
    /// Whether it is the state of a sensor, told when it changes, and not a value measured again and again.
    pub const fn is_state(self) -> bool {
        matches!(self, Self::SKIN_CONTACT | Self::BATTERY | Self::HEALTH | Self::CLOCK_OFFSET)
    }

    /// Whether it is measured when somebody asks for it, as a cuff does, or told when it happens, as a blow to the head is, and not on
    /// and on: nothing is missing between two of them.
    pub const fn is_spot(self) -> bool {
        matches!(
            self,
            Self::SYSTOLIC_PRESSURE
                | Self::DIASTOLIC_PRESSURE
                | Self::MEAN_ARTERIAL_PRESSURE
                | Self::CUFF_PRESSURE
                | Self::IRREGULAR_PULSE
                | Self::USER_INDEX
                | Self::HEAD_LINEAR_ACCELERATION
                | Self::HEAD_ANGULAR_ACCELERATION
                | Self::HEAD_ANGULAR_VELOCITY
        )
    }

    /// Whether only the gateway itself records it. What a device sends of it is refused.
    pub const fn is_gateways_own(self) -> bool {
        matches!(self, Self::CLOCK_OFFSET | Self::HEALTH)
    }

    /// The quantity of a name such as `heart_rate`.
    pub fn parse(name: &str) -> Option<Self> {
        ROWS.iter().position(|row| row.name == name).and_then(|i| u16::try_from(i).ok()).map(Quantity)
    }

    /// The quantity of a number in a sealed block.
    pub fn from_code(code: u16) -> Option<Self> {
        (usize::from(code) < ROWS.len()).then_some(Quantity(code))
    }

    /// The number that stands for it in a sealed block.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Every known quantity.
    pub fn all() -> impl Iterator<Item = Quantity> {
        (0..ROWS.len()).filter_map(|i| u16::try_from(i).ok()).map(Quantity)
    }

    fn row(self) -> &'static Row {
        // The only constructors are the constants, `parse` and `from_code`, all within the table.
        &ROWS[usize::from(self.0)]
    }

    /// The name, e.g. `heart_rate`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The one unit readings of this quantity are stored in. Decoders convert or refuse.
    pub fn unit(self) -> Unit {
        self.row().unit
    }

    /// Lowest and highest plausible value, inclusive, in [`Quantity::unit`].
    pub fn plausible(self) -> (i64, i64) {
        (self.row().low, self.row().high)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantity({})", self.name())
    }
}
impl serde::Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.serialize_str(self.name()) } else { s.serialize_u16(self.0) }
    }
}
impl<'de> serde::Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            let code = u16::deserialize(d)?;
            return Self::from_code(code)
                .ok_or_else(|| serde::de::Error::custom(format_args!("unknown quantity {code}")));
        }
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format_args!("unknown quantity {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantity_reads_back_by_name_and_number() {
        for quantity in Quantity::all() {
            assert_eq!(Quantity::parse(quantity.name()), Some(quantity));
            assert_eq!(Quantity::from_code(quantity.code()), Some(quantity));
            assert!(quantity.plausible().0 < quantity.plausible().1);
        }
        assert_eq!(Quantity::HEART_RATE.unit().ucum(), "/min");
        assert_eq!(Quantity::ECG.unit().ucum(), "uV");
        assert_eq!(Quantity::SYSTOLIC_PRESSURE.unit().ucum(), "mm[Hg]");
        assert_eq!(Quantity::CRANK_TORQUE.unit().ucum(), "N.m");
        assert_eq!(Quantity::IRRADIANCE.unit().ucum(), "W/m2");
        assert_eq!(Quantity::HEAD_ANGULAR_VELOCITY.unit().ucum(), "rad/s");
        assert_eq!(Quantity::HEAD_ANGULAR_ACCELERATION.unit().ucum(), "rad/s2");
        assert_eq!(Quantity::POLLEN_CONCENTRATION.unit().ucum(), "/m3");
    }

    #[test]
    fn the_numbers_in_sealed_blocks_never_move() {
        for (quantity, code) in [
            (Quantity::HEART_RATE, 0),
            (Quantity::HEALTH, 21),
            (Quantity::ENERGY_EXPENDED, 22),
            (Quantity::PULSE_AMPLITUDE_INDEX, 36),
            (Quantity::WORK, 50),
            (Quantity::WIND_CHILL, 60),
            (Quantity::IMPACT_PEAK, 71),
            (Quantity::HEAD_ANGULAR_ACCELERATION, 81),
            (Quantity::POLLEN_CONCENTRATION, 86),
        ] {
            assert_eq!(quantity.code(), code, "{quantity}");
        }
    }
}
