//! What an output is still to be told of, and what of it is next: the most urgent, and of those the oldest. One in four is the oldest of
//! all, so that nothing waits for ever behind what is more urgent. The steps of an alert are as urgent as each other, and keep their order.
//! What was kept comes after what is as urgent and was not told yet: it may come to nothing again. What the script fails on over and over
//! comes after everything else: it may take seconds to fail each time.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use pitchside_model::{AlertId, Priority};
use pitchside_store::{DeliveryKind, DeliveryStep, DeliveryStepId};

/// The most new steps that are looked at ahead of being told.
const AHEAD_MAX: usize = 1_000;
/// One in so many is the oldest of all.
const OLDEST_EVERY: u32 = 4;

/// How soon something is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// As soon as its alert says.
    Alert(Priority),
    /// At once or not at all.
    Drill,
}

/// Why a step is still to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// It was not told before.
    New,
    /// It was held for quiet hours.
    Held,
    /// It was kept, and it is its turn.
    Kept {
        /// The script fails on it over and over.
        fails: bool,
    },
}

/// A step that is still to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub step: DeliveryStep,
    pub urgency: Urgency,
    pub source: Source,
}

/// All of them, and how far the record was read.
#[derive(Default)]
pub(super) struct Agenda {
    items: BTreeMap<DeliveryStepId, Item>,
    read_up_to: Option<DeliveryStepId>,
    /// Up to where the record says that all was told.
    told_up_to: DeliveryStepId,
    done: u32,
}

impl Agenda {
    /// The record is read from here on.
    pub fn begin(&mut self, told_up_to: DeliveryStepId) {
        (self.read_up_to, self.told_up_to) = (Some(told_up_to), told_up_to);
    }

    /// Up to where the record was read; none before it has begun.
    pub const fn read_up_to(&self) -> Option<DeliveryStepId> {
        self.read_up_to
    }

    /// How many more new steps may be read.
    pub fn room(&self) -> usize {
        AHEAD_MAX.saturating_sub(self.items.values().filter(|item| item.source == Source::New).count())
    }

    /// Whether a step is there.
    pub fn has(&self, step: DeliveryStepId) -> bool {
        self.items.contains_key(&step)
    }

    /// Whether how an alert ended is still to be told as news.
    pub fn ends(&self, alert: AlertId) -> bool {
        let is_end = |step: &DeliveryStep| step.alert == alert && step.kind == DeliveryKind::Cleared;
        self.items.values().any(|item| item.source == Source::New && is_end(&item.step))
    }

    /// A step is to be told. One that is there is there once.
    pub fn add(&mut self, item: Item) {
        let id = item.step.id;
        if item.source == Source::New {
            self.read_up_to = self.read_up_to.max(Some(id));
        }
        self.items.entry(id).or_insert(item);
    }

    /// Hours are quiet again: what was held for them stays held, and what was kept stays kept but for what may be told in them.
    pub fn hush(&mut self) {
        self.items.retain(|_, item| match item.source {
            Source::New => true,
            Source::Held => false,
            Source::Kept { .. } => item.urgency >= Urgency::Alert(Priority::High),
        });
    }

    /// What is next.
    pub fn next(&self) -> Option<Item> {
        let by_urgency = |item: &&Item| {
            let was_kept = matches!(item.source, Source::Kept { .. });
            (item.urgency, Reverse(was_kept), Reverse(item.step.id))
        };
        let mut others = self.items.values().filter(|item| item.source != Source::Kept { fails: true });
        let is_oldest = self.done % OLDEST_EVERY == OLDEST_EVERY - 1;
        let next = if is_oldest { others.next() } else { others.max_by_key(by_urgency) };
        next.or_else(|| self.items.values().max_by_key(by_urgency)).cloned()
    }

    /// A step was told, or is to be told no longer.
    pub fn done(&mut self, step: DeliveryStepId) {
        if self.items.remove(&step).is_some() {
            self.done = self.done.wrapping_add(1);
        }
    }

    /// Up to where all was told by now, if that is further than it was.
    pub fn moves(&mut self) -> Option<DeliveryStepId> {
        let first = self.items.values().find(|item| item.source == Source::New);
        let up_to = first.map(|item| DeliveryStepId(item.step.id.0 - 1)).or(self.read_up_to)?;
        let moves = up_to > self.told_up_to;
        self.told_up_to = self.told_up_to.max(up_to);
        moves.then_some(up_to)
    }
}

#[cfg(test)]
mod tests {
    use pitchside_model::Timestamp;

    use super::*;

    fn item(id: i64, alert: u8, priority: Priority) -> Item {
        let (recorded_at, alert, kind) = (Timestamp(id), AlertId([alert; 16]), DeliveryKind::Raised);
        let step = DeliveryStep { id: DeliveryStepId(id), recorded_at, alert, kind };
        Item { step, urgency: Urgency::Alert(priority), source: Source::New }
    }

    /// In which order all of it is told.
    fn order(agenda: &mut Agenda) -> Vec<i64> {
        let mut told = Vec::new();
        while let Some(next) = agenda.next() {
            told.push(next.step.id.0);
            agenda.done(next.step.id);
        }
        told
    }

    #[test]
    fn the_most_urgent_is_next_and_one_in_four_is_the_oldest() {
        let mut agenda = Agenda::default();
        for (id, priority) in [
            (1_i64, Priority::Low),
            (2, Priority::Low),
            (3, Priority::Medium),
            (4, Priority::High),
            (5, Priority::Low),
            (6, Priority::High),
            (7, Priority::Medium),
            (8, Priority::High),
        ] {
            agenda.add(item(id, id.unsigned_abs() as u8, priority));
        }
        let drill = Item { urgency: Urgency::Drill, ..item(9, 9, Priority::Low) };
        agenda.add(drill);
        assert_eq!(order(&mut agenda), [9, 4, 6, 1, 8, 3, 7, 2, 5]);
    }

    #[test]
    fn what_the_script_fails_on_over_and_over_comes_last_of_all() {
        let mut agenda = Agenda::default();
        let kept = |id, fails| Item { source: Source::Kept { fails }, ..item(id, 1, Priority::High) };
        agenda.add(kept(1, true));
        agenda.add(kept(2, true));
        (3..9).for_each(|id| agenda.add(item(id, 2, Priority::Low)));
        agenda.add(kept(9, false));
        assert_eq!(order(&mut agenda), [9, 3, 4, 5, 6, 7, 8, 1, 2]);
    }

    #[test]
    fn when_hours_are_quiet_again_only_what_is_new_and_what_is_urgent_is_still_to_be_told() {
        let mut agenda = Agenda::default();
        let of = |id: i64, priority, source| Item { source, ..item(id, id.unsigned_abs() as u8, priority) };
        let kept = || Source::Kept { fails: false };
        agenda.add(of(1, Priority::Low, Source::New));
        agenda.add(of(2, Priority::Medium, Source::Held));
        agenda.add(of(3, Priority::Medium, kept()));
        agenda.add(of(4, Priority::High, kept()));
        agenda.hush();
        assert_eq!(order(&mut agenda), [4, 1]);
    }

    #[test]
    fn what_was_kept_comes_after_what_is_as_urgent_and_was_not_told_yet() {
        let mut agenda = Agenda::default();
        let of = |id: i64, priority, source| Item { source, ..item(id, id.unsigned_abs() as u8, priority) };
        for id in 1..=3 {
            agenda.add(of(id, Priority::High, Source::Kept { fails: false }));
        }
        agenda.add(of(4, Priority::High, Source::Held));
        agenda.add(of(5, Priority::High, Source::New));
        agenda.add(of(6, Priority::Medium, Source::New));
        assert_eq!(order(&mut agenda), [4, 5, 1, 2, 3, 6], "and before what is less urgent");
    }

    #[test]
    fn the_steps_of_an_alert_keep_their_order_whatever_comes_between() {
        for others in 0..5 {
            let mut agenda = Agenda::default();
            (0..others).for_each(|id| agenda.add(item(id, 9, Priority::High)));
            [10, 11, 12].into_iter().for_each(|id| agenda.add(item(id, 1, Priority::Medium)));
            (20..20 + others).for_each(|id| agenda.add(item(id, 8, Priority::High)));
            (30..30 + others).for_each(|id| agenda.add(item(id, 7, Priority::Low)));
            let told = order(&mut agenda);
            let of_it: Vec<i64> = told.into_iter().filter(|id| (10..20).contains(id)).collect();
            assert_eq!(of_it, [10, 11, 12], "{others}");
        }
    }

    #[test]
    fn an_end_is_still_to_be_told_as_news_until_it_was() {
        let mut agenda = Agenda::default();
        let end = |id, alert, source| {
            let raised = item(id, alert, Priority::Low);
            Item { step: DeliveryStep { kind: DeliveryKind::Cleared, ..raised.step }, source, ..raised }
        };
        agenda.add(item(1, 1, Priority::Low));
        agenda.add(end(2, 2, Source::New));
        agenda.add(end(3, 3, Source::Held));
        let ends = |agenda: &Agenda| [1, 2, 3].map(|alert| agenda.ends(AlertId([alert; 16])));
        assert_eq!(ends(&agenda), [false, true, false]);
        agenda.done(DeliveryStepId(2));
        assert_eq!(ends(&agenda), [false; 3]);
    }

    #[test]
    fn the_record_says_told_up_to_the_first_that_is_not() {
        let mut agenda = Agenda::default();
        agenda.begin(DeliveryStepId(3));
        [(4_i64, Priority::Low), (5, Priority::High), (7, Priority::Low)]
            .into_iter()
            .for_each(|(id, priority)| agenda.add(item(id, id.unsigned_abs() as u8, priority)));
        agenda.done(DeliveryStepId(5));
        assert_eq!(agenda.moves(), None, "cut off now, the fourth would be lost");
        agenda.done(DeliveryStepId(4));
        assert_eq!(agenda.moves(), Some(DeliveryStepId(6)));
        agenda.add(Item { source: Source::Kept { fails: false }, ..item(2, 2, Priority::Low) });
        agenda.done(DeliveryStepId(7));
        assert_eq!(agenda.moves(), Some(DeliveryStepId(7)), "what is kept stands in a record of its own");
        assert_eq!((agenda.moves(), agenda.read_up_to()), (None, Some(DeliveryStepId(7))));
    }
}
