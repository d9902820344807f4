//! Sealed copies of keys on their way: deletable objects beside the log, a few at a time.

use ledger_block::Hash;
use ledger_block::ingest::{Refusal, Request};

use super::Conversation;
use crate::fault::Fault;

/// Copies on their way at once.
const COPIES_AT_ONCE: usize = 8;

impl Conversation<'_> {
    /// Offers copies that are to be kept or deleted.
    pub(super) async fn offer_copies(&mut self) -> Result<(), Fault> {
        if self.copying.len() >= COPIES_AT_ONCE {
            return Ok(());
        }
        // What was refused on this connection is asked for again on the next one.
        let asked = self.copying.len() + self.refused_copies.len();
        for task in self.outbox.copies(COPIES_AT_ONCE + asked).await? {
            if self.copying.len() >= COPIES_AT_ONCE {
                break;
            }
            if self.refused_copies.contains(&task.name) || !self.copying.insert(task.name) {
                continue;
            }
            self.say(match task.body {
                Some(body) => Request::Keep { name: task.name, body },
                None => Request::Drop { name: task.name },
            })
            .await?;
        }
        Ok(())
    }

    /// The ledger holds a copy, or no longer does.
    pub(super) async fn kept(&mut self, name: &Hash, held: bool) -> Result<(), Fault> {
        if !self.copying.remove(name) {
            return Err(Fault::OutOfPlace("an answer about a copy nobody handed in"));
        }
        Ok(self.outbox.copied(name, held).await?)
    }

    /// The ledger does not take a copy. Blocks go on: the copy is tried again on the next connection.
    pub(super) fn copy_refused(&mut self, name: Hash, refusal: &Refusal) -> bool {
        if !self.copying.remove(&name) {
            return false;
        }
        tracing::error!(%refusal, "the ledger does not keep a copy of an athlete's key: a lost box would lose that key");
        self.refused_copies.insert(name);
        true
    }
}
