//! The way to the rules worker. Ingest never waits for it: what finds no room in the queue is taken from the journal
//! later, and as the rules pass over what they have seen, nothing counts twice.

mod feed;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pitchside_admin::Metrics;
use pitchside_model::{Entry, Timestamp};
use pitchside_rules::{Fed, Filter, RulesWorker};
use pitchside_script::Program;
use pitchside_store::{RowId, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::alerts::{Alerts, Recorder};
use crate::clock::Clock;

use feed::Offer;
pub use feed::{Heard, RulesFeed, RulesQueue, channel};

/// Entries fed in one go.
const FEED_MAX: usize = 64;
/// Bytes of journal read at a time for a replay.
const REPLAY_BITE: usize = 1 << 20;
/// How often the rules' folder is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often what the rules know is kept.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);
/// Under which name.
const SNAPSHOT: &str = "rules-snapshot";
/// How long alerts may take to be recorded before what the rules know is kept without waiting.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait before the rules are tried again after the worker could not be kept alive.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The rules' end.
pub struct RulesTask {
    queue: mpsc::Receiver<Offer>,
    feed: RulesFeed,
    folder: PathBuf,
    program: Program,
    worker: Option<RulesWorker>,
    recorder: Recorder,
    /// What the folder looked like when the rules were last loaded.
    seen: Option<SystemTime>,
    parts: RulesParts,
}

/// What the rules need of the rest.
pub struct RulesParts {
    /// Where alerts go.
    pub alerts: Alerts,
    /// For replays.
    pub store: Store,
    /// Counts faults.
    pub metrics: Arc<Metrics>,
    /// The gateway's clock.
    pub clock: Clock,
    /// How far back a replay goes, in microseconds.
    pub horizon_us: i64,
    /// Told the hash of the rules in force.
    pub on_loaded: Box<dyn Fn([u8; 32]) + Send + Sync>,
}

impl RulesTask {
    /// Starts the worker, and brings it to where the last run ended by feeding it the journal.
    pub async fn start(queue: RulesQueue, feed: RulesFeed, folder: &Path, program: Program, parts: RulesParts) -> Self {
        let recorder = Recorder::start(parts.alerts.clone());
        let folder = folder.to_owned();
        let mut task = Self { queue: queue.0, feed, folder, program, worker: None, recorder, seen: None, parts };
        task.ensure_worker().await;
        task
    }

    /// Runs until stopped, then ends the worker.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut remember = tokio::time::interval(REMEMBER_EVERY);
        remember.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let wake = Arc::clone(&self.feed.wake);
        let mut offers: Vec<Offer> = Vec::new();
        loop {
            let more = self.feed.is_behind() && self.catch_up().await;
            tokio::select! {
                biased;
                // Seldom, but due even when readings never pause.
                _ = look.tick() => self.look().await,
                _ = remember.tick() => self.remember().await,
                count = self.queue.recv_many(&mut offers, FEED_MAX) => {
                    if count == 0 {
                        break;
                    }
                    let entries: Vec<Entry> =
                        offers.iter_mut().flat_map(|offer| std::mem::take(&mut offer.entries)).collect();
                    self.feed(&entries, true).await;
                    // Only now is there room for others.
                    offers.clear();
                }
                () = wake.notified() => {}
                () = stop.cancelled() => break,
                () = std::future::ready(()), if more => {}
            }
        }
        self.remember().await;
        if let Some(worker) = &mut self.worker {
            worker.stop().await;
        }
    }

    /// Keeps what the rules know, so that the next start goes on from here: an alert that was raised before the journal's
    /// horizon and still holds is not raised again.
    async fn remember(&mut self) {
        // What the rules know as said must be recorded first: they will not say it again.
        if tokio::time::timeout(RECORDED_WITHIN, self.recorder.done()).await.is_err() {
            return tracing::warn!("alerts wait for the disk; what the rules know is kept later");
        }
        let Some(worker) = &mut self.worker else { return };
        let snapshot = match worker.snapshot().await {
            Ok(snapshot) => snapshot,
            Err(error) => return tracing::warn!(%error, "what the rules know could not be read"),
        };
        let store = self.parts.store.clone();
        match tokio::task::spawn_blocking(move || store.set_secret(SNAPSHOT, &snapshot)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what the rules know could not be kept"),
            Err(error) => tracing::warn!(%error, "what the rules know could not be kept"),
        }
    }

    /// Takes up what the last run knew. What is lost is rebuilt from the journal as far as that reaches.
    async fn recall(&mut self) {
        let store = self.parts.store.clone();
        let kept = tokio::task::spawn_blocking(move || store.secret(SNAPSHOT)).await;
        let (Some(worker), Ok(Ok(Some(snapshot)))) = (&mut self.worker, kept) else { return };
        if let Err(error) = worker.resume(&snapshot).await {
            tracing::info!(%error, "the rules begin from the journal");
        }
    }

    async fn feed(&mut self, entries: &[Entry], live: bool) {
        let Some(worker) = &mut self.worker else { return };
        let now = self.parts.clock.now();
        match worker.feed(entries).await {
            Ok(Fed { events, faults }) => {
                for fault in faults {
                    self.parts.metrics.refused("rule_fault");
                    tracing::warn!(rule = %fault.rule, fault = %fault.fault, switched_off = fault.off, "a rule failed");
                }
                if events.is_empty() {
                    return;
                }
                if live {
                    self.recorder.raise(events, now).await;
                } else {
                    self.recorder.replayed(events, now).await;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the rules did not answer; they start anew from the journal");
                self.worker = None;
                self.feed.filter.store(Arc::new(None));
            }
        }
    }

    /// Everything in the journal within the horizon, oldest first.
    async fn replay(&mut self) {
        // What was offered before this is in the journal once the barrier returns.
        if self.parts.store.journal_barrier().await.is_err() {
            return;
        }
        let mut after = RowId(0);
        while let Some(last) = self.bite(after).await {
            after = last;
        }
    }

    /// Feeds what is still queued, which is older, then a bite of the journal; true if there may be more to read.
    async fn catch_up(&mut self) -> bool {
        while let Ok(offer) = self.queue.try_recv() {
            self.feed(&offer.entries, true).await;
        }
        let after = self.feed.take_after();
        if let Some(after) = after
            && let Some(last) = self.bite(after).await
        {
            self.feed.read_after(last);
            return true;
        }
        self.feed.caught_up();
        false
    }

    /// Feeds the rows after `after`, up to a bite; the last of them.
    async fn bite(&mut self, after: RowId) -> Option<RowId> {
        let from = self.parts.clock.now().plus_micros(-self.parts.horizon_us);
        match self.journal(from, after).await {
            Ok(rows) => {
                let (last, entries) = rows?;
                self.feed(&entries, false).await;
                Some(last)
            }
            Err(error) => {
                tracing::error!(error = %format!("{error:#}"), "the journal could not be replayed to the rules");
                None
            }
        }
    }

    async fn journal(&self, from: Timestamp, after: RowId) -> anyhow::Result<Option<(RowId, Vec<Entry>)>> {
        let store = self.parts.store.clone();
        let rows = tokio::task::spawn_blocking(move || store.replay(from, after, REPLAY_BITE)).await??;
        let Some(last) = rows.last().map(|row| row.id) else { return Ok(None) };
        Ok(Some((last, rows.into_iter().flat_map(|row| row.entries).collect())))
    }

    /// A changed folder is loaded; a worker that could not be kept alive is tried again.
    async fn look(&mut self) {
        if self.worker.is_none() {
            tokio::time::sleep(RETRY_AFTER).await;
            return self.ensure_worker().await;
        }
        let newest = newest_change(&self.folder);
        if newest == self.seen {
            return;
        }
        self.seen = newest;
        let Some(worker) = &mut self.worker else { return };
        match worker.reload().await {
            Ok(events) => {
                let now = self.parts.clock.now();
                self.recorder.raise(events, now).await;
                self.loaded();
            }
            Err(error) => tracing::error!(%error, "the changed rules were not loaded; the ones before stay in force"),
        }
    }

    async fn ensure_worker(&mut self) {
        self.seen = newest_change(&self.folder);
        match RulesWorker::spawn(&self.program, &self.folder).await {
            Ok(worker) => {
                self.worker = Some(worker);
                self.loaded();
                self.recall().await;
                self.replay().await;
            }
            Err(error) => tracing::error!(%error, "no rule is running"),
        }
    }

    fn loaded(&self) {
        if let Some(worker) = &self.worker {
            self.feed.filter.store(Arc::new(Some(Filter::new(worker.rule_set()))));
            (self.parts.on_loaded)(worker.hash());
            tracing::info!(rules = worker.rule_set().rules().len(), "rules loaded");
        }
    }
}

/// The latest change of anything below the folder; none if it can't be read.
fn newest_change(folder: &Path) -> Option<SystemTime> {
    let mut newest = std::fs::metadata(folder).ok()?.modified().ok()?;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        newest = newest.max(changed(&entry.path())?);
        for file in std::fs::read_dir(entry.path()).into_iter().flatten().flatten() {
            newest = newest.max(changed(&file.path())?);
        }
    }
    Some(newest)
}
