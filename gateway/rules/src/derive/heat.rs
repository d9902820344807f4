//! Heat stress: wet-bulb globe temperature. Formulas `wbgt-iso7243-stull-2` and `wbgt-abm-2`.
//!
//! `wbgt` follows ISO 7243:2017, with solar load: 0.7 t_nw + 0.2 t_g + 0.1 t_a. The globe temperature t_g is measured. The
//! natural wet-bulb temperature t_nw is not: in its place stands the psychrometric one of Stull, "Wet-bulb temperature from
//! relative humidity and air temperature", Journal of Applied Meteorology and Climatology 50, 2011, 2267-2269 (5 to 99 % and
//! -20 to 50 Cel, within 1 Cel; told nowhere else). In strong sun and little wind the natural one is higher by a degree or
//! more: the result is then too low by 0.7 of that.
//!
//! `wbgt_simplified` needs no globe: 0.567 t_a + 0.393 e + 3.94, e = RH / 100 * 6.105 exp(17.27 t_a / (237.7 + t_a)) in hPa
//! (Australian Bureau of Meteorology, "Thermal comfort observations", after the American College of Sports Medicine,
//! "Prevention of thermal injuries during distance running", 1984). It supposes moderately strong sun and a light wind:
//! it is too high at night, under cloud and in wind, too low in full sun without wind.
//!
//! Told for each ambient temperature, at its time, with humidity (and globe) not more than sixteen minutes older: stations speak up to
//! once in a quarter of an hour, which is as long as rules about heat wait. Some tell the temperature first and the rest after it, with
//! the same time. So what carried the time of one of the last two temperatures is waited for, and if it does not come, the next
//! temperature tells that of before with what there was. Flags of all are passed on. (`-1` told at the temperature at once, with
//! humidity not older than ten minutes.)

use pitchside_model::Quality;
use serde::{Deserialize, Serialize};

use super::{Content, Given, Told, arith, since};

/// A quarter of an hour, and a little for clocks that are not exact.
pub(super) const FRESH: i64 = 960_000_000;
/// For how many temperatures without it one waits on for what came with a temperature.
const AWAITED: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Newest {
    time: i64,
    value: f64,
    quality: Quality,
}

/// The newest air temperature, humidity and globe temperature.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    air: Option<Newest>,
    /// Humidity and globe temperature.
    other: [Option<Newest>; 2],
    /// Whether each of them carried the time of the air temperature.
    came: [bool; 2],
    /// For how many air temperatures each is still waited for.
    awaited: [u8; 2],
    /// Which outputs were told of the air temperature.
    told: [bool; 2],
}

impl State {
    pub fn take(&mut self, given: &Given<'_>, told: &mut Vec<Told>) {
        let Content::Number(steps) = given.content else { return };
        let newest = Newest { time: given.time, value: steps as f64 / 1e6, quality: given.quality };
        match given.input.checked_sub(1) {
            None => self.air(newest, told),
            Some(of) => self.other(of, newest, told),
        }
    }

    fn air(&mut self, air: Newest, told: &mut Vec<Told>) {
        // What was waited for did not come.
        if self.air.is_some_and(|before| since(air.time, before.time) <= FRESH) {
            self.tell(false, told);
        }
        self.leave();
        self.came = self.other.map(|other| other.is_some_and(|other| other.time == air.time));
        (self.air, self.told) = (Some(air), [false; 2]);
        self.tell(true, told);
    }

    fn other(&mut self, of: usize, newest: Newest, told: &mut Vec<Told>) {
        let in_vain = self.awaited.get(of).is_some_and(|awaited| *awaited > 0) && self.came.get(of) == Some(&false);
        // What was waited for did not come with it; what there was then is about to go.
        if in_vain && self.air.is_some_and(|air| newest.time > air.time && since(newest.time, air.time) <= FRESH) {
            self.tell(false, told);
        }
        let Some(other) = self.other.get_mut(of) else { return };
        *other = Some(newest);
        if self.air.is_some_and(|air| air.time == newest.time) {
            self.came[of] = true;
            self.tell(true, told);
        }
    }

    /// The air temperature is one of before, or none: what came with it is waited for with the next ones.
    fn leave(&mut self) {
        if self.air.take().is_some() {
            for (awaited, came) in self.awaited.iter_mut().zip(self.came) {
                *awaited = if came { AWAITED } else { awaited.saturating_sub(1) };
            }
        }
    }

    /// What goes with an air temperature of that time: what is waited for if it came, or else what there was then.
    fn beside(&self, of: usize, air: i64, waits: bool) -> Option<Newest> {
        let follows = self.awaited[of] > 0 && !self.came[of];
        let counts = |other: &Newest| if waits { !follows } else { other.time <= air };
        self.other[of].filter(|other| since(air, other.time) <= FRESH && counts(other))
    }

    fn tell(&mut self, waits: bool, told: &mut Vec<Told>) {
        let Some(air) = self.air else { return };
        let Some(humidity) = self.beside(0, air.time, waits) else { return };
        let quality = air.quality | humidity.quality;
        let mut tell = |output, value: Option<f64>, quality| {
            let value = value.and_then(|value| arith::decimal(value, 1));
            told.extend(value.map(|value| Told { output, time: air.time, value, quality }));
        };
        if let Some(globe) = self.beside(1, air.time, waits)
            && !self.told[0]
        {
            self.told[0] = true;
            tell(0, with_globe(air.value, humidity.value, globe.value), quality | globe.quality);
        }
        if !self.told[1] {
            self.told[1] = true;
            tell(1, simplified(air.value, humidity.value), quality);
        }
    }

    pub fn gap(&mut self, input: usize) {
        let Some(of) = input.checked_sub(1) else { return self.leave() };
        if let Some(other) = self.other.get_mut(of) {
            *other = None;
        }
    }
}

/// Stull's wet-bulb temperature, in Cel.
fn wet_bulb(air: f64, humidity: f64) -> Option<f64> {
    let valid = (5.0..=99.0).contains(&humidity) && (-20.0..=50.0).contains(&air);
    let root = humidity * humidity.sqrt();
    valid.then(|| {
        air * arith::atan(0.151_977 * (humidity + 8.313_659).sqrt()) + arith::atan(air + humidity)
            - arith::atan(humidity - 1.676_331)
            + 0.003_918_38 * root * arith::atan(0.023_101 * humidity)
            - 4.686_035
    })
}

fn with_globe(air: f64, humidity: f64, globe: f64) -> Option<f64> {
    Some(0.7 * wet_bulb(air, humidity)? + 0.2 * globe + 0.1 * air)
}

fn simplified(air: f64, humidity: f64) -> Option<f64> {
    let vapour = humidity / 100.0 * 6.105 * arith::exp(17.27 * air / (237.7 + air));
    ((0.0..=100.0).contains(&humidity) && (-20.0..=60.0).contains(&air)).then_some(0.567 * air + 0.393 * vapour + 3.94)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_of_the_wet_bulb() {
        // Stull 2011: 20 Cel and 50 % give 13.7 Cel.
        assert!((wet_bulb(20.0, 50.0).unwrap() - 13.7).abs() < 0.05);
        assert_eq!((wet_bulb(20.0, 4.0), wet_bulb(51.0, 50.0)), (None, None));
    }

    #[test]
    fn both_formulas_by_hand() {
        // 30 Cel, 50 %: e = 0.5 * 6.105 * exp(518.1 / 267.7) = 21.147 hPa; 17.01 + 8.311 + 3.94.
        assert!((simplified(30.0, 50.0).unwrap() - 29.26).abs() < 0.01);
        // 30 Cel, 50 %: wet bulb 22.28 Cel; with a globe at 45 Cel 15.60 + 9 + 3.
        assert!((with_globe(30.0, 50.0, 45.0).unwrap() - 27.60).abs() < 0.03);
        assert_eq!(simplified(61.0, 50.0), None);
    }
}
