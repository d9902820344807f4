//! Athletes who are erased while the gateway runs: what it still knows of them besides the database it lets go of.

use std::collections::BTreeSet;
use std::time::Duration;

use pitchside_model::{AthleteId, Timestamp};
use pitchside_rules::snapshot::without;
use pitchside_rules::{RulesError, RulesWorker};
use pitchside_store::{Store, StoreError, Tables};

use super::{rules, shadow};
use crate::blocking;

/// How long ago an erasure may be that a gateway which starts takes for news: it may have been stopped while it heard of it.
const NEWS_US: i64 = 24 * 3_600_000_000;

/// By when what was under way under the name of an erased athlete has arrived.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// Who was erased, until what is known of them has been let go of.
#[derive(Debug)]
pub struct Erased {
    since: Timestamp,
    seen: Option<u64>,
    waiting: BTreeSet<AthleteId>,
    /// Let go of once, and when once more: what was under way when they were erased has arrived by then.
    again: Vec<(Duration, AthleteId)>,
    done: BTreeSet<AthleteId>,
}

impl Erased {
    /// For whoever starts at that time.
    pub const fn from(start: Timestamp) -> Self {
        let since = start.plus_micros(-NEWS_US);
        Self { since, seen: None, waiting: BTreeSet::new(), again: Vec::new(), done: BTreeSet::new() }
    }

    /// Who was erased and is to be let go of now, by the gateway's uptime.
    pub fn look(&mut self, store: &Store, uptime: Duration) -> Result<Vec<AthleteId>, StoreError> {
        let now = store.changes()?.athletes;
        if self.seen != Some(now) {
            let erased = store.athletes()?.into_iter();
            let erased = erased.filter(|athlete| athlete.erased_at.is_some_and(|at| at >= self.since));
            self.waiting.extend(erased.map(|athlete| athlete.id).filter(|id| !self.done.contains(id)));
            self.seen = Some(now);
        }
        self.waiting.extend(self.again.extract_if(.., |(due, _)| *due <= uptime).map(|(_, athlete)| athlete));
        Ok(self.waiting.iter().cloned().collect())
    }

    /// The same; of what cannot be read it is said, and it is read again.
    pub fn due(&mut self, store: &Store, uptime: Duration) -> Vec<AthleteId> {
        blocking::here(|| self.look(store, uptime)).unwrap_or_else(|error| {
            tracing::warn!(%error, "who was erased could not be read");
            Vec::new()
        })
    }

    /// Has the rules of a worker forget them; whether those knew anything of them. What fails is due again.
    pub async fn forget_in(&mut self, worker: &mut RulesWorker, erased: &[AthleteId], uptime: Duration) -> bool {
        match forget(worker, erased).await {
            Ok(knew) => {
                self.let_go(uptime);
                knew
            }
            Err(error) => {
                tracing::error!(%error, "rules did not forget who was erased; it is tried again");
                false
            }
        }
    }

    /// Whether an athlete is one of them.
    pub fn is_one(&self, athlete: &AthleteId) -> bool {
        self.waiting.contains(athlete) || self.done.contains(athlete)
    }

    /// All of them are let go of.
    pub fn let_go(&mut self, uptime: Duration) {
        for athlete in std::mem::take(&mut self.waiting) {
            if self.done.insert(athlete.clone()) {
                self.again.push((uptime + SETTLED_AFTER, athlete));
            }
        }
    }
}

async fn forget(worker: &mut RulesWorker, erased: &[AthleteId]) -> Result<bool, RulesError> {
    let snapshot = worker.snapshot().await?;
    let Some(left) = stripped(&snapshot, erased) else { return Ok(false) };
    worker.resume(&left).await?;
    Ok(true)
}

/// A snapshot of what rules know without those athletes; none if it knows nothing of any.
fn stripped(snapshot: &[u8], erased: &[AthleteId]) -> Option<Vec<u8>> {
    erased.iter().fold(None, |left: Option<Vec<u8>>, athlete| {
        let without = without(left.as_deref().unwrap_or(snapshot), athlete);
        without.or(left)
    })
}

/// Takes an athlete out of what the rules, and those in the shadow, knew when that was last kept. A gateway that runs does the same with
/// what they know now.
pub fn forget_kept(tables: &Tables, athlete: &AthleteId) -> Result<(), StoreError> {
    for name in [rules::SNAPSHOT, shadow::SNAPSHOT] {
        let Some(kept) = tables.secret(name)? else { continue };
        // Before it stands up to where the journal was heard.
        let Some((heard, snapshot)) = kept.split_first_chunk::<8>() else { continue };
        if let Some(left) = stripped(snapshot, std::slice::from_ref(athlete)) {
            tables.set_secret(name, &[heard.as_slice(), &left].concat())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pitchside_store::{AthleteKey, RootKey};

    use super::*;

    #[test]
    fn who_was_erased_is_news_until_let_go_of_and_of_long_ago_it_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let [ann, bea, cyd] = ["ann", "bea", "cyd"].map(|name| AthleteId::parse(name).unwrap());
        for athlete in [&ann, &bea, &cyd] {
            let key = AthleteKey { athlete: athlete.clone(), generation: 0, wrapped: vec![1] };
            store.add_athlete(key, Timestamp(0)).unwrap();
        }
        let start = Timestamp(NEWS_US + 10);
        store.erase_athlete(&ann, Timestamp(9)).unwrap();
        store.erase_athlete(&bea, Timestamp(10)).unwrap();
        let mut erased = Erased::from(start);
        let at = Duration::from_secs;
        assert_eq!(erased.look(&store, at(5)).unwrap(), std::slice::from_ref(&bea));
        assert_eq!(erased.look(&store, at(6)).unwrap(), std::slice::from_ref(&bea), "what failed is tried again");
        erased.let_go(at(7));
        assert_eq!(erased.look(&store, at(16)).unwrap(), []);
        assert_eq!(erased.look(&store, at(17)).unwrap(), std::slice::from_ref(&bea), "what was under way has arrived");
        erased.let_go(at(17));
        assert_eq!(erased.look(&store, at(99)).unwrap(), [], "twice, and not for ever");
        store.erase_athlete(&cyd, start).unwrap();
        assert_eq!(erased.look(&store, at(99)).unwrap(), std::slice::from_ref(&cyd));
        assert!(erased.is_one(&bea) && erased.is_one(&cyd) && !erased.is_one(&ann));
    }
}
