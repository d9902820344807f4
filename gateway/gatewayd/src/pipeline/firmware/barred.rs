//! What is not for a thing, whatever the ledger has proven: a release that this box halted by its own count, and one that came to nothing
//! on that very thing. The next one down may be for it.
//!
//! Taken up from what is kept (halts asked for, what sensors said, how updates ended), and told of each change to that.

use std::collections::{BTreeMap, BTreeSet};

use ledger_block::release::{ReleaseId, Version};
use parking_lot::Mutex;
use pitchside_store::{FirmwareOutcome, SensorFirmware, Store, StoreError};
use pitchside_wire::firmware::{Reason, Stage};

/// How often a release that came to nothing on a device is offered to it again.
const ATTEMPTS_MAX: u32 = 3;

/// What a sensor was offered last.
struct Last {
    release: ReleaseId,
    version: Option<Version>,
    /// It is not offered again.
    spent: bool,
    /// It runs, and says so.
    runs: bool,
}

/// What came to nothing.
struct Failed {
    for_good: bool,
    reason: Reason,
}

/// What one thing has behind it.
#[derive(Default)]
struct Marks {
    failed: BTreeMap<ReleaseId, Failed>,
    last: Option<Last>,
}

/// Why a release is not for a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bar {
    /// This box halted it.
    #[error("this box halted it, for it failed on sensors here")]
    Halted,
    /// It came to nothing on this thing, which was offered another one since.
    #[error("it came to nothing here before ({}), and is not offered here again", .0.word())]
    Failed(Reason),
    /// It is what this thing was offered last: how that ended is told with it.
    #[error("it was offered before, and is not offered here again")]
    Spent,
    /// An older one was tried in its place.
    #[error("an older one is tried in its place, after it came to nothing")]
    InTurn,
}

#[derive(Default)]
struct Said {
    halted: BTreeSet<ReleaseId>,
    /// By the name of the sensor, or of the box itself.
    things: BTreeMap<String, Marks>,
}

/// The table. Bounded by the sensors and releases there are.
pub struct Barred(Mutex<Said>);

impl Barred {
    /// Takes up what was kept.
    ///
    /// # Errors
    /// The store refused: without this, flash could be worn out.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let barred = Self(Mutex::default());
        for release in store.acts_about()? {
            barred.halt(ReleaseId(release));
        }
        store.failed_outcomes()?.iter().for_each(|outcome| barred.ended(outcome));
        store.sensor_firmware()?.iter().for_each(|row| barred.said(row));
        Ok(barred)
    }

    /// This box halts a release, for whatever it offers it to; true if that is new.
    pub fn halt(&self, release: ReleaseId) -> bool {
        self.0.lock().halted.insert(release)
    }

    /// Whether this box halted it.
    pub fn is_halted(&self, release: &ReleaseId) -> bool {
        self.0.lock().halted.contains(release)
    }

    /// What is known of a sensor's firmware, as it is kept now.
    pub fn said(&self, row: &SensorFirmware) {
        let last = row.release.map(|release| Last {
            release: ReleaseId(release),
            version: row.target.as_ref().and_then(|target| target.parse().ok()),
            spent: is_spent(row),
            runs: is_confirmed(row) && row.reason == Reason::NONE.0,
        });
        self.0.lock().things.entry(row.device.to_string()).or_default().last = last;
    }

    /// An update ended.
    pub fn ended(&self, outcome: &FirmwareOutcome) {
        let (release, mut said) = (ReleaseId(outcome.release), self.0.lock());
        let marks = said.things.entry(outcome.device.to_string()).or_default();
        if outcome.confirmed {
            marks.failed.remove(&release);
        } else {
            let (for_good, reason) = (is_for_good(outcome), Reason(outcome.reason));
            marks.failed.insert(release, Failed { for_good, reason });
        }
    }

    /// Whether a release is not for this thing.
    pub fn bars(&self, thing: &str, release: &ReleaseId, version: Version) -> bool {
        self.why(thing, release, version).is_some()
    }

    /// Why a release is not for this thing, if it is not.
    pub fn why(&self, thing: &str, release: &ReleaseId, version: Version) -> Option<Bar> {
        let said = self.0.lock();
        let halted = said.halted.contains(release).then_some(Bar::Halted);
        let Some(marks) = said.things.get(thing) else { return halted };
        let failed = marks.failed.get(release);
        match (failed, &marks.last) {
            (_, Some(last)) if last.release == *release && last.spent => Some(Bar::Spent),
            _ if halted.is_some() => halted,
            (Some(failed), _) if failed.for_good => Some(Bar::Failed(failed.reason)),
            (_, Some(last)) if last.release == *release => None,
            // An older one was tried in its place: not both in turn, for ever. Once that one runs, things may be otherwise.
            (Some(_), Some(last)) => {
                let in_turn = !last.runs && last.version.is_some_and(|last| last < version);
                in_turn.then_some(Bar::InTurn)
            }
            _ => None,
        }
    }
}

fn is_confirmed(row: &SensorFirmware) -> bool {
    row.stage == Some(Stage::Confirmed as u8)
}

/// Whether what a sensor was offered last is not for it any more. It failed there, was refused there, or failed too often; or it proved
/// itself: a sensor that runs something older all the same would be written to again and again.
pub fn is_spent(row: &SensorFirmware) -> bool {
    let failed = row.stage == Some(Stage::Failed as u8);
    let may_pass = [Reason::CONTENT, Reason::FLASH, Reason::WEAR].contains(&Reason(row.reason));
    is_confirmed(row) || (failed && (!may_pass || row.attempts >= ATTEMPTS_MAX))
}

/// Whether it was the image that failed, or the box's own, which is tried often enough before it is kept as failed. What was only refused,
/// or did not arrive, may be taken by another image than the one that runs.
fn is_for_good(outcome: &FirmwareOutcome) -> bool {
    match Reason(outcome.reason) {
        Reason::NONE | Reason::RETURNED | Reason::SELF_TEST | Reason::FAILED_BEFORE => true,
        // One that started and says another version than its manifest is counted; an offer that is not newer is not.
        Reason::VERSION => outcome.counts,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use pitchside_model::{DeviceId, Timestamp};
    use pitchside_store::RootKey;

    use super::*;
    use crate::pipeline::firmware::devices::fresh;

    const OLDER: (ReleaseId, Version) = (ReleaseId([1; 32]), Version::new(1, 1, 0));
    const NEWER: (ReleaseId, Version) = (ReleaseId([2; 32]), Version::new(1, 2, 0));

    fn s7() -> DeviceId {
        DeviceId::parse("s7").unwrap()
    }

    /// The sensor was offered this last, and so it stands.
    fn row((release, version): (ReleaseId, Version), stage: Stage, reason: Reason, attempts: u32) -> SensorFirmware {
        let (release, target) = (Some(release.0), Some(version.to_string()));
        SensorFirmware { release, target, stage: Some(stage as u8), reason: reason.0, attempts, ..fresh(&s7()) }
    }

    fn failed((release, _): (ReleaseId, Version), reason: Reason, counts: bool) -> FirmwareOutcome {
        let (release, reason) = (release.0, reason.0);
        FirmwareOutcome { release, device: s7(), confirmed: false, reason, counts, at: Timestamp(1) }
    }

    fn why(barred: &Barred, (release, version): (ReleaseId, Version)) -> Option<Bar> {
        barred.why("s7", &release, version)
    }

    fn bars(barred: &Barred, release: (ReleaseId, Version)) -> bool {
        why(barred, release).is_some()
    }

    #[test]
    fn what_came_to_nothing_is_known_after_a_restart_and_of_that_sensor_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let gone = row(NEWER, Stage::Failed, Reason::SELF_TEST, 1);
        store.put_sensor_firmware(gone, Some(failed(NEWER, Reason::SELF_TEST, true))).unwrap();
        // The next one down was offered since.
        store.put_sensor_firmware(row(OLDER, Stage::Confirmed, Reason::NONE, 0), None).unwrap();
        store.add_act([9; 32], [3; 32], vec![1], Timestamp(1), None).unwrap();
        let barred = Barred::open(&store).unwrap();
        assert_eq!(why(&barred, NEWER), Some(Bar::Failed(Reason::SELF_TEST)), "it runs the older one");
        assert!(!barred.bars("s8", &NEWER.0, NEWER.1));
        assert_eq!(barred.why("s8", &ReleaseId([3; 32]), Version::new(1, 3, 0)), Some(Bar::Halted));
    }

    #[test]
    fn what_proved_itself_is_not_offered_again_whatever_the_sensor_says_it_runs() {
        let barred = Barred(Mutex::default());
        barred.said(&row(NEWER, Stage::Verified, Reason::NONE, 0));
        assert!(!bars(&barred, NEWER));
        barred.said(&row(NEWER, Stage::Confirmed, Reason::NONE, 0));
        assert_eq!(why(&barred, NEWER), Some(Bar::Spent));
        barred.said(&row(OLDER, Stage::Confirmed, Reason::NONE, 0));
        assert!(!bars(&barred, NEWER), "another release has changed what runs");
        // But one that never said what its manifest says is no more for it.
        barred.ended(&failed(NEWER, Reason::VERSION, true));
        assert!(bars(&barred, NEWER));
    }

    #[test]
    fn what_may_pass_is_tried_three_times_and_not_in_turn_with_an_older_one() {
        let barred = Barred(Mutex::default());
        barred.ended(&failed(NEWER, Reason::CONTENT, true));
        for (attempts, spent) in [(1, false), (2, false), (3, true)] {
            barred.said(&row(NEWER, Stage::Failed, Reason::CONTENT, attempts));
            assert_eq!(bars(&barred, NEWER), spent, "{attempts}");
        }
        barred.said(&row(OLDER, Stage::Downloaded, Reason::NONE, 0));
        assert_eq!(why(&barred, NEWER), Some(Bar::InTurn), "the older one is on its way");
        barred.said(&row(OLDER, Stage::Confirmed, Reason::NONE, 0));
        assert!(!bars(&barred, NEWER), "another image may take it");
        let newest = (ReleaseId([4; 32]), Version::new(1, 4, 0));
        barred.said(&row(newest, Stage::Failed, Reason::SELF_TEST, 1));
        assert!(!bars(&barred, NEWER), "it was only overtaken");
    }
}
