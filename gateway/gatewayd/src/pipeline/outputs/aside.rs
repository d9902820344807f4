//! What was put aside, tried again: asked for anew, since the output may be set otherwise by now.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use pitchside_store::delivery::Written;
use pitchside_store::{Came, DeliveryStep, StoreError};

use super::agenda::Urgency;
use super::chains::{Chain, Chains};
use super::numbered::{Room, Swap, numbered};
use super::patience::AGAIN_MIN;
use super::telling::{Asked, RoundError};
use super::trial::Errand;
use super::{OutputTask, hearing};
use crate::blocking;
use crate::delivery::route::Verdict;

/// How long what waits is not looked at again, but for what is due at once: what comes to be due in quick succession is looked at together.
const LOOK_MIN: Duration = Duration::from_secs(1);

impl OutputTask {
    /// Has what was put aside tried again, as it comes to be due, while new steps are told; and looks at all of it once a minute.
    pub(super) async fn try_waiting(&mut self) -> Result<(), RoundError> {
        let now = self.parts.clock.uptime();
        while self.away.try_join_next().is_some() {}
        let was_woken = self.courier.under_way.was_woken();
        let is_due = self.waiting_at.is_none_or(|at| {
            let comes_due = self.courier.patience.comes_due(at, now);
            now.saturating_sub(at) >= if comes_due { LOOK_MIN } else { AGAIN_MIN }
        });
        if !was_woken && !is_due {
            return Ok(());
        }
        self.waiting_at = Some(now);
        let tried = self.try_due(now).await;
        if tried.is_err() {
            // What was due is due yet, and is looked at as soon as the round goes on.
            self.courier.under_way.wake();
        }
        tried
    }

    async fn try_due(&mut self, now: Duration) -> Result<(), RoundError> {
        // In this order: what ends in between is written down, and found to wait no more.
        let under_way = self.courier.under_way.now();
        self.courier.record.settled()?;
        let (waiting, by_target) = blocking::here(|| {
            let waiting = self.parts.store.requests_waiting(&self.name)?;
            Ok::<_, StoreError>((waiting, self.parts.store.requests_by_target(&self.name)?))
        })?;
        self.courier.patience.keep(&waiting, |step| self.kept.why(step).is_some());
        let mut wait_for = self.kept.owed();
        wait_for.extend(by_target.into_iter().filter_map(|(target, _)| target));
        self.courier.told.lock().retain(|target, _| wait_for.contains(target));
        let mut room = Room::beside(waiting.len());
        let mut chains = Chains::default();
        let mut steps: Vec<(DeliveryStep, Vec<Written>, Vec<u32>)> = Vec::new();
        for (step, number) in waiting {
            if steps.last().is_none_or(|(last, _, _)| last.id != step.id) {
                let written = blocking::here(|| self.parts.store.requests_of_step(&self.name, step.id))?;
                steps.push((step, written, Vec::new()));
            }
            let Some((_, written, numbers)) = steps.last_mut() else { continue };
            if self.kept.gives_way(step.id) {
                continue;
            }
            let target = written.iter().find(|one| one.number == number).and_then(|one| one.target);
            let way = (step.alert, number);
            let goes = !under_way.contains(&(step.id, number))
                && self.courier.patience.is_due(step.id, number, now)
                && !self.kept.is_failed(step.id)
                && !self.kept.holds_up(&step);
            if chains.stands(way, target, goes) {
                self.courier.under_way.stands_free(way);
                numbers.push(number);
            }
        }
        let quiet = self.ear.is_quiet(self.parts.clock.now());
        steps.retain(|(_, _, numbers)| !numbers.is_empty());
        let mut due = blocking::here(|| {
            let row = |(step, written, numbers): (DeliveryStep, Vec<Written>, Vec<u32>)| {
                Ok::<_, StoreError>((step, written, numbers, self.parts.store.alert(step.alert)?))
            };
            steps.into_iter().map(row).collect::<Result<Vec<_>, _>>()
        })?;
        // What is most urgent is asked for first, and gets a place first; then the oldest.
        due.sort_by_key(|(step, _, _, row)| (Reverse(row.as_ref().map(|row| row.alert.priority)), step.id));
        for (step, written, mut numbers, row) in due {
            let target = |number: u32| written.iter().find(|one| one.number == number).and_then(|one| one.target);
            numbers.retain(|number| !chains.is_behind((step.alert, *number), target(*number)));
            if numbers.is_empty() {
                continue;
            }
            let said = row.as_ref().map(|row| self.ear.decide(&self.parts.hearing.notes, row, step.kind, quiet));
            let asked = match (&row, said) {
                (_, Some(Verdict::Hold)) => continue,
                (Some(row), Some(Verdict::Tell(told))) => {
                    let event = hearing::event(&step, row, &self.parts.hearing.notes, told);
                    match self.ask(&event).await? {
                        Asked::For(requests) => Some((event, requests)),
                        Asked::Nothing(why) => {
                            numbers.iter().for_each(|number| chains.stays((step.alert, *number), target(*number)));
                            self.keep_failed(&step, Urgency::Alert(row.alert.priority), why)?;
                            continue;
                        }
                    }
                }
                // Nobody wants to hear of it any more.
                _ => None,
            };
            let Some((event, requests)) = asked else {
                self.courier.give_up(step.id, numbers);
                continue;
            };
            let (requests, age) = (numbered(requests, &written), self.courier.age(&step));
            let Swap { new, gone } = room.swap(&requests, &written, &numbers, self.courier.is_too_old(&step));
            let errand = Arc::new(Errand { step, event, requests, age });
            // At once: cut off in between, a step would wait for nobody, or for one too many.
            let waits = new.iter().map(|number| (*number, Came::Waits));
            self.courier.settle(&errand, waits.chain(gone.into_iter().map(|number| (number, Came::Unasked))));
            let goes =
                |number: &u32| errand.requests.get(number).is_some_and(|one| !chains.rests(step.alert, one.target));
            let new: Vec<u32> = new.into_iter().filter(goes).collect();
            let asked_for = numbers.into_iter().filter(|number| errand.requests.contains_key(number));
            asked_for.chain(new).for_each(|number| chains.push(&errand, number));
        }
        for (_, chain) in chains.chains {
            let mut going = Vec::new();
            // What comes after one that is under way comes after its end.
            let begin = |(errand, number): (Arc<Errand>, u32)| {
                let target = errand.requests.get(&number)?.target;
                going.push(self.courier.under_way.begin_again((errand.step.id, number), target)?);
                Some((errand, number))
            };
            let begun: Chain = chain.into_iter().map_while(begin).collect();
            if !begun.is_empty() {
                self.away.spawn(self.courier.clone().again(begun, going));
            }
        }
        Ok(())
    }
}
