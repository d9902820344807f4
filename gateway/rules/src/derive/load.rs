//! Training load of a day, and how the last week compares with the last four. Formulas `trimp-banister-2`, `acwr-rolling-2`,
//! `acwr-ewma-2`.
//!
//! `training_load` is Banister's training impulse, summed since midnight UTC: minutes * h * 0.64 exp(1.92 h), with h the share
//! of the heart-rate reserve (Banister, "Modeling elite athletic performance", in MacDougall, Wenger, Green, Physiological
//! Testing of Elite Athletes, 1991; Morton, Fitz-Clarke, Banister, Journal of Applied Physiology 69, 1990). The weights are
//! those of men; women's are 0.86 and 1.67, and nobody tells the box which. The reserve lies between 60 and 190 /min until
//! the athlete's own readings stay beyond for a minute, none of them more than ten seconds after the one before, and then ends at the
//! one of them least far beyond. It widens for good, so rates below 30 and above 230, which a heart hardly has and a sensor that lost it
//! has, are no reason. So compare an athlete with themselves only.
//! A rate counts until the next; one that none follows within two minutes counts nothing: what was not measured is no load.
//!
//! `workload_ratio` is the mean daily load of the last 7 days over that of the last 28, today's so far included (Hulin,
//! Gabbett et al., British Journal of Sports Medicine 48, 2014). `workload_ratio_ewma` weighs days exponentially instead,
//! with 2 / (N + 1) for N = 7 and 28, the first day's load as seed (Williams, West, Cross, Stokes, BJSM 51, 2017, 209-210).
//! A day without a reading counts as a day without load. Both are told from the 28th day on, if eight of the last 28 had
//! readings. What they predict is disputed (Impellizzeri et al., 2020): a trend to look at, no risk.
//!
//! A clock that is set back takes the days with it that have not come: today begins anew, or goes on where it was, and the averages are
//! those of the end of the day before. Days more than 400 ahead stay if eight or more are held: a clock that stands at
//! 1970 says nothing against them. What a device tells late, of a day before the open one, counts for the open one.
//!
//! Told once a minute while heart rate comes. Doubtful rates are passed over.

use std::collections::VecDeque;

use pitchside_model::{Assurance, Quality};
use serde::{Deserialize, Serialize};

use super::{Content, DOUBTFUL, Given, Told, arith, since};

const DAY: i64 = 86_400_000_000;
const EVERY: i64 = 60_000_000;
const HOLE: i64 = 120_000_000;
const CLOSE: i64 = 10_000_000;
/// So long rates lie beyond the reserve before it is widened.
const LEARNT_AFTER: i64 = 60_000_000;
const ACUTE: i64 = 7;
const CHRONIC: i64 = 28;
const DAYS_HEARD_MIN: usize = 8;
/// Days with readings that are held: more than count, for a clock that was ahead for some days pushes out as many.
const DAYS_HELD: usize = 42;
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
    /// Averages as of the end of the day before, in millionths; none on the first day.
    averages: Option<(f64, f64)>,
}

/// Rates beyond one end of the reserve, one close after the other: since when, and the one least far beyond.
type Beyond = Option<(i64, i64)>;

/// The days of one athlete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    last: Option<(i64, i64)>,
    rest: i64,
    most: i64,
    below: Beyond,
    above: Beyond,
    /// The last days with readings; the last is today.
    days: VecDeque<Day>,
    first: Option<i64>,
    told: Option<i64>,
}

impl Default for State {
    fn default() -> Self {
        let (rest, most, days) = (REST.0, MOST.0, VecDeque::new());
        Self { last: None, rest, most, below: None, above: None, days, first: None, told: None }
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
        // Another device, that is not late, knows better what day it is than the one whose clock was ahead.
        if !given.quality.contains(Quality::LATE) {
            self.set_back(time);
        }
        self.turn(time.div_euclid(DAY), given.assurance);
        if before.is_none_or(|(at, _)| since(time, at) > CLOSE) {
            (self.below, self.above) = (None, None);
        }
        self.learn(rate, time);
        if let Some((at, before)) = before {
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

    /// What is heard beyond the reserve for a minute widens it.
    fn learn(&mut self, rate: i64, time: i64) {
        let (is_low, is_high) = ((REST.1..self.rest).contains(&rate), rate > self.most && rate <= MOST.1);
        self.below = is_low.then(|| self.below.map_or((time, rate), |(from, least)| (from, least.max(rate))));
        self.above = is_high.then(|| self.above.map_or((time, rate), |(from, least)| (from, least.min(rate))));
        let learnt = |beyond: &mut Beyond| beyond.take_if(|(from, _)| since(time, *from) >= LEARNT_AFTER);
        self.rest = learnt(&mut self.below).map_or(self.rest, |(_, least)| least);
        self.most = learnt(&mut self.above).map_or(self.most, |(_, least)| least);
    }

    /// The clock says that it is `time`: days after that have not been.
    pub fn set_back(&mut self, time: i64) {
        let today = time.div_euclid(DAY);
        let is_unset = self.days.back().is_some_and(|open| open.number.saturating_sub(today) > DAYS_FORGOTTEN);
        if is_unset && self.days.len() >= DAYS_HEARD_MIN {
            return;
        }
        while self.days.back().is_some_and(|day| day.number > today) {
            self.days.pop_back();
        }
        if self.days.is_empty() {
            self.first = None;
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
            self.first = None;
            self.days.clear();
        }
        let averages = self.days.back().map(|open| {
            let ended = next(open.averages, open.load as f64);
            (open.number + 1..today).fold(ended, |averages, _| next(Some(averages), 0.0))
        });
        self.first.get_or_insert(today);
        self.days.push_back(Day { number: today, load: 0, assurance, averages });
        while self.days.len() > DAYS_HELD {
            self.days.pop_front();
        }
    }

    /// The days with readings of the last so many, today among them.
    fn recent(&self, days: i64) -> impl Iterator<Item = &Day> {
        let today = self.days.back().map_or(0, |day| day.number);
        self.days.iter().filter(move |day| today - day.number < days)
    }

    /// Rolling and exponential ratio; none until there are enough days.
    fn ratios(&self) -> Option<(f64, f64)> {
        let today = self.days.back()?;
        if today.number - self.first? < CHRONIC - 1 || self.recent(CHRONIC).count() < DAYS_HEARD_MIN {
            return None;
        }
        let mean = |days: i64| self.recent(days).map(|day| day.load as f64).sum::<f64>() / days as f64;
        let (acute, chronic) = next(today.averages, today.load as f64);
        let whole = mean(CHRONIC) > 0.0 && chronic > 0.0;
        whole.then(|| (mean(ACUTE) / mean(CHRONIC), acute / chronic))
    }

    /// The weakest of what it holds.
    pub fn assurance(&self) -> Option<Assurance> {
        self.recent(CHRONIC).map(|day| day.assurance).min()
    }

    /// Where the reserve begins and ends, in /min.
    #[cfg(test)]
    pub fn reserve(&self) -> (i64, i64) {
        (self.rest / 1_000_000, self.most / 1_000_000)
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
