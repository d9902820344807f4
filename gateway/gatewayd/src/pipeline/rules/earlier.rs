//! Rules that begin without a memory hear the journal as it was heard then: each stretch of it by the rules that were in force. By those of
//! now alone, a rule would raise alerts about readings from before it was published.

use std::collections::VecDeque;

use pitchside_model::Timestamp;
use pitchside_rules::{RuleSet, RulesError};
use pitchside_script::Problem;
use pitchside_store::RuleChange;

use super::{RulesTask, record};
use crate::blocking;
use crate::rulebook::in_order;

impl RulesTask {
    /// Takes everything out of force, for those of before to come into force at their places in the journal; gives back what is to be in
    /// force after them: what was to be already, or what the worker has. None if that alone was in force all the time, or nobody knows.
    pub(super) async fn begin_with_earlier(&mut self, changed: Option<RuleSet>) -> Option<RuleSet> {
        let changes = match blocking::here(|| self.parts.store.rule_changes()) {
            Ok(changes) => changes,
            Err(error) => {
                tracing::error!(%error, "which rules were in force cannot be read: those of now hear the journal");
                return changed;
            }
        };
        let now = self.parts.clock.now();
        let earlier = in_force_since(changes, now.plus_micros(-self.parts.horizon_us), now);
        let worker = self.worker.as_mut()?;
        let is_as_begun = changed.is_none();
        let last = changed.unwrap_or_else(|| RuleSet::clone(worker.rule_set()));
        if is_as_begun && earlier.iter().all(|change| change.set_hash == last.hash()) {
            return None;
        }
        worker.set_streams(Vec::new());
        // Rules that have heard nothing have nothing to clear.
        if let Err(error) = worker.put(RuleSet::default()).await {
            tracing::error!(%error, "the rules did not answer; they start anew from the journal");
            self.give_up();
            return None;
        }
        self.earlier = earlier;
        Some(last)
    }

    /// Before which gateway time something was done that was no reading: a reset, or a change of the rules.
    pub(super) fn next_done(&self) -> Option<Timestamp> {
        let reset = self.resets.front().map(|(position, _)| *position);
        let change = self.earlier.front().map(|change| change.at);
        reset.into_iter().chain(change).min()
    }

    /// Does again what was done up to a gateway time, or all that is left.
    pub(super) async fn do_again_up_to(&mut self, up_to: Option<Timestamp>) {
        while let Some(position) = self.next_done().filter(|at| up_to.is_none_or(|up_to| *at <= up_to)) {
            self.reset_again_up_to(Some(position)).await;
            while let Some(change) = self.earlier.pop_front_if(|change| change.at <= position) {
                self.change_again(&change).await;
            }
        }
    }

    /// Puts in force what was then, without what does not run any more.
    async fn change_again(&mut self, change: &RuleChange) {
        let mut set = match blocking::here(|| record::as_of(&self.parts.store, change)) {
            Ok(set) => set,
            Err(error) => {
                let error = format!("{error:#}");
                return tracing::error!(error, "rules of before cannot be read; those before them hear on");
            }
        };
        let Some(worker) = &mut self.worker else { return };
        let events = loop {
            worker.set_streams(set.streams().to_vec());
            match worker.put(set.clone()).await {
                Ok(events) => break events,
                Err(RulesError::Problems(problems)) => {
                    problems
                        .iter()
                        .for_each(|problem| tracing::warn!(%problem, "a rule of before does not run any more"));
                    let Some(rest) = without(&set, &problems) else { return };
                    set = rest;
                }
                Err(error) => {
                    return tracing::error!(%error, "rules of before do not run any more; those before them hear on");
                }
            }
        };
        self.say_again(events, self.parts.clock.now()).await;
        self.in_force().await;
    }
}

/// A set without the rules that problems name; none if they name none of it.
fn without(set: &RuleSet, problems: &[Problem]) -> Option<RuleSet> {
    let is_named = |name: &str| problems.iter().any(|problem| problem.file.split('/').next() == Some(name));
    let sound: Vec<_> = set.rules().iter().filter(|rule| !is_named(rule.name().as_str())).cloned().collect();
    if sound.len() == set.rules().len() {
        return None;
    }
    let (rest, _) = RuleSet::new(sound).ok()?.with_streams(set.streams().to_vec());
    Some(rest)
}

/// What was in force from `start` to `now`, oldest first. The first of it was from the beginning: nothing is known of what was before it.
/// Another evaluator is no change of the rules.
fn in_force_since(changes: Vec<RuleChange>, start: Timestamp, now: Timestamp) -> VecDeque<RuleChange> {
    let changes = in_order(changes, now);
    let first = changes.iter().rposition(|change| change.at <= start).unwrap_or(0);
    let mut found: VecDeque<RuleChange> = VecDeque::new();
    for change in changes.into_iter().skip(first) {
        if found.back().is_none_or(|last| last.set_hash != change.set_hash) {
            found.push_back(change);
        }
    }
    if let Some(first) = found.front_mut() {
        first.at = Timestamp(i64::MIN);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is in force, and from when on, of changes to sets at seconds, for a journal from 100 s to 200 s.
    fn found(changes: &[(i64, u8)]) -> Vec<(Option<i64>, u8)> {
        let change = |&(at, set): &(i64, u8)| RuleChange {
            at: Timestamp::from_seconds(at),
            set_hash: [set; 32],
            rules: Vec::new(),
            engine: at.to_string(),
        };
        let changes = changes.iter().map(change).collect();
        let found = in_force_since(changes, Timestamp::from_seconds(100), Timestamp::from_seconds(200));
        let shown = |change: RuleChange| {
            let at = (change.at.0 != i64::MIN).then_some(change.at.0 / 1_000_000);
            (at, change.set_hash[0])
        };
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn the_journal_begins_with_what_was_in_force_then() {
        assert!(found(&[]).is_empty());
        assert_eq!(found(&[(10, 1), (20, 2), (150, 3), (160, 2)]), [(None, 2), (Some(150), 3), (Some(160), 2)]);
        assert_eq!(found(&[(150, 1), (160, 2)]), [(None, 1), (Some(160), 2)], "what was before the first is not known");
    }

    #[test]
    fn another_evaluator_of_the_same_rules_is_no_change_of_them() {
        assert_eq!(found(&[(10, 1), (150, 1), (160, 2), (170, 2)]), [(None, 1), (Some(160), 2)]);
    }

    #[test]
    fn what_came_by_a_clock_that_ran_ahead_is_not_waited_for() {
        assert_eq!(found(&[(10, 1), (900, 2), (150, 3)]), [(None, 2), (Some(150), 3)]);
    }
}
