//! Whose key seals what.

use pitchside_model::{AlertId, AthleteId};
use pitchside_seal::{AthleteKey, AthleteKeys, Generation, KeyRing, NoKey, Whose};
use pitchside_store::Store;

/// The ring, and for the clearing of an alert whose it was.
pub(super) struct Keys<'a> {
    pub(super) ring: &'a KeyRing,
    pub(super) store: &'a Store,
}

impl AthleteKeys for Keys<'_> {
    fn sealing(&self, whose: &Whose) -> Result<(Generation, AthleteKey), NoKey> {
        // Readings of an athlete whose key is gone are nobody's: they are kept, under the key of the house.
        self.ring.sealing(whose).or_else(|_| self.ring.sealing(&Whose::House))
    }

    fn opening(&self) -> Vec<(Whose, Generation, AthleteKey)> {
        self.ring.opening()
    }

    fn alert_subject(&self, id: &AlertId) -> Option<AthleteId> {
        self.store.alert(*id).ok().flatten().and_then(|row| row.alert.athlete)
    }
}
