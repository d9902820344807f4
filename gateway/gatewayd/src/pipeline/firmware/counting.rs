//! What this box counted of each release, told to the ledger, which adds up what all boxes counted; and a halt, if that is too much.
//! Counts alone leave the box: no device, nobody's name. A halt that this box asks for goes behind its own count: the publisher hears
//! what it stands on.
//!
//! A clinic has few devices of a kind: a release that breaks one in twenty passes no threshold in any of them (decision 19).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ledger_block::ingest::{Act, Transaction};
use ledger_block::merkle::leaf_hash;
use ledger_block::release::{ReleaseId, Tally};
use pitchside_model::Timestamp;
use pitchside_store::{Counted, NewTally, Store, Tables, Told};
use tokio_util::sync::CancellationToken;

use super::{Halter, Shelf};
use crate::clock::Clock;

/// How often the box looks whether there is something to tell.
const LOOK: Duration = Duration::from_secs(10);
/// A release is told of this often at most; the ledger takes a thousand tallies of it.
const EVERY_US: i64 = 3_600_000_000;
/// What the ledger refused is told again so much later: it may have been upgraded since.
const REFUSED_US: i64 = 24 * EVERY_US;

/// What counting needs.
pub struct Counting {
    /// Releases, as far as they are proven.
    pub shelf: Arc<Shelf>,
    /// How updates ended.
    pub store: Store,
    /// The gateway's clock.
    pub clock: Clock,
    /// The way to the ledger.
    pub halter: Arc<Halter>,
}

impl Counting {
    /// Counts until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let counting = Arc::new(self);
        loop {
            let looking = Arc::clone(&counting);
            match tokio::task::spawn_blocking(move || looking.look()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(error = format!("{error:#}"), "counting how updates ended"),
                Err(error) => tracing::error!(%error, "counting how updates ended was interrupted"),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Tells what is new, and asks for a halt of what fails too often over all boxes. Blocks.
    pub(super) fn look(&self) -> anyhow::Result<()> {
        let (store, now, known) = (&self.store, self.clock.now(), self.shelf.known());
        let is_open =
            |release: &[u8; 32]| known.release(&ReleaseId(*release)).is_some_and(|release| release.halted.is_none());
        let told: HashMap<_, _> = store.tallies()?.into_iter().map(|told| (told.counted.release, told)).collect();
        for counted in store.counted_outcomes()?.into_iter().filter(|counted| is_open(&counted.release)) {
            if is_due(&counted, told.get(&counted.release), now) {
                self.halter.tell(store, counted, now)?;
            }
        }
        let too_bad = |told: &&Told| {
            let all = told.all.map(|(confirmed, failed)| Tally { confirmed, failed });
            is_open(&told.counted.release) && all.is_some_and(|all| all.is_too_bad_together())
        };
        let asked = store.acts_about()?;
        for told in told.values().filter(too_bad).filter(|told| !asked.contains(&told.counted.release)) {
            let (release, (confirmed, failed)) = (ReleaseId(told.counted.release), told.all.unwrap_or_default());
            tracing::error!(%release, confirmed, failed, "too many updates failed over all boxes: the ledger is asked to halt the release");
            self.halter.ask(store, &release, now)?;
        }
        Ok(())
    }
}

/// Whether the ledger is to hear of it now.
fn is_due(counted: &Counted, told: Option<&Told>, now: Timestamp) -> bool {
    let Some(told) = told else { return true };
    // A clock that was set back since does not silence the box.
    let passed = |us: i64| now.micros_since(told.at).abs() >= us;
    if told.refused {
        return passed(REFUSED_US);
    }
    is_news(counted, told) && passed(EVERY_US)
}

/// Whether more was counted than was told. Old outcomes are cleared away here in time; told once, they stay counted.
fn is_news(counted: &Counted, told: &Told) -> bool {
    let tried = |counted: &Counted| counted.confirmed.saturating_add(counted.failed);
    *counted != told.counted && tried(counted) >= tried(&told.counted)
}

impl Halter {
    /// Tells the ledger how updates to a release ended here: kept until it has heard, or a newer count takes its place.
    fn tell(&self, tables: &Tables, counted: Counted, now: Timestamp) -> anyhow::Result<()> {
        tables.put_tally(self.tally(counted, now)?)?;
        self.wake.notify_one();
        Ok(())
    }

    fn tally(&self, counted: Counted, now: Timestamp) -> anyhow::Result<NewTally> {
        let Counted { release, confirmed, failed } = counted;
        let act = Act::Tally { release: ReleaseId(release), tally: Tally { confirmed, failed } };
        let leaf = Transaction { signer: self.name.clone(), time: now, act }.sign(&self.origin, &self.key)?;
        Ok(NewTally { counted, hash: leaf_hash(&leaf), leaf, at: now })
    }

    /// What was counted of a release and not told yet, however short ago it was told: after a halt the ledger takes no more.
    pub(super) fn untold(
        &self,
        tables: &Tables,
        release: &ReleaseId,
        now: Timestamp,
    ) -> anyhow::Result<Option<NewTally>> {
        let (confirmed, failed) = tables.firmware_tally(&release.0)?;
        let counted = Counted { release: release.0, confirmed, failed };
        let told = tables.tallies()?.into_iter().find(|told| told.counted.release == release.0);
        let news = told.map_or(confirmed + failed > 0, |told| is_news(&counted, &told));
        news.then(|| self.tally(counted, now)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_hears_of_each_change_once_an_hour_at_most() {
        let counted = |confirmed, failed| Counted { release: [7; 32], confirmed, failed };
        let (at, hour) = (Timestamp(1_000 * EVERY_US), EVERY_US);
        let told = Told { counted: counted(3, 1), at, refused: false, all: None };
        let due = |counted, after: i64| is_due(&counted, Some(&told), at.plus_micros(after));
        assert!(is_due(&counted(1, 0), None, at));
        assert!(!due(counted(3, 1), 90 * hour), "nothing new");
        assert!(!due(counted(3, 2), hour - 1) && due(counted(3, 2), hour));
        assert!(due(counted(4, 0), hour), "what failed came right");
        assert!(!due(counted(2, 1), 90 * hour), "what was cleared away here stays counted there");
        assert!(due(counted(3, 2), -2 * hour), "the clock was set back");
        let refused = Told { refused: true, ..told };
        let again = |after: i64| is_due(&counted(3, 1), Some(&refused), at.plus_micros(after));
        assert!(!again(23 * hour) && again(24 * hour), "its ledger may have been upgraded");
    }
}
