//! Sealed blocks for `sync`, kept by `store`. A parcel's number is its block's index.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use ledger_block::ingest::{Refusal, Releases, Summed};
use ledger_block::receipt::Level as ReceiptLevel;
use ledger_block::{GatewayId, Hash, SignedHeader};
use parking_lot::Mutex;
use pitchside_admin::{Event, Events, Metrics, Receipt};
use pitchside_model::Timestamp;
use pitchside_store::{BlockKey, BlockRow, Counted, Level, Store, StoreError};
use pitchside_sync::{CopyTask, Edge, Outbox, OutboxError, Parcel};
use tokio::sync::Notify;

use super::athletes::forget_listed;
use super::releases::KnownReleases;
use crate::backup::chain::{asks_the_ledger, settle};
use crate::clock::Clock;
use crate::random::OsRandom;

/// Where the last verified checkpoint is kept.
pub const CHECKPOINT: &str = "ledger-checkpoint";
const PAGE: u32 = 64;

/// The store as `sync` sees it.
pub struct StoreOutbox {
    /// The store.
    pub store: Store,
    /// Woken when a block was sealed.
    pub sealed: Arc<Notify>,
    /// Told of receipts.
    pub events: Events,
    /// Counts receipts.
    pub metrics: Arc<Metrics>,
    /// The gateway's clock.
    pub clock: Clock,
    /// The payload that is being sent, a piece at a time.
    pub sending: Mutex<Option<(u64, Arc<Vec<u8>>)>>,
    /// The box's own name in block headers.
    pub gateway: GatewayId,
    /// Folder of the box's keys: the recovery key's public half says whose a copy is.
    pub keys: PathBuf,
    /// What the ledger says about firmware; none if the settings name no release policy.
    pub releases: Option<Arc<KnownReleases>>,
    /// Told when the chain of a restored box may go on.
    pub on_resumed: Box<dyn Fn() + Send + Sync>,
    /// Told when the last receipt came.
    pub on_receipt: Box<dyn Fn(Timestamp) + Send + Sync>,
}

/// Time and randomness for `sync`.
pub struct SystemEdge(pub Clock);

impl Edge for SystemEdge {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn fill(&self, buffer: &mut [u8]) -> bool {
        OsRandom.try_fill(buffer).is_ok()
    }
}

fn failed(error: impl std::fmt::Display) -> OutboxError {
    OutboxError(error.to_string())
}

impl StoreOutbox {
    async fn with_store<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || act(&store)).await.map_err(failed)?.map_err(failed)
    }

    /// A block's payload; kept until another block's is asked for.
    async fn whole(&self, number: u64) -> Result<Arc<Vec<u8>>, OutboxError> {
        if let Some((kept, payload)) = &*self.sending.lock()
            && *kept == number
        {
            return Ok(Arc::clone(payload));
        }
        let key = self.row(number).await?.key;
        let payload = self.with_store(move |store| store.payload(key)).await?;
        let payload = Arc::new(payload.ok_or_else(|| failed(format!("block {number} has no payload any more")))?);
        *self.sending.lock() = Some((number, Arc::clone(&payload)));
        Ok(payload)
    }

    async fn row(&self, number: u64) -> Result<BlockRow, OutboxError> {
        self.with_store(move |store| row(store, number)).await
    }
}

/// The block of an index: incarnations only ever rise, so the index alone names it.
fn row(store: &Store, number: u64) -> Result<BlockRow, StoreError> {
    let newest = store.last_block()?.map_or(0, |block| block.key.incarnation);
    for incarnation in (0..=newest).rev() {
        if let Some(row) = store.block(BlockKey { incarnation, index: number })? {
            return Ok(row);
        }
    }
    Err(StoreError::Unknown { what: "block", name: number.to_string() })
}

/// Blocks without R2, oldest first.
fn pending(store: &Store, after: Option<u64>, limit: usize) -> Result<Vec<BlockRow>, StoreError> {
    let mut from = match after {
        Some(number) => Some(row(store, number)?.key),
        None => {
            let oldest = [Level::R0, Level::R1].into_iter().map(|level| store.blocks_at(level, 1));
            let mut first: Option<BlockRow> = None;
            for rows in oldest {
                for row in rows? {
                    if first.as_ref().is_none_or(|f| row.key < f.key) {
                        first = Some(row);
                    }
                }
            }
            let Some(first) = first else { return Ok(Vec::new()) };
            first.key.index.checked_sub(1).and_then(|before| row(store, before).ok()).map(|row| row.key)
        }
    };
    let mut found = Vec::new();
    loop {
        let rows = store.blocks_after(from, PAGE)?;
        let Some(last) = rows.last() else { return Ok(found) };
        from = Some(last.key);
        for row in rows {
            if row.level < Level::R2 {
                found.push(row);
                if found.len() == limit {
                    return Ok(found);
                }
            }
        }
    }
}

#[async_trait]
impl Outbox for StoreOutbox {
    async fn pending(&self, after: Option<u64>, limit: usize) -> Result<Vec<Parcel>, OutboxError> {
        let rows = self.with_store(move |store| pending(store, after, limit)).await?;
        Ok(rows.into_iter().map(|row| Parcel { number: row.key.index, leaf: row.header }).collect())
    }

    async fn payload(&self, number: u64, offset: u64, length: usize) -> Result<Vec<u8>, OutboxError> {
        let payload = self.whole(number).await?;
        let from = usize::try_from(offset).map_err(failed)?;
        let piece = from.checked_add(length).and_then(|to| payload.get(from..to));
        piece.map(<[u8]>::to_vec).ok_or_else(|| failed(format!("block {number} has no bytes {offset} to +{length}")))
    }

    async fn receipt(&self, number: u64, level: ReceiptLevel, receipt: &[u8]) -> Result<(), OutboxError> {
        let (level, shown) = match level {
            ReceiptLevel::R1 => (Level::R1, Receipt::R1),
            ReceiptLevel::R2 => (Level::R2, Receipt::R2),
            ReceiptLevel::R3 => (Level::R3, Receipt::R3),
        };
        let key = self.row(number).await?.key;
        let (bytes, now) = (receipt.to_vec(), self.clock.now());
        self.with_store(move |store| store.set_receipt(key, level, &bytes, now)).await?;
        self.metrics.receipt(shown);
        (self.on_receipt)(now);
        self.events.publish(&Event::Receipt { index: number, receipt: shown });
        Ok(())
    }

    async fn refused(&self, number: u64, refusal: &Refusal) -> Result<(), OutboxError> {
        // The chain cannot go on without the block: it stays pending, and somebody must look.
        tracing::error!(block = number, %refusal, "the ledger refuses a block for good; run pitchside doctor");
        self.metrics.refused("ledger");
        Ok(())
    }

    async fn checkpoint(&self) -> Result<Option<Vec<u8>>, OutboxError> {
        self.with_store(|store| store.meta(CHECKPOINT)).await
    }

    async fn set_checkpoint(&self, note: &[u8]) -> Result<(), OutboxError> {
        let note = note.to_vec();
        self.with_store(move |store| store.set_meta(CHECKPOINT, &note)).await
    }

    async fn backlog(&self) -> Result<u64, OutboxError> {
        let backlog = self.with_store(|store| store.backlog()).await?;
        self.metrics.blocks_waiting.set(i64::try_from(backlog.blocks).unwrap_or(i64::MAX));
        Ok(backlog.blocks)
    }

    async fn resuming(&self) -> Result<bool, OutboxError> {
        self.with_store(|store| asks_the_ledger(store)).await
    }

    async fn resume(&self, head: Option<&SignedHeader>) -> Result<(), OutboxError> {
        let (store, own, head) = (self.store.clone(), self.gateway, head.cloned());
        let settled = tokio::task::spawn_blocking(move || settle(&store, own, head.as_ref()));
        let settled = settled.await.map_err(failed)?.map_err(|error| {
            tracing::error!(%error, "the chain of this restored box does not go on");
            failed(error)
        })?;
        if settled {
            (self.on_resumed)();
        }
        Ok(())
    }

    async fn copies(&self, limit: usize) -> Result<Vec<CopyTask>, OutboxError> {
        let rows = u32::try_from(limit).unwrap_or(u32::MAX);
        let open = self.with_store(move |store| store.open_key_copies(rows)).await?;
        Ok(open.into_iter().map(|(name, body)| CopyTask { name, body }).collect())
    }

    async fn copied(&self, name: &Hash, held: bool) -> Result<(), OutboxError> {
        let name = *name;
        self.with_store(move |store| store.note_key_copy(&name, held)).await
    }

    async fn copies_sought(&self) -> Result<Option<u64>, OutboxError> {
        self.with_store(|store| store.copies_to_seek()).await
    }

    async fn copies_listed(&self, sought: u64, names: &[Hash], unreadable: &[Hash]) -> Result<(), OutboxError> {
        let (store, keys) = (self.store.clone(), self.keys.clone());
        let (names, unread, count) = (names.to_vec(), unreadable.to_vec(), unreadable.len());
        let found = tokio::task::spawn_blocking(move || {
            forget_listed(&store, &keys, &names)?;
            store.note_copies_sought(sought)?;
            anyhow::Ok(store.note_unreadable_copies(&unread)?)
        });
        match found.await.map_err(failed)? {
            Ok(true) => tracing::error!(count, "the ledger has copies of keys that it cannot read; pitchside doctor"),
            Ok(false) => {}
            Err(error) => {
                // Blocks go on without; the next connection tries again.
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "the ledger may still hold copies of erased athletes' keys: its list could not be read"
                );
            }
        }
        Ok(())
    }

    async fn releases_wanted(&self) -> Result<Option<(u64, u64)>, OutboxError> {
        Ok(self.releases.as_ref().map(|releases| releases.wanted()))
    }

    async fn releases(&self, told: &Releases) -> Result<bool, OutboxError> {
        let Some(releases) = self.releases.clone() else { return Ok(false) };
        let told = told.clone();
        tokio::task::spawn_blocking(move || releases.told(&told)).await.map_err(failed)?.map_err(failed)
    }

    async fn acts(&self, limit: usize) -> Result<Vec<Vec<u8>>, OutboxError> {
        let rows = u32::try_from(limit).unwrap_or(u32::MAX);
        self.with_store(move |store| store.waiting_acts(rows)).await
    }

    async fn summed(&self, summed: &Summed) -> Result<(), OutboxError> {
        let tally = summed.sum.tally;
        let all = Counted { release: summed.release.0, confirmed: tally.confirmed, failed: tally.failed };
        self.with_store(move |store| store.note_sum(all)).await
    }

    async fn acted(&self, leaf: &Hash, taken: Result<(), &Refusal>) -> Result<(), OutboxError> {
        let (leaf, taken) = (*leaf, taken.is_ok());
        if !taken {
            self.metrics.refused("ledger");
        }
        self.with_store(move |store| store.settle_act(&leaf, taken)).await
    }

    async fn changed(&self) {
        // A permit is kept if nobody waits, so none is missed.
        self.sealed.notified().await;
    }
}
