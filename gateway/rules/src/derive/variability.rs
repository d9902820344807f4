//! Heart-rate variability: RMSSD and SDNN over the last five minutes. Formula `hrv-2`.
//!
//! Task Force of the European Society of Cardiology and the North American Society of Pacing and Electrophysiology, "Heart
//! rate variability: standards of measurement, physiological interpretation and clinical use", European Heart Journal 17,
//! 1996, 354-381: RMSSD is the square root of the mean squared difference of adjacent NN intervals, SDNN their standard
//! deviation; short recordings last five minutes. NN means normal to normal. Which beats are normal it leaves to the
//! analyst; here: between 300 and 2,000 ms, no flag that doubts them, and within 20 % of the beat before (Malik, Cripps,
//! Farrell, Camm, "Prognostic value of heart rate variability after myocardial infarction", 1989). No difference is taken
//! across a beat that is not, nor across one that never came: beats are adjacent where the later one's interval reaches back to
//! the one before, give or take half of it. Of a sensor without a clock the times are those its messages came at, one a second:
//! there a second more.
//!
//! Told every five seconds once five minutes are whole and four fifths of the beats normal; flagged as of poor contact where
//! more than a tenth are not. A hole of ten seconds begins anew.

use std::collections::VecDeque;

use pitchside_model::Quality;
use serde::{Deserialize, Serialize};

use super::{Content, DOUBTFUL, Given, Told, arith, since};

const SPAN: i64 = 300_000_000;
const HOLE: i64 = 10_000_000;
const EVERY: i64 = 5_000_000;
const MESSAGE: i64 = 1_000_000;
/// The most beats kept: five minutes at 400 a minute.
const BEATS_MAX: usize = 2_048;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Beat {
    time: i64,
    /// The interval in microseconds.
    interval: i64,
    normal: bool,
    /// The difference to the beat before, if both are normal and inside.
    change: Option<i64>,
}

/// The beats of the last five minutes, and their sums.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    beats: VecDeque<Beat>,
    began: i64,
    told: Option<i64>,
    normal: i64,
    sum: i128,
    squares: i128,
    changes: i64,
    change_squares: i128,
}

impl State {
    pub fn take(&mut self, given: &Given<'_>, told: &mut Vec<Told>) {
        let Content::Number(steps) = given.content else { return };
        let (time, interval) = (given.time, steps / 1_000);
        let before = self.beats.back().copied().filter(|before| since(time, before.time) <= HOLE);
        if before.is_none() {
            *self = Self { began: time, ..Self::default() };
        }
        let sound = !given.quality.intersects(DOUBTFUL) && (300_000..=2_000_000).contains(&interval);
        let near = before.is_none_or(|before| (interval - before.interval).abs() * 5 <= before.interval);
        let normal = sound && near;
        let reach = interval + interval / 2 + if given.quality.contains(Quality::NO_CLOCK) { MESSAGE } else { 0 };
        let adjacent = |before: &Beat| normal && before.normal && since(time, before.time) <= reach;
        let change = before.filter(adjacent).map(|before| interval - before.interval);
        self.count(Beat { time, interval, normal, change }, 1);
        self.beats.push_back(Beat { time, interval, normal, change });
        while self.beats.len() > BEATS_MAX || self.beats.front().is_some_and(|oldest| since(time, oldest.time) > SPAN) {
            if let Some(oldest) = self.beats.pop_front() {
                self.count(oldest, -1);
            }
            if let Some(first) = self.beats.front_mut()
                && let Some(change) = first.change.take()
            {
                (self.changes, self.change_squares) = (self.changes - 1, self.change_squares - square(change));
            }
        }
        self.tell(given, told);
    }

    fn count(&mut self, beat: Beat, sign: i64) {
        let wide = i128::from(sign);
        if beat.normal {
            self.normal += sign;
            self.sum += wide * i128::from(beat.interval);
            self.squares += wide * square(beat.interval);
        }
        if let Some(change) = beat.change {
            self.changes += sign;
            self.change_squares += wide * square(change);
        }
    }

    fn tell(&mut self, given: &Given<'_>, told: &mut Vec<Told>) {
        let (time, all) = (given.time, self.beats.len() as i64);
        let due = self.told.is_none_or(|last| since(time, last) >= EVERY);
        if !due || since(time, self.began) < SPAN || self.normal * 5 < all * 4 || self.changes == 0 || self.normal < 2 {
            return;
        }
        self.told = Some(time);
        let quality = if self.normal * 10 < all * 9 { Quality::POOR_CONTACT } else { Quality::empty() };
        let quality = quality | (given.quality - DOUBTFUL);
        let rmssd = (self.change_squares as f64 / self.changes as f64).sqrt();
        let n = i128::from(self.normal);
        let sdnn = ((n * self.squares - self.sum * self.sum) as f64 / (n * (n - 1)) as f64).sqrt();
        for (output, micros) in [(0, rmssd), (1, sdnn)] {
            told.extend(arith::decimal(micros / 1_000.0, 1).map(|value| Told { output, time, value, quality }));
        }
    }

    pub fn gap(&mut self) {
        *self = Self::default();
    }
}

fn square(value: i64) -> i128 {
    i128::from(value) * i128::from(value)
}
