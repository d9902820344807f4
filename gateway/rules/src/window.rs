//! A span of time over a series, ending now, with its running sums.

use std::collections::VecDeque;

use crate::ranked::Ranked;
use crate::series::{Run, SCALE, Sample};

const MICROS_PER_MINUTE: f64 = 60e6;
const MICROS_PER_SECOND: f64 = 1e6;
/// The most limits a window keeps times for; the first asked for makes room.
const LIMITS_MAX: usize = 4;

/// Which numbers a rule's windows must keep, as its source mentions them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `min` or `max`.
    pub extremes: bool,
    /// `percentile`.
    pub order: bool,
    /// `stddev`.
    pub squares: bool,
}

/// The script is not known to ask for this, so it was not counted: a name that is put together while the script runs is in no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotKept;

/// What a window keeps only for scripts that ask for it.
pub(crate) type Kept = Result<Option<f64>, NotKept>;

/// The time the samples of a window stood beyond a limit, the limit included.
#[derive(Debug, Clone, Copy)]
struct Stood {
    limit: i64,
    above: bool,
    micros: i64,
}

/// The samples not older than a span, both ends included.
#[derive(Debug, Clone)]
pub struct Window {
    span: i64,
    wanted: Wanted,
    /// Number of the first sample inside, and of the first not yet entered.
    first: u64,
    next: u64,
    sum: i128,
    sum_t: i128,
    sum_tt: i128,
    sum_tv: i128,
    sum_vv: i128,
    /// Numbers of samples that no later one undercuts, and that no later one exceeds.
    low: VecDeque<u64>,
    high: VecDeque<u64>,
    ordered: Ranked,
    stood: Vec<Stood>,
}

impl Window {
    pub(crate) fn new(span: i64, wanted: Wanted) -> Self {
        let (low, high, ordered, stood) = Default::default();
        let (sum, sum_t, sum_tt, sum_tv, sum_vv) = (0, 0, 0, 0, 0);
        Self { span, wanted, first: 0, next: 0, sum, sum_t, sum_tt, sum_tv, sum_vv, low, high, ordered, stood }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.span, self.wanted);
    }

    pub(crate) fn span(&self) -> i64 {
        self.span
    }

    pub(crate) fn enter(&mut self, run: &Run, number: u64) {
        let Some(sample) = run.get(number) else { return };
        self.next = number + 1;
        self.add(run, sample, 1);
        if self.wanted.extremes {
            let value = |n: &u64| run.get(*n).map(|s| s.steps);
            while self.low.back().and_then(value).is_some_and(|v| v >= sample.steps) {
                self.low.pop_back();
            }
            while self.high.back().and_then(value).is_some_and(|v| v <= sample.steps) {
                self.high.pop_back();
            }
            self.low.push_back(number);
            self.high.push_back(number);
        }
        if self.wanted.order {
            self.ordered.insert(sample.steps);
        }
        if number > self.first
            && let Some(before) = run.get(number - 1)
        {
            stand(&mut self.stood, before, sample, 1);
        }
    }

    /// Lets go of what is older than the span at `now`.
    pub(crate) fn expire(&mut self, run: &Run, now: i64) {
        while let Some(oldest) = run.get(self.first).filter(|s| now.saturating_sub(s.time) > self.span) {
            self.leave(run, oldest);
        }
    }

    /// Takes back what it let go of only for the time others had come to: that time was none.
    pub(crate) fn rewind(&mut self, run: &Run) {
        let Some(last) = self.next.checked_sub(1).and_then(|last| run.get(last)) else { return };
        let is_inside = |number: u64| run.get(number).is_some_and(|s| last.time.saturating_sub(s.time) <= self.span);
        let mut first = self.first;
        while first.checked_sub(1).is_some_and(is_inside) {
            first -= 1;
        }
        if first == self.first {
            return;
        }
        let next = self.next;
        *self = Self { first, next: first, ..Self::new(self.span, self.wanted) };
        (first..next).for_each(|number| self.enter(run, number));
    }

    /// Lets go of sample `number` though it is not too old.
    pub(crate) fn give_up(&mut self, run: &Run, number: u64) {
        if self.first == number
            && let Some(oldest) = run.get(number)
        {
            self.leave(run, oldest);
        }
    }

    fn leave(&mut self, run: &Run, oldest: Sample) {
        self.add(run, oldest, -1);
        let number = self.first;
        self.first += 1;
        for extremes in [&mut self.low, &mut self.high] {
            if extremes.front() == Some(&number) {
                extremes.pop_front();
            }
        }
        if self.wanted.order {
            self.ordered.remove(oldest.steps);
        }
        if self.first < self.next
            && let Some(next) = run.get(self.first)
        {
            stand(&mut self.stood, oldest, next, -1);
        }
    }

    fn add(&mut self, run: &Run, sample: Sample, sign: i128) {
        let (t, v) = (i128::from(sample.time.saturating_sub(run.anchor)), i128::from(sample.steps));
        self.sum += sign * v;
        self.sum_t += sign * t;
        self.sum_tt += sign * t * t;
        self.sum_tv += sign * t * v;
        if self.wanted.squares {
            self.sum_vv += sign * v * v;
        }
    }

    /// How many samples are inside.
    pub(crate) fn count(&self) -> u64 {
        self.next - self.first
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        let n = self.count();
        (n > 0).then(|| self.sum as f64 / n as f64 / SCALE)
    }

    pub(crate) fn min(&self, run: &Run) -> Kept {
        self.extreme(run, &self.low)
    }

    pub(crate) fn max(&self, run: &Run) -> Kept {
        self.extreme(run, &self.high)
    }

    fn extreme(&self, run: &Run, extremes: &VecDeque<u64>) -> Kept {
        if !self.wanted.extremes {
            return Err(NotKept);
        }
        Ok(extremes.front().and_then(|n| run.get(*n)).map(Sample::value))
    }

    /// Slope of the least-squares line, units a minute. At least two samples.
    pub(crate) fn slope(&self) -> Option<f64> {
        let n = i128::from(self.count());
        let spread = n * self.sum_tt - self.sum_t * self.sum_t;
        let together = n * self.sum_tv - self.sum_t * self.sum;
        (n >= 2 && spread > 0).then(|| together as f64 / spread as f64 / SCALE * MICROS_PER_MINUTE)
    }

    /// Change from the first to the last sample, units a minute.
    pub(crate) fn rate(&self, run: &Run) -> Option<f64> {
        let (first, last) = (run.get(self.first)?, run.get(self.next.checked_sub(1)?)?);
        let time = last.time.saturating_sub(first.time);
        (time > 0).then(|| (last.value() - first.value()) / time as f64 * MICROS_PER_MINUTE)
    }

    /// Standard deviation of the sample (n - 1). At least two samples.
    pub(crate) fn stddev(&self) -> Kept {
        if !self.wanted.squares {
            return Err(NotKept);
        }
        let n = i128::from(self.count());
        if n < 2 {
            return Ok(None);
        }
        // With sum = q n + r, the squares about the mean are vv - n q^2 - 2 q r - r^2 / n: whole but for the last term, and
        // n vv would not fit.
        let (q, r) = (self.sum.div_euclid(n), self.sum.rem_euclid(n));
        let about = (self.sum_vv - n * q * q - 2 * q * r) as f64 - (r * r) as f64 / n as f64;
        Ok(Some((about.max(0.0) / (n - 1) as f64).sqrt() / SCALE))
    }

    /// The smallest value that at least `percent` of the samples do not exceed (nearest rank). From 0 to 100: whoever asks looks first.
    pub(crate) fn percentile(&self, percent: f64) -> Kept {
        if !self.wanted.order {
            return Err(NotKept);
        }
        let n = self.ordered.len();
        let rank = (percent * n as f64 / 100.0).ceil() as usize;
        let last = n.checked_sub(1);
        let steps = last.and_then(|last| self.ordered.nth(rank.saturating_sub(1).min(last)));
        Ok(steps.map(|steps| steps as f64 / SCALE))
    }

    /// Seconds at or above `limit`, or at or below it: each sample counts until the next.
    pub(crate) fn time_beyond(&mut self, run: &Run, limit: f64, above: bool) -> f64 {
        let limit = (limit * SCALE).round() as i64;
        if let Some(stood) = self.stood.iter().find(|stood| stood.limit == limit && stood.above == above) {
            return stood.micros as f64 / MICROS_PER_SECOND;
        }
        let mut stood = [Stood { limit, above, micros: 0 }];
        for number in self.first + 1..self.next {
            if let (Some(before), Some(sample)) = (run.get(number - 1), run.get(number)) {
                stand(&mut stood, before, sample, 1);
            }
        }
        if self.stood.len() >= LIMITS_MAX {
            self.stood.remove(0);
        }
        self.stood.extend(stood);
        stood[0].micros as f64 / MICROS_PER_SECOND
    }

    /// The value a span ago: of the newest sample that is at least that old.
    pub(crate) fn ago(&self, run: &Run, now: i64) -> Option<f64> {
        let edge = now.saturating_sub(self.span);
        let at_edge = run.get(self.first).filter(|s| self.count() > 0 && s.time <= edge);
        at_edge.or_else(|| run.get(self.first.checked_sub(1)?)).map(Sample::value)
    }
}

fn stand(stood: &mut [Stood], from: Sample, to: Sample, sign: i64) {
    for Stood { limit, above, micros } in stood {
        if if *above { from.steps >= *limit } else { from.steps <= *limit } {
            *micros += sign * to.time.saturating_sub(from.time);
        }
    }
}
