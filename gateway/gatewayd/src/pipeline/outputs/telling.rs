//! One step told to an output's script, and what it asks for carried out. Nothing here waits for a receiver longer than a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pitchside_script::WorkerError;
use pitchside_script::output::{Event, Outcome, Request};
use pitchside_store::delivery::{Target, Written};
use pitchside_store::{AlertRow, Came, DeliveryRequest, DeliveryStep, DeliveryStepId, StoreError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::numbered::{Numbered, is_new, is_owed, numbered};
use super::places::Places;
use super::trial::{Age, Ended, Errand, Trial};
use super::underway::{One, Way};
use super::{OutputTask, hearing};
use crate::blocking;
use crate::delivery::route::joins;
use crate::pipeline::delivery::muster::Went;

/// How long the steps that follow wait for what a step asks for: most of it is done by then, and need not be written down as waiting.
const PROMPT_WITHIN: Duration = Duration::from_secs(3);

/// Why an output cannot go on for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no process to ask.
    #[error("its process does not run: {0}")]
    Process(#[from] WorkerError),
}

/// What became of a step.
pub(super) enum Heard {
    /// The output is done with it.
    Done,
    /// It is to be held for its quiet hours.
    Hold,
    /// Its script failed on it: why.
    Failed(String),
    /// What it asks for at these receivers has no room to wait.
    Owes(BTreeSet<Target>),
    /// It comes after one of the same alert that its script failed on, or that is still to be told.
    Behind,
}

/// What a script makes of an event.
pub(super) enum Asked {
    /// It asks for these.
    For(Vec<Request>),
    /// For nothing, as it failed or could make nothing of it: why.
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
                let (requests, age) = (numbered(requests, &[]), self.courier.age(step));
                let errand = Errand { step: *step, event, requests, age };
                self.away.spawn(self.courier.clone().drill(errand, until));
                return;
            }
            Ok((_, Asked::Nothing(why))) => {
                self.trouble(format!("of a drill it sends nothing: {why}"));
                Err(why)
            }
            Err(why) => Err(why),
        };
        self.parts.hearing.muster.delivered(step.alert, &self.name, how);
    }

    /// Tells it of a step: what it asks for is written down as what waits, under its numbers, and sets out side by side. What is not there
    /// in a moment goes on. What waits already of the same alert, for the same receiver, is not overtaken; where something of another alert
    /// waits, for the same receiver or under the same number, nobody waits for one more, nor for what is told again: a receiver that stalls
    /// and has another address for each alert would hold up every step. What has no room to wait is written down as owed, and tried once all
    /// the same. A step that is told `again` is not told to whoever has heard of a later one.
    pub(super) async fn tell(
        &mut self,
        step: &DeliveryStep,
        event: Event,
        age: Age,
        again: bool,
    ) -> Result<Heard, RoundError> {
        let requests = match self.ask(&event).await? {
            Asked::For(requests) => requests,
            Asked::Nothing(why) => return Ok(Heard::Failed(why)),
        };
        // In this order: what ends in between is found to be written down.
        let under_way = self.courier.under_way.now();
        self.courier.record.settled()?;
        // Cut off in the middle, it is told again: what is written of it already is done, waits to be tried again, or is owed.
        let (written, waiting, by_target) = blocking::here(|| {
            let store = &self.parts.store;
            let (written, waiting) =
                (store.requests_of_step(&self.name, step.id)?, store.requests_waiting(&self.name)?);
            Ok::<_, StoreError>((written, waiting, store.requests_by_target(&self.name)?))
        })?;
        let numbers_waiting: BTreeSet<u32> = waiting.into_iter().map(|(_, number)| number).collect();
        let requests = numbered(requests, &written);
        let behind = self.behind(step, &requests)?;
        let late = if again { self.overtaken(step, &event, &requests, &written, &under_way)? } else { BTreeSet::new() };
        let (owed_before, mut places) = (self.kept.owed_before(step), Places::beside(&by_target));
        let is_asked =
            |number: &u32| (is_new(&written, *number) || is_owed(&written, *number)) && !late.contains(number);
        let new: Vec<u32> = requests.keys().copied().filter(is_asked).collect();
        let priority = event.alert.priority;
        let errand = Arc::new(Errand { step: *step, event, requests, age });
        let (mut owed, mut trips, mut is_outranked) = (BTreeMap::new(), Vec::new(), false);
        for number in &new {
            let Some(Numbered { request, target }) = errand.requests.get(number) else { continue };
            let (is_blocked, is_overtaking) = (places.waits(target), owed_before.contains(target));
            // Told again while it is still about it, it comes to its end by itself.
            let is_going = under_way.contains(&(step.id, *number));
            if is_going || is_overtaking || !places.take(*target) {
                owed.insert(*number, *target);
            }
            if is_going || is_overtaking || behind.contains(number) {
                continue;
            }
            // What is more urgent and waits is tried at once, and this right after, as what waits.
            if !owed.contains_key(number)
                && request.moot_after_s().is_none()
                && self.courier.patience.is_outranked(*target, priority, self.parts.clock.uptime())
            {
                is_outranked = true;
                continue;
            }
            let trial = match (owed.contains_key(number), is_blocked) {
                (true, _) if again => Trial::Once,
                (true, _) | (_, true) => Trial::Brief,
                (false, false) => Trial::Aside,
            };
            let is_awaited = !is_blocked && !again && !numbers_waiting.contains(number);
            trips.push((*number, *target, trial, is_awaited));
        }
        // What is under way writes down by itself what becomes of it.
        let rests = |number: u32| !under_way.contains(&(step.id, number));
        let numbers = new.iter().filter_map(|number| match owed.contains_key(number) {
            false => Some((*number, Came::Waits)),
            true => (rests(*number) && !is_owed(&written, *number)).then_some((*number, Came::Owed)),
        });
        // Before anything goes out: cut off from here on, as when the output is set otherwise, nobody is told under another number. Where the
        // record takes nothing this step goes out all the same, and nothing after it.
        self.courier.settle(&errand, numbers);
        let (mut out, mut awaited) = (JoinSet::new(), BTreeSet::new());
        for (number, target, trial, is_awaited) in trips {
            let Some(going) = self.courier.under_way.begin((step.id, number), target) else { continue };
            if is_awaited {
                awaited.insert(number);
            }
            out.spawn(self.courier.clone().set_out(Arc::clone(&errand), number, trial, going));
        }
        let ended = prompt(&mut out, awaited).await;
        let mut came: BTreeMap<u32, Came> = late.into_iter().map(|number| (number, Came::GivenUp)).collect();
        came.extend(ended.iter().filter(|one| one.came != Came::Waits).map(|one| (one.number, one.came)));
        owed.retain(|number, _| !came.contains_key(number));
        let is_gone = |one: &&Written| one.came == Came::Owed && !errand.requests.contains_key(&one.number);
        let gone = written.iter().filter(is_gone).filter(|one| rests(one.number));
        came.extend(gone.map(|one| (one.number, Came::Unasked)));
        let waits = |target: &Target| by_target.iter().any(|(of, _)| of.as_ref() == Some(target));
        let is_back = |(number, came): (&u32, &Came)| {
            *came == Came::Done && errand.requests.get(number).is_some_and(|one| waits(&one.target))
        };
        let is_back = came.iter().any(is_back);
        self.courier.settle(&errand, came);
        if is_outranked || is_back {
            // What waits for the same receiver is due.
            self.courier.under_way.wake();
        }
        if !out.is_empty() {
            let numbers = owed.keys().copied().collect();
            self.away.spawn(self.courier.clone().see_out(errand, out, numbers));
        }
        Ok(if owed.is_empty() { Heard::Done } else { Heard::Owes(owed.into_values().collect()) })
    }

    /// The requests of a step that come after something of the same alert that waits: for the same receiver, or under the same number.
    fn behind(&self, step: &DeliveryStep, requests: &BTreeMap<u32, Numbered>) -> Result<BTreeSet<u32>, StoreError> {
        let look = || {
            let (store, under_way) = (&self.parts.store, self.courier.under_way.now());
            let mut found: Vec<(u32, Way)> = Vec::new();
            for (other, before) in store.requests_waiting(&self.name)? {
                let gives_way = self.kept.gives_way(other.id) && !under_way.contains(&(other.id, before));
                if other.alert != step.alert || other.id >= step.id || gives_way {
                    continue;
                }
                let written = store.requests_of_step(&self.name, other.id)?;
                let target = written.iter().find(|one| one.number == before).and_then(|one| one.target);
                for (number, one) in requests {
                    if *number == before || target == Some(one.target) {
                        found.push((*number, (step.alert, before)));
                    }
                }
            }
            Ok::<_, StoreError>(found)
        };
        let found = blocking::here(look)?;
        if found.is_empty() {
            return Ok(BTreeSet::new());
        }
        found.iter().for_each(|(_, way)| self.courier.under_way.stands_behind(*way));
        // What has come to its end by now is found to wait no more; what does so from here on wakes.
        Ok(blocking::here(look)?.into_iter().map(|(number, _)| number).collect())
    }

    /// The requests of a step that was kept whose receivers have heard of a later one of the same alert, or are just being told of it: to
    /// them it would be news that is over.
    fn overtaken(
        &self,
        step: &DeliveryStep,
        event: &Event,
        requests: &BTreeMap<u32, Numbered>,
        written: &[Written],
        under_way: &BTreeSet<One>,
    ) -> Result<BTreeSet<u32>, StoreError> {
        let is_told =
            |step: DeliveryStepId, number: u32, came: Came| came == Came::Done || under_way.contains(&(step, number));
        let have_heard = blocking::here(|| {
            let store = &self.parts.store;
            let later = store.requests_of(step.alert)?.into_iter().filter(|request| {
                let is_later = request.name == self.name.as_str() && request.step.id > step.id;
                is_later && is_told(request.step.id, request.number, request.came)
            });
            let later: BTreeSet<DeliveryStepId> = later.map(|request| request.step.id).collect();
            let mut have_heard: BTreeSet<Target> = BTreeSet::new();
            for other in later {
                let written = store.requests_of_step(&self.name, other)?;
                let told = written.iter().filter(|one| is_told(other, one.number, one.came));
                have_heard.extend(told.filter_map(|one| one.target));
            }
            Ok::<_, StoreError>(have_heard)
        })?;
        let mut late = BTreeSet::new();
        for (number, Numbered { request, target }) in requests {
            let is_over = |one: &Written| one.number == *number && matches!(one.came, Came::Done | Came::GivenUp);
            // What is under way itself is tried before what comes later.
            let is_going = under_way.contains(&(step.id, *number));
            if have_heard.contains(target) && !is_going && !written.iter().any(is_over) {
                let key = event.key(*number as usize);
                self.trouble(format!("{} {key} is left out: what came after it was told there", request.target()));
                late.insert(*number);
            }
        }
        Ok(late)
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
        let is_own = |request: &&DeliveryRequest| request.name == self.name.as_str() && request.step.kind == joins;
        let mut joined = before.iter().filter(is_own).peekable();
        // Where somebody heard that it began, they hear how it ended.
        Ok(joined.peek().is_some()
            && joined.all(|request| {
                matches!(request.came, Came::GivenUp | Came::Unasked) && self.courier.is_too_old(&request.step)
            }))
    }

    /// What its script asks for. An error says that there is no process to ask: the step waits for one.
    pub(super) async fn ask(&mut self, event: &Event) -> Result<Asked, RoundError> {
        let Some(process) = &mut self.process else { return Err(WorkerError::Down.into()) };
        Ok(match process.tell(event).await? {
            Outcome::Requests(requests) => Asked::For(requests),
            Outcome::Refused(name) => Asked::Nothing(format!("its script refuses it: {name}")),
            Outcome::Fault(why) => Asked::Nothing(format!("its script fails: {why}")),
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
