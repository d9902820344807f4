//! Whose key seals what.

use pitchside_model::{Alert, AlertEvent, AlertId, AthleteId};
use pitchside_seal::{AthleteKey, AthleteKeys, Generation, KeyRing, NoKey, Whose};
use pitchside_store::{AlertStep, JournalRow, Store, StoreError};

use super::ALERT_STEPS_MAX;

/// The ring, and for the clearing of an alert whose it was.
pub(super) struct Keys<'a> {
    pub(super) ring: &'a KeyRing,
    pub(super) store: &'a Store,
}

/// What came under the name of an athlete before it was heard that they were erased says no more than that there was a message, and their
/// alerts say nothing: under the key of the house it would outlive their own.
pub(super) fn forget_erased(
    rows: &mut [JournalRow],
    steps: &mut Vec<AlertStep>,
    ring: &KeyRing,
    store: &Store,
) -> Result<(), StoreError> {
    for entry in rows.iter_mut().flat_map(|row| &mut row.entries) {
        if let Some(athlete) = &entry.athlete
            && is_gone(athlete, ring, store)?
        {
            entry.athlete = None;
            entry.readings.clear();
        }
    }
    let mut left = Vec::with_capacity(steps.len());
    let mut there: Option<Vec<AlertStep>> = None;
    for step in steps.drain(..) {
        let gone = match &step.event {
            AlertEvent::Raised(Alert { athlete: Some(athlete), .. }) => is_gone(athlete, ring, store)?,
            AlertEvent::Raised(_) => false,
            // Of an alert that went with its athlete since the step was read nobody knows any more whose it was: the step went, too.
            AlertEvent::Cleared { id, .. } if matches!(store.alert(*id), Ok(None)) => {
                if there.is_none() {
                    there = Some(store.unsealed_alerts(ALERT_STEPS_MAX)?);
                }
                there.iter().flatten().all(|there| there.id != step.id)
            }
            AlertEvent::Cleared { .. } => false,
        };
        if !gone {
            left.push(step);
        }
    }
    *steps = left;
    Ok(())
}

fn is_gone(athlete: &AthleteId, ring: &KeyRing, store: &Store) -> Result<bool, StoreError> {
    if ring.sealing(&Whose::Athlete(athlete.clone())).is_ok() {
        return Ok(false);
    }
    Ok(store.athlete(athlete)?.is_some_and(|known| known.erased_at.is_some()))
}

impl AthleteKeys for Keys<'_> {
    fn sealing(&self, whose: &Whose) -> Result<(Generation, AthleteKey), NoKey> {
        // Nobody else's in its place: the segment would not open again, for its records say whose they are, and it would outlive an erasure.
        self.ring.sealing(whose)
    }

    fn opening(&self) -> Vec<(Whose, Generation, AthleteKey)> {
        self.ring.opening()
    }

    fn alert_subject(&self, id: &AlertId) -> Option<AthleteId> {
        self.store.alert(*id).ok().flatten().and_then(|row| row.alert.athlete)
    }
}
