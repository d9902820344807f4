//! Training load of a day, and how the last week compares with the last four. Formulas `trimp-banister-1`, `acwr-rolling-1`,
//! `acwr-ewma-1`.
//!
//! `training_load` is Banister's training impulse, summed since midnight UTC: minutes * h * 0.64 exp(1.92 h), with h the share
//! of the heart-rate reserve (Banister, "Modeling elite athletic performance", in MacDougall, Wenger, Green, Physiological
//! Testing of Elite Athletes, 1991; Morton, Fitz-Clarke, Banister, Journal of Applied Physiology 69, 1990). The weights are
//! those of men; women's are 0.86 and 1.67, and nobody tells the box which. The reserve lies between 60 and 190 /min until
//! the athlete's own readings go beyond, two in a row; at the widest 30 and 230. So compare an athlete with themselves only.
//! A rate counts until the next; one that none follows within two minutes counts nothing: what was not measured is no load.
//!
//! `workload_ratio` is the mean daily load of the last 7 days over that of the last 28, today's so far included (Hulin,
//! Gabbett et al., British Journal of Sports Medicine 48, 2014). `workload_ratio_ewma` weighs days exponentially instead,
//! with 2 / (N + 1) for N = 7 and 28, the first day's load as seed (Williams, West, Cross, Stokes, BJSM 51, 2017, 209-210).
//! A day without a reading counts as a day without load. Both are told from the 28th day on, if eight of the last 28 had
//! readings. What they predict is disputed (Impellizzeri et al., 2020): a trend to look at, no risk.
//!
//! Told once a minute while heart rate comes. Doubtful rates are passed over.

use std::collections::VecDeque;

use pitchside_model::Assurance;
use serde::{Deserialize, Serialize};

use super::{Content, DOUBTFUL, Given, Told, arith, since};

const DAY: i64 = 86_400_000_000;
const EVERY: i64 = 60_000_000;
const HOLE: i64 = 120_000_000;
const CLOSE: i64 = 10_000_000;
const ACUTE: i64 = 7;
const CHRONIC: i64 = 28;
const DAYS_HEARD_MIN: usize = 8;
/// Load is summed in millionths.
const MICRO: f64 = 1e6;
/// Heart rates in 10^-6 /min: where the reserve begins and ends, at first and at most.
const REST: (i64, i64) = (60_000_000, 30_000_000);
const MOST: (i64, i64) = (190_000_000, 230_000_000);
/// After so many days without a reading the averages begin anew.
const DAYS_FORGOTTEN: i64 = 400;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Day {
    number: i64,
    /// In millionths.
    load: i64,
    /// The weakest of its readings.
    assurance: Assurance,
}

/// The days of one athlete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    last: Option<(i64, i64)>,
    rest: i64,
    most: i64,
    /// Days with readings, of the last 28; the last is today.
    days: VecDeque<Day>,
    first: Option<i64>,
    /// Averages as of the end of yesterday, in millionths; none on the first day.
    averages: Option<(f64, f64)>,
    told: Option<i64>,
}

impl Default for State {
    fn default() -> Self {
        Self { last: None, rest: REST.0, most: MOST.0, days: VecDeque::new(), first: None, averages: None, told: None }
    }
}

impl State {
    pub fn take(&mut self, given: &Given<'_>, told: &mut Vec<Told>) {
        let Content::Number(rate) = given.content else { return };
        if given.quality.intersects(DOUBTFUL) {
            return;
        }
        let time = given.time;
        let before = self.last.replace((time, rate)).filter(|(at, _)| since(time, *at) <= HOLE && time > *at);
        let today = time.div_euclid(DAY);
        self.turn(today, given.assurance);
        if let Some((at, before)) = before {
            self.learn(rate, before, since(time, at));
            let load = self.load(before, since(time, at));
            if let Some(day) = self.days.back_mut() {
                day.load = day.load.saturating_add(load);
                day.assurance = day.assurance.min(given.assurance);
            }
        }
        if self.told.is_none_or(|last| since(time, last) >= EVERY) {
            self.told = Some(time);
            let mut tell = |output, value, decimals| {
                let value = arith::decimal(value, decimals);
                told.extend(value.map(|value| Told { output, time, value, quality: given.quality }));
            };
            tell(0, self.days.back().map_or(0.0, |day| day.load as f64 / MICRO), 1);
            if let Some((rolling, ewma)) = self.ratios() {
                tell(1, rolling, 2);
                tell(2, ewma, 2);
            }
        }
    }

    /// What was heard beyond the reserve twice in a row widens it.
    fn learn(&mut self, rate: i64, before: i64, apart: i64) {
        if apart <= CLOSE {
            self.most = self.most.max(rate.min(before)).min(MOST.1);
            self.rest = self.rest.min(rate.max(before)).max(REST.1);
        }
    }

    /// The load of a rate for a time, in millionths.
    fn load(&self, rate: i64, micros: i64) -> i64 {
        let share = ((rate - self.rest) as f64 / (self.most - self.rest) as f64).clamp(0.0, 1.0);
        let minutes = micros as f64 / 60e6;
        (minutes * share * 0.64 * arith::exp(1.92 * share) * MICRO).round() as i64
    }

    /// Ends the days before today.
    fn turn(&mut self, today: i64, assurance: Assurance) {
        let open = self.days.back().map(|day| day.number);
        if open.is_some_and(|open| open >= today) {
            return;
        }
        if open.is_some_and(|open| today.saturating_sub(open) > DAYS_FORGOTTEN) {
            (self.averages, self.first) = (None, None);
            self.days.clear();
        }
        if let Some(open) = self.days.back().copied() {
            let mut averages = next(self.averages, open.load as f64);
            for _ in open.number + 1..today {
                averages = next(Some(averages), 0.0);
            }
            self.averages = Some(averages);
        }
        self.first.get_or_insert(today);
        self.days.push_back(Day { number: today, load: 0, assurance });
        while self.days.front().is_some_and(|day| today - day.number >= CHRONIC) {
            self.days.pop_front();
        }
    }

    /// Rolling and exponential ratio; none until there are enough days.
    fn ratios(&self) -> Option<(f64, f64)> {
        let today = self.days.back()?;
        if today.number - self.first? < CHRONIC - 1 || self.days.len() < DAYS_HEARD_MIN {
            return None;
        }
        let mean = |days: i64| {
            let recent = self.days.iter().filter(|day| today.number - day.number < days);
            recent.map(|day| day.load as f64).sum::<f64>() / days as f64
        };
        let (acute, chronic) = next(self.averages, today.load as f64);
        let whole = mean(CHRONIC) > 0.0 && chronic > 0.0;
        whole.then(|| (mean(ACUTE) / mean(CHRONIC), acute / chronic))
    }

    /// The weakest of what it holds.
    pub fn assurance(&self) -> Option<Assurance> {
        self.days.iter().map(|day| day.assurance).min()
    }

    pub fn gap(&mut self) {
        (self.last, self.told) = (None, None);
    }
}

/// Averages after another day of `load`.
fn next(averages: Option<(f64, f64)>, load: f64) -> (f64, f64) {
    let Some((acute, chronic)) = averages else { return (load, load) };
    let weigh = |before: f64, days: i64| before + (load - before) * 2.0 / (days + 1) as f64;
    (weigh(acute, ACUTE), weigh(chronic, CHRONIC))
}
