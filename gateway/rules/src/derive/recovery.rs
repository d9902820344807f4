//! Heart-rate recovery: by how much the rate came down in the first minute after an effort. Formula `hrr60-1`.
//!
//! Cole, Blackstone, Pashkow, Snader, Lauer, "Heart-rate recovery immediately after exercise as a predictor of mortality",
//! New England Journal of Medicine 341, 1999, 1351-1357: the rate at the end of exercise minus the rate a minute later.
//! There exercise ends on a treadmill; here when neither power (30 W) nor speed (1 m/s) says that the athlete works.
//!
//! Told once an effort, at the first rate 60 to 75 s after its end, and only if heart rate, and power or speed, came at
//! least every 15 s. Going on within the minute tells nothing. How hard the effort was, a rule asks with `ago("60s")`.

use serde::{Deserialize, Serialize};

use super::{Content, DOUBTFUL, Given, Told, arith, since};

const REST_WATT: i64 = 30_000_000;
const REST_METRE_PER_SECOND: i64 = 1_000_000;
const FRESH: i64 = 15_000_000;
const MINUTE: i64 = 60_000_000;

/// The newest of each, and the end of the last effort.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    rate: Option<(i64, i64)>,
    /// Power and speed: when, and whether it says work.
    work: [Option<(i64, bool)>; 2],
    working: bool,
    /// When work ended, and the rate then.
    end: Option<(i64, i64)>,
}

impl State {
    pub fn take(&mut self, given: &Given<'_>, told: &mut Vec<Told>) {
        let Content::Number(steps) = given.content else { return };
        if given.quality.intersects(DOUBTFUL) {
            return;
        }
        match given.input {
            0 => self.rate(given, steps, told),
            1 => self.worked(0, given.time, steps > REST_WATT),
            _ => self.worked(1, given.time, steps > REST_METRE_PER_SECOND),
        }
    }

    fn worked(&mut self, of: usize, time: i64, works: bool) {
        let fresh = self.known(time);
        self.work[of] = Some((time, works));
        let working = self.work.iter().flatten().any(|(at, works)| *works && since(time, *at) <= FRESH);
        if working || !fresh {
            self.end = None;
        } else if self.working {
            self.end = self.rate.filter(|(at, _)| since(time, *at) <= FRESH).map(|(_, rate)| (time, rate));
        }
        self.working = working;
    }

    /// Whether power or speed was heard lately.
    fn known(&self, time: i64) -> bool {
        self.work.iter().flatten().any(|(at, _)| since(time, *at) <= FRESH)
    }

    fn rate(&mut self, given: &Given<'_>, steps: i64, told: &mut Vec<Told>) {
        let time = given.time;
        let fresh = self.rate.is_some_and(|(at, _)| since(time, at) <= FRESH);
        self.rate = Some((time, steps));
        if !fresh || !self.known(time) {
            (self.end, self.working) = (None, self.working && self.known(time));
        }
        if let Some((ended, rate)) = self.end.filter(|(ended, _)| since(time, *ended) >= MINUTE) {
            self.end = None;
            if since(time, ended) <= MINUTE + FRESH {
                let value = arith::decimal((rate - steps) as f64 / 1e6, 1);
                told.extend(value.map(|value| Told { output: 0, time, value, quality: given.quality }));
            }
        }
    }

    pub fn gap(&mut self, input: usize) {
        match input {
            0 => (self.rate, self.end) = (None, None),
            of => {
                if let Some(work) = self.work.get_mut(of - 1) {
                    *work = None;
                }
                if self.work == [None, None] {
                    (self.end, self.working) = (None, false);
                }
            }
        }
    }
}
