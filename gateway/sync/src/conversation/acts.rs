//! Transactions beside the chain: a halt the box has decided by itself, a tally. They wait for no block. Once a tally stands, the
//! ledger is asked for the sum, and only then is the tally done with: cut off in between, both are asked for again.

use ledger_block::Hash;
use ledger_block::ingest::{Act, Refusal, Request, SignedTransaction, Summed};
use ledger_block::merkle::leaf_hash;
use ledger_block::receipt::Receipt;
use ledger_block::release::ReleaseId;

use super::Conversation;
use crate::fault::Fault;

/// On their way at once.
const ACTS_AT_ONCE: usize = 8;

impl Conversation<'_> {
    /// Offers those that are not on their way.
    pub(super) async fn offer_acts(&mut self) -> Result<(), Fault> {
        for leaf in self.outbox.acts(ACTS_AT_ONCE).await? {
            if self.acting.len() < ACTS_AT_ONCE && !self.acting.contains_key(&leaf_hash(&leaf)) {
                self.acting.insert(leaf_hash(&leaf), counted(&leaf));
                self.say(Request::Transact { transaction: leaf }).await?;
            }
        }
        Ok(())
    }

    /// A receipt for one of them; false if it is for something else. At R1 it goes on waiting.
    pub(super) async fn act_receipt(&mut self, leaf: &Hash, bytes: &[u8]) -> Result<bool, Fault> {
        let Some(release) = self.acting.get(leaf).copied() else { return Ok(false) };
        if matches!(self.trust.receipt(leaf, bytes)?, Receipt::R2(_)) {
            match release {
                // A ledger that let a tally in knows how to answer.
                Some(release) => {
                    self.summing.insert(*leaf, release);
                    self.say(Request::Sum { release }).await?;
                }
                None => self.act_done(leaf).await?,
            }
        }
        Ok(true)
    }

    async fn act_done(&mut self, leaf: &Hash) -> Result<(), Fault> {
        self.acting.remove(leaf);
        Ok(self.outbox.acted(leaf, Ok(())).await?)
    }

    /// What all gateways have counted of a release.
    pub(super) async fn summed(&mut self, summed: &Summed) -> Result<(), Fault> {
        let asked = self.summing.iter().find(|(_, release)| **release == summed.release);
        let Some(leaf) = asked.map(|(leaf, _)| *leaf) else { return Err(Fault::OutOfPlace("a sum nobody asked for")) };
        self.summing.remove(&leaf);
        self.outbox.summed(summed).await?;
        self.act_done(&leaf).await
    }

    /// A refusal of one of them; false if it is of something else.
    pub(super) async fn act_refused(&mut self, leaf: &Hash, refusal: &Refusal) -> Result<bool, Fault> {
        if self.acting.remove(leaf).is_none() {
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

/// The release a tally counts; none for any other transaction.
fn counted(leaf: &[u8]) -> Option<ReleaseId> {
    match SignedTransaction::parse(leaf).ok()?.transaction().act {
        Act::Tally { release, .. } => Some(release),
        _ => None,
    }
}
