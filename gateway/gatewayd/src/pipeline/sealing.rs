//! The open batch becomes a block: after an interval, at a size, or at once when a high alert is raised.
//!
//! What is sealed is read back from the journal, so a block holds nothing that is not durable. A block, its payload, and
//! how far the journal is sealed are stored in one transaction; a crash before it leaves the rows unsealed, and the next
//! start seals them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use ledger_block::{
    BlockIndex, ClockState, GatewayKey, Hash, Incarnation, SeenCheckpoint, checkpoint::Checkpoint, note::SignedNote,
};
use parking_lot::Mutex;
use pitchside_admin::{Event, Events, Metrics};
use pitchside_model::{AlertEvent, AlertId, AthleteId, Timestamp};
use pitchside_seal::{
    AthleteKey, AthleteKeys, Batch, BootCounter, ClosingPolicy, Generation, KeyRing, NoKey, SealInput, Whose, seal,
};
use pitchside_store::{BlockKey, Marks, NewBlock, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::adapters::outbox::CHECKPOINT;
use crate::adapters::page::block_view;
use crate::clock::Clock;
use crate::random::OsRandom;

/// Bytes of journal that go into one block at the most, before compression.
const BLOCK_BYTES_MAX: usize = 1 << 20;
const ALERT_STEPS_MAX: u32 = 1_000;
/// How long to wait after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the header says besides the readings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inventory {
    /// Hash of the rules in force.
    pub rules: Hash,
    /// Hash of the plugins in force.
    pub plugins: Hash,
    /// Hash of this program.
    pub firmware: Hash,
}

/// The sealing room.
pub struct Sealing {
    store: Store,
    key: GatewayKey,
    ring: ArcSwap<KeyRing>,
    inventory: ArcSwap<Inventory>,
    batch: Mutex<Batch>,
    wake: Notify,
    /// The last attempt failed: try again at the next wake.
    failed: AtomicBool,
    events: Events,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// Woken when a block was stored.
    pub sealed: Arc<Notify>,
}

/// What a [`Sealing`] is made of.
pub struct SealingParts {
    /// Journal, blocks, tables.
    pub store: Store,
    /// Signs blocks.
    pub key: GatewayKey,
    /// Athletes' keys.
    pub ring: KeyRing,
    /// What the header says besides.
    pub inventory: Inventory,
    /// When a batch closes.
    pub policy: ClosingPolicy,
    /// Told of blocks.
    pub events: Events,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The gateway's clock.
    pub clock: Clock,
}

/// The ring, and for the clearing of an alert whose it was.
struct Keys<'a> {
    ring: &'a KeyRing,
    store: &'a Store,
}

impl AthleteKeys for Keys<'_> {
    fn sealing(&self, whose: &Whose) -> Result<(Generation, AthleteKey), NoKey> {
        // Readings of an athlete whose key is gone are nobody's: they are kept, under the key of the house.
        self.ring.sealing(whose).or_else(|_| self.ring.sealing(&Whose::House))
    }

    fn opening(&self) -> Vec<(Whose, Generation, AthleteKey)> {
        self.ring.opening()
    }

    fn alert_subject(&self, id: &AlertId) -> Option<AthleteId> {
        self.store.alert(*id).ok().flatten().and_then(|row| row.alert.athlete)
    }
}

impl Sealing {
    /// Puts the parts together; nothing is sealed before [`Sealing::run`].
    pub fn new(parts: SealingParts) -> Self {
        let SealingParts { store, key, ring, inventory, policy, events, metrics, clock } = parts;
        Self {
            store,
            key,
            ring: ArcSwap::from_pointee(ring),
            inventory: ArcSwap::from_pointee(inventory),
            batch: Mutex::new(Batch::new(policy)),
            wake: Notify::new(),
            failed: AtomicBool::new(false),
            events,
            metrics,
            clock,
            sealed: Arc::new(Notify::new()),
        }
    }

    /// Athletes' keys changed.
    pub fn set_ring(&self, ring: KeyRing) {
        self.ring.store(Arc::new(ring));
    }

    /// The chain may go on: what waited is sealed at once.
    pub fn resume(&self) {
        self.failed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// The box's own name in block headers.
    pub fn gateway(&self) -> ledger_block::GatewayId {
        self.key.id()
    }

    /// Other rules are in force.
    pub fn set_rules(&self, rules: Hash) {
        self.inventory.rcu(|inventory| Inventory { rules, ..**inventory });
    }

    /// Entries of this weight became durable.
    pub fn note_entries(&self, weight: usize, now: Timestamp) {
        let mut batch = self.batch.lock();
        let was_open = batch.deadline().is_some();
        batch.add_weight(weight, now);
        if !was_open || batch.due(now).is_some() {
            self.wake.notify_one();
        }
    }

    /// Alerts were recorded.
    pub fn note_alerts(&self, alerts: &[AlertEvent], now: Timestamp) {
        self.batch.lock().add_alerts(alerts, now);
        self.wake.notify_one();
    }

    /// Seals what the last run left, then whenever a batch is due, and once more at the end.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        self.seal_all().await;
        while !stop.is_cancelled() {
            let now = self.clock.now();
            let (due, wait) = {
                let mut batch = self.batch.lock();
                let due = batch.due(now).is_some() || self.failed.swap(false, Ordering::AcqRel);
                if due {
                    batch.closed();
                }
                let wait = batch.deadline().map_or(Duration::from_secs(3_600), |deadline| {
                    Duration::from_micros(u64::try_from(deadline.micros_since(now)).unwrap_or(0).max(1_000))
                });
                (due, wait)
            };
            if due {
                self.seal_all().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.wake.notified() => {}
                () = stop.cancelled() => {}
            }
        }
        self.seal_all().await;
    }

    /// Seals until nothing durable is left unsealed.
    pub async fn seal_all(self: &Arc<Self>) {
        loop {
            let sealing = Arc::clone(self);
            match tokio::task::spawn_blocking(move || sealing.seal_one()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return,
                Ok(Err(error)) => {
                    tracing::error!(error = %format!("{error:#}"), "sealing failed; the readings stay in the journal");
                    self.retry_later();
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "sealing ended badly");
                    return;
                }
            }
        }
    }

    /// What could not be sealed is tried again in a while, even if nothing new comes.
    fn retry_later(self: &Arc<Self>) {
        let sealing = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(RETRY_AFTER).await;
            sealing.failed.store(true, Ordering::Release);
            sealing.wake.notify_one();
        });
    }

    /// One block of what is unsealed; false if there is nothing.
    fn seal_one(&self) -> anyhow::Result<bool> {
        // After a restore only the ledger knows where the chain goes on; until it has said so, readings wait in the journal.
        let Some((BlockKey { incarnation, index }, previous)) = self.store.next_block()? else { return Ok(false) };
        let rows = self.store.unsealed(BLOCK_BYTES_MAX).context("reading the journal")?;
        let steps = self.store.unsealed_alerts(ALERT_STEPS_MAX).context("reading the alerts")?;
        if rows.is_empty() && steps.is_empty() {
            return Ok(false);
        }
        let rows_up_to = match rows.last() {
            Some(row) => row.id,
            None => self.store.sealed_up_to()?,
        };
        let alerts_up_to = steps.last().map(|step| step.id);
        let mut marks = Marks::default();
        let mut entries = Vec::new();
        for row in rows {
            marks.note(&row.entries);
            entries.extend(row.entries);
        }
        let readings: u64 = entries.iter().map(|entry| entry.readings.len() as u64).sum();
        let alerts: Vec<AlertEvent> = steps.into_iter().map(|step| step.event).collect();
        let ring = self.ring.load();
        let inventory = self.inventory.load();
        let sealed = seal(&SealInput {
            key: &self.key,
            incarnation: Incarnation(incarnation),
            index: BlockIndex(index),
            previous,
            sealed_at: self.clock.now(),
            clock: ClockState::Free,
            rules: inventory.rules,
            plugins: inventory.plugins,
            firmware: inventory.firmware,
            checkpoint: self.last_checkpoint()?,
            entries: &entries,
            alerts: &alerts,
            keys: &Keys { ring: &ring, store: &self.store },
            entropy: OsRandom.bytes()?,
            boot: BootCounter(self.store.boot()),
        })?;
        let key = BlockKey { incarnation, index };
        self.store.put_block(
            NewBlock {
                key,
                hash: sealed.header.hash(),
                sealed_at: sealed.header.header().sealed_at,
                header: sealed.header.bytes().to_vec(),
                payload: sealed.payload,
                readings,
                rows_up_to,
                alerts_up_to,
            },
            marks,
        )?;
        self.metrics.blocks.inc();
        if let Some(row) = self.store.block(key)? {
            self.events.publish(&Event::BlockSealed { block: block_view(&row) });
        }
        self.sealed.notify_one();
        Ok(true)
    }

    /// The newest checkpoint the ledger has sent us.
    fn last_checkpoint(&self) -> anyhow::Result<Option<SeenCheckpoint>> {
        let Some(bytes) = self.store.meta(CHECKPOINT)? else { return Ok(None) };
        let note = SignedNote::parse(&bytes)?;
        let Checkpoint { size, root, .. } = Checkpoint::parse(note.text())?;
        Ok(Some(SeenCheckpoint { size, root }))
    }
}
