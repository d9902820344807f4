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
