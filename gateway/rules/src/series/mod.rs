//! One input of one state: the readings since the last gap, and the windows over them.
//!
//! Values and times are whole numbers (10^-6 units, microseconds), so what is added can be taken away again exactly: sums
//! never drift, and windows rebuilt from the same readings are the same to the last bit. Adding a reading costs O(1)
//! amortised; only a rule that asks for percentiles also pays a binary search and a short move.

use std::collections::VecDeque;

use pitchside_model::Decimal;
use serde::{Deserialize, Serialize};

use crate::window::{Wanted, Window};

/// The most readings one input keeps. A stream too fast for its longest span shortens the span.
pub const SAMPLES_MAX: usize = 8_192;
/// Values are kept to 10^-6 of their unit.
const SCALE_DECIMALS: i8 = 6;
pub(crate) const SCALE: f64 = 1e6;
/// The largest value windows take: 10^10 units.
const STEPS_MAX: i64 = 10_000_000_000_000_000;
/// Microseconds a series may run before it starts afresh, so that its sums fit 128 bits: about 115 days.
const RUN_MAX: i64 = 10_000_000_000_000;

/// A reading as windows keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Device time, microseconds.
    pub time: i64,
    /// Value in 10^-6 of its unit.
    pub steps: i64,
}

impl Sample {
    /// The value in its unit.
    pub fn value(self) -> f64 {
        self.steps as f64 / SCALE
    }
}

/// The steps of a value, rounded to the nearest; `None` if windows cannot hold it.
pub fn steps(value: Decimal) -> Option<i64> {
    let steps = value.mantissa_at(-SCALE_DECIMALS).or_else(|| {
        let scaled = (value.to_f64() * SCALE).round();
        (scaled.abs() <= STEPS_MAX as f64).then_some(scaled as i64)
    })?;
    (steps.unsigned_abs() <= STEPS_MAX.unsigned_abs()).then_some(steps)
}

/// The samples of a run, each with its number in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    samples: VecDeque<Sample>,
    /// How many were dropped from the front: sample `i` is `samples[i - dropped]`.
    dropped: u64,
    /// Times count from here in sums.
    pub anchor: i64,
}

impl Run {
    pub fn get(&self, number: u64) -> Option<Sample> {
        let at = usize::try_from(number.checked_sub(self.dropped)?).ok()?;
        self.samples.get(at).copied()
    }
    /// The number the next sample gets.
    pub fn next(&self) -> u64 {
        self.dropped + self.samples.len() as u64
    }
}

/// The readings of one input since its last gap.
#[derive(Debug, Clone, Default)]
pub struct Series {
    run: Run,
    began: i64,
    /// Number of the first sample within the longest span by the stream's own time. Windows go by the time of their subject, which
    /// another stream's clock may drive ahead: what they let go of for that is kept for [`Series::rewind`].
    inside: u64,
    windows: Vec<Window>,
}

impl Series {
    /// An empty series with a window for every span (microseconds).
    pub fn new(spans: &[i64], wanted: Wanted) -> Self {
        Self { windows: spans.iter().map(|span| Window::new(*span, wanted)).collect(), ..Self::default() }
    }

    /// Forgets everything: after a gap nothing from before it counts.
    pub fn clear(&mut self) {
        if self.run.next() > 0 {
            (self.run, self.began, self.inside) = (Run::default(), 0, 0);
            self.windows.iter_mut().for_each(Window::clear);
        }
    }

    /// Adds a sample later than all before it. False if the series was full, which shortens its longest span.
    pub fn push(&mut self, sample: Sample) -> bool {
        if sample.time.saturating_sub(self.began) > RUN_MAX {
            self.clear();
        }
        if self.run.samples.is_empty() {
            (self.began, self.run.anchor) = (sample.time, sample.time);
        }
        let number = self.run.next();
        self.run.samples.push_back(sample);
        for window in &mut self.windows {
            window.enter(&self.run, number);
            window.expire(&self.run, sample.time);
        }
        let longest = self.windows.iter().map(Window::span).max();
        let is_outside = |s: &Sample| longest.is_none_or(|span| sample.time.saturating_sub(s.time) > span);
        while self.inside < number && self.run.get(self.inside).as_ref().is_some_and(is_outside) {
            self.inside += 1;
        }
        let full = self.run.samples.len() > SAMPLES_MAX;
        if full {
            let oldest = self.run.dropped;
            self.windows.iter_mut().for_each(|window| window.give_up(&self.run, oldest));
            self.inside = self.inside.max(oldest + 1);
        }
        // One sample before each window stays, for `ago`; without windows the newest is enough.
        let spare = u64::from(!full && longest.is_some());
        let needed = self.inside.saturating_sub(spare);
        while self.run.dropped < needed {
            self.run.samples.pop_front();
            self.run.dropped += 1;
        }
        !full
    }

    /// The time of its subject was set back: windows are as of its newest sample again.
    pub fn rewind(&mut self) {
        self.windows.iter_mut().for_each(|window| window.rewind(&self.run));
    }

    /// The newest sample.
    pub fn last(&self) -> Option<Sample> {
        self.run.samples.back().copied()
    }

    /// How many samples are kept.
    pub(crate) fn len(&self) -> usize {
        self.run.samples.len()
    }

    /// When the run began: the first reading after the last gap.
    pub fn began(&self) -> i64 {
        self.began
    }

    /// The samples kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = Sample> + '_ {
        self.run.samples.iter().copied()
    }

    /// Fills an empty series with what [`Series::kept`] and [`Series::began`] gave.
    pub fn refill(&mut self, began: i64, samples: impl IntoIterator<Item = Sample>) {
        for sample in samples {
            self.push(sample);
        }
        if self.last().is_some() {
            self.began = began;
        }
    }

    /// The window of a span as of `now`, and the samples it looks at.
    pub(crate) fn window(&mut self, at: usize, now: i64) -> Option<(&mut Window, &Run)> {
        let window = self.windows.get_mut(at)?;
        window.expire(&self.run, now);
        Some((window, &self.run))
    }
}

#[cfg(test)]
mod tests;
