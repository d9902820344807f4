//! What parent and worker say to each other: postcard, one request, one answer. And the worker's side of it.

use std::sync::Arc;

use pitchside_model::{Alert, AlertEvent, AlertId, RuleName, Timestamp};
use pitchside_script::{Fault, Problem, ServeError, serve};
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Fed, RuleFault, RuleStatus};
use crate::item::Item;
use crate::library::RuleSet;

/// What the parent asks.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Put these rules in force.
    Load(RuleSet),
    /// Take these entries. With `watch`, a note names each rule before its script runs.
    Feed {
        /// Whether to name what runs.
        watch: bool,
        /// The entries, in order.
        #[serde(borrow)]
        items: Vec<Item<'a>>,
    },
    /// Say all you remember.
    Snapshot,
    /// Remember this.
    Resume(&'a [u8]),
    /// How do the rules do?
    Status,
    /// Clear this alert by hand.
    Reset(AlertId, Timestamp),
    /// Switch this rule off.
    SwitchOff(RuleName, Fault),
    /// Put this rule back that was switched off.
    Again(RuleName),
    /// What does the built-in rule say of this synthetic reading?
    Drill(#[serde(borrow)] Item<'a>),
}

/// What the worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To `Load`: alerts cleared because their rule went, or why nothing changed.
    Loaded(Result<Vec<AlertEvent>, Vec<Problem>>),
    /// To `Feed`.
    Fed(Fed),
    /// To `Snapshot`.
    Snapshot(Vec<u8>),
    /// To `Resume`: whether it fits.
    Resumed(bool),
    /// To `Status`.
    Status(Vec<RuleStatus>),
    /// To `Reset`.
    Reset(Option<AlertEvent>),
    /// To `SwitchOff`.
    SwitchedOff(Option<RuleFault>),
    /// To `Again`: whether it was off.
    Again(bool),
    /// To `Drill`: the alert, or why there is none.
    Drilled(Result<Alert, String>),
    /// The request is not understood, or nothing is loaded yet.
    Refused,
}

/// Serves one parent: the whole life of the rules worker. Call it from a process that has one thread.
pub fn worker_main() -> Result<(), ServeError> {
    worker_main_probed(&mut |_| {})
}

/// The same; `probe` is called before each script. By it the tests let a rule end the process.
pub fn worker_main_probed(probe: &mut dyn FnMut(&RuleName)) -> Result<(), ServeError> {
    let mut engine = None;
    serve(&mut |request| {
        let answer =
            postcard::from_bytes(request).map_or(Answer::Refused, |request| answer(&mut engine, request, probe));
        // Plain data into memory; an empty answer is one the parent does not understand, and it restarts us.
        postcard::to_allocvec(&answer).unwrap_or_default()
    })
}

fn answer(engine: &mut Option<Engine>, request: Request<'_>, probe: &mut dyn FnMut(&RuleName)) -> Answer {
    if let Request::Load(set) = request {
        let set = Arc::new(set);
        return Answer::Loaded(match engine {
            Some(engine) => engine.reload(set),
            None => Engine::new(set).map(|new| {
                *engine = Some(new);
                Vec::new()
            }),
        });
    }
    let Some(engine) = engine else { return Answer::Refused };
    match request {
        Request::Load(_) => Answer::Refused,
        Request::Feed { watch, items } => {
            let mut fed = Fed::default();
            for item in &items {
                engine.take_watched(item, &mut fed, &mut |rule| {
                    if watch {
                        serve::note(rule.as_str());
                    }
                    probe(rule);
                });
            }
            Answer::Fed(fed)
        }
        Request::Snapshot => Answer::Snapshot(engine.snapshot()),
        Request::Resume(snapshot) => Answer::Resumed(engine.resume(snapshot).is_ok()),
        Request::Status => Answer::Status(engine.status()),
        Request::Reset(id, at) => Answer::Reset(engine.reset(id, at)),
        Request::SwitchOff(rule, fault) => Answer::SwitchedOff(engine.switch_off(&rule, fault)),
        Request::Again(rule) => Answer::Again(engine.again(&rule)),
        Request::Drill(item) => Answer::Drilled(crate::drill::judge(&item)),
    }
}
