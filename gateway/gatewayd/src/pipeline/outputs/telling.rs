//! One step told to an output's script, and what it asks for carried out; and what was put aside, again. Nothing here waits for a
//! receiver longer than a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pitchside_script::WorkerError;
use pitchside_script::output::request::REQUESTS_MAX;
use pitchside_script::output::{Event, Outcome, Request};
use pitchside_store::delivery::WAITING_MAX;
use pitchside_store::{AlertRow, Came, DeliveryStep, StoreError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::patience::AGAIN_MIN;
use super::trial::{Age, Ended, Errand, Trial};
use super::underway::Way;
use super::{OutputTask, RoundError, hearing};
use crate::blocking;
use crate::delivery::route::{Verdict, joins};
use crate::pipeline::delivery::muster::Went;

/// How long the steps that follow wait for what a step asks for: most of it is done by then, and need not be written down as waiting.
const PROMPT_WITHIN: Duration = Duration::from_secs(3);

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
        let asked = match hearing::drill(step) {
            Ok(event) => self.ask(&event).await.map(|asked| (event, asked)).map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        let how = match asked {
            Ok((_, Asked::For(requests))) if requests.is_empty() => Ok(Went::Nowhere),
            Ok((event, Asked::For(requests))) => {
                let errand = Errand { step: *step, event, requests, age: self.courier.age(step) };
                self.away.spawn(self.courier.clone().drill(errand, until));
                return;
            }
            Ok((_, Asked::Nothing(why))) | Err(why) => Err(why),
        };
        self.parts.hearing.muster.delivered(step.alert, &self.name, how);
    }

    /// Tells it of a step: what it asks for sets out side by side. What is not there in a moment stands in the record as what waits, and
    /// goes on. What waits already on the same way, of the same alert, is not overtaken; where something of another alert waits nobody
    /// waits for one more.
    pub(super) async fn tell(&mut self, step: &DeliveryStep, event: Event, age: Age) -> Result<(), RoundError> {
        let every = 0..u32::try_from(REQUESTS_MAX).unwrap_or(u32::MAX);
        self.courier.under_way.stands_behind(step.alert, every.clone());
        let waiting = blocking::here(|| self.parts.store.requests_waiting(&self.name))?;
        let behind: BTreeSet<u32> =
            waiting.iter().filter(|(other, _)| other.alert == step.alert).map(|(_, number)| *number).collect();
        every.filter(|number| !behind.contains(number)).for_each(|number| {
            self.courier.under_way.stands_free((step.alert, number));
        });
        // Every request may come to wait, and nothing that does is lost.
        if waiting.len() + REQUESTS_MAX > WAITING_MAX as usize {
            return Err(RoundError::Full);
        }
        let requests = match self.ask(&event).await? {
            Asked::For(requests) => requests,
            // Of this step it sends nothing: why stands in its log, that it does in the alert's evidence.
            Asked::Nothing(_) => {
                self.courier.note(step.id, vec![(0, Came::GivenUp)]);
                return Ok(());
            }
        };
        let blocked: BTreeSet<u32> = waiting.iter().map(|(_, number)| *number).collect();
        let numbers = 0..u32::try_from(requests.len()).unwrap_or(u32::MAX);
        let errand = Arc::new(Errand { step: *step, event, requests, age });
        let (mut out, mut awaited) = (JoinSet::new(), BTreeSet::new());
        for number in numbers.clone().filter(|number| !behind.contains(number)) {
            let Some(going) = self.courier.under_way.begin((step.alert, number)) else { continue };
            let trial = if blocked.contains(&number) { Trial::Brief } else { Trial::Aside };
            if trial == Trial::Aside {
                awaited.insert(number);
            }
            out.spawn(self.courier.clone().set_out(Arc::clone(&errand), number, trial, going));
        }
        let ended = prompt(&mut out, awaited).await;
        // Cut off in the middle, it is told again: what waits of it already may come to its end by now.
        let is_written = |number: u32| waiting.iter().any(|(other, n)| other.id == step.id && *n == number);
        let unwritten = numbers.filter(|number| !is_written(*number));
        let mut came: BTreeMap<u32, Came> = unwritten.map(|number| (number, Came::Waits)).collect();
        came.extend(ended.iter().map(|one| (one.number, one.came)));
        self.courier.settle(&errand, came.into_iter().collect());
        if !out.is_empty() {
            self.away.spawn(self.courier.clone().see_out(errand, out));
        }
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
        while self.away.try_join_next().is_some() {}
        let was_woken = self.courier.under_way.was_woken();
        if !was_woken && !self.waiting_at.is_none_or(|at| now.saturating_sub(at) >= AGAIN_MIN) {
            return Ok(());
        }
        self.waiting_at = Some(now);
        // In this order: what ends in between is written down, and found to wait no more.
        let under_way = self.courier.under_way.now();
        self.courier.record.settled()?;
        let waiting = blocking::here(|| self.parts.store.requests_waiting(&self.name))?;
        self.courier.patience.keep(&waiting);
        let mut steps: Vec<(DeliveryStep, Vec<u32>)> = Vec::new();
        let mut resting = BTreeSet::new();
        for (step, number) in waiting {
            let way = (step.alert, number);
            let is_due = self.courier.patience.is_due(step.id, number, now);
            if under_way.contains(&way) || resting.contains(&way) || !is_due {
                resting.insert(way);
                continue;
            }
            self.courier.under_way.stands_free(way);
            match steps.last_mut().filter(|(last, _)| last.id == step.id) {
                Some((_, numbers)) => numbers.push(number),
                None => steps.push((step, vec![number])),
            }
        }
        let quiet = self.ear.is_quiet(self.parts.clock.now());
        let mut errands: Vec<(Way, Vec<Arc<Errand>>)> = Vec::new();
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
                    let errand = Arc::new(Errand { step, event, requests, age });
                    for way in numbers.into_iter().map(|number| (step.alert, number)) {
                        match errands.iter_mut().find(|(other, _)| *other == way) {
                            Some((_, of_way)) => of_way.push(Arc::clone(&errand)),
                            None => errands.push((way, vec![Arc::clone(&errand)])),
                        }
                    }
                }
                None => {
                    self.courier.note(step.id, numbers.into_iter().map(|number| (number, Came::GivenUp)).collect());
                }
            }
        }
        // Oldest first: that is the order in which they get a place.
        for (way, errands) in errands {
            if let Some(going) = self.courier.under_way.begin_again(way) {
                self.away.spawn(self.courier.clone().again(way, errands, going));
            }
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

/// Waits a moment for those that are awaited; what came to its end by then.
async fn prompt(out: &mut JoinSet<Ended>, mut awaited: BTreeSet<u32>) -> Vec<Ended> {
    let mut ended = Vec::new();
    let _late = timeout(PROMPT_WITHIN, async {
        while !awaited.is_empty() {
            match out.join_next().await {
                Some(Ok(one)) => {
                    awaited.remove(&one.number);
                    ended.push(one);
                }
                // One that broke down waits, and is tried again.
                Some(Err(_)) => {}
                None => break,
            }
        }
    })
    .await;
    ended
}
