//! What the ledger says about firmware: asked for on every connection and again now and then, so that a halt is heard within
//! a minute or so. Whoever keeps it checks it; sync only carries it.

use ledger_block::ingest::{Releases, Request};
use tokio::time::Instant;

use super::Conversation;
use crate::fault::Fault;

/// When to ask again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    /// A question is on its way.
    pub open: bool,
    /// When the next is due.
    pub due: Instant,
}

impl Conversation<'_> {
    /// Asks, if somebody wants to know.
    pub(super) async fn ask_for_releases(&mut self) -> Result<(), Fault> {
        self.asking.due = Instant::now() + self.config.releases_every;
        if let Some((since, seen)) = self.outbox.releases_wanted().await? {
            self.asking.open = true;
            self.say(Request::Releases { since, seen }).await?;
        }
        Ok(())
    }

    /// Hands the answer on, and asks on if there is more.
    pub(super) async fn told_of_releases(&mut self, told: &Releases) -> Result<(), Fault> {
        if !std::mem::take(&mut self.asking.open) {
            return Err(Fault::OutOfPlace("releases nobody asked for"));
        }
        if self.outbox.releases(told).await? { self.ask_for_releases().await } else { Ok(()) }
    }
}
