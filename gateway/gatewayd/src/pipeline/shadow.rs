//! Rules in the shadow: they run on live readings in a worker of their own, and what they say goes into a bounded log. Nothing of
//! it is delivered or sealed.
//!
//! They hear the journal, a moment after the rules in force heard the readings themselves: however slow or broken a shadow is, it
//! delays nothing. What the journal has given up before a shadow heard it, the shadow misses.

mod kept;
mod loading;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use pitchside_config::Settings;
use pitchside_model::{AlertEvent, AlertId, Entry, RuleName, Timestamp};
use pitchside_rules::{Fed, RuleSet, RulesWorker};
use pitchside_script::Program;
use pitchside_store::{RowId, Store};
use tokio_util::sync::CancellationToken;

use super::derived::DerivedWatch;
use super::erased::{Erased, forget};
use crate::clock::Clock;
use crate::stamp::Stamp;

use kept::{Kept, Step, step};
pub(super) use kept::{SNAPSHOT, stripped};

/// Below the data folder: a folder of rules, as those in force have one.
pub const SHADOW_FOLDER: &str = "shadow-rules";
/// How often journal and folder are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Bytes of journal heard at a time.
const BITE: usize = 1 << 20;
/// How often what the shadows know is kept.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);
/// How long after the shadows could not be loaded, though nothing is wrong with their text, it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Raised alerts whose rule is remembered, for when they are cleared.
const OPEN_MAX: usize = 10_000;

/// The shadows' end of the journal.
pub struct Shadows {
    folder: PathBuf,
    program: Program,
    store: Store,
    clock: Clock,
    worker: Option<RulesWorker>,
    /// Everything in the journal up to this row has been heard.
    heard: RowId,
    /// What the folder looked like when it was last looked at, rule by rule.
    seen: Option<BTreeMap<String, Stamp>>,
    /// Which rules run, each with what it looked like when it was switched on: one that looks otherwise now was switched on anew.
    on: BTreeMap<String, Stamp>,
    /// By the gateway's uptime, when what could not be loaded is tried again.
    retry_at: Option<Duration>,
    /// What plugins derive.
    derived: DerivedWatch,
    kept_at: Duration,
    /// Who was erased, of whom the shadows still know something.
    erased: Erased,
    /// Which rule raised what is not cleared.
    open: HashMap<AlertId, RuleName>,
    /// What the log had at the start, up to which row of the journal it may come again: a gateway that was killed has said more than it
    /// kept of what it heard.
    said: HashSet<Step>,
    said_up_to: RowId,
}

impl Shadows {
    /// Nothing runs before [`Shadows::run`].
    pub fn new(settings: &Settings, program: Program, store: &Store, clock: &Clock) -> Self {
        Self {
            folder: settings.gateway.data_dir.join(SHADOW_FOLDER),
            program,
            store: store.clone(),
            clock: clock.clone(),
            worker: None,
            heard: RowId(0),
            seen: None,
            on: BTreeMap::new(),
            retry_at: None,
            derived: DerivedWatch::new(settings.plugins.dir.as_deref(), store),
            kept_at: clock.uptime(),
            erased: Erased::of("shadow"),
            open: HashMap::new(),
            said: HashSet::new(),
            said_up_to: RowId(0),
        }
    }

    /// Runs until stopped, then ends the worker.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {}
                () = stop.cancelled() => break,
            }
            self.look(&stop).await;
            self.look_at_erased().await;
            while self.worker.is_some() && !stop.is_cancelled() {
                match self.hear().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        let error = format!("{error:#}");
                        tracing::error!(error, "the shadows can't read the journal; they try again");
                        break;
                    }
                }
            }
            if self.clock.uptime().saturating_sub(self.kept_at) >= REMEMBER_EVERY {
                self.keep().await;
            }
        }
        self.keep().await;
        if let Some(worker) = &mut self.worker {
            worker.stop().await;
        }
    }

    /// Of athletes who were erased the shadows know nothing from now on.
    async fn look_at_erased(&mut self) {
        let erased = self.erased.due(&self.store, self.clock.uptime());
        let (Some(worker), false) = (&mut self.worker, erased.is_empty()) else { return };
        // What was kept meanwhile may know them, whether those that run do or not.
        if !forget(worker, &erased).await || !self.keep().await {
            return;
        }
        self.erased.settle(&self.store, &erased, self.clock.uptime());
    }

    /// Hears a bite of the journal; true if there may be more.
    async fn hear(&mut self) -> anyhow::Result<bool> {
        let (store, after) = (self.store.clone(), self.heard);
        let replayed = tokio::task::spawn_blocking(move || store.replay(Timestamp(i64::MIN), after, BITE)).await??;
        let Some(last) = replayed.last else { return Ok(false) };
        let entries: Vec<Entry> = replayed.rows.into_iter().flat_map(|row| row.entries).collect();
        let Some(worker) = &mut self.worker else { return Ok(false) };
        match worker.feed(&entries).await {
            Ok(Fed { events, faults }) => {
                for fault in faults {
                    tracing::warn!(rule = %fault.rule, fault = %fault.fault, switched_off = fault.off, "a rule in the shadow failed");
                }
                self.log(events).await;
                self.heard = last;
                if last >= self.said_up_to {
                    self.said.clear();
                }
                Ok(true)
            }
            Err(error) => {
                tracing::error!(%error, "the rules in the shadow did not answer; they start anew");
                (self.worker, self.seen) = (None, None);
                self.on.clear();
                // With what was kept they would come to the same readings again, and for ever; unless it was nothing of theirs.
                if !error.is_from_outside() {
                    self.forget_all().await;
                }
                Ok(false)
            }
        }
    }

    async fn log(&mut self, events: Vec<AlertEvent>) {
        let mut said = Vec::new();
        for event in events {
            let is_said = self.said.contains(&step(&event));
            let rule = match &event {
                AlertEvent::Raised(alert) => {
                    if self.open.len() < OPEN_MAX {
                        self.open.insert(alert.id, alert.rule.clone());
                    }
                    Some(alert.rule.clone())
                }
                AlertEvent::Cleared { id, .. } => self.open.remove(id),
            };
            // The end of what is no longer in the log belongs to nothing.
            said.extend(rule.filter(|_| !is_said).map(|rule| (rule, event)));
        }
        if said.is_empty() {
            return;
        }
        let (store, now) = (self.store.clone(), self.clock.now());
        match tokio::task::spawn_blocking(move || store.log_shadow(&said, now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "what the shadows said could not be written down"),
            Err(error) => tracing::error!(%error, "what the shadows said could not be written down"),
        }
    }

    /// Keeps what they know; whether that is done.
    async fn keep(&mut self) -> bool {
        self.kept_at = self.clock.uptime();
        let Some(worker) = &mut self.worker else { return false };
        let Ok(snapshot) = worker.snapshot().await else { return false };
        let store = self.store.clone();
        let set = RuleSet::clone(worker.rule_set());
        let kept = Kept { heard: self.heard, on: self.on.clone(), set }.with(&snapshot);
        match tokio::task::spawn_blocking(move || store.set_secret(SNAPSHOT, &kept)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::warn!(%error, "what the shadows know could not be kept"),
            Err(error) => tracing::warn!(%error, "what the shadows know could not be kept"),
        }
        false
    }
}
