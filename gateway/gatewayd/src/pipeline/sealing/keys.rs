//! Whose key seals what.

use pitchside_model::{AlertId, AthleteId};
use pitchside_seal::{AthleteKey, AthleteKeys, Generation, KeyRing, NoKey, Whose};
use pitchside_store::{JournalRow, Store, StoreError};

/// The ring, and for the clearing of an alert whose it was.
pub(super) struct Keys<'a> {
    pub(super) ring: &'a KeyRing,
    pub(super) store: &'a Store,
}

/// What came under the name of an athlete before it was heard that they were erased says no more than that there was a message: under the
/// key of the house it would outlive their own.
pub(super) fn forget_erased(rows: &mut [JournalRow], ring: &KeyRing, store: &Store) -> Result<(), StoreError> {
    for entry in rows.iter_mut().flat_map(|row| &mut row.entries) {
        let Some(athlete) = &entry.athlete else { continue };
        if ring.sealing(&Whose::Athlete(athlete.clone())).is_ok() {
            continue;
        }
        if store.athlete(athlete)?.is_some_and(|known| known.erased_at.is_some()) {
            entry.athlete = None;
            entry.readings.clear();
        }
    }
    Ok(())
}

impl AthleteKeys for Keys<'_> {
    fn sealing(&self, whose: &Whose) -> Result<(Generation, AthleteKey), NoKey> {
        // An athlete who is known and was not erased has a key; were it gone, their readings are kept, under the key of the house.
        self.ring.sealing(whose).or_else(|_| self.ring.sealing(&Whose::House))
    }

    fn opening(&self) -> Vec<(Whose, Generation, AthleteKey)> {
        self.ring.opening()
    }

    fn alert_subject(&self, id: &AlertId) -> Option<AthleteId> {
        self.store.alert(*id).ok().flatten().and_then(|row| row.alert.athlete)
    }
}
