//! Carries a [`Plan`] out: asks, fetches, keeps, names who lied, until the content is whole.

use std::collections::BTreeSet;
use std::mem::{Discriminant, discriminant};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ledger_block::content::{ContentId, Groups, Item, Shape, Span};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::{self, Patience};
use super::pace::Pace;
use super::plan::{Fault, Moment, Next, OrderId, Outcome, Peer, Plan, PlanLimits};
use super::{Content, Store, StoreError};

/// Verified groups are made durable at least every so many: 8 MiB.
const FLUSH_GROUPS: u32 = 512;
/// And as often as this, however slowly they come.
const FLUSH_EVERY: Duration = Duration::from_secs(10);
/// Checks of a whole content that found rotten groups, until the disk is blamed.
const ROTS_MAX: u32 = 3;

/// How to fetch.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// Bounds of the plan.
    pub plan: PlanLimits,
    /// Patience with a peer.
    pub patience: Patience,
    /// The ledger's HTTP address, `host:port`; none for the LAN alone.
    pub ledger: Option<String>,
    /// The ledger is left alone for a random time up to this after a fetch begins.
    pub ledger_jitter_max: Duration,
    /// How long a peer that was dropped is asked for nothing.
    pub ban: Duration,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            plan: PlanLimits::default(),
            patience: Patience::default(),
            ledger: None,
            ledger_jitter_max: Duration::from_secs(60),
            ban: Duration::from_secs(3_600),
        }
    }
}

/// Dropped peers named in the progress of a fetch; the log names all.
pub const DROPPED_MAX: usize = 64;

/// How far a fetch is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Groups here.
    pub groups: u32,
    /// Groups in all.
    pub groups_all: u32,
    /// Sources known.
    pub sources: usize,
    /// The first [`DROPPED_MAX`] peers dropped, and why.
    pub dropped: Vec<(Peer, Fault)>,
}

/// Why a content was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The store refused: no room, a full disk, another SHA-256.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Told to stop. What is here stays and is gone on with next time.
    #[error("the fetch was stopped; it goes on where it was when asked again")]
    Stopped,
    /// A part of the fetch was interrupted.
    #[error("the fetch was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Peers dropped lately, over all fetches. Bounded; the oldest is forgotten.
#[derive(Debug, Default)]
pub struct Bans(Mutex<Vec<(Peer, Instant)>>);

const BANS_MAX: usize = 256;

impl Bans {
    fn add(&self, peer: Peer, until: Instant) {
        let mut bans = self.0.lock();
        if bans.len() >= BANS_MAX {
            bans.remove(0);
        }
        bans.push((peer, until));
    }

    fn holds(&self, peer: Peer) -> bool {
        let now = Instant::now();
        let mut bans = self.0.lock();
        bans.retain(|(_, until)| *until > now);
        bans.iter().any(|(banned, _)| *banned == peer)
    }
}

/// What all fetches share.
pub struct Shared {
    /// Where contents lie.
    pub store: Arc<Store>,
    /// How to fetch.
    pub settings: FetchSettings,
    /// Bytes a second.
    pub pace: Pace,
    /// Who was dropped.
    pub bans: Bans,
    /// Boxes found on the LAN.
    pub boxes: watch::Receiver<BTreeSet<SocketAddr>>,
}

enum Event {
    Held(Peer, Result<Groups, Outcome>),
    Ended(OrderId, Span, Result<Outcome, StoreError>, Vec<u32>),
}

struct Fetch<'a> {
    shared: &'a Arc<Shared>,
    content: Content,
    plan: Plan,
    tasks: JoinSet<Event>,
    since: Instant,
    seed: u64,
    progress: &'a watch::Sender<Progress>,
    unflushed: u32,
    flushed_at: Instant,
    /// What was said of the ledger's answers: once a kind, not at every try.
    complaints: Vec<Discriminant<Fault>>,
}

/// Fetches a content that the store has admitted; gives the file of the whole. `seed` is fresh randomness, for the spread of
/// load alone.
///
/// # Errors
/// The store refused, the manifest's hashes disagree, or it was told to stop. Absent peers are no error: it waits for them.
pub async fn fetch(
    shared: &Arc<Shared>,
    content: &Content,
    seed: u64,
    progress: &watch::Sender<Progress>,
    stop: &CancellationToken,
) -> Result<PathBuf, FetchError> {
    let held = shared.store.held(content.id).ok_or(StoreError::Unknown(content.id))?;
    let jitter_ms = u64::try_from(shared.settings.ledger_jitter_max.as_millis()).unwrap_or(u64::MAX);
    let mut seed = seed | 1;
    let ledger_from = Moment(random(&mut seed) % jitter_ms.saturating_add(1));
    let plan = Plan::new(held, shared.settings.plan, ledger_from);
    let (tasks, since) = (JoinSet::new(), Instant::now());
    let (content, unflushed, flushed_at) = (content.clone(), 0, since);
    let (id, complaints) = (content.id, Vec::new());
    let mut fetch = Fetch { shared, content, plan, tasks, since, seed, progress, unflushed, flushed_at, complaints };
    let ended = tokio::select! {
        ended = fetch.run() => ended,
        () = stop.cancelled() => Err(FetchError::Stopped),
    };
    // What came so far is not fetched again.
    let store = Arc::clone(&shared.store);
    if ended.is_err() && shared.store.standing(id).is_some() {
        tokio::task::spawn_blocking(move || store.flush(id)).await??;
    }
    ended
}

/// xorshift64*: enough to spread load.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
}

impl Fetch<'_> {
    fn now(&self) -> Moment {
        Moment(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    async fn run(&mut self) -> Result<PathBuf, FetchError> {
        let mut boxes = self.shared.boxes.clone();
        let mut rots = 0;
        loop {
            self.meet(&boxes.borrow_and_update().clone());
            let (now, mut seed) = (self.now(), self.seed);
            let next = self.plan.next(now, &mut || random(&mut seed));
            self.seed = seed;
            match next {
                Next::Done => match self.complete().await {
                    Err(FetchError::Store(StoreError::Incomplete { .. })) if rots < ROTS_MAX => {
                        rots += 1;
                        let held = self.shared.store.held(self.content.id);
                        self.plan.lost(held.ok_or(StoreError::Unknown(self.content.id))?);
                    }
                    ended => return ended,
                },
                Next::AskHeld(peer) => self.ask(peer),
                Next::Fetch(order, peer, span) => self.order(order, peer, span),
                Next::Wait(until) => {
                    let wait = Duration::from_millis(until.ms_since(now));
                    tokio::select! {
                        Some(event) = self.tasks.join_next() => self.take(event?).await?,
                        _changed = boxes.changed() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Brings the plan's sources in line with the boxes that are there.
    fn meet(&mut self, boxes: &BTreeSet<SocketAddr>) {
        let ledger = self.shared.settings.ledger.as_ref().map(|_| Peer::Ledger);
        // The ledger first: no crowd of boxes takes its place.
        for peer in ledger.into_iter().chain(boxes.iter().copied().map(Peer::Lan)) {
            if !self.plan.knows(peer) && !self.shared.bans.holds(peer) {
                self.plan.found(peer);
            }
        }
        self.plan.keep_lan(boxes);
    }

    fn address(&self, peer: Peer) -> String {
        match peer {
            Peer::Lan(address) => address.to_string(),
            Peer::Ledger => self.shared.settings.ledger.clone().unwrap_or_default(),
        }
    }

    fn ask(&mut self, peer: Peer) {
        let (address, Content { id, shape, .. }) = (self.address(peer), self.content.clone());
        let patience = self.shared.settings.patience;
        self.tasks.spawn(async move { Event::Held(peer, client::held(&address, id, shape, patience).await) });
    }

    fn order(&mut self, order: OrderId, peer: Peer, span: Span) {
        let (address, content, shared) = (self.address(peer), self.content.clone(), Arc::clone(self.shared));
        self.tasks.spawn(async move {
            let Content { id, shape, .. } = content;
            // Our own bound, before the peer's clock runs.
            shared.pace.pass(shape.span_bytes(span)).await;
            let (items, outcome) = client::fetch(&address, id, shape, span, shared.settings.patience).await;
            let (kept, groups) = keep(&shared, id, shape, items).await;
            Event::Ended(order, span, kept.map(|()| outcome), groups)
        });
    }

    async fn take(&mut self, event: Event) -> Result<(), FetchError> {
        let (now, mut seed) = (self.now(), self.seed);
        let (peer, fault) = match event {
            Event::Held(peer, said) => (Some(peer), self.plan.heard(peer, said, now, &mut || random(&mut seed))),
            Event::Ended(order, _span, outcome, groups) => {
                groups.iter().for_each(|group| self.plan.kept(ledger_block::content::GroupIndex(*group)));
                self.unflushed += u32::try_from(groups.len()).unwrap_or(u32::MAX);
                let peer = self.plan.peer_of(order);
                (peer, self.plan.ended(order, outcome?, now, &mut || random(&mut seed)))
            }
        };
        self.seed = seed;
        if let Some((peer, fault)) = peer.zip(fault) {
            self.blame(peer, fault);
        }
        let (groups, groups_all, sources) =
            (self.plan.held().count(), self.content.shape.groups(), self.plan.source_count());
        self.progress.send_modify(|progress| {
            (progress.groups, progress.groups_all, progress.sources) = (groups, groups_all, sources);
        });
        let due = self.unflushed > 0 && self.flushed_at.elapsed() >= FLUSH_EVERY;
        if due || self.unflushed >= FLUSH_GROUPS {
            (self.unflushed, self.flushed_at) = (0, Instant::now());
            let (store, id) = (Arc::clone(&self.shared.store), self.content.id);
            tokio::task::spawn_blocking(move || store.flush(id)).await??;
        }
        Ok(())
    }

    /// Names who lied. The ledger is the last resort, and what answers in its name may be a hotel's page: it is asked on.
    fn blame(&mut self, peer: Peer, fault: Fault) {
        let content = self.content.id;
        if peer == Peer::Ledger {
            let kind = discriminant(&fault);
            if !self.complaints.contains(&kind) {
                self.complaints.push(kind);
                tracing::warn!(%content, "{peer}: {fault}; is firmware.ledger_store right? It is asked ever less often");
            }
            return;
        }
        tracing::warn!(%content, %peer, "a source of firmware was dropped: {fault}");
        self.shared.bans.add(peer, Instant::now() + self.shared.settings.ban);
        self.progress.send_modify(|progress| {
            if progress.dropped.len() < DROPPED_MAX {
                progress.dropped.push((peer, fault));
            }
        });
    }

    async fn complete(&self) -> Result<PathBuf, FetchError> {
        let (store, id) = (Arc::clone(&self.shared.store), self.content.id);
        Ok(tokio::task::spawn_blocking(move || store.complete(id)).await??)
    }
}

/// Keeps verified items; gives the groups among them.
async fn keep(shared: &Shared, id: ContentId, _shape: Shape, items: Vec<Item>) -> (Result<(), StoreError>, Vec<u32>) {
    let groups =
        items.iter().filter_map(|item| if let Item::Group { index, .. } = item { Some(index.0) } else { None });
    let groups: Vec<u32> = groups.collect();
    if groups.is_empty() {
        return (Ok(()), groups);
    }
    let store = Arc::clone(&shared.store);
    match tokio::task::spawn_blocking(move || store.keep(id, &items)).await {
        Ok(Ok(())) => (Ok(()), groups),
        Ok(Err(error)) => (Err(error), Vec::new()),
        Err(_interrupted) => (Ok(()), Vec::new()),
    }
}
