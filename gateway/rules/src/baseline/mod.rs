//! What is usual for one athlete: median and spread of one quantity, fading with a half-life.
//!
//! `typical` is the weighted median, `spread` the weighted median absolute deviation from it times 1.4826, which is the
//! standard deviation of what is normally distributed (Hampel, "The influence curve and its role in robust estimation",
//! JASA 69, 1974; Rousseeuw and Croux, JASA 88, 1993). Both withstand up to half of the weight being wrong: readings that
//! raised an alert count like all others and move the baseline by no more than their share of the weight.
//!
//! A spread is never less than half of the step in which values come (a heart rate in whole beats: 0.5 /min before the factor),
//! so that a heart rate that stood still does not make the next beat a thousand deviations.
//!
//! The newest reading is not part of the baseline yet when a rule asks about it. Gaps change nothing. A clock set back
//! does not turn ages round: until it has come as far again, readings count as made at the latest time known.

use serde::{Deserialize, Serialize};

use crate::series::{SCALE, Sample};

mod sketch;
#[cfg(test)]
mod tests;

use sketch::{PARTS, Sketch};

/// The shortest and the longest half-life, in microseconds: ten minutes, ninety days.
pub const HALF_LIFE_MIN: i64 = 600_000_000;
/// See [`HALF_LIFE_MIN`].
pub const HALF_LIFE_MAX: i64 = 90 * 86_400_000_000;
/// The shortest half-life by hour of day: at less, an hour has faded before there are enough of it. Three days.
pub const HALF_LIFE_MIN_BY_HOUR: i64 = 3 * 86_400_000_000;
/// The most baselines one rule keeps of an input.
pub const BASELINES_MAX: usize = 4;
/// A baseline is silent until it is worth so many readings made now …
pub const READINGS_MIN: u64 = 64;
/// … from so many different sixty-fourths of its half-life (2 h 38 min each at seven days).
pub const PARTS_MIN: u64 = 4;
/// Different values kept; beyond that neighbours are taken together.
const BINS_MAX: usize = 256;
/// The same, for each hour of the day.
const BINS_MAX_BY_HOUR: usize = 96;
const MICROS_PER_HOUR: i64 = 3_600_000_000;
/// Makes the median absolute deviation of normally distributed values their standard deviation: 1 / quantile(3/4).
const NORMAL: f64 = 1.482_602_218_505_602;

/// Which baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// Age at which a reading counts half, in microseconds.
    pub half_life: i64,
    /// One for each hour of the day (UTC), instead of one for all.
    pub by_hour: bool,
}

impl Form {
    /// Why there can be no such baseline, if so.
    pub fn problem(&self) -> Option<&'static str> {
        match self {
            Self { half_life, .. } if !(HALF_LIFE_MIN..=HALF_LIFE_MAX).contains(half_life) => {
                Some("a half-life is at least \"10min\" and at most \"90d\"")
            }
            Self { half_life, by_hour: true } if *half_life < HALF_LIFE_MIN_BY_HOUR => {
                Some("by hour of day a half-life is at least \"3d\"")
            }
            Self { .. } => None,
        }
    }

    /// What a baseline of this form weighs at most, in units of sixteen bytes or so: a value and its weight.
    pub(crate) fn weight(&self) -> usize {
        self.bins() * if self.by_hour { 24 } else { 1 }
    }

    fn part(&self, time: i64) -> i64 {
        time.div_euclid((self.half_life / PARTS).max(1))
    }

    fn bins(&self) -> usize {
        if self.by_hour { BINS_MAX_BY_HOUR } else { BINS_MAX }
    }

    /// Which of the sketches a time belongs to.
    fn slot(&self, time: i64) -> usize {
        if self.by_hour { time.div_euclid(MICROS_PER_HOUR).rem_euclid(24) as usize } else { 0 }
    }
}

/// The baseline of one input of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    form: Form,
    sketches: Vec<Sketch>,
    /// The newest reading, which the next one lets in.
    pending: Option<Sample>,
    /// The latest part known.
    part: i64,
}

/// What is usual, in the quantity's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    /// The median.
    pub typical: f64,
    /// 1.4826 times the median absolute deviation; greater than 0.
    pub spread: f64,
}

impl Baseline {
    /// One that knows nothing.
    pub fn new(form: Form) -> Self {
        let sketches = vec![Sketch::default(); if form.by_hour { 24 } else { 1 }];
        Self { form, sketches, pending: None, part: i64::MIN }
    }

    /// Which it is.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Takes the next reading, and into the histogram the one before it.
    pub fn learn(&mut self, sample: Sample) {
        if let Some(before) = self.pending.replace(sample) {
            self.part = self.part.max(self.form.part(before.time));
            let (part, most) = (self.part, self.form.bins());
            if let Some(sketch) = self.sketches.get_mut(self.form.slot(before.time)) {
                sketch.add(before.steps, part, most);
            }
        }
    }

    /// What is usual at an event time; none until enough is known.
    pub fn usual(&self, now: i64) -> Option<Usual> {
        let sketch = self.sketches.get(self.form.slot(now))?;
        if !sketch.is_worth(self.part.max(self.form.part(now)), READINGS_MIN, PARTS_MIN) {
            return None;
        }
        let known = sketch.known()?;
        let spread = NORMAL * (known.mad as f64).max(known.grain as f64 / 2.0);
        Some(Usual { typical: known.median as f64 / SCALE, spread: spread / SCALE })
    }
}
