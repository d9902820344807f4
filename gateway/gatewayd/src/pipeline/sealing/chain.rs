//! Where the chain goes on.

use ledger_block::{Hash, SeenCheckpoint, checkpoint::Checkpoint, note::SignedNote};
use pitchside_store::{BlockKey, RowId};

use super::Sealing;
use crate::adapters::outbox::CHECKPOINT;

/// Where the next block goes.
pub(super) struct ChainLink {
    pub key: BlockKey,
    pub previous: Hash,
    pub checkpoint: Option<SeenCheckpoint>,
    pub sealed_up_to: RowId,
}

impl Sealing {
    /// Where the chain goes on; nowhere yet, if only the ledger knows: after a restore readings wait in the journal until it
    /// has said so.
    pub(super) fn link(&self) -> anyhow::Result<Option<ChainLink>> {
        let Some((key, previous)) = self.store.next_block()? else { return Ok(None) };
        let (checkpoint, sealed_up_to) = (self.last_checkpoint()?, self.store.sealed_up_to()?);
        Ok(Some(ChainLink { key, previous, checkpoint, sealed_up_to }))
    }

    /// The newest checkpoint the ledger has sent us.
    fn last_checkpoint(&self) -> anyhow::Result<Option<SeenCheckpoint>> {
        let Some(bytes) = self.store.meta(CHECKPOINT)? else { return Ok(None) };
        let note = SignedNote::parse(&bytes)?;
        let Checkpoint { size, root, .. } = Checkpoint::parse(note.text())?;
        Ok(Some(SeenCheckpoint { size, root }))
    }
}
