//! Rules in the shadow: they run on live readings in a worker of their own, and what they say goes into a bounded log. Nothing of
//! it is delivered or sealed.
//!
//! They hear the journal, a moment after the rules in force heard the readings themselves: however slow or broken a shadow is, it
//! delays nothing. What the journal has given up before a shadow heard it, the shadow misses.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pitchside_config::Settings;
use pitchside_model::{AlertEvent, AlertId, Entry, RuleName, Timestamp};
use pitchside_rules::{Fed, RuleSet, RulesWorker};
use pitchside_script::{Problem, Program};
use pitchside_store::{RowId, ShadowRow, Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::derived::DerivedWatch;
use super::erased::{Erased, forget};
use crate::blocking;
use crate::clock::Clock;
use crate::stamp::{self, Stamp};

/// Below the data folder: a folder of rules, as those in force have one.
pub const SHADOW_FOLDER: &str = "shadow-rules";
/// How often journal and folder are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Bytes of journal heard at a time.
const BITE: usize = 1 << 20;
/// How often what the shadows know is kept.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);
/// Under which name.
pub(super) const SNAPSHOT: &str = "shadow-snapshot";
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
    seen: Option<Stamp>,
    /// What plugins derive.
    derived: DerivedWatch,
    kept_at: Duration,
    /// Who was erased, of whom the shadows still know something.
    erased: Erased,
    /// Which rule raised what is not cleared.
    open: HashMap<AlertId, RuleName>,
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
            derived: DerivedWatch::new(settings.plugins.dir.as_deref(), store),
            kept_at: clock.uptime(),
            erased: Erased::of("shadow"),
            open: HashMap::new(),
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
            self.look().await;
            self.look_at_erased().await;
            while self.worker.is_some() && !stop.is_cancelled() && self.hear().await {}
            if self.clock.uptime().saturating_sub(self.kept_at) >= REMEMBER_EVERY {
                self.keep().await;
            }
        }
        self.keep().await;
        if let Some(worker) = &mut self.worker {
            worker.stop().await;
        }
    }

    /// Takes up a changed folder.
    async fn look(&mut self) {
        let stamp = Some(blocking::here(|| stamp::of(&self.folder)));
        if stamp == self.seen && (self.worker.is_none() || self.derived.look().is_none()) {
            return;
        }
        self.seen = stamp;
        let set = match blocking::here(|| read(&self.folder)) {
            Ok(set) => set,
            Err(problems) => {
                let first = problems.first().map(ToString::to_string).unwrap_or_default();
                return tracing::error!(first, "the rules in the shadow cannot be read; those before go on");
            }
        };
        if set.rules().is_empty() {
            if let Some(mut worker) = self.worker.take() {
                worker.stop().await;
                tracing::info!("nothing runs in the shadow any more");
            }
            return;
        }
        self.derived.look();
        let streams = self.derived.streams().sources();
        let outcome = match &mut self.worker {
            Some(worker) => {
                worker.set_streams(streams);
                worker.put(set.clone()).await
            }
            None => match RulesWorker::spawn_with(&self.program, &self.folder, streams).await {
                Ok(worker) => {
                    self.worker = Some(worker);
                    self.recall().await;
                    Ok(Vec::new())
                }
                Err(error) => Err(error),
            },
        };
        match outcome {
            Ok(events) => {
                tracing::info!(rules = set.rules().len(), "rules in the shadow loaded");
                self.log(events).await;
            }
            Err(error) => tracing::error!(%error, "the rules in the shadow were not loaded"),
        }
    }

    /// Of athletes who were erased the shadows know nothing from now on.
    async fn look_at_erased(&mut self) {
        let erased = self.erased.due(&self.store, self.clock.uptime());
        let (Some(worker), false) = (&mut self.worker, erased.is_empty()) else { return };
        if !forget(worker, &erased).await {
            return;
        }
        self.keep().await;
        self.erased.settle(&self.store, &erased, self.clock.uptime());
    }

    /// Goes on where the last run ended, or begins with what comes from now on.
    async fn recall(&mut self) {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || {
            let known = store.shadow_log(None, OPEN_MAX as u32)?;
            Ok::<_, StoreError>((store.secret(SNAPSHOT)?, store.journal_end()?.0, known))
        });
        let (kept, end, known) = match read.await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return tracing::error!(%error, "what the shadows knew cannot be read"),
            Err(error) => return tracing::error!(%error, "what the shadows knew cannot be read"),
        };
        self.open = still_open(known);
        self.heard = end;
        let Some(worker) = &mut self.worker else { return };
        if let Some(kept) = kept
            && let Some((heard, snapshot)) = kept.split_first_chunk()
            && worker.resume(snapshot).await.is_ok()
        {
            self.heard = RowId(i64::from_be_bytes(*heard));
        }
    }

    /// Hears a bite of the journal; true if there may be more.
    async fn hear(&mut self) -> bool {
        let (store, after) = (self.store.clone(), self.heard);
        let read = tokio::task::spawn_blocking(move || store.replay(Timestamp(i64::MIN), after, BITE)).await;
        let replayed = match read {
            Ok(Ok(replayed)) => replayed,
            Ok(Err(error)) => {
                tracing::error!(%error, "the shadows can't read the journal; they try again");
                return false;
            }
            Err(error) => {
                tracing::error!(%error, "the shadows can't read the journal; they try again");
                return false;
            }
        };
        let Some(last) = replayed.last else { return false };
        let entries: Vec<Entry> = replayed.rows.into_iter().flat_map(|row| row.entries).collect();
        let Some(worker) = &mut self.worker else { return false };
        match worker.feed(&entries).await {
            Ok(Fed { events, faults }) => {
                for fault in faults {
                    tracing::warn!(rule = %fault.rule, fault = %fault.fault, switched_off = fault.off, "a rule in the shadow failed");
                }
                self.log(events).await;
                self.heard = last;
                true
            }
            Err(error) => {
                tracing::error!(%error, "the rules in the shadow did not answer; they start anew from here");
                (self.worker, self.seen, self.heard) = (None, None, last);
                false
            }
        }
    }

    async fn log(&mut self, events: Vec<AlertEvent>) {
        let mut said = Vec::new();
        for event in events {
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
            said.extend(rule.map(|rule| (rule, event)));
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

    async fn keep(&mut self) {
        self.kept_at = self.clock.uptime();
        let Some(worker) = &mut self.worker else { return };
        let Ok(snapshot) = worker.snapshot().await else { return };
        let store = self.store.clone();
        let mut kept = self.heard.0.to_be_bytes().to_vec();
        kept.extend_from_slice(&snapshot);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || store.set_secret(SNAPSHOT, &kept)).await {
            tracing::warn!(%error, "what the shadows know could not be kept");
        }
    }
}

/// The rules below the folder. One that nobody made yet is an empty one: no version was ever published to be watched.
fn read(folder: &Path) -> Result<RuleSet, Vec<Problem>> {
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(RuleSet::default()),
        _ => RuleSet::read(folder),
    }
}

/// Which rule raised what is not cleared yet, from a log that has the latest first. What was cleared must not come back: it
/// would stay for good, and take the room of what is raised from now on.
fn still_open(log: Vec<ShadowRow>) -> HashMap<AlertId, RuleName> {
    let (mut open, mut decided) = (HashMap::new(), HashSet::new());
    for row in log {
        let id = match &row.event {
            AlertEvent::Raised(alert) => alert.id,
            AlertEvent::Cleared { id, .. } => *id,
        };
        // The last word on an alert counts: a replay may have said again what came before it.
        if decided.insert(id)
            && let AlertEvent::Raised(alert) = row.event
        {
            open.insert(id, alert.rule);
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use pitchside_model::{Alert, DeviceId, Priority, Quantity};
    use pitchside_store::RootKey;

    use super::*;

    fn rule() -> RuleName {
        RuleName::parse("hot").unwrap()
    }

    fn raised(number: u8) -> (RuleName, AlertEvent) {
        let alert = Alert {
            id: AlertId([number; 16]),
            rule: rule(),
            rule_version: "1.0.0".to_owned(),
            priority: Priority::Low,
            athlete: None,
            device: DeviceId::parse("pill-1").unwrap(),
            quantity: Quantity::HEART_RATE,
            value: None,
            unit: Quantity::HEART_RATE.unit(),
            event_time: Timestamp(5),
            message: "hot".to_owned(),
        };
        (rule(), AlertEvent::Raised(alert))
    }

    fn cleared(number: u8) -> (RuleName, AlertEvent) {
        (rule(), AlertEvent::Cleared { id: AlertId([number; 16]), event_time: Timestamp(6) })
    }

    #[test]
    fn a_box_on_which_nothing_was_ever_watched_has_no_shadows_and_nothing_to_complain_of() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(SHADOW_FOLDER);
        assert_eq!(read(&folder).unwrap(), RuleSet::default());
        // What is there and cannot be read is told.
        std::fs::write(&folder, "").unwrap();
        assert!(read(&folder).is_err());
    }

    #[test]
    fn after_a_start_what_the_log_says_was_cleared_is_not_open_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let open = |said: &[(RuleName, AlertEvent)]| {
            store.log_shadow(said, Timestamp(7)).unwrap();
            still_open(store.shadow_log(None, OPEN_MAX as u32).unwrap())
        };
        let only = |number: u8| HashMap::from([(AlertId([number; 16]), rule())]);
        assert_eq!(open(&[raised(1), raised(2), cleared(1)]), only(2));
        assert_eq!(open(&[cleared(2), raised(3)]), only(3));
        // Raised again by a replay from before its end, it is open until that is said again, too.
        assert_eq!(open(&[cleared(3), raised(1)]), only(1));
        assert!(open(&[cleared(1)]).is_empty());
    }
}
