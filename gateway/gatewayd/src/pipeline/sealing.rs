//! The open batch becomes a block: after an interval, at a size, or at once when a high alert is raised.
//!
//! What is sealed is read back from the journal, so a block holds nothing that is not durable. A block, its payload, and
//! how far the journal is sealed are stored in one transaction; a crash before it leaves the rows unsealed, and the next
//! start seals them.
//!
//! A header names the rules and plugins that were in force when what is in its block came, not when it was sealed: `named`.

mod bite;
mod chain;
mod keys;
mod named;
#[cfg(test)]
pub(super) mod tests;
mod trial;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use ledger_block::{BlockIndex, GatewayKey, Hash, Incarnation};
use parking_lot::Mutex;
use pitchside_admin::{Event, Events, Metrics};
use pitchside_model::{AlertEvent, Entry, Timestamp};
use pitchside_seal::{Batch, BootCounter, ClosingPolicy, KeyRing, SealInput, seal};
use pitchside_store::{AlertStep, BlockKey, JournalRow, Marks, NewBlock, RowId, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use bite::Unsealed;
use chain::ChainLink;
use keys::Keys;
use named::{InForce, Named};

use crate::adapters::page::block_view;
use crate::blocking;
use crate::clock::{Clock, ClockJudge};
use crate::random::OsRandom;

/// Bytes of journal that go into one block at the most, before compression.
const BLOCK_BYTES_MAX: usize = 1 << 20;
const ALERT_STEPS_MAX: u32 = 1_000;
/// How long to wait after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The sealing room.
pub struct Sealing {
    store: Store,
    key: GatewayKey,
    ring: ArcSwap<KeyRing>,
    named: Mutex<Named>,
    /// Hash of this program.
    firmware: Mutex<Hash>,
    batch: Mutex<Batch>,
    wake: Notify,
    /// The last attempt failed: try again at the next wake.
    failed: AtomicBool,
    /// What it failed on.
    trouble: Mutex<Option<String>>,
    events: Events,
    metrics: Arc<Metrics>,
    clock: Clock,
    judge: ClockJudge,
    /// Woken when a block was stored.
    pub sealed: Arc<Notify>,
    /// Whose turn it is to seal.
    turn: tokio::sync::Mutex<()>,
}

/// What a [`Sealing`] is made of.
pub struct SealingParts {
    /// Journal, blocks, tables.
    pub store: Store,
    /// Signs blocks.
    pub key: GatewayKey,
    /// Athletes' keys.
    pub ring: KeyRing,
    /// When a batch closes.
    pub policy: ClosingPolicy,
    /// Told of blocks.
    pub events: Events,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The gateway's clock.
    pub clock: Clock,
    /// How far it is believed.
    pub judge: ClockJudge,
}

impl Sealing {
    /// Puts the parts together; nothing is sealed before [`Sealing::run`].
    pub fn new(parts: SealingParts) -> Self {
        let SealingParts { store, key, ring, policy, events, metrics, clock, judge } = parts;
        let named = Mutex::new(Named::of_the_last_run(&store));
        Self {
            store,
            key,
            ring: ArcSwap::from_pointee(ring),
            named,
            firmware: Mutex::default(),
            batch: Mutex::new(Batch::new(policy)),
            wake: Notify::new(),
            failed: AtomicBool::new(false),
            trouble: Mutex::default(),
            events,
            metrics,
            clock,
            judge,
            sealed: Arc::new(Notify::new()),
            turn: tokio::sync::Mutex::default(),
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

    /// Other rules are in force; zeros if none are, or if it is not certain which raised what comes. What those before them raised is on the
    /// record by now.
    pub fn set_rules(&self, rules: Hash) {
        self.put_in_force(|now| InForce { rules, ..now });
    }

    /// This program; before the first block.
    pub fn set_firmware(&self, firmware: Hash) {
        *self.firmware.lock() = firmware;
    }

    /// Other plugins run; zeros if none does.
    pub fn set_plugins(&self, plugins: Hash) {
        self.put_in_force(|now| InForce { plugins, ..now });
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
                self.seal_due().await;
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
        self.seal_up_to(RowId(i64::MAX)).await;
    }

    /// Seals what is durable now. What comes meanwhile is the next batch's: it would make a block of a few readings.
    async fn seal_due(self: &Arc<Self>) {
        match blocking::here(|| self.store.journal_end()) {
            Ok((end, _)) => self.seal_up_to(end).await,
            Err(error) => {
                tracing::error!(%error, "the journal could not be read; it is sealed later");
                self.retry_later();
            }
        }
    }

    async fn seal_up_to(self: &Arc<Self>, end: RowId) {
        // Two at a time would make one block twice; the second would fail, and what it should have sealed stay.
        let _turn = self.turn.lock().await;
        loop {
            let sealing = Arc::clone(self);
            // What one block did not take of alerts must not wait for somebody's next reading.
            let more =
                move |store: &Store| anyhow::Ok(store.sealed_up_to()? < end || !store.unsealed_alerts(1)?.is_empty());
            let sealed = move || anyhow::Ok(sealing.seal_one()? && more(&sealing.store)?);
            let ended = tokio::task::spawn_blocking(sealed).await;
            *self.trouble.lock() = match &ended {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(error) => Some(error.to_string()),
            };
            match ended {
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

    /// A block of what is unsealed; several, if one row is more than a block can hold. False if there is nothing.
    fn seal_one(&self) -> anyhow::Result<bool> {
        self.keep_in_force().context("keeping what is in force")?;
        let mut rows = self.store.unsealed(BLOCK_BYTES_MAX).context("reading the journal")?;
        let mut steps = self.store.unsealed_alerts(ALERT_STEPS_MAX).context("reading the alerts")?;
        // One for the whole block, and younger than what was read: whose key it lacks by now was erased.
        let ring = self.ring.load_full();
        keys::forget_erased(&mut rows, &mut steps, &ring, &self.store)?;
        // Younger than what was read, too: of that nothing came under what comes into force from here on.
        let in_force = self.named.lock().narrow(&mut rows, &mut steps);
        if rows.is_empty() && steps.is_empty() {
            return Ok(false);
        }
        let Some(mut link) = self.link()? else { return Ok(false) };
        loop {
            let alerts: Vec<AlertEvent> = steps.iter().map(|step| step.event.clone()).collect();
            let entries: Vec<Entry> = rows.iter().flat_map(|row| row.entries.iter().cloned()).collect();
            match self.seal_block(&ring, &mut link, in_force, &entries, &alerts) {
                Ok(block) => return self.put(vec![block], &rows, &steps, &[]).map(|()| true),
                Err(Unsealed::Failed(error)) => return Err(error),
                Err(Unsealed::TooMuch(why)) if bite::smaller(&mut rows, &mut steps) => {
                    tracing::debug!(%why, rows = rows.len(), steps = steps.len(), "a smaller bite");
                }
                Err(Unsealed::TooMuch(why)) => {
                    if let Some(step) = steps.first() {
                        tracing::error!(step = step.id.0, %why, "an alert is in no block: none can hold it");
                    }
                    return self.seal_in_parts(&ring, link, in_force, &entries, &rows, &steps).map(|()| true);
                }
            }
        }
    }

    /// One row in several blocks, stored together: a crash between them must not seal the first ones twice.
    fn seal_in_parts(
        &self,
        ring: &KeyRing,
        mut link: ChainLink,
        in_force: InForce,
        entries: &[Entry],
        rows: &[JournalRow],
        steps: &[AlertStep],
    ) -> anyhow::Result<()> {
        let mut blocks = Vec::new();
        let left = bite::divide(entries, &mut |part| {
            blocks.push(self.seal_block(ring, &mut link, in_force, part, &[])?);
            Ok(())
        })?;
        for (entry, why) in &left {
            let (device, seq) = (&entry.device, entry.seq.0);
            tracing::error!(%device, seq, %why, "a message is in no block: none can hold it; its row is in journal_damaged");
        }
        if blocks.is_empty() {
            // The chain says at least that it was here.
            blocks.push(self.seal_block(ring, &mut link, in_force, &[], &[]).map_err(|unsealed| match unsealed {
                Unsealed::Failed(error) => error,
                Unsealed::TooMuch(why) => why.into(),
            })?);
        }
        let aside: Vec<RowId> = rows.iter().filter(|_| !left.is_empty()).map(|row| row.id).collect();
        self.put(blocks, rows, steps, &aside)
    }

    /// Seals one block at the end of the chain, and moves the end.
    fn seal_block(
        &self,
        ring: &KeyRing,
        link: &mut ChainLink,
        in_force: InForce,
        entries: &[Entry],
        alerts: &[AlertEvent],
    ) -> Result<NewBlock, Unsealed> {
        let sealed = seal(&SealInput {
            key: &self.key,
            incarnation: Incarnation(link.key.incarnation),
            index: BlockIndex(link.key.index),
            previous: link.previous,
            sealed_at: self.clock.now(),
            clock: self.judge.state(&self.clock),
            rules: in_force.rules,
            plugins: in_force.plugins,
            firmware: *self.firmware.lock(),
            checkpoint: link.checkpoint,
            entries,
            alerts,
            keys: &Keys { ring, store: &self.store },
            entropy: OsRandom.bytes().map_err(anyhow::Error::from)?,
            boot: BootCounter(self.store.boot()),
        })?;
        let block = NewBlock {
            key: link.key,
            hash: sealed.header.hash(),
            sealed_at: sealed.header.header().sealed_at,
            header: sealed.header.bytes().to_vec(),
            payload: sealed.payload,
            readings: entries.iter().map(|entry| entry.readings.len() as u64).sum(),
            rows_up_to: link.sealed_up_to,
            alerts_up_to: None,
        };
        link.previous = block.hash;
        link.key.index += 1;
        Ok(block)
    }

    /// Stores the blocks of these rows and steps: all, or none.
    fn put(
        &self,
        mut blocks: Vec<NewBlock>,
        rows: &[JournalRow],
        steps: &[AlertStep],
        aside: &[RowId],
    ) -> anyhow::Result<()> {
        let mut marks = Marks::default();
        rows.iter().for_each(|row| marks.note(&row.entries));
        if let Some(last) = blocks.last_mut() {
            last.rows_up_to = rows.last().map_or(last.rows_up_to, |row| row.id);
            last.alerts_up_to = steps.last().map(|step| step.id);
        }
        let keys: Vec<BlockKey> = blocks.iter().map(|block| block.key).collect();
        self.store.put_blocks(blocks, marks, aside)?;
        self.metrics.blocks.inc_by(keys.len() as u64);
        for key in keys {
            if let Some(row) = self.store.block(key)? {
                self.events.publish(&Event::BlockSealed { block: block_view(&row) });
            }
        }
        self.sealed.notify_one();
        Ok(())
    }
}
