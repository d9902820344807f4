//! Requests carried out: at once, tried again for a while, put aside, and given up.
//!
//! What does not go out within a minute waits in the record and holds up nothing else but what comes after it of the same alert on
//! the same way: a mailbox that is full keeps no other from its mail.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_model::{AlertId, PluginName};
use pitchside_script::manifest::{Capability, SecretParam};
use pitchside_script::output::{Event, Request};
use pitchside_store::{Came, DeliveryStep, DeliveryStepId, StoreError};
use tokio::time::Instant;

use super::OutputsParts;
use super::carry::CarryError;
use super::given::Given;
use super::patience::Patience;
use super::record::{Entry, Record};
use super::turn::{Turn, Turns};
use crate::blocking;
use crate::clock::CLOCK_FLOOR_MS;

/// The first pause before a request is tried again; it doubles.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long a request is tried before it is put aside.
const ASIDE_AFTER: Duration = Duration::from_secs(60);
/// How long one that the other end takes for wrong is tried.
const UNWANTED_AFTER_US: i64 = 10 * 60 * MICROS_PER_SECOND;
/// How old a step may be, in microseconds, for a request of it to be tried on.
const GIVE_UP_AFTER_US: i64 = 24 * 3_600 * MICROS_PER_SECOND;

/// For how long something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trial {
    /// A minute, then it is put aside.
    Aside,
    /// Until it is given up: nothing more can be put aside.
    On,
    /// Once, then it is put aside: something waits on its way already.
    Brief,
    /// Once: it was put aside, and comes again.
    Once,
    /// Until then.
    Drill(Instant),
}

/// How old a step is: what it was when it was taken up, and since then by uptime, which no clock that is put right can move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Age {
    taken_up: Duration,
    was_us: i64,
}

/// Whoever carries out what an output asks for.
#[derive(Clone)]
pub(super) struct Courier {
    pub name: PluginName,
    pub parts: OutputsParts,
    /// What is written of it.
    pub record: Record,
    /// What it asks for, as it is set.
    pub asks: Vec<Capability>,
    /// Those it may name.
    pub secrets: Vec<(String, SecretParam)>,
    /// The last step there was when the gateway was started.
    pub before_start: DeliveryStepId,
    /// When what was put aside is tried again.
    pub patience: Patience,
    /// Which of those that replace each other is the newest.
    pub turns: Turns,
}

/// The requests of a step.
pub(super) struct Errand {
    pub step: DeliveryStep,
    pub event: Event,
    pub requests: Vec<Request>,
    pub age: Age,
}

impl Courier {
    /// The age of a step. One that was recorded since the start is no older than that, whatever the clock says; nor is one recorded
    /// by a clock that was not set.
    pub fn age(&self, step: &DeliveryStep) -> Age {
        let (clock, taken_up) = (&self.parts.clock, self.parts.clock.uptime());
        let is_dated = step.recorded_at.millis() >= CLOCK_FLOOR_MS;
        let told_us = if is_dated { clock.now().micros_since(step.recorded_at).max(0) } else { 0 };
        let since_start = step.id > self.before_start;
        let most_us = if since_start { i64::try_from(taken_up.as_micros()).unwrap_or(i64::MAX) } else { i64::MAX };
        Age { taken_up, was_us: told_us.min(most_us) }
    }

    /// Whether a step is so old that nothing of it is tried (any more).
    pub fn is_too_old(&self, step: &DeliveryStep) -> bool {
        self.age_us(self.age(step)) > GIVE_UP_AFTER_US
    }

    /// One whose time begins now.
    pub fn fresh(&self) -> Age {
        Age { taken_up: self.parts.clock.uptime(), was_us: 0 }
    }

    fn age_us(&self, age: Age) -> i64 {
        let since = self.parts.clock.uptime().saturating_sub(age.taken_up);
        age.was_us.saturating_add(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// Carries out the requests of a step side by side, each as `trial` says of its number or not at all, and writes down what became
    /// of each.
    pub async fn run(&self, errand: &Errand, trial: impl Fn(u32) -> Option<Trial>) -> Vec<(u32, Came)> {
        let numbered = (0..).zip(&errand.requests).filter_map(|(number, r)| Some((number, r, trial(number)?)));
        let came = join_all(numbered.map(|(number, request, trial)| async move {
            (number, self.carry_in_turn(errand, number, request, trial).await)
        }));
        let came = came.await;
        let replaces = |number: u32| errand.requests.get(number as usize).is_some_and(Request::replaces);
        let newest = came.iter().filter(|(number, came)| *came == Came::Done && replaces(*number));
        self.give_up_older(errand.step.id, &newest.map(|(number, _)| *number).collect::<Vec<_>>());
        self.note(errand.step.id, came.clone());
        came
    }

    async fn carry_in_turn(&self, errand: &Errand, number: u32, request: &Request, trial: Trial) -> Came {
        let (step, key) = (errand.step.id, errand.event.key(number as usize));
        let turn = match request.replaces() {
            false => None,
            true => match self.turns.take(number, step, trial == Trial::Once).await {
                Turn::Mine(place) => Some(place),
                Turn::Newer => return Came::GivenUp,
                Turn::Busy => return Came::Waits,
            },
        };
        let came = self.carry(request, &key, errand.age, trial).await.0;
        if let (Came::Done, Some(place)) = (came, turn) {
            place.brought(step);
        }
        if came == Came::Done || trial == Trial::Once {
            self.patience.tried(step, number, came, self.parts.clock.uptime());
        }
        came
    }

    /// Something newer stands where these replace each other: what older steps still wait to bring there is moot.
    fn give_up_older(&self, than: DeliveryStepId, numbers: &[u32]) {
        if numbers.is_empty() {
            return;
        }
        match blocking::here(|| self.parts.store.requests_waiting(&self.name)) {
            Ok(waiting) => waiting
                .into_iter()
                .filter(|(step, number)| step.id < than && numbers.contains(number))
                .for_each(|(step, number)| self.note(step.id, vec![(number, Came::GivenUp)])),
            // Tried again, it finds that it is not its turn.
            Err(error) => tracing::warn!(plugin = %self.name, %error, "what is moot still waits"),
        }
    }

    /// Writes down what became of requests.
    pub fn note(&self, step: DeliveryStepId, came: Vec<(u32, Came)>) {
        if !came.is_empty() {
            self.record.write(Entry::Came(step, came, self.parts.clock.now()));
        }
    }

    /// Tries once what was put aside, in order; of an alert, what comes after something that still waits on the same way waits on.
    pub async fn again(self, errands: Vec<(Errand, Vec<u32>)>) {
        let mut waits: BTreeSet<(AlertId, u32)> = BTreeSet::new();
        for (errand, numbers) in errands {
            let alert = errand.step.alert;
            let due = |number| self.patience.is_due(errand.step.id, number, self.parts.clock.uptime());
            let free = |number| numbers.contains(&number) && !waits.contains(&(alert, number)) && due(number);
            let once = |number| free(number).then_some(Trial::Once);
            if self.record.settled().is_err() {
                return;
            }
            let came = self.run(&errand, once).await;
            // What the script no longer asks for will never come.
            let gone = numbers.iter().filter(|number| errand.requests.len() <= **number as usize);
            self.note(errand.step.id, gone.map(|number| (*number, Came::GivenUp)).collect());
            waits.extend(came.iter().filter(|(_, came)| *came == Came::Waits).map(|(number, _)| (alert, *number)));
            waits.extend(numbers.iter().filter(|number| !came.iter().any(|(n, _)| n == *number)).map(|n| (alert, *n)));
        }
    }

    /// Carries a request out, and tries again for as long as that may help: what became of it, and why if it was not carried out.
    pub async fn carry(&self, request: &Request, key: &str, age: Age, trial: Trial) -> (Came, String) {
        let mut pause = RETRY_MIN;
        let mut said = false;
        let begun = self.parts.clock.uptime();
        let moot_after_us = request.moot_after_s().map(|seconds| i64::from(seconds) * MICROS_PER_SECOND);
        let limit_us = moot_after_us.unwrap_or(GIVE_UP_AFTER_US);
        if moot_after_us.is_some() && self.age_us(age) > limit_us {
            let why = format!("{} {key} comes too late to be worth it, and is left out", request.target());
            self.trouble(why.clone());
            return (Came::GivenUp, why);
        }
        loop {
            let done = match self.given() {
                Ok(given) => self.parts.carrier.carry(request, key, &given).await,
                Err(error) => Err(CarryError::Later(error.to_string())),
            };
            let (why, unwanted) = match done {
                Ok(()) => {
                    if said || trial == Trial::Once {
                        self.trouble(format!("{} {key} went out after all", request.target()));
                    }
                    return (Came::Done, String::new());
                }
                Err(CarryError::Never(why)) => {
                    tracing::error!(plugin = %self.name, key, "what an output asks for is refused");
                    self.trouble(format!("{} {key} is refused: {why}", request.target()));
                    return (Came::GivenUp, format!("{} is refused: {why}", request.target()));
                }
                Err(CarryError::Later(why)) => (why, false),
                Err(CarryError::Busy(why, alone)) => {
                    pause = pause.max(alone.min(RETRY_MAX));
                    (why, false)
                }
                Err(CarryError::Unwanted(why)) => (why, true),
            };
            let told = format!("{}: {why}", request.target());
            let (over, span) = match trial {
                Trial::Aside | Trial::On | Trial::Brief | Trial::Once => {
                    let limit_us = limit_us.min(if unwanted { UNWANTED_AFTER_US } else { i64::MAX });
                    (self.age_us(age) > limit_us, "its time")
                }
                Trial::Drill(until) => (Instant::now() + pause > until, "the time of a drill"),
            };
            if over {
                tracing::error!(plugin = %self.name, key, "what an output asks for could not be done within {span} and is given up");
                self.trouble(format!("{} {key} is given up after {span}: {why}", request.target()));
                return (Came::GivenUp, told);
            }
            if !said && matches!(trial, Trial::Aside | Trial::On | Trial::Brief) {
                said = true;
                tracing::warn!(plugin = %self.name, key, "what an output asks for does not succeed yet; it is tried again");
                self.trouble(format!("{} {key} does not go out yet, and is tried on: {why}", request.target()));
            }
            let tried = self.parts.clock.uptime().saturating_sub(begun);
            // What soon comes too late is not put aside: it would come back too late.
            let aside = match trial {
                Trial::Aside => tried >= ASIDE_AFTER && moot_after_us.is_none(),
                Trial::Brief => moot_after_us.is_none(),
                Trial::Once => true,
                Trial::On | Trial::Drill(_) => false,
            };
            if aside {
                return (Came::Waits, told);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// What it may do and which secrets it has now: what is taken back counts at once.
    fn given(&self) -> Result<Given, StoreError> {
        blocking::here(|| Given::read(&self.parts.store, &self.name, &self.asks, &self.secrets))
    }

    pub fn trouble(&self, text: String) {
        self.parts.trouble(&self.name, text);
    }
}
