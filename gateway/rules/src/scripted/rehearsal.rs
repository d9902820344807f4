//! Two versions of a stream that hear the same history: what one makes and the other does not.

use std::sync::Arc;

use pitchside_model::{Entry, Quantity, Timestamp};
use pitchside_script::Problem;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::item::{Filter, Point, PointContent};
use crate::library::{RuleSet, RuleSource};

/// What has come of it so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Readings of the streams' inputs that both heard.
    pub readings: u64,
    /// Readings that are made of them, by whichever version makes more of a message. Gaps are not counted.
    pub made: u64,
    /// The first message of which they make different things.
    pub difference: Option<String>,
    /// Of how many messages they do.
    pub differences: u64,
    /// Why the new version was stopped, the first time.
    pub failure: Option<String>,
}

/// The version that runs and the one that is to come.
#[derive(Debug)]
pub struct Rehearsal {
    old: Engine,
    new: Engine,
    quantities: Vec<Quantity>,
    findings: Findings,
}

impl Rehearsal {
    /// Compiles both.
    pub fn new(old: RuleSource, new: RuleSource) -> Result<Self, Vec<Problem>> {
        let alone = |stream| Arc::new(RuleSet { streams: vec![stream], ..RuleSet::default() });
        let (old, new) = (alone(old), alone(new));
        let mut quantities = [&old, &new].map(|set| Filter::new(set).quantities()).concat();
        quantities.sort_unstable_by_key(|quantity| quantity.code());
        quantities.dedup();
        Ok(Self { old: Engine::new(old)?, new: Engine::new(new)?, quantities, findings: Findings::default() })
    }

    /// What of history it wants to hear.
    pub fn quantities(&self) -> &[Quantity] {
        &self.quantities
    }

    /// Hears a portion of history, in the order of arrival.
    pub fn feed(&mut self, entries: &[Entry]) {
        for entry in entries {
            let (old, failed) = heard(&mut self.old, entry);
            let (new, fault) = heard(&mut self.new, entry);
            let findings = &mut self.findings;
            let wanted = entry.readings.iter().filter(|reading| self.quantities.contains(&reading.quantity));
            findings.readings += wanted.count() as u64;
            findings.made += readings(&old).max(readings(&new));
            let of = || entry.athlete.as_ref().map_or_else(|| entry.device.to_string(), ToString::to_string);
            // What stops the running version, too, is no reason against the new one.
            if let (Some(why), None) = (fault, failed) {
                findings.failure.get_or_insert_with(|| format!("message {} of {}: {why}", entry.seq.0, of()));
            }
            if old != new {
                findings.differences += 1;
                let text =
                    || format!("message {} of {}: it made {}, it makes {}", entry.seq.0, of(), told(&old), told(&new));
                findings.difference.get_or_insert_with(text);
            }
        }
    }

    /// What came of it.
    pub fn finish(self) -> Findings {
        self.findings
    }
}

/// What a version makes of a message, and why it was stopped over it.
fn heard(engine: &mut Engine, entry: &Entry) -> (Vec<Point>, Option<String>) {
    engine.told = Some(Vec::new());
    let fed = engine.feed(std::slice::from_ref(entry));
    (engine.told.take().unwrap_or_default(), fed.faults.first().map(|failed| failed.fault.to_string()))
}

/// How many readings are among what was made.
fn readings(made: &[Point]) -> u64 {
    made.iter().filter(|point| !matches!(point.content, PointContent::Gap(_))).count() as u64
}

/// The first of what was made, in words.
fn told(made: &[Point]) -> String {
    let Some(first) = made.first() else { return "nothing".to_owned() };
    let what = match &first.content {
        PointContent::Number(value) => format!("{value} {}", first.quantity.unit()),
        PointContent::Gap(gap) => format!("a gap ({})", gap.reason.name()),
        PointContent::Wave | PointContent::Samples(_) => "a waveform".to_owned(),
    };
    let others = if made.len() > 1 { format!(" and {} more", made.len() - 1) } else { String::new() };
    format!("{} {what} at {}{others}", first.quantity, Timestamp(first.time))
}

#[cfg(test)]
mod tests {
    use pitchside_model::{Assurance, AthleteId, Decimal, DeviceId, Epoch, Quality, Reading, Seq, Value};

    use super::*;

    fn stream(version: &str, script: &str) -> RuleSource {
        let manifest = format!(
            "name = \"half\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"derived\"\n\
             inputs = [\"ambient_temperature\"]\noutputs = [\"heat_index\"]\n"
        );
        RuleSource::parse_stream("half", &manifest, script).unwrap()
    }

    fn warmth(seq: u64, degrees: i64) -> Entry {
        let time = Timestamp::from_seconds(1_767_225_600 + i64::try_from(seq).unwrap());
        Entry {
            device: DeviceId::parse("hall").unwrap(),
            athlete: Some(AthleteId::parse("ada").unwrap()),
            assurance: Assurance::Psk,
            epoch: Epoch(1),
            seq: Seq(seq),
            readings: vec![Reading {
                quantity: Quantity::AMBIENT_TEMPERATURE,
                unit: Quantity::AMBIENT_TEMPERATURE.unit(),
                device_time: time,
                gateway_time: time,
                quality: Quality::empty(),
                value: Value::Number(Decimal::integer(degrees)),
            }],
        }
    }

    fn rehearsed(new: &str) -> Findings {
        rehearsed_beside("value / 2.0", new)
    }

    fn rehearsed_beside(old: &str, new: &str) -> Findings {
        let mut rehearsal = Rehearsal::new(stream("1.0.0", old), stream("1.1.0", new)).unwrap();
        rehearsal.feed(&[warmth(1, 20), warmth(2, 30)]);
        rehearsal.finish()
    }

    #[test]
    fn a_version_that_makes_the_same_of_history_differs_in_nothing() {
        let found = rehearsed("value * 0.5");
        assert_eq!((found.readings, found.made, found.differences), (2, 2, 0));
        assert_eq!((found.difference, found.failure), (None, None));
    }

    #[test]
    fn the_first_message_of_which_another_value_is_made_is_named() {
        let found = rehearsed("if value > 25.0 { () } else { value / 2.0 }");
        assert_eq!(found.differences, 1);
        let text = found.difference.unwrap();
        assert!(text.starts_with("message 2 of ada: it made heat_index 15 Cel at "), "{text}");
        assert!(text.ends_with("it makes nothing"), "{text}");
    }

    #[test]
    fn a_version_that_spoils_what_it_remembers_makes_something_else_of_the_next_message() {
        let counting = |version: &str, script: &str| {
            let manifest = format!(
                "name = \"half\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"derived\"\n\
                 inputs = [\"ambient_temperature\"]\noutputs = [\"heat_index\"]\n[state]\nn = 0.0\n"
            );
            RuleSource::parse_stream("half", &manifest, script).unwrap()
        };
        let spoils = counting("1.1.0", "let said = n + 1.0; n = 0.0; value + said");
        let mut rehearsal = Rehearsal::new(counting("1.0.0", "n += 1.0; value + n"), spoils).unwrap();
        // A portion each: what is remembered outlives it.
        [warmth(1, 20), warmth(2, 30)].iter().for_each(|entry| rehearsal.feed(std::slice::from_ref(entry)));
        let found = rehearsal.finish();
        assert_eq!(found.differences, 1);
        let text = found.difference.unwrap();
        assert!(text.starts_with("message 2 of ada: it made heat_index 32 Cel at "), "{text}");
        assert!(text.contains("it makes heat_index 31 Cel at "), "{text}");
    }

    #[test]
    fn readings_that_either_version_makes_are_counted_and_silence_is_none() {
        let silent = rehearsed_beside("()", "if value > 99.0 { value } else { () }");
        assert_eq!((silent.readings, silent.made, silent.differences), (2, 0, 0));
        assert_eq!(rehearsed_beside("()", "value / 2.0").made, 2, "by the new one alone");
    }

    #[test]
    fn a_version_that_is_stopped_says_where() {
        let found = rehearsed("let x = []; x[3]");
        assert!(found.failure.unwrap().starts_with("message 1 of ada: "));
    }

    #[test]
    fn what_stops_the_running_version_too_is_not_held_against_the_new_one() {
        let found = rehearsed_beside("let x = []; x[3]", "let y = []; y[4]");
        assert_eq!((found.failure, found.difference), (None, None));
    }
}
