//! What a version of a rule takes over from the one before it, and whoever wears a device from whoever wore it.

use pitchside_model::{AlertEvent, AlertId, Timestamp};
use pitchside_script::manifest::RuleManifest;

use crate::item::PointContent;
use crate::machine::{Phase, Pulse};
use crate::rule::Rule;
use crate::running::{Heard, Running, fresh_state};
use crate::state::{State, Track};

impl Running {
    /// The rule in the place of another version of it, and what is cleared by that. It keeps the alerts that are raised, a cool-down that
    /// runs and how often it raised lately, so that publishing raises nothing twice; and what is usual for somebody, which took days to
    /// learn. If it looks at other subjects than before, no reading would ever clear what was raised about those: that is cleared here.
    pub fn succeed(rule: Rule, before: Self) -> (Self, Vec<AlertEvent>) {
        let mut running = Self::new(rule);
        let mut cleared = Vec::new();
        let (new, old) = (running.rule.manifest(), before.rule.manifest());
        let (is_same_scope, alike) = (new.scope == old.scope, hears_like(new, old));
        let is_about_wearer = is_same_scope && new.is_about_wearer();
        let (old_timing, timing) = (before.rule.timing, running.rule.timing);
        for (subject, old) in before.states {
            let mut state = fresh_state(&running.rule);
            (state.now, state.touched) = (old.now, old.touched);
            if is_about_wearer {
                (state.wearer, state.raised_of) = (old.wearer, old.raised_of);
            }
            if is_same_scope {
                state.phase = old.phase.succeed(&old_timing, &timing);
                state.pulse = old.pulse;
            } else {
                cleared.extend(cleared_by(old.phase, old.now));
            }
            let known = running.inherit(&before.rule, old.tracks, alike, &mut state);
            if known || state.phase != Phase::Idle || state.pulse != Pulse::default() {
                running.states.insert(subject, state);
            }
        }
        running.count_samples();
        (running, cleared)
    }

    /// Hands on what outlives a version of each input; whether there was any. Baselines only if both hear alike.
    fn inherit(&self, before: &Rule, tracks: Vec<Track>, alike: bool, state: &mut State) -> bool {
        let mut any = false;
        for (quantity, old) in before.manifest().inputs.iter().zip(tracks) {
            let input = self.rule.manifest().inputs.iter().position(|input| input == quantity);
            if let Some(own) = input.and_then(|input| state.tracks.get_mut(input)) {
                own.told = old.told;
                any |= old.told.is_some();
                any |= alike && own.inherit(old.baselines);
            }
        }
        any
    }

    /// The rule is gone: what it had raised is cleared.
    pub fn clear_all(self) -> impl Iterator<Item = AlertEvent> {
        self.states.into_values().filter_map(|state| cleared_by(state.phase, state.now))
    }
}

/// A rule that hears every device by itself and is about whoever wears it begins anew when that is somebody else, or nobody. What is
/// cleared by it: an alert about one athlete would keep those about the next from being raised. One that latches is not cleared: it stays on
/// the record until somebody resets it, and the rule lets go of it. That nobody wears the device, or that nothing comes of it any more,
/// clears nothing.
pub(crate) fn hand_over(rule: &Rule, state: &mut State, heard: &Heard<'_>) -> Option<AlertId> {
    let manifest = rule.manifest();
    if !manifest.is_about_wearer() {
        return None;
    }
    let wearer = &heard.who.athlete;
    if state.wearer != *wearer {
        state.begin_anew(fresh_state(rule));
        state.wearer.clone_from(wearer);
    }
    let id = state.phase.raised()?;
    let is_gap = matches!(heard.point.content, PointContent::Gap(_));
    if is_gap || wearer.is_none() || state.raised_of == *wearer {
        return None;
    }
    (state.phase, state.raised_of) = (Phase::Idle, None);
    (!manifest.latch).then_some(id)
}

fn cleared_by(phase: Phase, now: i64) -> Option<AlertEvent> {
    phase.raised().map(|id| AlertEvent::Cleared { id, event_time: Timestamp(now) })
}

/// Whether two manifests let the same readings through to the same subjects.
fn hears_like(a: &RuleManifest, b: &RuleManifest) -> bool {
    (a.scope, a.accept, a.assurance) == (b.scope, b.accept, b.assurance)
}
