//! Transactions beside the chain: a halt the box has decided by itself. They wait for no block.

use ledger_block::Hash;
use ledger_block::ingest::{Refusal, Request};
use ledger_block::merkle::leaf_hash;
use ledger_block::receipt::Receipt;

use super::Conversation;
use crate::fault::Fault;

/// On their way at once.
const ACTS_AT_ONCE: usize = 8;

impl Conversation<'_> {
    /// Offers those that are not on their way.
    pub(super) async fn offer_acts(&mut self) -> Result<(), Fault> {
        for leaf in self.outbox.acts(ACTS_AT_ONCE).await? {
            if self.acting.len() < ACTS_AT_ONCE && self.acting.insert(leaf_hash(&leaf)) {
                self.say(Request::Transact { transaction: leaf }).await?;
            }
        }
        Ok(())
    }

    /// A receipt for one of them; false if it is for something else. At R1 it goes on waiting.
    pub(super) async fn act_receipt(&mut self, leaf: &Hash, bytes: &[u8]) -> Result<bool, Fault> {
        if !self.acting.contains(leaf) {
            return Ok(false);
        }
        if matches!(self.trust.receipt(leaf, bytes)?, Receipt::R2(_)) {
            self.acting.remove(leaf);
            self.outbox.acted(leaf, Ok(())).await?;
        }
        Ok(true)
    }

    /// A refusal of one of them; false if it is of something else.
    pub(super) async fn act_refused(&mut self, leaf: &Hash, refusal: &Refusal) -> Result<bool, Fault> {
        if !self.acting.remove(leaf) {
            return Ok(false);
        }
        if !refusal.code.is_lasting() {
            return Err(Fault::Refused(refusal.clone()));
        }
        tracing::warn!(code = ?refusal.code, %refusal, "the ledger refuses a transaction for good");
        self.outbox.acted(leaf, Err(refusal)).await?;
        Ok(true)
    }
}
