//! What decides whether now is a time for firmware: who trains, and how full batteries are. Told by every entry that comes
//! in, asked by the desk and by the box about itself; nothing is kept over a restart but what the journal's last minutes say
//! again.

use std::collections::HashMap;

use parking_lot::Mutex;
use pitchside_model::{AthleteId, DeviceId, Entry, Quantity, Timestamp, Value};
use pitchside_wire::firmware::Battery;

/// An athlete of whom nothing was measured for so long trains no more, in microseconds. A restart recalls as much.
pub const QUIET_US: i64 = 3 * 60 * 1_000_000;
/// With less than this, per cent, no update is begun: writing flash and two starts must not end a battery.
pub const BATTERY_MIN: u8 = 30;

#[derive(Default)]
struct Told {
    measured: HashMap<AthleteId, Timestamp>,
    batteries: HashMap<DeviceId, Battery>,
}

/// The table.
#[derive(Default)]
pub struct Vitals(Mutex<Told>);

impl Vitals {
    /// Takes what an entry tells. Enrolled devices and athletes bound the tables.
    pub fn observe(&self, entry: &Entry) {
        let last = measured_at(entry);
        let battery = entry.readings.iter().rev().find(|reading| reading.quantity == Quantity::BATTERY);
        let percent = battery.and_then(|reading| match reading.value {
            Value::Number(number) => percent(number.mantissa, number.exponent),
            _ => None,
        });
        if last.is_none() && percent.is_none() {
            return;
        }
        let mut told = self.0.lock();
        if let (Some(at), Some(athlete)) = (last, &entry.athlete) {
            // What came last, not what is latest: after a clock ran ahead, nobody trains till the clock is there again.
            match told.measured.get_mut(athlete) {
                Some(before) => *before = at,
                None => drop(told.measured.insert(athlete.clone(), at)),
            }
        }
        if let Some(percent) = percent {
            told.batteries.insert(entry.device.clone(), Battery::Percent(percent));
        }
    }

    /// Takes what an entry from before tells of training alone; what came since stays.
    pub fn recall(&self, entry: &Entry) {
        if let (Some(at), Some(athlete)) = (measured_at(entry), &entry.athlete) {
            let mut told = self.0.lock();
            let last = told.measured.entry(athlete.clone()).or_insert(at);
            *last = at.max(*last);
        }
    }

    /// A device said so itself; that it cannot tell says nothing.
    pub fn battery_said(&self, device: &DeviceId, battery: Battery) {
        if battery != Battery::Unknown {
            self.0.lock().batteries.insert(device.clone(), battery);
        }
    }

    /// Whether something was measured of the athlete of late.
    pub fn trains(&self, athlete: &AthleteId, now: Timestamp) -> bool {
        let last = self.0.lock().measured.get(athlete).copied();
        last.is_some_and(|at| is_within(at, now, QUIET_US))
    }

    /// Whether something was measured of any athlete within so many microseconds. A room's thermometer is worn by nobody.
    pub fn anybody_within(&self, now: Timestamp, us: i64) -> bool {
        self.0.lock().measured.values().any(|at| is_within(*at, now, us))
    }

    /// How much a device has to run on, as far as it was heard.
    pub fn battery(&self, device: &DeviceId) -> Battery {
        self.0.lock().batteries.get(device).copied().unwrap_or(Battery::Unknown)
    }
}

/// When something was last measured in it, by the gateway's clock.
fn measured_at(entry: &Entry) -> Option<Timestamp> {
    let measured =
        |reading: &&pitchside_model::Reading| !reading.quantity.is_state() && !matches!(reading.value, Value::Gap(_));
    entry.readings.iter().filter(measured).map(|reading| reading.gateway_time).max()
}

/// A time ahead is none of late either: the clock was set back since.
const fn is_within(at: Timestamp, now: Timestamp, us: i64) -> bool {
    now.micros_since(at).abs() < us
}

fn percent(mantissa: i64, exponent: i8) -> Option<u8> {
    let power = 10i64.checked_pow(u32::from(exponent.unsigned_abs()))?;
    let whole = if exponent < 0 { mantissa / power } else { mantissa.checked_mul(power)? };
    u8::try_from(whole.clamp(0, 100)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_cent_is_what_it_says_at_any_precision() {
        assert_eq!(
            [percent(55, 0), percent(559, -1), percent(5, 1), percent(300, 0)],
            [Some(55), Some(55), Some(50), Some(100)]
        );
        assert_eq!(percent(i64::MAX, 18), None);
    }
}
