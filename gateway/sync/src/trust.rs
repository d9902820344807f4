//! What the ledger shows, checked: each checkpoint is signed by the pinned key and continues the last one seen, and each
//! receipt rests on such a checkpoint.

use ledger_block::Hash;
use ledger_block::checkpoint::Checkpoint;
use ledger_block::ingest::Proven;
use ledger_block::merkle::{verify_consistency, verify_inclusion};
use ledger_block::policy::Policy;
use ledger_block::receipt::Receipt;

use crate::fault::Fault;

/// The last checkpoint verified, and by what rule.
#[derive(Debug, Clone)]
pub struct Trust {
    policy: Policy,
    seen: Option<Checkpoint>,
}

impl Trust {
    /// Begins with the checkpoint kept from before. One that the policy no longer accepts is a fault: the pinned key was
    /// changed, and a person must decide that.
    ///
    /// # Errors
    /// The kept checkpoint is not accepted.
    pub fn new(policy: Policy, kept: Option<&[u8]>) -> Result<Self, Fault> {
        let seen = kept.map(|note| policy.verify_checkpoint(note)).transpose()?.map(|trusted| trusted.checkpoint);
        Ok(Self { policy, seen })
    }

    /// Leaves in the last checkpoint verified; 0 for none.
    pub fn size(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.size)
    }

    /// Takes a checkpoint; true if it is newer than the last.
    ///
    /// # Errors
    /// Not signed as the policy asks, older than the last, or not its continuation.
    pub fn advance(&mut self, proven: &Proven) -> Result<bool, Fault> {
        let shown = self.policy.verify_checkpoint(&proven.note)?.checkpoint;
        let Some(seen) = &self.seen else {
            self.seen = Some(shown);
            return Ok(true);
        };
        let forked = Fault::Forked { shown: shown.size, seen: seen.size };
        if shown.origin != seen.origin {
            return Err(forked);
        }
        if shown.size < seen.size {
            return Err(Fault::RolledBack { shown: shown.size, seen: seen.size });
        }
        let newer = shown.size > seen.size;
        if newer && proven.from != seen.size {
            return Err(Fault::OutOfPlace("a checkpoint without a proof from the last one"));
        }
        let proof: &[Hash] = if newer { &proven.proof } else { &[] };
        verify_consistency(seen.size, shown.size, &seen.root, &shown.root, proof).map_err(|_| forked)?;
        self.seen = Some(shown);
        Ok(newer)
    }

    /// Reads a receipt for a leaf; R2 must rest on the last checkpoint taken.
    ///
    /// # Errors
    /// Not a receipt, for another leaf, on another checkpoint, or its proof does not hold.
    pub fn receipt(&self, leaf: &Hash, bytes: &[u8]) -> Result<Receipt, Fault> {
        let bad = |why: &dyn std::fmt::Display| Fault::BadReceipt(why.to_string());
        let receipt = Receipt::parse(bytes)?;
        if receipt.sequenced().leaf != *leaf {
            return Err(bad(&"it is for another leaf"));
        }
        let included = match &receipt {
            Receipt::R1(_) => return Ok(receipt),
            Receipt::R2(included) => included,
            Receipt::R3(_) => return Err(Fault::OutOfPlace("a receipt R3")),
        };
        let under = self.policy.verify_checkpoint(&included.checkpoint)?.checkpoint;
        if self.seen.as_ref().is_none_or(|seen| (seen.size, seen.root) != (under.size, under.root)) {
            return Err(bad(&"it rests on a checkpoint that was not shown first"));
        }
        let index = included.sequenced.leaf_index;
        verify_inclusion(leaf, index, under.size, &included.path, &under.root).map_err(|error| bad(&error))?;
        Ok(receipt)
    }
}

#[cfg(test)]
mod tests;
