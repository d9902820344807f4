//! Muscle fatigue: the median frequency of the surface electromyogram. Formula `emg-mdf-1`.
//!
//! The frequency that halves the power of the spectrum (Stulen and De Luca, "Frequency parameters of the myoelectric signal
//! as a measure of muscle conduction velocity", IEEE Transactions on Biomedical Engineering 28, 1981, 515-523); as a muscle
//! tires it falls, and its slope is the index (De Luca, "The use of surface electromyography in biomechanics", Journal of
//! Applied Biomechanics 13, 1997, 135-163). A rule asks for the slope as of any input: `emg_median_frequency.slope("2min")`,
//! in Hz a minute.
//!
//! One second at a time, less its mean, Hann window, 20 to 450 Hz, linear within a line of the spectrum. Told at the end of
//! each second of 400 to 4,000 samples without a hole; slower signals miss too much of the band. A contraction that changes
//! its force changes the frequency, too: compare like with like.

use pitchside_model::{Quality, Wave};
use serde::{Deserialize, Serialize};

use super::{Content, Given, Told, arith, fft, since};

const SECOND_NS: u64 = 1_000_000_000;
const PERIODS_NS: std::ops::RangeInclusive<u64> = 250_000..=2_500_000;
const BAND_HZ: (f64, f64) = (20.0, 450.0);

/// The samples of the second that has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    period_ns: u64,
    exponent: i8,
    samples: Vec<i64>,
    /// When the first of them was, and when the next should come (microseconds).
    start: i64,
    next: i64,
    quality: Quality,
}

impl Default for State {
    fn default() -> Self {
        Self { period_ns: 0, exponent: 0, samples: Vec::new(), start: 0, next: 0, quality: Quality::empty() }
    }
}

impl State {
    pub fn take(&mut self, given: &Given<'_>, told: &mut Vec<Told>) {
        let Content::Wave(wave) = given.content else { return };
        if !PERIODS_NS.contains(&wave.period_ns) {
            return self.gap();
        }
        let slack = i64::try_from(wave.period_ns / 500).unwrap_or(i64::MAX);
        let whole = self.period_ns == wave.period_ns && self.exponent == wave.exponent;
        if !whole || since(given.time, self.next).saturating_abs() > slack {
            *self = Self { period_ns: wave.period_ns, exponent: wave.exponent, start: given.time, ..Self::default() };
        }
        self.quality |= given.quality;
        let most = (SECOND_NS / wave.period_ns) as usize;
        for (i, sample) in wave.samples.iter().enumerate() {
            if self.samples.is_empty() {
                self.start = given.time.saturating_add(micros(wave, i));
                self.quality = given.quality;
            }
            self.samples.push(i64::from(wave.offset) + i64::from(*sample));
            if self.samples.len() >= most {
                let value = median_frequency(&self.samples, self.period_ns).and_then(|hz| arith::decimal(hz, 1));
                let time = given.time.saturating_add(micros(wave, i));
                told.extend(value.map(|value| Told { output: 0, time, value, quality: self.quality }));
                self.samples.clear();
            }
        }
        self.next = given.time.saturating_add(micros(wave, wave.samples.len()));
    }

    pub fn gap(&mut self) {
        *self = Self::default();
    }
}

/// From the first sample of a wave to the `at`th, in microseconds.
fn micros(wave: &Wave, at: usize) -> i64 {
    i64::try_from(u128::from(wave.period_ns) * at as u128 / 1_000).unwrap_or(i64::MAX)
}

/// The frequency that halves the power, in Hz; none of a signal without any.
fn median_frequency(samples: &[i64], period_ns: u64) -> Option<f64> {
    let n = samples.len() as f64;
    let mean = samples.iter().map(|s| *s as f64).sum::<f64>() / n;
    let windowed: Vec<f64> = hann(samples.len()).zip(samples).map(|(w, s)| w * (*s as f64 - mean)).collect();
    let power = fft::power(&windowed);
    let line = SECOND_NS as f64 / period_ns as f64 / (2.0 * (power.len() - 1) as f64);
    let of = |hz: f64| ((hz / line).ceil() as usize).min(power.len());
    let band = of(BAND_HZ.0)..of(BAND_HZ.1).max(of(BAND_HZ.0));
    let total: f64 = power[band.clone()].iter().sum();
    let mut below = 0.0;
    for k in band {
        if total > 0.0 && 2.0 * (below + power[k]) >= total {
            return Some((k as f64 - 0.5 + (total / 2.0 - below) / power[k]) * line);
        }
        below += power[k];
    }
    None
}

/// The Hann window: 1/2 - 1/2 cos(2 pi i / n), the cosines by recurrence.
fn hann(n: usize) -> impl Iterator<Item = f64> {
    // cos and sin of 2 pi / n, by halving the angle until the series needs five terms.
    let x = std::f64::consts::TAU / n as f64 / 16.0;
    let (mut c, mut s) = (
        1.0 - x * x / 2.0 * (1.0 - x * x / 12.0 * (1.0 - x * x / 30.0)),
        x * (1.0 - x * x / 6.0 * (1.0 - x * x / 20.0)),
    );
    for _ in 0..4 {
        (c, s) = (c * c - s * s, 2.0 * s * c);
    }
    let mut at = (1.0, 0.0);
    (0..n).map(move |_| {
        let (here, now) = (at.0, at);
        at = (now.0 * c - now.1 * s, now.1 * c + now.0 * s);
        0.5 - 0.5 * here
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    #[test]
    fn the_window_is_hanns() {
        for (i, w) in hann(1_000).enumerate() {
            assert!((w - (0.5 - 0.5 * (TAU * i as f64 / 1_000.0).cos())).abs() < 1e-9, "{i}");
        }
    }

    #[test]
    fn a_tone_has_its_own_frequency_and_two_have_the_stronger() {
        let tone = |parts: &[(f64, f64)]| -> Vec<i64> {
            let at =
                |i: i32| parts.iter().map(|(hz, level)| level * (TAU * hz * f64::from(i) / 1_000.0).sin()).sum::<f64>();
            (0..1_000).map(|i| (at(i) * 1_000.0).round() as i64).collect()
        };
        for hz in [40.0, 80.0, 123.0, 300.0] {
            let found = median_frequency(&tone(&[(hz, 1.0)]), 1_000_000).unwrap();
            assert!((found - hz).abs() < 0.6, "{hz} {found}");
        }
        let found = median_frequency(&tone(&[(60.0, 1.0), (200.0, 0.5)]), 1_000_000).unwrap();
        assert!((found - 60.0).abs() < 1.5, "{found}");
        // Mains hum below the band and a constant say nothing.
        assert_eq!(median_frequency(&[7; 1_000], 1_000_000), None);
    }

    #[test]
    fn noise_of_a_known_band_has_its_median_in_the_middle() {
        // Lines of equal power from 50 to 150 Hz, phases by a fixed rule.
        let at = |i: i32| {
            (50..=150).map(|hz| (TAU * f64::from(hz * i) / 1_000.0 + f64::from(hz * hz % 97)).sin()).sum::<f64>()
        };
        let samples: Vec<i64> = (0..1_000).map(|i| (at(i) * 1_000.0).round() as i64).collect();
        let found = median_frequency(&samples, 1_000_000).unwrap();
        assert!((found - 100.0).abs() < 6.0, "{found}");
    }
}
