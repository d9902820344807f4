//! A span of time over a series, ending now, with its running sums.

use std::collections::VecDeque;

use crate::series::{Run, SCALE, Sample};

const MICROS_PER_MINUTE: f64 = 60e6;
const MICROS_PER_SECOND: f64 = 1e6;
/// The most limits a window keeps time above for; the one least lately asked for makes room.
const ABOVE_MAX: usize = 4;

/// Which numbers a rule's windows must keep, as its source mentions them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `min` or `max`.
    pub extremes: bool,
    /// `percentile`.
    pub order: bool,
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
    /// Numbers of samples that no later one undercuts, and that no later one exceeds.
    low: VecDeque<u64>,
    high: VecDeque<u64>,
    ordered: Vec<i64>,
    /// Limit in steps, and the microseconds the samples inside stood at or above it.
    above: Vec<(i64, i64)>,
}

impl Window {
    pub(crate) fn new(span: i64, wanted: Wanted) -> Self {
        let (low, high, ordered, above) = Default::default();
        Self { span, wanted, first: 0, next: 0, sum: 0, sum_t: 0, sum_tt: 0, sum_tv: 0, low, high, ordered, above }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.span, self.wanted);
    }

    pub(crate) fn span(&self) -> i64 {
        self.span
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
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
            let at = self.ordered.partition_point(|v| *v < sample.steps);
            self.ordered.insert(at, sample.steps);
        }
        if number > self.first
            && let Some(before) = run.get(number - 1)
        {
            stand(&mut self.above, before, sample, 1);
        }
    }

    /// Lets go of what is older than the span at `now`.
    pub(crate) fn expire(&mut self, run: &Run, now: i64) {
        while let Some(oldest) = run.get(self.first).filter(|s| now.saturating_sub(s.time) > self.span) {
            self.leave(run, oldest);
        }
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
            let at = self.ordered.partition_point(|v| *v < oldest.steps);
            self.ordered.remove(at);
        }
        if self.first < self.next
            && let Some(next) = run.get(self.first)
        {
            stand(&mut self.above, oldest, next, -1);
        }
    }

    fn add(&mut self, run: &Run, sample: Sample, sign: i128) {
        let (t, v) = (i128::from(sample.time.saturating_sub(run.anchor)), i128::from(sample.steps));
        self.sum += sign * v;
        self.sum_t += sign * t;
        self.sum_tt += sign * t * t;
        self.sum_tv += sign * t * v;
    }

    /// How many samples are inside.
    pub(crate) fn count(&self) -> u64 {
        self.next - self.first
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        let n = self.count();
        (n > 0).then(|| self.sum as f64 / n as f64 / SCALE)
    }

    pub(crate) fn min(&self, run: &Run) -> Option<f64> {
        self.low.front().and_then(|n| run.get(*n)).map(Sample::value)
    }

    pub(crate) fn max(&self, run: &Run) -> Option<f64> {
        self.high.front().and_then(|n| run.get(*n)).map(Sample::value)
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

    /// The smallest value that at least `percent` of the samples do not exceed (nearest rank).
    pub(crate) fn percentile(&self, percent: f64) -> Option<f64> {
        let n = self.ordered.len();
        let rank = (percent.clamp(0.0, 100.0) / 100.0 * n as f64).ceil() as usize;
        let steps = self.ordered.get(rank.saturating_sub(1).min(n.checked_sub(1)?))?;
        Some(*steps as f64 / SCALE)
    }

    /// Seconds at or above `limit`: each sample counts until the next.
    pub(crate) fn time_above(&mut self, run: &Run, limit: f64) -> f64 {
        let steps = (limit * SCALE).round() as i64;
        if let Some((_, micros)) = self.above.iter().find(|(known, _)| *known == steps) {
            return *micros as f64 / MICROS_PER_SECOND;
        }
        let mut kept = vec![(steps, 0)];
        for number in self.first + 1..self.next {
            if let (Some(before), Some(sample)) = (run.get(number - 1), run.get(number)) {
                stand(&mut kept, before, sample, 1);
            }
        }
        if self.above.len() >= ABOVE_MAX {
            self.above.remove(0);
        }
        self.above.extend(kept);
        self.above.last().map_or(0.0, |(_, micros)| *micros as f64 / MICROS_PER_SECOND)
    }

    /// The value a span ago: of the newest sample that is at least that old.
    pub(crate) fn ago(&self, run: &Run, now: i64) -> Option<f64> {
        let edge = now.saturating_sub(self.span);
        let at_edge = run.get(self.first).filter(|s| self.count() > 0 && s.time <= edge);
        at_edge.or_else(|| run.get(self.first.checked_sub(1)?)).map(Sample::value)
    }
}

fn stand(above: &mut [(i64, i64)], from: Sample, to: Sample, sign: i64) {
    for (limit, micros) in above {
        if from.steps >= *limit {
            *micros += sign * to.time.saturating_sub(from.time);
        }
    }
}
