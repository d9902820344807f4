//! The profiles of Bluetooth SIG: the raw value of one characteristic to readings, to the letter of its service and of the
//! GATT Specification Supplement. No Bluetooth stack, no clock: [`decode`] is a function of the state it is given, the bytes
//! and the time.
//!
//! | module | holds |
//! | --- | --- |
//! | [`heart`] | Heart Rate Measurement |
//! | [`thermometer`] | Temperature Measurement, Intermediate Temperature |
//! | [`pressure`] | Blood Pressure Measurement, Intermediate Cuff Pressure |
//! | [`oximeter`] | PLX Spot-check and Continuous Measurement |
//! | [`cycling`], [`power`], [`running`] | CSC, Cycling Power and RSC Measurement |
//! | [`feature`] | Blood Pressure Feature, RSC Feature: what a device looks for |
//! | [`counter`] | cumulative counts to rates |
//! | [`scalar`] | Environmental Sensing, Battery Level |
//! | [`fact`] | Device Information, Body Sensor Location, Temperature Type |
//! | [`rounded`] | units of the device that have no finite factor into ours |
//! | [`medical`], [`date`], [`fields`], [`sheet`] | SFLOAT and FLOAT, Date Time, octets in, readings out |
//! | [`clock`] | what a device's clock keeps, and when that was |
//! | [`devices`] | the states of all devices |
//!
//! Flags reserved for future use are ignored, with whatever they append; values reserved for future use are refused. Every
//! current service says so in its section «Reserved for Future Use»: «Any device receiving or interpreting the structure shall
//! ignore that field; in particular, it shall not reject the structure because of the value of the field», but of values: «A
//! device receiving an object with such a value should reject it, and any data structure containing it, as being erroneous».

use pitchside_model::{LinkId, Quantity, Reading, Timestamp};

use crate::error::GattFault;
use crate::tolerance::Tolerances;

pub mod clock;
mod counter;
mod cycling;
pub mod date;
pub mod devices;
pub mod fact;
mod feature;
mod fields;
mod heart;
pub mod medical;
mod oximeter;
mod power;
mod pressure;
mod rounded;
mod running;
mod scalar;
mod sheet;
mod thermometer;

pub use clock::Zone;
pub use devices::Devices;
pub use fact::{Fact, FactKind};

/// The longest attribute value (Core 5.4, vol. 3 part F, 3.2.9).
pub const VALUE_BYTES_MAX: usize = 512;

/// What a value is read by, beside its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// When it arrived.
    pub now: Timestamp,
    /// How far the device's clock may be off.
    pub tolerances: Tolerances,
    /// Over which link. Counters do not outlive it: behind a new one the sensor may have restarted.
    pub link: LinkId,
    /// Whose time the device's clock keeps, unless it was set on this link or seen to keep UTC: Date Time has no zone.
    pub zone: &'a dyn Zone,
    /// Circumference of the wheel, if the device has one and it is known. No profile tells.
    pub wheel_mm: Option<u16>,
}

/// What has to be known of a device's earlier values to read its next one: a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    link: Option<LinkId>,
    motion: cycling::Motion,
    site: Option<thermometer::Site>,
    features: feature::Features,
    /// The link on which its clock was seen to keep UTC.
    utc: Option<LinkId>,
}

/// What a value says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// What was measured.
    pub readings: Vec<Reading>,
    /// What the device says of itself.
    pub fact: Option<Fact>,
}

/// Reads the value of a characteristic, named by its 16-bit UUID. The state changes only if the value is accepted.
pub fn decode(
    state: &mut State,
    characteristic: u16,
    bytes: &[u8],
    context: &Context<'_>,
) -> Result<Decoded, GattFault> {
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(GattFault::TooLong(bytes.len()));
    }
    let mut next = *state;
    if next.link != Some(context.link) {
        next.motion = cycling::Motion::default();
    }
    let keeps_utc = next.utc == Some(context.link);
    let context = &Context { zone: if keeps_utc { &clock::Utc } else { context.zone }, ..*context };
    let readings = match characteristic {
        clock::DATE_TIME | clock::CURRENT_TIME => {
            next.utc = clock::shows_utc(characteristic, bytes, context)?.then_some(context.link);
            Vec::new()
        }
        0x2a37 => heart::measurement(bytes, context)?,
        0x2a1c => thermometer::measurement(bytes, true, next.site, context)?,
        0x2a1e => thermometer::measurement(bytes, false, next.site, context)?,
        0x2a35 => pressure::measurement(bytes, true, next.features, context)?,
        0x2a36 => pressure::measurement(bytes, false, next.features, context)?,
        0x2a5e => oximeter::spot_check(bytes, context)?,
        0x2a5f => oximeter::continuous(bytes, context)?,
        0x2a5b => cycling::measurement(bytes, &mut next.motion, context)?,
        0x2a63 => power::measurement(bytes, &mut next.motion, context)?,
        0x2a53 => running::measurement(bytes, next.features, context)?,
        feature::BLOOD_PRESSURE => {
            next.features = next.features.of_cuff(bytes)?;
            Vec::new()
        }
        feature::RUNNING => {
            next.features = next.features.of_foot_pod(bytes)?;
            Vec::new()
        }
        other => match (FactKind::of(other), scalar::Scalar::find(other)) {
            (Some(kind), _) => {
                if kind == FactKind::TemperatureSite {
                    next.site = Some(fact::site(bytes)?);
                }
                let fact = fact::read(kind, bytes)?;
                *state = next;
                return Ok(Decoded { readings: Vec::new(), fact: Some(fact) });
            }
            (None, Some(scalar)) => scalar.read(bytes, context)?,
            (None, None) => return Err(GattFault::UnknownCharacteristic),
        },
    };
    if next.motion != cycling::Motion::default() {
        next.link = Some(context.link);
    }
    *state = next;
    Ok(Decoded { readings, fact: None })
}

/// What the structures tell; a scalar tells what its row says.
const TOLD: [Quantity; 41] = [
    Quantity::BODY_TEMPERATURE,
    Quantity::BOTTOM_DEAD_SPOT,
    Quantity::CADENCE,
    Quantity::CORE_TEMPERATURE,
    Quantity::CRANK_TORQUE,
    Quantity::CUFF_PRESSURE,
    Quantity::DIASTOLIC_PRESSURE,
    Quantity::DISTANCE,
    Quantity::ENERGY_EXPENDED,
    Quantity::FORCE_MAX,
    Quantity::FORCE_MAX_ANGLE,
    Quantity::FORCE_MIN,
    Quantity::FORCE_MIN_ANGLE,
    Quantity::HEART_RATE,
    Quantity::INTERMEDIATE_TEMPERATURE,
    Quantity::IRREGULAR_PULSE,
    Quantity::MEAN_ARTERIAL_PRESSURE,
    Quantity::OXYGEN_SATURATION,
    Quantity::OXYGEN_SATURATION_FAST,
    Quantity::OXYGEN_SATURATION_SLOW,
    Quantity::PEDAL_BALANCE,
    Quantity::PEDAL_BALANCE_LEFT,
    Quantity::POWER,
    Quantity::PULSE_AMPLITUDE_INDEX,
    Quantity::PULSE_RATE,
    Quantity::PULSE_RATE_FAST,
    Quantity::PULSE_RATE_SLOW,
    Quantity::RR_INTERVAL,
    Quantity::RUNNING,
    Quantity::SKIN_CONTACT,
    Quantity::SKIN_TEMPERATURE,
    Quantity::SPEED,
    Quantity::STRIDE_LENGTH,
    Quantity::SYSTOLIC_PRESSURE,
    Quantity::TOP_DEAD_SPOT,
    Quantity::TORQUE_MAX,
    Quantity::TORQUE_MIN,
    Quantity::USER_INDEX,
    Quantity::WHEEL_RATE,
    Quantity::WHEEL_TORQUE,
    Quantity::WORK,
];

/// Whether a device of a standard profile may tell this quantity.
pub fn tells(quantity: Quantity) -> bool {
    TOLD.contains(&quantity) || scalar::SCALARS.iter().any(|scalar| scalar.quantity == quantity)
}

/// Whether [`decode`] reads this characteristic.
pub fn is_known(characteristic: u16) -> bool {
    const STRUCTURES: [u16; 10] = [0x2a37, 0x2a1c, 0x2a1e, 0x2a35, 0x2a36, 0x2a5e, 0x2a5f, 0x2a5b, 0x2a63, 0x2a53];
    STRUCTURES.contains(&characteristic)
        || matches!(characteristic, clock::DATE_TIME | clock::CURRENT_TIME)
        || matches!(characteristic, feature::BLOOD_PRESSURE | feature::RUNNING)
        || FactKind::of(characteristic).is_some()
        || scalar::Scalar::find(characteristic).is_some()
}

#[cfg(test)]
mod tests;
