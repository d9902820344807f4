//! The end of a stream: it was switched off, left out or taken out. Rules that heard it have a gap of it, as of a sensor that hangs up: what
//! held need not have held on, and what is raised stays raised. Their scripts are not asked about this gap, for no message brought it: an
//! alert is always one of a message, or no replay could raise it again. They find the input without a value whenever they are asked next.

use pitchside_model::{DeviceId, Quantity};
use pitchside_script::manifest::RuleScope;

use crate::id::Subject;
use crate::library::RuleSet;
use crate::running::Running;
use crate::state::State;

/// What a stream made, of whom.
pub(crate) struct Ended {
    quantity: Quantity,
    /// Each subject, with the device that the stream was of.
    of: Vec<(Subject, DeviceId)>,
}

impl Ended {
    /// Of a stream, as it is now. None of a rule.
    pub fn of(running: &Running) -> Option<Self> {
        let quantity = running.rule.source.makes?;
        let lead = |state: &State| state.marks.as_ref()?.lead().cloned();
        let of = running.states.iter().filter_map(|(subject, state)| Some((subject.clone(), lead(state)?)));
        Some(Self { quantity, of: of.collect() })
    }

    /// Of those that ran and make what they made no more in this set.
    pub fn without(running: &[Running], set: &RuleSet) -> Vec<Self> {
        let goes_on = |old: &&Running| {
            let old = &old.rule.source;
            set.streams().iter().any(|new| (new.name(), new.makes) == (old.name(), old.makes))
        };
        running.iter().filter(|old| !goes_on(old)).filter_map(Self::of).collect()
    }

    /// Lets a rule know.
    pub fn tell(&self, rule: &mut Running) {
        let manifest = rule.rule.manifest();
        let (scope, input) = (manifest.scope, manifest.inputs.iter().position(|input| *input == self.quantity));
        let Some(input) = input else { return };
        for (subject, lead) in &self.of {
            let state = match scope {
                RuleScope::Athlete => rule.states.get_mut(subject),
                RuleScope::Device => rule.states.get_mut(&Subject::Device(lead.clone())),
            };
            if let Some(state) = state {
                state.lose(input, lead);
            }
        }
        rule.count_samples();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pitchside_model::{Assurance, AthleteId, Decimal, Entry, Epoch, Quality, Reading, Seq, Timestamp, Value};

    use super::*;
    use crate::engine::{Engine, FAULTS_MAX};
    use crate::library::RuleSource;
    use crate::running::OVERDRAFT_NANOS;

    const HEAD: &str = "version = \"1.0.0\"\nsummary = \"A test.\"\n";

    fn engine() -> Engine {
        let rule = |name: &str, inputs: &str, script: &str| {
            let manifest = format!("name = \"{name}\"\n{HEAD}priority = \"low\"\ninputs = [{inputs}]\n");
            RuleSource::parse(name, &manifest, script).unwrap()
        };
        let told = rule("told", "\"heat_index\"", "value > 1.0");
        let beside = "quantity == \"heart_rate\" && heat_index.value != ()";
        let beside = rule("beside", "\"heat_index\", \"heart_rate\"", beside);
        let stream = format!(
            "name = \"felt\"\n{HEAD}kind = \"derived\"\ninputs = [\"ambient_temperature\"]\noutputs = [\"heat_index\"]\n"
        );
        let stream = RuleSource::parse_stream("felt", &stream, "value / 2.0").unwrap();
        let (set, problems) = RuleSet::new([told, beside]).unwrap().with_streams([stream]);
        assert_eq!(problems, []);
        Engine::new(Arc::new(set)).unwrap()
    }

    fn heard(quantity: Quantity, second: i64) -> Entry {
        let time = Timestamp::from_seconds(1_767_225_600 + second);
        Entry {
            device: DeviceId::parse("station").unwrap(),
            athlete: Some(AthleteId::parse("ann").unwrap()),
            assurance: Assurance::Noise,
            epoch: Epoch(1),
            seq: Seq(second.unsigned_abs()),
            readings: vec![Reading {
                quantity,
                unit: quantity.unit(),
                device_time: time,
                gateway_time: time,
                quality: Quality::empty(),
                value: Value::Number(Decimal::integer(60)),
            }],
        }
    }

    /// How many events follow from a reading that a stream makes something of, and from the next one of another device.
    fn events(is_off_by_then: bool) -> [usize; 2] {
        let mut engine = engine();
        if is_off_by_then {
            // As if evaluations before this one had taken far too long.
            let stream = engine.scripted.running.first_mut().unwrap();
            (stream.demerits, stream.overdraft_nanos) = (FAULTS_MAX - 1, 2 * OVERDRAFT_NANOS);
        }
        let first = engine.feed(&[heard(Quantity::AMBIENT_TEMPERATURE, 1)]);
        assert_eq!(
            first.faults.iter().map(|fault| fault.off).collect::<Vec<_>>(),
            vec![true; usize::from(is_off_by_then)]
        );
        let next = engine.feed(&[heard(Quantity::HEART_RATE, 2)]);
        [first.events.len(), next.events.len()]
    }

    #[test]
    fn what_a_stream_makes_as_it_is_switched_off_for_its_time_is_heard_and_does_not_outlive_it() {
        assert_eq!(events(false), [1, 1]);
        assert_eq!(events(true), [1, 0]);
    }
}
