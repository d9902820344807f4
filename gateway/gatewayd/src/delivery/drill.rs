//! The dead-man's switch: when the alert path is proven, and whether it was.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use pitchside_model::Timestamp;
use serde::{Deserialize, Serialize};

/// How long after a start outputs are given to come up.
const SETTLE: Duration = Duration::from_secs(30);
/// How soon after a drill that failed the next one is: whoever mends something wants to know.
const AGAIN_AFTER: Duration = Duration::from_secs(300);
/// The longest sentence of a report.
const FAULT_CHARS_MAX: usize = 200;
/// So much of their time the rules leave, at least; of a short time a quarter.
const RULES_SPARE: Duration = Duration::from_secs(3);

/// One leg of the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// `rules`, `recorded`, `page`, `mqtt`, or `output NAME`.
    pub leg: String,
    /// Milliseconds from the beginning of the drill until it was walked; none if it was not.
    pub ms: Option<u64>,
    /// What kept it.
    pub fault: Option<String>,
}

/// How a drill went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The legs, in the order in which they were walked.
    pub legs: Vec<Leg>,
    /// Outputs out of which nothing went: of what lies beyond them nothing is proven.
    pub unproven: Vec<String>,
}

impl Report {
    /// A leg was walked, or not.
    pub fn note(&mut self, leg: &str, walked: Result<Duration, String>) {
        let (ms, fault) = match walked {
            Ok(took) => (Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)), None),
            Err(fault) => (None, Some(fault.chars().take(FAULT_CHARS_MAX).collect())),
        };
        self.legs.push(Leg { leg: leg.to_owned(), ms, fault });
    }

    /// Every leg was walked.
    pub fn proved(&self) -> bool {
        !self.legs.is_empty() && self.legs.iter().all(|leg| leg.fault.is_none())
    }

    /// Every leg of the gateway's own was: what is left are outputs, and what they lead to.
    pub fn own_legs_proved(&self) -> bool {
        !self.legs.is_empty() && self.legs.iter().all(|leg| leg.fault.is_none() || leg.leg.starts_with("output "))
    }

    /// The legs that were not walked, by name, each with what kept it.
    pub fn failed(&self) -> BTreeMap<&str, &str> {
        self.legs.iter().filter_map(|leg| Some((leg.leg.as_str(), leg.fault.as_deref()?))).collect()
    }

    /// What went wrong, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.legs.iter().filter_map(|leg| leg.fault.as_ref().map(|fault| format!("{}: {fault}", leg.leg))).collect()
    }
}

/// How long the rules took to judge a drill that they did judge. So near to the end of their time they are what is wrong: the next one may
/// not come through.
pub fn judged(took: Duration, within: Duration) -> Result<Duration, String> {
    if within.saturating_sub(took) < RULES_SPARE.min(within / 4) {
        return Err(format!("took {:.1} of {} s", took.as_secs_f64(), within.as_secs()));
    }
    Ok(took)
}

/// One line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, leg) in self.legs.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            match (&leg.fault, leg.ms) {
                (Some(fault), _) => write!(f, "{comma}{} failed: {fault}", leg.leg)?,
                (None, ms) => write!(f, "{comma}{} {} ms", leg.leg, ms.unwrap_or(0))?,
            }
        }
        Ok(())
    }
}

/// When the next drill is, by the uptime: `every` after the last ended, which the wall's clock says once, at the start.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    every: Option<Duration>,
    due: Duration,
}

impl Schedule {
    /// At a start. One whose last drill failed, or is not known, drills soon.
    pub fn new(every: Option<Duration>, last: Option<(Timestamp, bool)>, now: Timestamp, uptime: Duration) -> Self {
        let left = every.map_or(Duration::ZERO, |every| match last {
            Some((ended, true)) => {
                let waited = u64::try_from(now.micros_since(ended)).map_or(Duration::ZERO, Duration::from_micros);
                every.saturating_sub(waited)
            }
            Some((_, false)) | None => Duration::ZERO,
        });
        Self { every, due: uptime.saturating_add(left.max(SETTLE)) }
    }

    /// Whether one is due.
    pub fn is_due(&self, uptime: Duration) -> bool {
        self.every.is_some() && uptime >= self.due
    }

    /// One has ended.
    pub fn ended(&mut self, proved: bool, uptime: Duration) {
        if let Some(every) = self.every {
            self.due = uptime.saturating_add(if proved { every } else { every.min(AGAIN_AFTER) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn drills_are_an_hour_apart_whatever_the_clock_on_the_wall_is_set_to() {
        let start = Timestamp::from_seconds(1_770_000_000);
        let mut schedule = Schedule::new(Some(HOUR), None, start, Duration::ZERO);
        assert!(!schedule.is_due(SETTLE / 2) && schedule.is_due(SETTLE));
        schedule.ended(true, SETTLE);
        assert!(!schedule.is_due(HOUR) && schedule.is_due(HOUR + SETTLE));
        schedule.ended(false, HOUR * 2);
        assert!(schedule.is_due(HOUR * 2 + AGAIN_AFTER), "after a failure it is tried again soon");
        // Forty minutes before the start; a day after it, as the clock was set back.
        let mut later = Schedule::new(Some(HOUR), Some((start.plus_micros(-2_400_000_000), true)), start, HOUR);
        assert!(!later.is_due(HOUR + HOUR / 4) && later.is_due(HOUR + HOUR / 3));
        later = Schedule::new(Some(HOUR), Some((start.plus_micros(86_400_000_000), true)), start, HOUR);
        assert!(!later.is_due(HOUR) && later.is_due(HOUR * 2));
        assert!(!Schedule::new(None, None, start, HOUR).is_due(HOUR * 1_000), "off is off");
    }

    #[test]
    fn rules_that_take_nearly_all_their_time_are_at_fault_though_they_judge() {
        let millis = Duration::from_millis;
        let of_20 = |took| judged(millis(took), millis(20_000));
        assert_eq!(of_20(17_000), Ok(millis(17_000)));
        assert_eq!(of_20(19_870), Err("took 19.9 of 20 s".to_owned()));
        assert!(of_20(20_400).is_err());
        assert!(judged(millis(700), millis(1_000)).is_ok(), "three seconds would be all of one");
        assert!(judged(millis(800), millis(1_000)).is_err());
    }

    #[test]
    fn a_path_is_proven_when_every_leg_is() {
        let mut report = Report::default();
        assert!(!report.proved(), "nothing was walked");
        report.note("rules", Ok(Duration::from_millis(3)));
        assert!(report.proved());
        report.note("output hook", Err("no answer".to_owned()));
        assert!(!report.proved() && report.own_legs_proved());
        assert_eq!(report.problems(), ["output hook: no answer"]);
        assert_eq!(report.failed(), BTreeMap::from([("output hook", "no answer")]));
        assert_eq!(report.to_string(), "rules 3 ms, output hook failed: no answer");
        report.note("mqtt", Err("closed".to_owned()));
        assert!(!report.own_legs_proved());
    }
}
