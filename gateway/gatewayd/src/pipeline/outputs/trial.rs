//! Requests carried out: at once, tried again for a while, put aside, and given up.
//!
//! Each is under way by itself: a step waits a moment for its own, and what has not come to an end by then goes on beside the steps that
//! follow, and stands in the record as what waits. So a receiver that stalls holds up nothing but what comes after it of the same alert
//! on the same way, and whoever is cut off in the middle finds it there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pitchside_model::PluginName;
use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_script::manifest::{Capability, SecretParam};
use pitchside_script::output::{Event, Request};
use pitchside_store::delivery::{Target, Written};
use pitchside_store::{Came, DeliveryStep, DeliveryStepId, StoreError};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::OutputsParts;
use super::carry::CarryError;
use super::chains::Chain;
use super::given::Given;
use super::numbered::Numbered;
use super::patience::{Patience, Tried};
use super::record::{Entry, Record};
use super::turn::{Turn, Turns};
use super::underway::{Going, UnderWay};
use crate::blocking;
use crate::clock::CLOCK_FLOOR_MS;
use crate::pipeline::delivery::muster::Went;

/// The first pause before a request is tried again; it doubles.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A request is put aside by a try that began so long after its first: so the pause after it is the first of those.
const ASIDE_AFTER: Duration = Duration::from_secs(60);
/// How long one that the other end takes for wrong is tried, since its first try: it may have been held for hours before.
const UNWANTED_AFTER: Duration = Duration::from_secs(10 * 60);
/// So long before a drill is over, what did not go out by then is tried once more: whoever waits for it hears how that ended.
const DRILL_LAST: Duration = Duration::from_secs(2);
/// How old a step may be, in microseconds, for a request of it to be tried on.
const GIVE_UP_AFTER_US: i64 = 24 * 3_600 * MICROS_PER_SECOND;

/// For how long something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trial {
    /// For a minute, and once more; then it is put aside.
    Aside,
    /// Once, then it is put aside: something waits on its way already.
    Brief,
    /// Once: it was put aside or is owed, and comes again.
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
    /// What is under way while later steps are told.
    pub under_way: UnderWay,
    /// Why the last request to a receiver that was tried again did not go out, as it was told; of receivers that something waits for.
    pub told: Arc<Mutex<BTreeMap<Target, String>>>,
}

/// The requests of a step, by number.
pub(super) struct Errand {
    pub step: DeliveryStep,
    pub event: Event,
    pub requests: BTreeMap<u32, Numbered>,
    pub age: Age,
}

/// What became of a request that was carried out, or was not.
pub(super) struct Carried {
    pub came: Came,
    /// Why, if it was not.
    pub why: String,
    /// When the last try began, by the gateway's uptime.
    pub begun: Duration,
    /// How long that took.
    pub took: Duration,
}

/// A request that came to an end, and counts as under way until this is dropped.
pub(super) struct Ended {
    pub number: u32,
    pub came: Came,
    going: Going,
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

    /// Carries out a request of a step.
    pub async fn set_out(self, errand: Arc<Errand>, number: u32, trial: Trial, going: Going) -> Ended {
        let came = match errand.requests.get(&number) {
            Some(one) => self.carry_in_turn(&errand, number, one, trial).await,
            None => Came::GivenUp,
        };
        Ended { number, came, going }
    }

    /// Writes down what becomes of requests of a step that stand in the record as what waits; of the `owed`, which stay so, only that they
    /// came to an end.
    pub async fn see_out(self, errand: Arc<Errand>, mut out: JoinSet<Ended>, owed: BTreeSet<u32>) {
        while let Some(ended) = out.join_next().await {
            // One that broke down waits, and is tried again.
            let Ok(Ended { number, came, going }) = ended else { continue };
            let is_owed = owed.contains(&number);
            if is_owed && came == Came::Waits {
                continue;
            }
            self.settle(&errand, [(number, came)]);
            drop(going);
            if is_owed {
                self.under_way.brings(errand.step.id);
            }
            if came != Came::Waits || self.is_due(errand.step.id, number) {
                self.under_way.wake();
            }
        }
    }

    /// Whether a request that waits may be tried now. To be asked once it is no longer under way: while it was, whoever looked for what is due
    /// passed it over.
    fn is_due(&self, step: DeliveryStepId, number: u32) -> bool {
        self.patience.is_due(step, number, self.parts.clock.uptime())
    }

    /// Writes down what became of requests of a step.
    pub fn settle(&self, errand: &Errand, came: impl IntoIterator<Item = (u32, Came)>) {
        let written = |(number, came): (u32, Came)| {
            let one = errand.requests.get(&number);
            let replaces = one.is_some_and(|one| one.request.replaces());
            Written { number, came, target: one.map(|one| one.target), replaces }
        };
        let written: Vec<Written> = came.into_iter().map(written).collect();
        let replaces = |one: &&Written| one.came == Came::Done && one.replaces;
        self.give_up_older(errand.step.id, &written.iter().filter(replaces).copied().collect::<Vec<_>>());
        self.write_down(errand.step.id, written);
    }

    async fn carry_in_turn(&self, errand: &Errand, number: u32, one: &Numbered, trial: Trial) -> Came {
        let (step, key) = (errand.step.id, errand.event.key(number as usize));
        let turn = match one.request.replaces() {
            false => None,
            true => match (self.turns.take(one.target, step).await, self.is_replaced(one.target, step)) {
                (Turn::Newer, _) | (Turn::Mine(_), Ok(true)) => return Came::GivenUp,
                (Turn::Mine(place), Ok(false)) => Some(place),
                (Turn::Mine(_), Err(error)) => {
                    tracing::warn!(plugin = %self.name, key, %error, "what stands with a receiver cannot be read; this waits");
                    let begun = self.parts.clock.uptime();
                    let carried = Carried { came: Came::Waits, why: String::new(), begun, took: Duration::ZERO };
                    self.tried(errand, number, one.target, &carried, begun);
                    return Came::Waits;
                }
            },
        };
        let first = self.patience.first(step, number).unwrap_or_else(|| self.parts.clock.uptime());
        let carried = self.carry(&one.request, &key, errand.age, first, trial).await;
        let came = carried.came;
        if let (Came::Done, Some(place)) = (came, turn) {
            place.brought(step);
        }
        self.tried(errand, number, one.target, &carried, first);
        if came == Came::Done || trial == Trial::Once {
            self.tell_why(one.target, &key, came, &carried.why);
        }
        came
    }

    fn tried(&self, errand: &Errand, number: u32, target: Target, carried: &Carried, first: Duration) {
        let Carried { came, begun, took, .. } = *carried;
        let priority = errand.event.alert.priority;
        self.patience.tried((errand.step.id, number), Tried { target, priority, came, first, begun, took });
    }

    /// Whether something newer than this step was brought to a receiver by a run of before, which nobody remembers.
    fn is_replaced(&self, target: Target, step: DeliveryStepId) -> Result<bool, StoreError> {
        blocking::here(|| self.parts.store.is_replaced(&self.name, target, step))
    }

    /// Says why what was put aside still does not go out: once, for as long as it is the same there.
    fn tell_why(&self, target: Target, key: &str, came: Came, why: &str) {
        if came != Came::Waits {
            self.told.lock().remove(&target);
            return;
        }
        let before = self.told.lock().insert(target, why.to_owned());
        if before.as_deref() != Some(why) {
            self.trouble(format!("{key} still does not go out: {why}"));
        }
    }

    pub(super) fn write_down(&self, step: DeliveryStepId, written: Vec<Written>) {
        if !written.is_empty() {
            self.record.write(Entry::Came(step, written, self.parts.clock.now()));
        }
    }

    /// Tries once what was put aside for one receiver, in order: what comes after something that still waits waits on.
    pub async fn again(self, chain: Chain, going: Vec<Going>) {
        let receiver = chain.first().and_then(|(errand, number)| errand.requests.get(number));
        let _place = match receiver {
            Some(one) => self.under_way.place(one.target).await,
            None => None,
        };
        for (errand, number) in &chain {
            if !self.is_due(errand.step.id, *number) || self.record.settled().is_err() {
                return;
            }
            // Nothing else stands in a chain.
            let Some(one) = errand.requests.get(number) else { continue };
            let came = self.carry_in_turn(errand, *number, one, Trial::Once).await;
            self.settle(errand, [(*number, came)]);
            if came == Came::Waits {
                drop(going);
                if self.is_due(errand.step.id, *number) {
                    self.under_way.wake();
                }
                return;
            }
            if came == Came::Done {
                // All that waits for that receiver is due.
                self.under_way.wake();
            }
        }
        drop(going);
        chain.iter().for_each(|(errand, number)| self.under_way.ended((errand.step.alert, *number)));
    }

    /// Carries out what a drill asks for, and reports.
    pub async fn drill(self, errand: Errand, until: Instant) {
        let how = self.drill_out(&errand, until).await;
        self.parts.hearing.muster.delivered(errand.step.alert, &self.name, how);
    }

    async fn drill_out(&self, errand: &Errand, until: Instant) -> Result<Went, String> {
        for (number, Numbered { request, target }) in &errand.requests {
            let (key, first) = (errand.event.key(*number as usize), self.parts.clock.uptime());
            match timeout_at(until, self.carry(request, &key, errand.age, first, Trial::Drill(until))).await {
                Ok(carried) if carried.came == Came::Done => {
                    // What waits for the same receiver is due.
                    self.tried(errand, *number, *target, &carried, first);
                    self.under_way.wake();
                }
                Ok(Carried { why, .. }) => return Err(why),
                Err(_) => return Err(format!("{} does not answer within the time of a drill", request.target())),
            }
        }
        Ok(Went::Out)
    }

    /// Carries a request out, which was tried `first` then, and tries again for as long as that may help.
    async fn carry(&self, request: &Request, key: &str, age: Age, first: Duration, trial: Trial) -> Carried {
        let mut pause = RETRY_MIN;
        let mut said = false;
        let since = self.parts.clock.uptime();
        let moot_after_us = request.moot_after_s().map(|seconds| i64::from(seconds) * MICROS_PER_SECOND);
        let limit_us = moot_after_us.unwrap_or(GIVE_UP_AFTER_US);
        if moot_after_us.is_some() && self.age_us(age) > limit_us {
            let why = format!("{} {key} comes too late to be worth it, and is left out", request.target());
            self.trouble(why.clone());
            return Carried { came: Came::GivenUp, why, begun: since, took: Duration::ZERO };
        }
        loop {
            let (begun, clocked) = (self.parts.clock.uptime(), Instant::now());
            let done = match self.given() {
                Ok(given) => self.parts.carrier.carry(request, key, &given).await,
                Err(error) => Err(CarryError::Later(error.to_string())),
            };
            let took = clocked.elapsed();
            let (why, unwanted) = match done {
                Ok(()) => {
                    if said || trial == Trial::Once {
                        self.trouble(format!("{} {key} went out after all", request.target()));
                    }
                    return Carried { came: Came::Done, why: String::new(), begun, took };
                }
                Err(CarryError::Never(why)) => {
                    tracing::error!(plugin = %self.name, key, "what an output asks for is refused");
                    self.trouble(format!("{} {key} is refused: {why}", request.target()));
                    let why = format!("{} is refused: {why}", request.target());
                    return Carried { came: Came::GivenUp, why, begun, took };
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
                Trial::Aside | Trial::Brief | Trial::Once => {
                    let is_wrong = unwanted && self.parts.clock.uptime().saturating_sub(first) > UNWANTED_AFTER;
                    (is_wrong || self.age_us(age) > limit_us, "its time")
                }
                Trial::Drill(until) => {
                    let left = until.saturating_duration_since(Instant::now()).saturating_sub(DRILL_LAST);
                    pause = pause.min(left);
                    (left.is_zero(), "the time of a drill")
                }
            };
            if over {
                tracing::error!(plugin = %self.name, key, "what an output asks for could not be done within {span} and is given up");
                self.trouble(format!("{} {key} is given up after {span}: {why}", request.target()));
                return Carried { came: Came::GivenUp, why: told, begun, took };
            }
            if !said && matches!(trial, Trial::Aside | Trial::Brief) {
                said = true;
                tracing::warn!(plugin = %self.name, key, "what an output asks for does not succeed yet; it is tried again");
                self.trouble(format!("{} {key} does not go out yet, and is tried on: {why}", request.target()));
            }
            let tried = begun.saturating_sub(since);
            // What soon comes too late is not put aside: it would come back too late.
            let aside = match trial {
                Trial::Aside => tried >= ASIDE_AFTER && moot_after_us.is_none(),
                Trial::Brief => moot_after_us.is_none(),
                Trial::Once => true,
                Trial::Drill(_) => false,
            };
            if aside {
                return Carried { came: Came::Waits, why: told, begun, took };
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
