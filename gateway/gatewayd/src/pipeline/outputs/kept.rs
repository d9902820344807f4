//! Steps that are kept though later ones were told: the script failed on them, or they asked for something that has no room to wait.
//! What the script fails on is asked again soon, then after twice as long each time, and at once when the output is started again, as it is
//! when it was updated or set otherwise. What comes later of the same alert waits for the first few tries, so that nobody hears of an end
//! before its beginning for a fault that passes; one that stays holds up nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pitchside_model::{AlertId, Priority};
use pitchside_store::delivery::{KEPT_MAX, Target};
use pitchside_store::{DeliveryStep, DeliveryStepId, KeptFor};

use super::agenda::{Item, Source, Urgency};
use super::places::Places;

/// The first pause before a script is asked again about a step.
const AGAIN_MIN: Duration = Duration::from_secs(2);
/// The longest.
const AGAIN_MAX: Duration = Duration::from_secs(600);
/// So many tries long, what comes later of the same alert waits: half a minute.
const HOLDS_UP_TRIES: u32 = 5;

/// How it stands with a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stands {
    /// The script failed on it so often, the last time for this, and is asked again then, by the gateway's uptime.
    Failed { tries: u32, due: Duration, why: String },
    /// What it asks for at these receivers had no room to wait, so often; it is looked at again then at the soonest.
    Owes { tries: u32, due: Duration, targets: BTreeSet<Target> },
    /// It comes after one of its alert that the script failed on, or is to be looked at: what comes later of its alert comes after it.
    Behind,
}

impl Stands {
    /// Why it is kept.
    pub const fn why(&self) -> KeptFor {
        match self {
            Self::Failed { .. } => KeptFor::Failed,
            Self::Owes { .. } | Self::Behind => KeptFor::ItsTurn,
        }
    }
}

/// How long before something is tried again that was tried again so often.
fn pause(tries: u32) -> Duration {
    AGAIN_MIN.saturating_mul(2_u32.saturating_pow(tries)).min(AGAIN_MAX)
}

struct One {
    step: DeliveryStep,
    urgency: Urgency,
    stands: Stands,
}

impl One {
    fn holds_up(&self) -> bool {
        matches!(self.stands, Stands::Failed { tries, .. } if tries < HOLDS_UP_TRIES)
    }

    fn gives_way(&self) -> bool {
        matches!(self.stands, Stands::Failed { .. }) && !self.holds_up()
    }

    fn goes_before(&self) -> bool {
        self.holds_up() || self.stands == Stands::Behind
    }
}

/// All of one output, by step; the record has the same, and its bound.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<DeliveryStepId, One>);

impl Kept {
    /// One that the record has: it is looked at at once.
    pub fn take_up(&mut self, step: DeliveryStep, urgency: Urgency, why: KeptFor) {
        let stands = match why {
            KeptFor::Failed => Stands::Failed { tries: 0, due: Duration::ZERO, why: String::new() },
            KeptFor::ItsTurn => Stands::Behind,
        };
        self.0.insert(step.id, One { step, urgency, stands });
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Why a step is kept, if it is.
    pub fn why(&self, step: DeliveryStepId) -> Option<KeptFor> {
        self.0.get(&step).map(|one| one.stands.why())
    }

    /// Whether the script failed on a step.
    pub fn is_failed(&self, step: DeliveryStepId) -> bool {
        self.why(step) == Some(KeptFor::Failed)
    }

    /// The script failed on a step: how it stands from now on, and whether this was told already.
    pub fn failed(&self, step: DeliveryStepId, why: String, now: Duration) -> (Stands, bool) {
        let before = match self.0.get(&step).map(|one| &one.stands) {
            Some(Stands::Failed { tries, why, .. }) => Some((*tries, why)),
            _ => None,
        };
        let is_told = before.is_some_and(|(_, told)| *told == why);
        let tries = before.map_or(0, |(tries, _)| tries);
        (Stands::Failed { tries: tries.saturating_add(1), due: now.saturating_add(pause(tries)), why }, is_told)
    }

    /// There was no room for what a step asks for at these receivers: how it stands from now on.
    pub fn owes(&self, step: DeliveryStepId, targets: BTreeSet<Target>, now: Duration) -> Stands {
        match self.0.get(&step).map(|one| &one.stands) {
            Some(Stands::Owes { tries, .. }) => {
                Stands::Owes { tries: tries.saturating_add(1), due: now.saturating_add(pause(*tries)), targets }
            }
            // As soon as there is room.
            _ => Stands::Owes { tries: 0, due: now, targets },
        }
    }

    /// A step is kept.
    pub fn put(&mut self, step: DeliveryStep, urgency: Urgency, stands: Stands) {
        self.0.insert(step.id, One { step, urgency, stands });
    }

    /// A step is kept no longer; whether it was.
    pub fn remove(&mut self, step: DeliveryStepId) -> bool {
        self.0.remove(&step).is_some()
    }

    /// What steps had no room for went out after all: they are looked at, and what is owed of their alerts.
    pub fn brought(&mut self, steps: &BTreeSet<DeliveryStepId>, now: Duration) {
        for step in steps {
            if let Some(one) = self.0.get_mut(step).filter(|one| matches!(one.stands, Stands::Owes { .. })) {
                one.stands = Stands::Behind;
                let alert = one.step.alert;
                self.goes_on(alert, now);
            }
        }
    }

    /// A step of an alert is over: what is owed of its others is due, however often it was tried behind it.
    pub fn goes_on(&mut self, alert: AlertId, now: Duration) {
        for one in self.0.values_mut().filter(|one| one.step.alert == alert) {
            if let Stands::Owes { due, .. } = &mut one.stands {
                *due = now.min(*due);
            }
        }
    }

    /// Whether a step comes after one of the same alert that the script failed on, and may yet answer for.
    pub fn holds_up(&self, step: &DeliveryStep) -> bool {
        self.0.range(..step.id).any(|(_, one)| one.step.alert == step.alert && one.holds_up())
    }

    /// Whether a step comes after one of the same alert that is still to be told, or that holds it up.
    pub fn is_behind(&self, step: &DeliveryStep) -> bool {
        self.0.range(..step.id).any(|(_, one)| one.step.alert == step.alert && one.goes_before())
    }

    /// Whether the script failed on a step so often that what comes later goes before it.
    pub fn gives_way(&self, step: DeliveryStepId) -> bool {
        self.0.get(&step).is_some_and(One::gives_way)
    }

    /// For whom something waits to be asked for of earlier steps of the same alert.
    pub fn owed_before(&self, step: &DeliveryStep) -> BTreeSet<Target> {
        let before = self.0.range(..step.id).filter(|(_, one)| one.step.alert == step.alert);
        before
            .filter_map(|(_, one)| if let Stands::Owes { targets, .. } = &one.stands { Some(targets) } else { None })
            .flatten()
            .copied()
            .collect()
    }

    /// All for whom something waits to be asked for.
    pub fn owed(&self) -> BTreeSet<Target> {
        let targets =
            |one: &One| if let Stands::Owes { targets, .. } = &one.stands { targets.clone() } else { BTreeSet::new() };
        self.0.values().flat_map(targets).collect()
    }

    /// Whether room at some receiver is waited for.
    pub fn owes_any(&self) -> bool {
        self.0.values().any(|one| matches!(one.stands, Stands::Owes { .. }))
    }

    /// The one that is missed least: of the least urgent the oldest.
    pub fn least(&self) -> Option<(Urgency, DeliveryStep)> {
        self.0.values().min_by_key(|one| (one.urgency, one.step.id)).map(|one| (one.urgency, one.step))
    }

    /// The one that goes, should another come where there is no room for one more: that, or one of these.
    pub fn gives_room(&self, step: &DeliveryStep, urgency: Urgency) -> Option<DeliveryStep> {
        if self.0.contains_key(&step.id) || self.0.len() < KEPT_MAX as usize {
            return None;
        }
        let (least_urgency, least) = self.least()?;
        Some(if (urgency, step.id) < (least_urgency, least.id) { *step } else { least })
    }

    /// Those whose turn it is: the most urgent take what room there is; where nothing waits for a receiver, none is needed to try, and where
    /// there is no room the most urgent is tried all the same: what has the places may not be tried for hours. In quiet hours, only what
    /// may be told in them.
    pub fn ready(&self, now: Duration, quiet: bool, mut places: Places) -> Vec<Item> {
        let mut taken: BTreeSet<AlertId> = BTreeSet::new();
        let mut in_turn: Vec<&One> = Vec::new();
        for one in self.0.values() {
            let is_behind = taken.contains(&one.step.alert);
            if one.goes_before() {
                taken.insert(one.step.alert);
            }
            let is_due = match &one.stands {
                Stands::Failed { due, .. } | Stands::Owes { due, .. } => now >= *due,
                Stands::Behind => true,
            };
            let is_hushed = quiet && one.urgency < Urgency::Alert(Priority::High);
            if !is_behind && is_due && !is_hushed {
                in_turn.push(one);
            }
        }
        in_turn.sort_by_key(|one| (Reverse(one.urgency), one.step.id));
        let mut probed: BTreeSet<Target> = BTreeSet::new();
        in_turn.retain(|one| match &one.stands {
            Stands::Owes { targets, .. } => {
                let goes = |target: &&Target| {
                    let is_free = !places.waits(target);
                    // All that there is room for: each of them takes it.
                    places.take(**target) || is_free || probed.insert(**target)
                };
                targets.iter().filter(goes).count() > 0
            }
            Stands::Failed { .. } | Stands::Behind => true,
        });
        let item =
            |one: &One| Item { step: one.step, urgency: one.urgency, source: Source::Kept { fails: one.gives_way() } };
        in_turn.into_iter().map(item).collect()
    }
}

#[cfg(test)]
mod tests {
    use pitchside_model::Timestamp;
    use pitchside_store::DeliveryKind;

    use super::*;

    const HIGH: Urgency = Urgency::Alert(Priority::High);
    const LOW: Urgency = Urgency::Alert(Priority::Low);
    const HALL: Target = [1; 32];

    fn step(id: i64, alert: u8) -> DeliveryStep {
        let (recorded_at, alert, kind) = (Timestamp(id), AlertId([alert; 16]), DeliveryKind::Raised);
        DeliveryStep { id: DeliveryStepId(id), recorded_at, alert, kind }
    }

    fn ids(items: &[Item]) -> Vec<i64> {
        items.iter().map(|item| item.step.id.0).collect()
    }

    fn empty() -> Places {
        Places::beside(&[])
    }

    fn fails(kept: &mut Kept, step: DeliveryStep, now: Duration) {
        let (stands, _) = kept.failed(step.id, "line 2".to_owned(), now);
        kept.put(step, LOW, stands);
    }

    #[test]
    fn a_script_is_asked_again_about_what_it_failed_on_ever_more_seldom() {
        let (mut kept, mut now) = (Kept::default(), Duration::from_secs(100));
        for pause in [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
            fails(&mut kept, step(1, 1), now);
            let due = now + Duration::from_secs(pause);
            assert!(kept.ready(due - Duration::from_secs(1), false, empty()).is_empty(), "{pause}");
            assert_eq!(ids(&kept.ready(due, false, empty())), [1], "{pause}");
            assert!(kept.ready(due, true, empty()).is_empty(), "not in quiet hours");
            now = due;
        }
        assert!(kept.failed(DeliveryStepId(1), "line 2".to_owned(), now).1, "told once");
        assert!(!kept.failed(DeliveryStepId(1), "line 3".to_owned(), now).1, "that is something else");
        let mut again = Kept::default();
        again.take_up(step(1, 1), LOW, KeptFor::Failed);
        assert_eq!(ids(&again.ready(Duration::ZERO, false, empty())), [1], "started again, it asks at once");
    }

    #[test]
    fn what_comes_after_a_failure_waits_for_a_few_tries_if_it_is_of_the_same_alert_and_no_longer() {
        let (mut kept, mut now) = (Kept::default(), Duration::from_secs(100));
        for _ in 0..4 {
            fails(&mut kept, step(1, 1), now);
            kept.put(step(2, 1), LOW, Stands::Behind);
            assert!(kept.holds_up(&step(2, 1)) && !kept.holds_up(&step(3, 2)), "another alert goes");
            assert!(!kept.holds_up(&step(1, 1)) && !kept.gives_way(DeliveryStepId(1)), "nor does it hold up itself");
            assert!(kept.ready(now, false, empty()).is_empty());
            now += AGAIN_MAX;
        }
        fails(&mut kept, step(1, 1), now);
        assert!(!kept.holds_up(&step(2, 1)) && kept.gives_way(DeliveryStepId(1)));
        assert_eq!(ids(&kept.ready(now, false, empty())), [2], "a fault that stays holds up nothing");
        kept.put(step(3, 1), LOW, Stands::Behind);
        assert_eq!(ids(&kept.ready(now, false, empty())), [2], "one after the other");
        assert!(kept.is_behind(&step(4, 1)) && !kept.is_behind(&step(2, 1)) && !kept.is_behind(&step(4, 2)));
    }

    #[test]
    fn what_is_owed_of_an_alert_is_due_once_another_step_of_it_is_over() {
        let (mut kept, now) = (Kept::default(), Duration::from_secs(100));
        let ready = |kept: &Kept, now| ids(&kept.ready(now, false, empty()));
        for id in [1, 2, 3] {
            for _ in 0..5 {
                let stands = kept.owes(DeliveryStepId(id), BTreeSet::from([HALL]), now);
                kept.put(step(id, if id < 3 { 1 } else { 3 }), LOW, stands);
            }
        }
        assert_eq!(kept.owed(), BTreeSet::from([HALL]));
        let soon = now + Duration::from_secs(15);
        assert!(ready(&kept, soon).is_empty() && ready(&kept, now + Duration::from_secs(16)) == [1, 2, 3]);
        kept.brought(&BTreeSet::from([DeliveryStepId(1)]), soon);
        assert_eq!(ready(&kept, soon), [1], "one after the other");
        kept.remove(DeliveryStepId(1));
        assert_eq!(ready(&kept, soon), [2], "the other alert's is not due");
        kept.goes_on(AlertId([3; 16]), soon);
        assert_eq!(ready(&kept, soon), [2, 3]);
    }

    #[test]
    fn where_there_is_no_room_for_one_more_the_one_that_is_missed_least_goes_also_if_it_is_the_new_one() {
        let mut kept = Kept::default();
        let gives_room = |kept: &Kept, id, urgency| kept.gives_room(&step(id, 7), urgency).map(|step| step.id.0);
        for id in 1..i64::from(KEPT_MAX) {
            kept.put(step(id, 1), HIGH, Stands::Behind);
        }
        assert_eq!(gives_room(&kept, 9_999, LOW), None, "there is room");
        kept.put(step(5_000, 2), HIGH, Stands::Behind);
        assert_eq!(gives_room(&kept, 9_999, LOW), Some(9_999), "nothing urgent goes for it");
        assert_eq!(gives_room(&kept, 9_999, HIGH), Some(1), "the oldest");
        assert_eq!(gives_room(&kept, 5_000, HIGH), None, "it is there already");
        kept.put(step(5_000, 2), LOW, Stands::Behind);
        assert_eq!(gives_room(&kept, 9_999, LOW), Some(5_000));
        assert_eq!(gives_room(&kept, 4_999, LOW), Some(4_999));
    }

    #[test]
    fn what_had_no_room_comes_when_there_is_some_and_the_most_urgent_first() {
        let (mut kept, now) = (Kept::default(), Duration::from_secs(100));
        for (id, urgency) in [(1, LOW), (2, HIGH), (3, LOW)] {
            let stands = kept.owes(DeliveryStepId(id), BTreeSet::from([HALL]), now);
            kept.put(step(id, id.unsigned_abs() as u8), urgency, stands);
        }
        let ready =
            |kept: &Kept, quiet, waiting| ids(&kept.ready(now, quiet, Places::beside(&[(Some(HALL), waiting)])));
        assert!(kept.owes_any());
        assert_eq!(ready(&kept, false, 30), [2, 1, 3], "two have a place, and one is tried all the same");
        assert_eq!(ready(&kept, false, 31), [2, 1]);
        assert_eq!(ready(&kept, false, 32), [2], "the most urgent, not all of them");
        assert_eq!(ready(&kept, true, 32), [2], "what may not be told now keeps no place from what may");
        assert_eq!(kept.owed_before(&step(9, 1)), BTreeSet::from([HALL]), "an end does not take its beginning's room");
        assert!(kept.owed_before(&step(9, 7)).is_empty() && kept.owed_before(&step(1, 1)).is_empty());
        assert_eq!(kept.least().map(|(urgency, step)| (urgency, step.id.0)), Some((LOW, 1)));
        let full: Vec<(Option<Target>, u32)> = (2..10).map(|other| (Some([other; 32]), 32)).collect();
        assert_eq!(ids(&kept.ready(now, false, Places::beside(&full))), [2, 1, 3], "tried, as nothing waits for it");
        kept.brought(&BTreeSet::from([DeliveryStepId(3), DeliveryStepId(7)]), now);
        assert_eq!(ready(&kept, false, 32), [2, 3], "it came there after all");
    }
}
