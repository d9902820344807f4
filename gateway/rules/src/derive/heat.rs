//! Heat stress: wet-bulb globe temperature. Formulas `wbgt-iso7243-stull-1` and `wbgt-abm-1`.
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
//! Told at each ambient temperature, with humidity (and globe) not older than ten minutes; flags of all are passed on.

use pitchside_model::Quality;
use serde::{Deserialize, Serialize};

use super::{Content, Given, Told, arith, since};

const FRESH: i64 = 600_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Newest {
    time: i64,
    value: f64,
    quality: Quality,
}

/// The newest humidity and globe temperature.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    other: [Option<Newest>; 2],
}

impl State {
    pub fn take(&mut self, given: &Given<'_>, told: &mut Vec<Told>) {
        let Content::Number(steps) = given.content else { return };
        let (time, value) = (given.time, steps as f64 / 1e6);
        if let Some(other) = given.input.checked_sub(1).and_then(|of| self.other.get_mut(of)) {
            *other = Some(Newest { time, value, quality: given.quality });
            return;
        }
        let [humidity, globe] = self.other.map(|other| other.filter(|other| since(time, other.time) <= FRESH));
        let Some(humidity) = humidity else { return };
        let quality = given.quality | humidity.quality;
        let mut tell = |output, value: Option<f64>, quality| {
            let value = value.and_then(|value| arith::decimal(value, 1));
            told.extend(value.map(|value| Told { output, time, value, quality }));
        };
        if let Some(globe) = globe {
            tell(0, with_globe(value, humidity.value, globe.value), quality | globe.quality);
        }
        tell(1, simplified(value, humidity.value), quality);
    }

    pub fn gap(&mut self, input: usize) {
        if let Some(other) = input.checked_sub(1).and_then(|of| self.other.get_mut(of)) {
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
