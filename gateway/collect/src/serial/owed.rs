//! What a port owes the stream of its device: lines that were handed over and could not be stored. Such a device sends none of them
//! again, so they are told with the next that can be, whichever link that comes over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::intake::{Settled, Ticket};
use crate::link::{Out, Outbound, Outlet, QUEUE_ITEMS_MAX};

/// The count of one port, over all its links.
#[derive(Debug, Default)]
pub(super) struct Owed {
    not_stored: AtomicU64,
    /// Of the link there is now: handed over, and nobody has said yet what became of it.
    unsettled: AtomicU64,
}

impl Owed {
    /// So many were handed over.
    pub(super) fn handed_over(&self, count: usize) {
        self.unsettled.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// What became of some of them. A ticket says how many lines are lost if it is not stored.
    pub(super) fn settle(&self, settled: &[(Ticket, Settled)]) {
        let lost = settled.iter().filter(|(_, settled)| *settled == Settled::Unavailable);
        self.not_stored.fetch_add(lost.map(|(ticket, _)| ticket.0).sum(), Ordering::Relaxed);
        let count = settled.len() as u64;
        // An answer given twice must not make the count wrap.
        let less = |now: u64| Some(now.saturating_sub(count));
        let _ = self.unsettled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Lines that could not be stored and are not told yet.
    pub(super) fn not_stored(&self) -> u64 {
        self.not_stored.load(Ordering::Relaxed)
    }

    /// The same, to be told now.
    pub(super) fn tell(&self) -> u64 {
        self.not_stored.swap(0, Ordering::Relaxed)
    }

    /// After the end of a link: hears what becomes of all that it handed over. How many nobody spoke of in time.
    pub(super) async fn drain(&self, outlet: &mut Outlet, within: Duration) -> u64 {
        let mut said = Vec::new();
        let heard = timeout(within, async {
            while self.unsettled.load(Ordering::Relaxed) > 0 {
                // Not `next`: that ends with the link.
                outlet.take_many(&mut said, QUEUE_ITEMS_MAX).await;
                for out in said.drain(..) {
                    if let Out::Link(Outbound::Settled(settled)) = out {
                        self.settle(&settled);
                    }
                }
            }
        });
        let _ = heard.await;
        self.unsettled.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Link;
    use pitchside_model::Medium;

    #[tokio::test]
    async fn after_a_links_end_its_settlements_are_heard_until_there_is_none_to_come() {
        let (owed, (link, mut outlet)) = (Owed::default(), Link::open(Medium::Serial, "test", None));
        owed.handed_over(3);
        link.over();
        let settled = |tickets: &[(u64, Settled)]| {
            let all = tickets.iter().map(|(ticket, settled)| (Ticket(*ticket), settled.clone()));
            link.send(Outbound::Settled(all.collect())).unwrap();
        };
        let later = async {
            settled(&[(1, Settled::Stored)]);
            tokio::task::yield_now().await;
            settled(&[(1, Settled::Unavailable), (4, Settled::Unavailable)]);
        };
        let (unknown, ()) = tokio::join!(owed.drain(&mut outlet, Duration::from_secs(20)), later);
        assert_eq!((unknown, owed.not_stored()), (0, 5));
        assert_eq!((owed.tell(), owed.not_stored()), (5, 0), "told once");
    }

    #[tokio::test]
    async fn what_nobody_speaks_of_is_not_waited_for_for_ever_and_is_no_debt_of_the_next_link() {
        let (owed, (link, mut outlet)) = (Owed::default(), Link::open(Medium::Serial, "test", None));
        owed.handed_over(2);
        link.send(Outbound::Settled(vec![(Ticket(1), Settled::Stored)])).unwrap();
        link.over();
        assert_eq!(owed.drain(&mut outlet, Duration::ZERO).await, 1);
        assert_eq!(owed.drain(&mut outlet, Duration::from_secs(20)).await, 0);
    }
}
