//! Athletes who are erased while the gateway runs: what it still knows of them besides the database it lets go of.

use std::collections::BTreeSet;
use std::time::Duration;

use pitchside_model::AthleteId;
use pitchside_rules::snapshot::{rules_of, without};
use pitchside_rules::{RulesError, RulesWorker};
use pitchside_store::{Store, StoreError, Tables};

use super::{rules, shadow};
use crate::blocking;

/// So many at a time: letting go of one may go through the whole journal, and a box may hear of many at once.
const AT_ONCE: usize = 4;

/// By when what was under way under the name of an erased athlete has arrived.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// Who was erased, until what is known of them has been let go of. When they were, by the clock, is not asked: clocks are set back. Who was
/// let go of is kept over the end of the gateway, which may have been stopped while it heard of it.
#[derive(Debug)]
pub struct Erased {
    /// Whose knowledge it is.
    part: &'static str,
    seen: Option<u64>,
    waiting: BTreeSet<AthleteId>,
    /// Let go of once, and when once more: what was under way when they were erased has arrived by then.
    again: Vec<(Duration, AthleteId)>,
    once: BTreeSet<AthleteId>,
    /// Let go of twice, in this run or an earlier one; none before that was read.
    settled: Option<BTreeSet<AthleteId>>,
}

impl Erased {
    /// For one part of the gateway: each lets go of what it knows by itself.
    pub const fn of(part: &'static str) -> Self {
        Self { part, seen: None, waiting: BTreeSet::new(), again: Vec::new(), once: BTreeSet::new(), settled: None }
    }

    /// Under which name the store keeps who was let go of: pseudonyms, one a line.
    fn kept_as(&self) -> String {
        format!("erased/{}", self.part)
    }

    /// Who was erased and is to be let go of now, by the gateway's uptime; the first of them, if they are many.
    pub fn look(&mut self, store: &Store, uptime: Duration) -> Result<Vec<AthleteId>, StoreError> {
        if self.settled.is_none() {
            let kept = store.meta(&self.kept_as())?.unwrap_or_default();
            let kept = String::from_utf8_lossy(&kept);
            self.settled = Some(kept.lines().filter_map(|id| AthleteId::parse(id).ok()).collect());
        }
        let settled = self.settled.get_or_insert_default();
        let now = store.changes()?.athletes;
        if self.seen != Some(now) {
            let erased = store.athletes()?.into_iter().filter(|athlete| athlete.erased_at.is_some());
            let news = erased.map(|athlete| athlete.id).filter(|id| !settled.contains(id) && !self.once.contains(id));
            self.waiting.extend(news);
            self.seen = Some(now);
        }
        self.waiting.extend(self.again.extract_if(.., |(due, _)| *due <= uptime).map(|(_, athlete)| athlete));
        Ok(self.waiting.iter().take(AT_ONCE).cloned().collect())
    }

    /// The same; of what cannot be read it is said, and it is read again.
    pub fn due(&mut self, store: &Store, uptime: Duration) -> Vec<AthleteId> {
        blocking::here(|| self.look(store, uptime)).unwrap_or_else(|error| {
            tracing::warn!(%error, "who was erased could not be read");
            Vec::new()
        })
    }

    /// Whether an athlete is one of them.
    pub fn is_one(&self, athlete: &AthleteId) -> bool {
        let settled = self.settled.as_ref().is_some_and(|settled| settled.contains(athlete));
        settled || self.waiting.contains(athlete) || self.once.contains(athlete)
    }

    /// These are let go of; that is said if it cannot be kept.
    pub fn settle(&mut self, store: &Store, athletes: &[AthleteId], uptime: Duration) {
        if let Err(error) = blocking::here(|| self.let_go(store, athletes, uptime)) {
            let part = self.part;
            tracing::warn!(%error, part, "that who was erased is forgotten could not be kept; the next start does it again");
        }
    }

    /// These are let go of.
    pub fn let_go(&mut self, store: &Store, athletes: &[AthleteId], uptime: Duration) -> Result<(), StoreError> {
        let name = self.kept_as();
        let settled = self.settled.get_or_insert_default();
        let before = settled.len();
        for athlete in athletes {
            self.waiting.remove(athlete);
            if self.once.insert(athlete.clone()) {
                self.again.push((uptime + SETTLED_AFTER, athlete.clone()));
            } else {
                settled.insert(athlete.clone());
            }
        }
        if settled.len() == before {
            return Ok(());
        }
        let lines: Vec<&str> = settled.iter().map(AthleteId::as_str).collect();
        store.set_meta(&name, lines.join("\n").as_bytes())
    }
}

/// Has the rules of a worker forget those who were erased; whether they did. What fails is due again.
pub async fn forget(worker: &mut RulesWorker, erased: &[AthleteId]) -> bool {
    let forgotten = forget_or_fail(worker, erased).await;
    forgotten
        .inspect_err(|error| tracing::error!(%error, "rules did not forget who was erased; it is tried again"))
        .is_ok()
}

async fn forget_or_fail(worker: &mut RulesWorker, erased: &[AthleteId]) -> Result<(), RulesError> {
    let snapshot = worker.snapshot().await?;
    match stripped(&snapshot, erased) {
        Some(left) => worker.resume(&left).await,
        None => Ok(()),
    }
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
    let strip = |snapshot: &[u8]| match rules_of(snapshot) {
        // Of another layout: nobody takes it up any more, and it cannot be looked through.
        None if !snapshot.is_empty() => Some(Vec::new()),
        _ => stripped(snapshot, std::slice::from_ref(athlete)),
    };
    // Before it stands up to where the journal was heard.
    if let Some(kept) = tables.secret(rules::SNAPSHOT)?
        && let Some((heard, snapshot)) = kept.split_first_chunk::<8>()
        && let Some(left) = strip(snapshot)
    {
        tables.set_secret(rules::SNAPSHOT, &[heard.as_slice(), &left].concat())?;
    }
    if let Some(kept) = tables.secret(shadow::SNAPSHOT)?
        && let Some(left) = shadow::stripped(&kept, strip)
    {
        tables.set_secret(shadow::SNAPSHOT, &left)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pitchside_model::Timestamp;
    use pitchside_store::{AthleteKey, RootKey};

    use super::*;

    fn clinic(dir: &tempfile::TempDir, names: &[&str]) -> (Store, Vec<AthleteId>) {
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let athletes: Vec<AthleteId> = names.iter().map(|name| AthleteId::parse(name).unwrap()).collect();
        for athlete in &athletes {
            let key = AthleteKey { athlete: athlete.clone(), generation: 0, wrapped: vec![1] };
            store.add_athlete(key, Timestamp(0)).unwrap();
        }
        (store, athletes)
    }

    #[test]
    fn who_was_erased_is_news_until_let_go_of_twice_whatever_the_clock_said_and_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (store, athletes) = clinic(&dir, &["ann", "bea", "cyd"]);
        let [ann, bea, cyd] = athletes.as_slice() else { panic!("three") };
        let at = Duration::from_secs;
        store.erase_athlete(ann, Timestamp::from_seconds(1_800_000_000)).unwrap();
        let mut erased = Erased::of("rules");
        let look = |erased: &mut Erased, seconds| erased.look(&store, at(seconds)).unwrap();
        assert_eq!(look(&mut erased, 5), std::slice::from_ref(ann));
        assert_eq!(look(&mut erased, 6), std::slice::from_ref(ann), "what failed is tried again");
        erased.let_go(&store, std::slice::from_ref(ann), at(7)).unwrap();
        assert_eq!(look(&mut erased, 16), []);
        assert_eq!(look(&mut erased, 17), std::slice::from_ref(ann), "what was under way has arrived");
        erased.let_go(&store, std::slice::from_ref(ann), at(17)).unwrap();
        assert_eq!(look(&mut erased, 99), [], "twice, and not for ever");
        // By a clock that was years ahead before.
        store.erase_athlete(bea, Timestamp::from_seconds(1_000_000_000)).unwrap();
        assert_eq!(look(&mut erased, 99), std::slice::from_ref(bea));
        erased.let_go(&store, std::slice::from_ref(bea), at(99)).unwrap();
        assert!(erased.is_one(ann) && erased.is_one(bea) && !erased.is_one(cyd));
        // Stopped here, the next run has what was let go of once alone before it.
        let mut next = Erased::of("rules");
        assert_eq!(look(&mut next, 0), std::slice::from_ref(bea));
        assert!(next.is_one(ann) && !next.is_one(cyd));
        assert_eq!(look(&mut Erased::of("shadow"), 0), [ann.clone(), bea.clone()], "each for itself");
    }

    #[test]
    fn of_many_a_few_are_let_go_of_at_a_time_and_none_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (store, athletes) = clinic(&dir, &["a1", "a2", "a3", "a4", "a5", "a6"]);
        athletes.iter().for_each(|athlete| store.erase_athlete(athlete, Timestamp(0)).unwrap());
        let mut erased = Erased::of("watch");
        let first = erased.look(&store, Duration::ZERO).unwrap();
        assert_eq!(first, athletes[..AT_ONCE]);
        erased.let_go(&store, &first, Duration::ZERO).unwrap();
        assert_eq!(erased.look(&store, Duration::ZERO).unwrap(), athletes[AT_ONCE..]);
    }
}
