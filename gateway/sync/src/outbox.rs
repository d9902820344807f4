//! What sync needs from the store, and from the world.

use async_trait::async_trait;
use ledger_block::ingest::{Refusal, Releases, Summed};
use ledger_block::receipt::Level;
use ledger_block::{Hash, SignedHeader};
use pitchside_model::Timestamp;

/// Something that waits for the ledger: a sealed block or a signed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Its number in the outbox: above those of all parcels put there before, never reused. Parcels reach the ledger in
    /// this order.
    pub number: u64,
    /// The leaf: a signed block header, or a signed transaction.
    pub leaf: Vec<u8>,
}

/// A copy of a key that the ledger is to keep beside the log, or to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyTask {
    /// Its name there.
    pub name: Hash,
    /// What to keep; none to delete it.
    pub body: Option<Vec<u8>>,
}

/// The store could not answer. Its text ends up in the log and in the status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the outbox: {0}")]
pub struct OutboxError(pub String);

/// The store, as sync sees it. Parcels stay in it until they have R2 (blocks longer, until R3, which is not sync's doing).
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Parcels that have no R2 yet and were not refused for good, numbers above `after`, ascending, at most `limit`.
    async fn pending(&self, after: Option<u64>, limit: usize) -> Result<Vec<Parcel>, OutboxError>;

    /// Bytes of a block's padded payload from an offset: exactly `length` of them.
    async fn payload(&self, number: u64, offset: u64, length: usize) -> Result<Vec<u8>, OutboxError>;

    /// Keeps a verified receipt, durably. May come again for the same parcel and level.
    async fn receipt(&self, number: u64, level: Level, receipt: &[u8]) -> Result<(), OutboxError>;

    /// The ledger refuses this parcel for good. A transaction must not be offered again; a block stays pending, since the
    /// chain cannot go on without it, and a person must look.
    async fn refused(&self, number: u64, refusal: &Refusal) -> Result<(), OutboxError>;

    /// The last checkpoint that was verified: a signed note.
    async fn checkpoint(&self) -> Result<Option<Vec<u8>>, OutboxError>;

    /// Keeps a verified checkpoint, durably, before anything rests on it.
    async fn set_checkpoint(&self, note: &[u8]) -> Result<(), OutboxError>;

    /// How many parcels are pending.
    async fn backlog(&self) -> Result<u64, OutboxError>;

    /// Whether the ledger is asked where the chain goes on: after a restore only the ledger knows, and where nothing was sealed
    /// yet it may know better.
    async fn resuming(&self) -> Result<bool, OutboxError> {
        Ok(false)
    }

    /// Where the chain goes on, durably: after this block, the ledger's last of this gateway; none if it holds no block of
    /// it. The header verifies; whether it is this gateway's own, and can be its last, is for the outbox to check.
    async fn resume(&self, head: Option<&SignedHeader>) -> Result<(), OutboxError> {
        let _ = head;
        Ok(())
    }

    /// Copies of keys the ledger is to keep or delete and has not confirmed yet, at most `limit`.
    async fn copies(&self, limit: usize) -> Result<Vec<CopyTask>, OutboxError> {
        let _ = limit;
        Ok(Vec::new())
    }

    /// The ledger holds this copy durably, or no longer.
    async fn copied(&self, name: &Hash, held: bool) -> Result<(), OutboxError> {
        let _ = (name, held);
        Ok(())
    }

    /// Whether the names of all copies the ledger holds are wanted, to find those of erased athletes that nobody here knows:
    /// a number that is handed back with them, another one whenever they are wanted again.
    /// They are asked for once nothing is pending, and for a while not again after a connection ended over it.
    async fn copies_sought(&self) -> Result<Option<u64>, OutboxError> {
        Ok(None)
    }

    /// The names of all copies the ledger holds, in order, as they were wanted; and those of them that it cannot read.
    async fn copies_listed(&self, sought: u64, names: &[Hash], unreadable: &[Hash]) -> Result<(), OutboxError> {
        let _ = (sought, names, unreadable);
        Ok(())
    }

    /// What to ask the ledger about firmware: from which leaf on, and the size of the last checkpoint it is known from. None
    /// if nobody wants to know.
    async fn releases_wanted(&self) -> Result<Option<(u64, u64)>, OutboxError> {
        Ok(None)
    }

    /// What the ledger said about firmware, unchecked. True if there is more to ask for at once; what is not believed is
    /// for the outbox to report, and no reason to end the connection.
    async fn releases(&self, told: &Releases) -> Result<bool, OutboxError> {
        let _ = told;
        Ok(false)
    }

    /// Signed transactions that are no part of the chain and that the ledger does not have yet, at most `limit`: a halt must
    /// not wait behind blocks.
    async fn acts(&self, limit: usize) -> Result<Vec<Vec<u8>>, OutboxError> {
        let _ = limit;
        Ok(Vec::new())
    }

    /// What the ledger has added up of a release, after a tally of this gateway entered: its word.
    async fn summed(&self, summed: &Summed) -> Result<(), OutboxError> {
        let _ = summed;
        Ok(())
    }

    /// Such a transaction has R2 (`Ok`), or the ledger refuses it for good: it is not offered again.
    async fn acted(&self, leaf: &Hash, taken: Result<(), &Refusal>) -> Result<(), OutboxError> {
        let _ = (leaf, taken);
        Ok(())
    }

    /// Resolves when there may be new parcels, or acts. Must not miss one that came between two calls.
    async fn changed(&self);
}

/// Time and randomness.
pub trait Edge: Send + Sync + 'static {
    /// The gateway's clock.
    fn now(&self) -> Timestamp;
    /// Fills the buffer with fresh random bytes; false if the system has none, and then no connection is made.
    fn fill(&self, buffer: &mut [u8]) -> bool;
}
