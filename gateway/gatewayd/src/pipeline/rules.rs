//! The way to the rules worker. Ingest never waits for it: what finds no room in the queue is taken from the journal
//! later, and as the rules pass over what they have seen, nothing counts twice.

mod earlier;
mod feed;
mod journal;
mod loading;
mod memory;
mod record;
mod resets;
mod said;
mod standing;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use pitchside_admin::Metrics;
use pitchside_model::{AlertId, Entry, Timestamp};
use pitchside_rules::{Fed, RuleSet, RulesWorker};
use pitchside_script::Program;
use pitchside_store::{RowId, RuleChange, Store};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::alerts::{Alerts, Recorder};
use super::derived::DerivedWatch;
use super::erased::Erased;
use crate::clock::Clock;
use crate::rulebook::standing::Standing;
use crate::stamp::Stamp;

use feed::{Drill, Offer};
pub use feed::{Heard, RulesFeed, RulesQueue, channel};
pub use memory::SNAPSHOT;

/// Entries fed in one go.
const FEED_MAX: usize = 64;
/// How often the rules' folder is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often what the rules know is kept.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);
/// How long alerts may take to be recorded before it goes on without them: what the rules know is kept later, a gateway starts and stops.
pub(super) const RECORDED_WITHIN: Duration = Duration::from_secs(5);
/// How long after a worker did not start, or did not stay alive, another is tried.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The rules' end.
pub struct RulesTask {
    queue: mpsc::Receiver<Offer>,
    feed: RulesFeed,
    folder: PathBuf,
    program: Program,
    worker: Option<RulesWorker>,
    /// While there is no worker, when the next is tried.
    retry_at: Instant,
    recorder: Recorder,
    /// Everything in the journal up to this row has been heard.
    heard: RowId,
    /// By the gateway's uptime, when what the rules know was last kept.
    kept_at: Duration,
    /// What the folder looked like when the rules were last loaded.
    seen: Option<Stamp>,
    /// What plugins derive.
    derived: DerivedWatch,
    /// The latest gateway time the rules have heard: what comes into force now counts from there on.
    fed_up_to: Timestamp,
    /// Resets by hand that were done before and that the journal's replay comes by yet: before which gateway time, and of what.
    resets: VecDeque<(Timestamp, AlertId)>,
    /// What was in force before, and from when on, of that which the journal's replay comes by yet.
    earlier: VecDeque<RuleChange>,
    /// Drills that wait until the rules have caught up: a drill that overtook readings would prove a way they do not take.
    drills: Vec<Drill>,
    /// So many times the rules had said something when others came into force before all of it was on the record: blocks name none until it is.
    unnamed_until: Option<u64>,
    /// A publication that was cut off could not be finished, and that was said.
    unfinished: bool,
    /// Who was erased, of whom the rules still know something.
    erased: Erased,
    /// How the rules did when it was last written down, and whether that may have changed.
    standing: Option<Vec<Standing>>,
    stale: bool,
    /// It starts: nothing stops it, so it may wait for nothing.
    is_starting: bool,
    /// The disk took too long for what was said last.
    is_owing: bool,
    /// How far the disk was then.
    owed_at: u64,
    parts: RulesParts,
}

/// What the rules need of the rest.
pub struct RulesParts {
    /// Where alerts go.
    pub alerts: Alerts,
    /// For replays.
    pub store: Store,
    /// The library of plugins, of which some derive streams.
    pub plugins: Option<PathBuf>,
    /// Counts faults.
    pub metrics: Arc<Metrics>,
    /// The gateway's clock.
    pub clock: Clock,
    /// How far back a replay goes that begins from nothing, in microseconds.
    pub horizon_us: i64,
    /// Told up to which row of the journal what the rules know is kept: nothing after it may be deleted.
    pub kept_up_to: Arc<AtomicI64>,
    /// Told the rules that came into force, and whether all that those before them said is on the record.
    pub on_loaded: Box<dyn Fn(&RuleSet, bool) + Send + Sync>,
    /// Ends them.
    pub stop: CancellationToken,
}

impl RulesTask {
    /// Starts the worker, and brings it to where the last run ended by feeding it the journal.
    pub async fn start(queue: RulesQueue, feed: RulesFeed, folder: &Path, program: Program, parts: RulesParts) -> Self {
        let recorder = Recorder::start(parts.alerts.clone(), true);
        let folder = folder.to_owned();
        let mut task = Self {
            queue: queue.0,
            feed,
            folder,
            program,
            worker: None,
            retry_at: Instant::now(),
            recorder,
            heard: RowId(0),
            kept_at: Duration::ZERO,
            seen: None,
            derived: DerivedWatch::new(parts.plugins.as_deref(), &parts.store),
            fed_up_to: Timestamp(i64::MIN),
            resets: VecDeque::new(),
            earlier: VecDeque::new(),
            drills: Vec::new(),
            unnamed_until: None,
            unfinished: false,
            erased: Erased::of("rules"),
            standing: None,
            stale: true,
            is_starting: true,
            is_owing: false,
            owed_at: 0,
            parts,
        };
        task.ensure_worker().await;
        task.is_starting = false;
        task
    }

    /// Runs until stopped, then ends the worker.
    pub async fn run(mut self) {
        let stop = self.parts.stop.clone();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What they begin with is kept already, or was taken from there.
        let mut remember = tokio::time::interval_at(Instant::now() + REMEMBER_EVERY, REMEMBER_EVERY);
        remember.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let wake = Arc::clone(&self.feed.wake);
        let mut offers: Vec<Offer> = Vec::new();
        loop {
            let more = self.feed.is_behind() && self.catch_up().await;
            // Without a worker nothing is caught up with, and a drill is told so at once.
            if self.worker.is_none() || !self.feed.is_behind() {
                for drill in std::mem::take(&mut self.drills) {
                    self.drill(drill).await;
                }
            }
            tokio::select! {
                biased;
                // What is queued by then is heard on the way out.
                () = stop.cancelled() => break,
                // Seldom, but due even when readings never pause. However long it takes, readings have their turn before the next.
                _ = look.tick() => {
                    self.look().await;
                    look.reset();
                }
                _ = remember.tick() => {
                    self.remember().await;
                    remember.reset();
                }
                count = self.queue.recv_many(&mut offers, FEED_MAX) => {
                    if count == 0 {
                        break;
                    }
                    let entries: Vec<Entry> =
                        offers.iter_mut().flat_map(|offer| std::mem::take(&mut offer.entries)).collect();
                    self.feed(&entries, true).await;
                    self.drills.extend(offers.iter_mut().filter_map(|offer| offer.drill.take()));
                    // Only now is there room for others.
                    offers.clear();
                }
                () = wake.notified() => {}
                () = std::future::ready(()), if more => {}
            }
        }
        self.remember().await;
        if let Some(worker) = &mut self.worker {
            worker.stop().await;
        }
    }

    /// Feeds what is queued.
    async fn drain(&mut self) {
        while let Ok(offer) = self.queue.try_recv() {
            self.feed(&offer.entries, true).await;
            self.drills.extend(offer.drill);
        }
    }

    /// A drill through the worker. Whoever asked may be gone: then nobody is told.
    async fn drill(&mut self, drill: Drill) {
        let said = match &mut self.worker {
            Some(worker) => worker.drill(drill.at).await.map_err(|error| error.to_string()),
            None => Err("no rule is running: the worker does not start, or is being restarted".to_owned()),
        };
        drop(drill.answer.send(said));
    }

    async fn feed(&mut self, entries: &[Entry], live: bool) {
        let Some(worker) = &mut self.worker else { return };
        let now = self.parts.clock.now();
        let newest = entries.iter().flat_map(|entry| &entry.readings).map(|reading| reading.gateway_time).max();
        self.fed_up_to = self.fed_up_to.max(newest.unwrap_or(self.fed_up_to));
        match worker.feed(entries).await {
            Ok(Fed { events, faults }) => {
                self.stale |= !faults.is_empty();
                for fault in faults {
                    self.parts.metrics.refused("rule_fault");
                    tracing::warn!(rule = %fault.rule, fault = %fault.fault, switched_off = fault.off, "a rule failed");
                    self.note_stream(&fault);
                }
                if live {
                    self.say(events, now).await;
                } else {
                    self.say_again(events, now).await;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the rules did not answer; they start anew from the journal");
                self.give_up();
            }
        }
    }

    /// Lets go of the worker; another is started in a while.
    fn give_up(&mut self) {
        self.worker = None;
        self.retry_at = Instant::now() + RETRY_AFTER;
        self.feed.filter.store(Arc::new(None));
    }

    /// What happens now happens between what the rules have heard and this gateway time.
    fn position(&self) -> Timestamp {
        let now = self.parts.clock.now();
        // What came by a clock that ran ahead is no measure: all that follows would lie before it.
        let is_known = self.fed_up_to.0 != i64::MIN && self.fed_up_to <= now;
        if is_known { self.fed_up_to.plus_micros(1) } else { now }
    }
}
