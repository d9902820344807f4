//! Head impacts: the peak of linear acceleration. Formula `impact-peak-3`.
//!
//! The greatest resultant of three axes in an impact, which begins where it reaches 10 g (98.0665 m/s2) and is looked at for
//! 40 ms, as head-impact systems record it (Crisco, Chu, Greenwald, "An algorithm for estimating acceleration magnitude and
//! impact location using multiple nonorthogonal single-axis accelerometers", Journal of Biomechanical Engineering 126, 2004;
//! the trigger of 10 g: Beckwith, Greenwald, Chu, "Measuring head kinematics in football", Annals of Biomedical Engineering
//! 40, 2012). It is the acceleration where the sensor is, gravity included (1 g), not at the head's centre: near the
//! threshold impacts are missed or feigned (Wang et al., "Head impact sensor triggering bias", ABME 49, 2021), and a
//! dropped mouthguard looks like one. Slower than 1 kHz a sensor misses peaks.
//!
//! Told at the end of the waveform (or reading) that held the peak; again if the impact goes on higher in the next: then a microsecond
//! after it was told first, by which whoever counts impacts knows it for the same. The three axes must come with the same time, period
//! and length. Of several impacts in one waveform the last is told at its end, each before it in the middle of its own 40 ms: so no two are
//! told within 20 ms of each other. (`impact-peak-1` told what goes on again at the end of the next waveform; `impact-peak-2` told an
//! impact where the next one begins, which hid that one if it began with the last sample.)

use pitchside_model::{Quality, Wave};
use serde::{Deserialize, Serialize};

use super::{Content, Given, Told, arith, since};

/// 10 g in m/s2.
const TRIGGER: f64 = 98.066_5;
const LASTS: i64 = 40_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Axis {
    time: i64,
    period_ns: u64,
    /// In m/s2.
    values: Vec<f64>,
    quality: Quality,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Impact {
    began: i64,
    peak: f64,
    /// When it was told, and which peak.
    told: Option<(i64, f64)>,
}

impl Impact {
    /// Tells it, unless as much is known already.
    fn tell(&mut self, told: &mut Vec<Told>, time: i64, quality: Quality) {
        let time = match self.told {
            None => time,
            Some((at, peak)) if self.peak > peak => at.saturating_add(1),
            Some(_) => return,
        };
        self.told = Some((time, self.peak));
        let value = arith::decimal(self.peak, 1);
        told.extend(value.map(|value| Told { output: 0, time, value, quality }));
    }
}

/// The newest of each axis, and the impact that goes on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    axes: [Option<Axis>; 3],
    open: Option<Impact>,
}

impl State {
    pub fn take(&mut self, given: &Given<'_>, told: &mut Vec<Told>) {
        let (period_ns, values) = match given.content {
            Content::Number(steps) => (0, vec![steps as f64 / 1e6]),
            Content::Wave(wave) => (wave.period_ns, values(wave)),
        };
        let Some(axis) = self.axes.get_mut(given.input) else { return };
        *axis = Some(Axis { time: given.time, period_ns, values, quality: given.quality });
        let [Some(x), Some(y), Some(z)] = &self.axes else { return };
        let shape = |axis: &Axis| (axis.time, axis.period_ns, axis.values.len());
        if shape(x) != shape(y) || shape(y) != shape(z) {
            return;
        }
        let quality = x.quality | y.quality | z.quality;
        let mut time = given.time;
        for (i, ((x, y), z)) in x.values.iter().zip(&y.values).zip(&z.values).enumerate() {
            let after = i64::try_from(u128::from(period_ns) * i as u128 / 1_000).unwrap_or(i64::MAX);
            time = given.time.saturating_add(after);
            let resultant = (x * x + y * y + z * z).sqrt();
            match &mut self.open {
                Some(open) if since(time, open.began) <= LASTS => open.peak = open.peak.max(resultant),
                open if resultant >= TRIGGER => {
                    if let Some(before) = open {
                        before.tell(told, before.began.saturating_add(LASTS / 2), quality);
                    }
                    *open = Some(Impact { began: time, peak: resultant, told: None });
                }
                _ => {}
            }
        }
        self.axes = Default::default();
        if let Some(open) = &mut self.open {
            open.tell(told, time, quality);
        }
    }

    pub fn gap(&mut self) {
        *self = Self::default();
    }
}

fn values(wave: &Wave) -> Vec<f64> {
    // Multiplied or divided by an exact power of ten, so that it is rounded once.
    let scale = (0..wave.exponent.unsigned_abs()).fold(1.0, |scale: f64, _| scale * 10.0);
    let of = |sample: &i32| {
        let steps = (i64::from(wave.offset) + i64::from(*sample)) as f64;
        if wave.exponent < 0 { steps / scale } else { steps * scale }
    };
    wave.samples.iter().map(of).collect()
}
