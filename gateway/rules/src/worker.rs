//! The rules in their worker process, as the gateway holds them.
//!
//! The parent keeps the worker's last snapshot and every batch since. A worker that is late or dies is started again and
//! filled with both; as the evaluation is deterministic it then stands where the old one stood, to the last bit. The batch
//! that ended it is fed again entry by entry, with every script named before it runs: a rule that by itself runs for too long, or that
//! ends the worker by what it does, is switched off with the reason. What comes from outside, as a worker that is killed or a machine
//! that is busy, names nobody. So a feed ends after a bounded time, whatever a rule does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitchside_model::{Alert, AlertEvent, AlertId, Entry, RuleName, Timestamp};
use pitchside_script::{Fault, Problem, Program, Worker, WorkerLimits};

use crate::drill;
use crate::engine::{Fed, RuleStatus};
use crate::item::{Filter, Item};
use crate::library::{RuleSet, RuleSource};
use crate::protocol::{Answer, Request};
use crate::running::SHARE_NANOS;
use crate::scripted::source::leave_out;

mod error;
mod recovery;

pub use error::RulesError;

/// How long a worker may run for one call beyond what its evaluations may cost, and for one rule where each is looked at. All of these
/// are of its processor time: [`Worker::call`].
const DEADLINE: Duration = Duration::from_secs(2);
/// How long it may run to load all rules, to take a snapshot, or over one entry that every rule hears.
const DEADLINE_LOAD: Duration = Duration::from_secs(20);
/// Bytes of batches kept before a new snapshot takes their place; and how many are kept at most where none can be had.
const TAIL_BYTES_MAX: usize = 4 * 1024 * 1024;
const TAIL_BYTES_LIMIT: usize = 8 * TAIL_BYTES_MAX;
/// How long they took when a new snapshot takes their place: a worker that is filled with them takes as long.
const TAIL_TIME_MAX: Duration = Duration::from_secs(10);
/// What the worker may take of the box: twice the bytes of all that rules may keep ([`crate::engine::WEIGHT_MAX`]), and a snapshot of it.
/// Taking readings in goes before thinking about them: where both want a processor, the worker weighs a third.
const LIMITS: WorkerLimits = WorkerLimits {
    memory_bytes: 384 * 1024 * 1024,
    frame_bytes: 96 * 1024 * 1024,
    start: Duration::from_secs(10),
    nice: 5,
};

/// The rules of a folder in a worker process.
#[derive(Debug)]
pub struct RulesWorker {
    worker: Worker,
    folder: PathBuf,
    /// Streams of plugins that may run, and why some of those that rules want do not.
    streams: Vec<RuleSource>,
    left_out: Vec<Problem>,
    set: Arc<RuleSet>,
    filter: Filter,
    snapshot: Option<Vec<u8>>,
    /// Requests since the snapshot, as they were sent.
    tail: Vec<Vec<u8>>,
    tail_bytes: usize,
    tail_took: Duration,
    /// Rules that ended a worker, and how.
    culprits: Vec<(RuleName, Fault)>,
    /// What the worker remembers could not be had when it had to be: a worker in its place would know less.
    is_forgotten: bool,
    restarts: u64,
}

impl RulesWorker {
    /// Reads the rules of `folder` and starts `program`, which must call [`crate::worker_main`], with them.
    pub async fn spawn(program: &Program, folder: &Path) -> Result<Self, RulesError> {
        Self::spawn_with(program, folder, Vec::new()).await
    }

    /// The same, with streams of plugins: those that some rule wants run beside the rules.
    pub async fn spawn_with(program: &Program, folder: &Path, streams: Vec<RuleSource>) -> Result<Self, RulesError> {
        let set = RuleSet::read(folder).map_err(RulesError::Problems)?;
        Self::spawn_set(program, folder, set, streams).await
    }

    /// The same with what the caller made of the folder.
    pub async fn spawn_set(
        program: &Program,
        folder: &Path,
        set: RuleSet,
        streams: Vec<RuleSource>,
    ) -> Result<Self, RulesError> {
        let worker = Worker::spawn(program, LIMITS).await?;
        let mut rules = Self {
            worker,
            folder: folder.to_owned(),
            streams,
            left_out: Vec::new(),
            filter: Filter::default(),
            set: Arc::default(),
            snapshot: None,
            tail: Vec::new(),
            tail_bytes: 0,
            tail_took: Duration::ZERO,
            culprits: Vec::new(),
            is_forgotten: false,
            restarts: 0,
        };
        let (set, _) = match rules.load_with_streams(&set).await {
            Err(RulesError::Worker(error)) if !rules.streams.is_empty() && !error.is_from_outside() => {
                // Rules run, whatever the script of a plugin does to the process that compiles it.
                let why = format!("the streams of plugins are left out: with them the worker failed: {error}");
                rules.worker.restart().await?;
                rules.streams.clear();
                let loaded = rules.load_with_streams(&set).await?;
                rules.left_out = vec![Problem::of("plugins", why)];
                loaded
            }
            other => other?,
        };
        rules.filter = Filter::new(&set);
        rules.set = Arc::new(set);
        Ok(rules)
    }

    /// Which streams of plugins may run after the next reload.
    pub fn set_streams(&mut self, streams: Vec<RuleSource>) {
        self.streams = streams;
    }

    /// Why streams that some rule wants do not run.
    pub fn left_out(&self) -> &[Problem] {
        &self.left_out
    }

    /// Feeds entries in the order they were accepted: all that follows from them. Entries fed before are passed over. To
    /// fill the rules from the journal, feed it; alerts come out under the ids they had.
    pub async fn feed(&mut self, entries: &[Entry]) -> Result<Fed, RulesError> {
        if std::mem::take(&mut self.is_forgotten) {
            self.worker.stop().await;
            self.snapshot = None;
            self.clear_tail();
            return Err(RulesError::Forgotten);
        }
        let mut all = Fed::default();
        let items: Vec<Item<'_>> = entries.iter().filter_map(|entry| self.filter.item(entry)).collect();
        let mut rest = items.as_slice();
        while !rest.is_empty() {
            let (items, later) = rest.split_at(self.filter.portion(rest));
            rest = later;
            let begun = Instant::now();
            let fed = self.feed_portion(items).await?;
            self.tail_took += begun.elapsed();
            all.events.extend(fed.events);
            all.faults.extend(fed.faults);
            // Without a new one the last snapshot and a longer tail are worth the same.
            let is_long = self.tail_bytes > TAIL_BYTES_MAX || self.tail_took > TAIL_TIME_MAX;
            if is_long && self.remember().await.is_err() {
                self.tail_took = Duration::ZERO;
                self.is_forgotten |= self.tail_bytes > TAIL_BYTES_LIMIT;
            }
        }
        Ok(all)
    }

    /// Feeds what goes into one call.
    async fn feed_portion(&mut self, items: &[Item<'_>]) -> Result<Fed, RulesError> {
        let plain = encode(&Request::Feed { watch: false, items: items.to_vec() })?;
        let evaluations = items.iter().map(|item| self.filter.evaluations(item)).sum();
        match self.call(&plain, deadline_of(evaluations)).await {
            Ok(Answer::Fed(fed)) => {
                self.keep_in_tail(plain);
                Ok(fed)
            }
            Ok(_) => Err(self.misunderstood().await),
            Err(RulesError::Worker(error)) => self.recover(items, error).await,
            Err(RulesError::Misunderstood) => Err(self.misunderstood().await),
            Err(error) => Err(error),
        }
    }

    /// Reads the folder again and puts it in force. Rules that did not change keep their state. If anything is wrong,
    /// nothing changes. The events are alerts cleared because their rule is gone.
    pub async fn reload(&mut self) -> Result<Vec<AlertEvent>, RulesError> {
        let set = RuleSet::read(&self.folder).map_err(RulesError::Problems)?;
        self.put(set).await
    }

    /// The same with what the caller read of the folder: reading waits for the disk.
    pub async fn put(&mut self, set: RuleSet) -> Result<Vec<AlertEvent>, RulesError> {
        let mut setbacks = 0;
        let (set, events) = loop {
            if !self.worker.is_up() {
                self.revive(&mut setbacks).await?;
            }
            match self.load_with_streams(&set).await {
                Ok(loaded) => break loaded,
                Err(RulesError::Problems(problems)) => return Err(RulesError::Problems(problems)),
                Err(RulesError::Worker(error)) if error.is_from_outside() => {
                    self.set_back(error, &mut setbacks).await?;
                }
                Err(error) => {
                    // The new rules ended the worker; the old ones go on.
                    self.refill().await?;
                    return Err(error);
                }
            }
        };
        let same = |rule: &RuleName| {
            let of = |set: &RuleSet| set.all().find(|r| r.name() == rule).map(|r| r.hash);
            of(&set) == of(&self.set)
        };
        self.culprits.retain(|(rule, _)| same(rule));
        self.filter = Filter::new(&set);
        self.set = Arc::new(set);
        self.snapshot = None;
        self.clear_tail();
        self.remember_now().await;
        Ok(events)
    }

    /// The rules in force.
    pub fn rule_set(&self) -> &Arc<RuleSet> {
        &self.set
    }

    /// The hash of the rules in force, for block headers.
    pub fn hash(&self) -> [u8; 32] {
        self.set.hash()
    }

    /// How often the worker had to be started again.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The worker's process id, while it lives.
    pub fn id(&self) -> Option<u32> {
        self.worker.id()
    }

    /// How each rule does.
    pub async fn status(&mut self) -> Result<Vec<RuleStatus>, RulesError> {
        match self.ask(&Request::Status).await? {
            Answer::Status(status) => Ok(status),
            _ => Err(self.misunderstood().await),
        }
    }

    /// Clears a raised alert by hand, e.g. one that latches. None if it is not raised: then nothing changes.
    pub async fn reset(&mut self, id: AlertId, at: Timestamp) -> Result<Option<AlertEvent>, RulesError> {
        match self.ask(&Request::Reset(id, at)).await? {
            Answer::Reset(Some(event)) => {
                self.remember_now().await;
                Ok(Some(event))
            }
            Answer::Reset(None) => Ok(None),
            _ => Err(self.misunderstood().await),
        }
    }

    /// Puts a rule back that was switched off, though it did not change: the admin asks for it. It keeps its state. False if
    /// there is none of that name that is off.
    pub async fn again(&mut self, rule: &RuleName) -> Result<bool, RulesError> {
        self.culprits.retain(|(culprit, _)| culprit != rule);
        let answer = self.ask(&Request::Again(rule.clone())).await?;
        self.remember_now().await;
        match answer {
            Answer::Again(was) => Ok(was),
            _ => Err(self.misunderstood().await),
        }
    }

    /// A drill: a synthetic reading of `now` through the worker, and the alert that the built-in rule raises of it. The rules in
    /// force see nothing of it.
    pub async fn drill(&mut self, now: Timestamp) -> Result<Alert, RulesError> {
        let (entry, filter) = drill::entry(now).map_err(RulesError::Drill)?;
        let item = filter.item(&entry).ok_or_else(|| RulesError::Drill("no rule wants the reading".to_owned()))?;
        match self.ask(&Request::Drill(item)).await? {
            Answer::Drilled(drilled) => drilled.map_err(RulesError::Drill),
            _ => Err(self.misunderstood().await),
        }
    }

    /// All the rules remember, to be kept across a restart of the gateway.
    pub async fn snapshot(&mut self) -> Result<Vec<u8>, RulesError> {
        match self.ask(&Request::Snapshot).await? {
            Answer::Snapshot(snapshot) => Ok(snapshot),
            _ => Err(self.misunderstood().await),
        }
    }

    /// Ends the worker.
    pub async fn stop(&mut self) {
        self.worker.stop().await;
    }

    async fn call(&mut self, request: &[u8], deadline: Duration) -> Result<Answer, RulesError> {
        let answer = self.worker.call(request, deadline).await?;
        self.understand(&answer).await
    }

    async fn understand(&mut self, answer: &[u8]) -> Result<Answer, RulesError> {
        match postcard::from_bytes(answer) {
            Ok(answer) => Ok(answer),
            // One that is too large for a frame comes empty, from a worker that is well.
            Err(_) if answer.is_empty() => Err(RulesError::Misunderstood),
            Err(_) => Err(self.misunderstood().await),
        }
    }

    /// A worker that answers something else than it was asked is not asked again: another takes its place.
    async fn misunderstood(&mut self) -> RulesError {
        self.worker.stop().await;
        RulesError::Misunderstood
    }

    fn keep_in_tail(&mut self, request: Vec<u8>) {
        self.tail_bytes += request.len();
        self.tail.push(request);
    }

    fn clear_tail(&mut self) {
        (self.tail_bytes, self.tail_took) = (0, Duration::ZERO);
        self.tail.clear();
    }

    async fn ask(&mut self, request: &Request<'_>) -> Result<Answer, RulesError> {
        if !self.worker.is_up() {
            self.refill().await?;
        }
        self.call(&encode(request)?, DEADLINE_LOAD).await
    }

    /// Loads a set with the streams it wants, without those that do not compile: [`RuleSet::with_working_streams`].
    async fn load_with_streams(&mut self, rules: &RuleSet) -> Result<(RuleSet, Vec<AlertEvent>), RulesError> {
        let (mut streams, mut faults) = (self.streams.clone(), Vec::new());
        loop {
            let (set, problems) = rules.clone().with_streams(streams.clone());
            match self.load(&set).await {
                Ok(events) => {
                    self.left_out = faults.into_iter().chain(problems).collect();
                    return Ok((set, events));
                }
                Err(RulesError::Problems(found)) => {
                    if !leave_out(&mut streams, &found) {
                        return Err(RulesError::Problems(found));
                    }
                    faults.extend(found);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn load(&mut self, set: &RuleSet) -> Result<Vec<AlertEvent>, RulesError> {
        match self.call(&encode(&Request::Load(set.clone()))?, DEADLINE_LOAD).await? {
            Answer::Loaded(Ok(events)) => Ok(events),
            Answer::Loaded(Err(problems)) => Err(RulesError::Problems(problems)),
            _ => Err(self.misunderstood().await),
        }
    }

    /// The same after what no batch tells. If that fails, what was done stands, and the next feed says that the rules must be fed anew.
    async fn remember_now(&mut self) {
        self.is_forgotten |= self.remember().await.is_err();
    }

    /// Takes a snapshot in place of the batches since the last.
    async fn remember(&mut self) -> Result<(), RulesError> {
        let snapshot = self.snapshot().await?;
        self.snapshot = Some(snapshot);
        self.clear_tail();
        Ok(())
    }
}

/// How long the worker may run for so many evaluations: what each may cost on average, and something for all else.
fn deadline_of(evaluations: usize) -> Duration {
    let share = Duration::from_nanos(SHARE_NANOS);
    DEADLINE.saturating_add(share.saturating_mul(u32::try_from(evaluations).unwrap_or(u32::MAX))).min(DEADLINE_LOAD)
}

fn encode(request: &Request<'_>) -> Result<Vec<u8>, RulesError> {
    postcard::to_allocvec(request).map_err(|_| RulesError::Misunderstood)
}
