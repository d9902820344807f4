//! One step told to an output's script, and what it asks for carried out; and what was put aside, again.

use std::collections::BTreeSet;

use pitchside_script::WorkerError;
use pitchside_script::output::{Event, Outcome, Request};
use pitchside_store::delivery::WAITING_MAX;
use pitchside_store::{AlertRow, Came, DeliveryStep, StoreError};

use super::patience::AGAIN_MIN;
use super::trial::{Age, Errand, Trial};
use super::{OutputTask, RoundError, hearing};
use crate::blocking;
use crate::delivery::route::{Verdict, joins};
use crate::pipeline::delivery::muster::Went;

/// What a script makes of an event.
enum Asked {
    /// It asks for these.
    For(Vec<Request>),
    /// For nothing, as it failed: why.
    Nothing(String),
}

impl OutputTask {
    /// A drill is told at once or not at all, and what becomes of it is reported.
    pub(super) async fn drill(&mut self, step: &DeliveryStep) {
        let Some(until) = self.parts.hearing.drill_until(step, self.parts.clock.now()) else { return };
        if !self.ear.ear.drills() {
            return;
        }
        let how = match hearing::drill(step) {
            Ok(event) => self.drill_within(step, event, Trial::Drill(until)).await,
            Err(error) => Err(error),
        };
        self.parts.hearing.muster.delivered(step.alert, &self.name, how);
    }

    async fn drill_within(&mut self, step: &DeliveryStep, event: Event, trial: Trial) -> Result<Went, String> {
        let age = self.courier.age(step);
        let requests = match self.ask(&event).await.map_err(|error| error.to_string())? {
            Asked::For(requests) => requests,
            Asked::Nothing(why) => return Err(why),
        };
        if requests.is_empty() {
            return Ok(Went::Nowhere);
        }
        for (number, request) in requests.iter().enumerate() {
            match self.courier.carry(request, &event.key(number), age, trial).await {
                (Came::Done, _) => {}
                (Came::Waits | Came::GivenUp, why) => return Err(why),
            }
        }
        Ok(Went::Out)
    }

    /// Tells it of a step: what it asks for is carried out, side by side. What waits already on the same way, of the same alert, is not
    /// overtaken; on a way where something of another alert waits it is tried once, and waits, too.
    pub(super) async fn tell(&mut self, step: &DeliveryStep, event: Event, age: Age) -> Result<(), RoundError> {
        let requests = match self.ask(&event).await? {
            Asked::For(requests) => requests,
            // Of this step it sends nothing: why stands in its log, that it does in the alert's evidence.
            Asked::Nothing(_) => {
                self.courier.note(step.id, vec![(0, Came::GivenUp)]);
                return Ok(());
            }
        };
        let waiting = blocking::here(|| self.parts.store.requests_waiting(&self.name))?;
        let behind: BTreeSet<u32> =
            waiting.iter().filter(|(other, _)| other.alert == step.alert).map(|(_, number)| *number).collect();
        let blocked: BTreeSet<u32> = waiting.iter().map(|(_, number)| *number).collect();
        let has_room = waiting.len() + requests.len() <= WAITING_MAX as usize;
        let trial = |number: u32| match (behind.contains(&number), has_room) {
            (true, _) => None,
            (false, false) => Some(Trial::On),
            (false, true) if blocked.contains(&number) => Some(Trial::Brief),
            (false, true) => Some(Trial::Aside),
        };
        let errand = Errand { step: *step, event, requests, age };
        self.courier.run(&errand, trial).await;
        let all = u32::try_from(errand.requests.len()).unwrap_or(u32::MAX);
        self.courier.note(step.id, behind.range(..all).map(|number| (*number, Came::Waits)).collect());
        Ok(())
    }

    /// Whether a step is taken up too late for anybody to be told of it, as the output was off for a day. Nor does anybody hear how an
    /// alert ended who for that was not told that it began: as after quiet hours, an output joins with one step or not at all.
    pub(super) fn is_history(&self, step: &DeliveryStep, row: &AlertRow) -> Result<bool, StoreError> {
        if self.courier.is_too_old(step) {
            return Ok(true);
        }
        if row.cleared.is_none() {
            return Ok(false);
        }
        let joins = joins(self.ear.ear.route.from_level);
        let before = blocking::here(|| self.parts.store.requests_of(step.alert))?;
        Ok(before.iter().any(|request| {
            let is_own = request.name == self.name.as_str() && request.step.kind == joins;
            is_own && request.came == Came::GivenUp && self.courier.is_too_old(&request.step)
        }))
    }

    /// Has what was put aside tried again, now and then, while new steps are told.
    pub(super) async fn try_waiting(&mut self) -> Result<(), RoundError> {
        let now = self.parts.clock.uptime();
        let is_due = self.waiting_at.is_none_or(|at| now.saturating_sub(at) >= AGAIN_MIN);
        while self.again.try_join_next().is_some() {}
        if !is_due || !self.again.is_empty() {
            return Ok(());
        }
        self.waiting_at = Some(now);
        let waiting = blocking::here(|| self.parts.store.requests_waiting(&self.name))?;
        self.courier.patience.keep(&waiting);
        let mut steps: Vec<(DeliveryStep, Vec<u32>)> = Vec::new();
        for (step, number) in waiting {
            match steps.last_mut().filter(|(last, _)| last.id == step.id) {
                Some((_, numbers)) => numbers.push(number),
                None => steps.push((step, vec![number])),
            }
        }
        let quiet = self.ear.is_quiet(self.parts.clock.now());
        let mut errands = Vec::new();
        for (step, numbers) in steps {
            let row = blocking::here(|| self.parts.store.alert(step.alert))?;
            let said = row.as_ref().map(|row| self.ear.decide(&self.parts.hearing.notes, row, step.kind, quiet));
            let asked = match (&row, said) {
                (_, Some(Verdict::Hold)) => continue,
                (Some(row), Some(Verdict::Tell(told))) => {
                    let event = hearing::event(&step, row, &self.parts.hearing.notes, told);
                    match self.ask(&event).await? {
                        Asked::For(requests) => Some((event, requests)),
                        Asked::Nothing(_) => None,
                    }
                }
                // Nobody wants to hear of it any more.
                _ => None,
            };
            match asked {
                Some((event, requests)) => {
                    let age = self.courier.age(&step);
                    errands.push((Errand { step, event, requests, age }, numbers));
                }
                None => {
                    self.courier.note(step.id, numbers.into_iter().map(|number| (number, Came::GivenUp)).collect());
                }
            }
        }
        if !errands.is_empty() {
            self.again.spawn(self.courier.clone().again(errands));
        }
        Ok(())
    }

    /// What its script asks for. An error says that there is no process to ask: the step waits for one.
    async fn ask(&mut self, event: &Event) -> Result<Asked, RoundError> {
        let Some(process) = &mut self.process else { return Err(WorkerError::Down.into()) };
        Ok(match process.tell(event).await? {
            Outcome::Requests(requests) => Asked::For(requests),
            Outcome::Refused(name) => {
                self.trouble(format!("it can make nothing of alert {}: {name}", event.alert.id));
                Asked::Nothing(format!("its script refuses it: {name}"))
            }
            Outcome::Fault(why) => {
                tracing::error!(plugin = %self.name, alert = %event.alert.id, "an output failed; of this alert it sends nothing");
                self.trouble(format!("it failed on alert {}, and sends nothing of it: {why}", event.alert.id));
                Asked::Nothing(format!("its script fails: {why}"))
            }
        })
    }

    pub(super) fn trouble(&self, text: String) {
        self.courier.trouble(text);
    }
}
