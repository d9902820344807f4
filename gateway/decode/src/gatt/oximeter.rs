//! PLX Spot-check Measurement, 2A5E, and PLX Continuous Measurement, 2A5F (PLXS 1.0.1, 3.1 and 3.2).

use pitchside_model::{GapReason, Quantity, Reading, Timestamp};

use super::Context;
use super::fields::Fields;
use super::medical::Number;
use super::sheet::Sheet;
use crate::error::GattFault;

/// Measurement Status (PLXS 1.0.1, 3.1.1.5): 16 bits, the lowest five reserved.
mod measurement {
    pub const EARLY_ESTIMATE: u16 = 1 << 6;
    pub const FROM_STORAGE: u16 = 1 << 9;
    pub const DEMONSTRATION: u16 = 1 << 10;
    pub const TESTING: u16 = 1 << 11;
    pub const CALIBRATING: u16 = 1 << 12;
    pub const UNAVAILABLE: u16 = 1 << 13;
    pub const QUESTIONABLE: u16 = 1 << 14;
    pub const INVALID: u16 = 1 << 15;
}

/// Device and Sensor Status (PLXS 1.0.1, 3.1.1.6): 24 bits, the highest eight reserved.
mod sensor {
    pub const MALFUNCTION: u32 = 1 << 1 | 1 << 14;
    /// Irregular processing, inadequate or poor or erratic signal, low perfusion, questionable pulse, interference, displaced.
    pub const DOUBTS: u32 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 13;
    /// No pulse in the signal, or an unknown sensor.
    pub const NO_VALUE: u32 = 1 << 7 | 1 << 12;
    pub const OFF: u32 = 1 << 11 | 1 << 15;
}

/// What the device says of its own measurement.
#[derive(Debug, Clone, Copy, Default)]
struct Status {
    measurement: u16,
    sensor: u32,
}

impl Status {
    fn read(fields: &mut Fields<'_>, measurement: bool, sensor: bool) -> Result<Self, GattFault> {
        Ok(Self {
            measurement: if measurement { fields.u16("the measurement status")? } else { 0 },
            sensor: if sensor { fields.u24("the device and sensor status")? } else { 0 },
        })
    }

    const fn stored(self) -> bool {
        self.measurement & measurement::FROM_STORAGE != 0
    }

    /// A demonstration must never look like a patient.
    const fn check(self) -> Result<(), GattFault> {
        if self.measurement & measurement::DEMONSTRATION != 0 {
            return Err(GattFault::NotMeasured("demonstration"));
        }
        if self.measurement & measurement::TESTING != 0 {
            return Err(GattFault::NotMeasured("testing"));
        }
        Ok(())
    }

    /// Why the values that stand there are none.
    const fn gap(self) -> Option<GapReason> {
        let none = measurement::UNAVAILABLE | measurement::INVALID | measurement::CALIBRATING;
        if self.sensor & sensor::OFF != 0 {
            Some(GapReason::ContactLost)
        } else if self.measurement & none != 0 || self.sensor & (sensor::NO_VALUE | sensor::MALFUNCTION) != 0 {
            Some(GapReason::Invalid)
        } else {
            None
        }
    }

    const fn doubtful(self) -> bool {
        self.measurement & (measurement::EARLY_ESTIMATE | measurement::QUESTIONABLE) != 0
            || self.sensor & sensor::DOUBTS != 0
    }
}

/// Reads a spot check.
pub fn spot_check(bytes: &[u8], context: &Context<'_>) -> Result<Vec<Reading>, GattFault> {
    let mut fields = Fields::new(bytes);
    let flags = fields.u8("the flags")?;
    let pair = pair(&mut fields)?;
    let time = if flags & 1 == 0 { None } else { fields.date_time(context)? };
    let status = Status::read(&mut fields, flags & 1 << 1 != 0, flags & 1 << 2 != 0)?;
    let amplitude = if flags & 1 << 3 == 0 { None } else { Some(fields.sfloat("the pulse amplitude index")?) };
    fields.end(flags & 0xe0 != 0)?;
    // A clock that was never set counts from anywhere.
    let time = time.filter(|_| flags & 1 << 4 == 0);
    sheet(&[(Quantity::OXYGEN_SATURATION, Quantity::PULSE_RATE, pair)], amplitude, status, time, context)
}

/// Reads one of a continuous series.
pub fn continuous(bytes: &[u8], context: &Context<'_>) -> Result<Vec<Reading>, GattFault> {
    let mut fields = Fields::new(bytes);
    let flags = fields.u8("the flags")?;
    let mut pairs = vec![(Quantity::OXYGEN_SATURATION, Quantity::PULSE_RATE, pair(&mut fields)?)];
    if flags & 1 != 0 {
        pairs.push((Quantity::OXYGEN_SATURATION_FAST, Quantity::PULSE_RATE_FAST, pair(&mut fields)?));
    }
    if flags & 1 << 1 != 0 {
        pairs.push((Quantity::OXYGEN_SATURATION_SLOW, Quantity::PULSE_RATE_SLOW, pair(&mut fields)?));
    }
    let status = Status::read(&mut fields, flags & 1 << 2 != 0, flags & 1 << 3 != 0)?;
    let amplitude = if flags & 1 << 4 == 0 { None } else { Some(fields.sfloat("the pulse amplitude index")?) };
    fields.end(flags & 0xe0 != 0)?;
    sheet(&pairs, amplitude, status, None, context)
}

fn pair(fields: &mut Fields<'_>) -> Result<(Number, Number), GattFault> {
    Ok((fields.sfloat("the oxygen saturation")?, fields.sfloat("the pulse rate")?))
}

fn sheet(
    pairs: &[(Quantity, Quantity, (Number, Number))],
    amplitude: Option<Number>,
    status: Status,
    time: Option<Timestamp>,
    context: &Context<'_>,
) -> Result<Vec<Reading>, GattFault> {
    status.check()?;
    if status.stored() && time.is_none() {
        // Dated to its arrival, yesterday's saturation would look like today's; so would one by a clock that was never set.
        return Err(GattFault::Undated);
    }
    let mut sheet = Sheet::dated(context, time)?;
    if status.doubtful() {
        sheet.doubt();
    }
    let gap = status.gap();
    let mut put = |quantity: Quantity, value: Number| match gap {
        Some(reason) => sheet.gap(quantity, reason),
        None => sheet.medical(quantity, value),
    };
    for (saturation, rate, values) in pairs {
        put(*saturation, values.0);
        put(*rate, values.1);
    }
    if let Some(value) = amplitude {
        put(Quantity::PULSE_AMPLITUDE_INDEX, value);
    }
    Ok(sheet.readings())
}
