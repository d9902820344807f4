//! Sealed copies of keys on their way: deletable objects beside the log, a few at a time. And the ledger's list of them, for
//! those of erased athletes that are not known here.

use ledger_block::Hash;
use ledger_block::ingest::{COPIES_MAX, Copy, Refusal, Request};

use super::Conversation;
use crate::copies::ALL_MAX;
use crate::fault::Fault;

/// Copies on their way at once.
const COPIES_AT_ONCE: usize = 8;

/// The ledger's list of copies, page by page.
#[derive(Default)]
pub(super) struct Listing {
    /// What it is wanted for, and the names so far.
    open: Option<(u64, Vec<Hash>)>,
    /// What it was wanted for last on this connection: once is enough.
    done: Option<u64>,
}

impl Conversation<'_> {
    /// Asks for the ledger's list, if something is sought in it.
    pub(super) async fn seek_copies(&mut self) -> Result<(), Fault> {
        if self.listing.open.is_some() {
            return Ok(());
        }
        let sought = self.outbox.copies_sought().await?;
        let Some(sought) = sought.filter(|sought| self.listing.done != Some(*sought)) else { return Ok(()) };
        self.listing.open = Some((sought, Vec::new()));
        self.say(Request::Copies { after: None }).await
    }

    /// A page of the list; a short one is the last.
    pub(super) async fn copies_listed(&mut self, page: &[Copy]) -> Result<(), Fault> {
        let Some((sought, mut names)) = self.listing.open.take() else {
            return Err(Fault::OutOfPlace("copies nobody asked for"));
        };
        let mut before = names.last().copied();
        let rising = page.iter().all(|copy| before.replace(copy.name) < Some(copy.name));
        if !rising || names.len() + page.len() > ALL_MAX {
            return Err(Fault::OutOfPlace("copies out of order, or without end"));
        }
        names.extend(page.iter().map(|copy| copy.name));
        if page.len() < COPIES_MAX {
            self.listing.done = Some(sought);
            return Ok(self.outbox.copies_listed(sought, &names).await?);
        }
        let after = names.last().copied();
        self.listing.open = Some((sought, names));
        self.say(Request::Copies { after }).await
    }

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
