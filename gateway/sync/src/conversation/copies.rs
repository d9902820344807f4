//! Sealed copies of keys on their way: deletable objects beside the log, a few at a time. And the ledger's list of them, for
//! those of erased athletes that are not known here.

use std::time::Duration;

use ledger_block::Hash;
use ledger_block::ingest::{COPIES_MAX, Copy, Refusal, Request};
use tokio::time::Instant;

use super::Conversation;
use crate::copies::ALL_MAX;
use crate::fault::Fault;

/// Copies on their way at once.
const COPIES_AT_ONCE: usize = 8;
/// How long the ledger's list is not asked for after a connection ended over it.
const PUT_OFF: Duration = Duration::from_secs(600);

/// A list that is being read.
#[derive(Debug, Default)]
struct Reading {
    /// What it is wanted for.
    sought: u64,
    names: Vec<Hash>,
    /// Those of them that the ledger cannot read.
    unreadable: Vec<Hash>,
}

/// The ledger's list of copies, page by page. Outlives connections: one that the ledger ends over its list must not be followed by
/// others that end the same way.
#[derive(Debug, Default)]
pub struct Listing {
    open: Option<Reading>,
    /// What it was wanted for last on this connection: once is enough.
    done: Option<u64>,
    /// Not asked for before.
    put_off: Option<Instant>,
}

impl Listing {
    fn may_ask(&self, now: Instant) -> bool {
        self.open.is_none() && self.put_off.is_none_or(|until| now >= until)
    }

    /// The connection is over, with a fault or in good order.
    pub(super) fn connection_ended(&mut self, with_fault: bool, now: Instant) {
        self.done = None;
        if self.open.take().is_some() && with_fault {
            self.put_off = Some(now + PUT_OFF);
            tracing::warn!(
                wait_s = PUT_OFF.as_secs(),
                "the ledger may still hold copies of erased athletes' keys: the connection ended before its list was read"
            );
        }
    }
}

impl Conversation<'_> {
    /// Asks for the ledger's list, if something is sought in it.
    pub(super) async fn seek_copies(&mut self) -> Result<(), Fault> {
        if !self.listing.may_ask(Instant::now()) {
            return Ok(());
        }
        let sought = self.outbox.copies_sought().await?;
        let Some(sought) = sought.filter(|sought| self.listing.done != Some(*sought)) else { return Ok(()) };
        self.listing.open = Some(Reading { sought, ..Reading::default() });
        self.say(Request::Copies { after: None }).await
    }

    /// A page of the list; a short one is the last.
    pub(super) async fn copies_listed(&mut self, page: &[Copy]) -> Result<(), Fault> {
        let Some(mut reading) = self.listing.open.take() else {
            return Err(Fault::OutOfPlace("copies nobody asked for"));
        };
        let (sought, mut before) = (reading.sought, reading.names.last().copied());
        let rising = page.iter().all(|copy| before.replace(copy.name) < Some(copy.name));
        if !rising || reading.names.len() + page.len() > ALL_MAX {
            // Blocks go on without; the next connection asks again.
            tracing::error!(
                "the ledger may still hold copies of erased athletes' keys: its list is out of order, or without end"
            );
            self.listing.done = Some(sought);
            return Ok(());
        }
        reading.names.extend(page.iter().map(|copy| copy.name));
        reading.unreadable.extend(page.iter().filter(|copy| !copy.is_readable()).map(|copy| copy.name));
        if page.len() < COPIES_MAX {
            self.listing.done = Some(sought);
            return Ok(self.outbox.copies_listed(sought, &reading.names, &reading.unreadable).await?);
        }
        let after = reading.names.last().copied();
        self.listing.open = Some(reading);
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

    /// The ledger does not take a copy, or cannot delete it. Blocks go on: it is tried again on the next connection.
    pub(super) fn copy_refused(&mut self, name: Hash, refusal: &Refusal) -> bool {
        if !self.copying.remove(&name) {
            return false;
        }
        tracing::error!(%refusal, "the ledger neither keeps nor deletes a copy of an athlete's key as it is asked to");
        self.refused_copies.insert(name);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Listing {
        Listing { open: Some(Reading { sought: 1, ..Reading::default() }), ..Listing::default() }
    }

    #[test]
    fn a_list_over_which_a_connection_ended_is_not_asked_for_on_the_next_ones_for_a_while() {
        let now = Instant::now();
        let mut listing = asked();
        assert!(!listing.may_ask(now), "it is being read");
        listing.connection_ended(true, now);
        assert!(!listing.may_ask(now + PUT_OFF / 2));
        // Another one fails for its own reasons: that neither shortens nor lengthens it.
        listing.connection_ended(true, now + PUT_OFF / 2);
        assert!(!listing.may_ask(now + PUT_OFF / 2));
        assert!(listing.may_ask(now + PUT_OFF));
    }

    #[test]
    fn a_connection_that_ended_for_other_reasons_puts_no_list_off() {
        let now = Instant::now();
        let mut listing = Listing { done: Some(1), ..Listing::default() };
        listing.connection_ended(true, now);
        assert!(listing.may_ask(now) && listing.done.is_none(), "what was not taken in is asked for again");
        let mut listing = asked();
        listing.connection_ended(false, now);
        assert!(listing.may_ask(now), "a new handshake was due, no more");
    }
}
