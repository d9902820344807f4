//! What an output is told in a round: what is new, what was held for its quiet hours, and what was kept, the most urgent first.

use std::collections::BTreeSet;

use pitchside_model::Priority;
use pitchside_store::delivery::{HELD_MAX, Target};
use pitchside_store::{AlertRow, Came, DeliveryKind, DeliveryStep, DeliveryStepId, KeptFor, StoreError};

use super::agenda::{Item, Source, Urgency};
use super::kept::Stands;
use super::places::Places;
use super::record::Entry;
use super::telling::{Heard, RoundError};
use super::{OutputTask, hearing};
use crate::blocking;
use crate::delivery::route::{Fate, Standing, Verdict, after_quiet, joins};

/// Steps read at a time.
const PAGE: u32 = 32;

impl OutputTask {
    /// Tells it of everything there is. One that is new itself hears of nothing that was before it.
    pub(super) async fn round(&mut self) -> Result<(), RoundError> {
        if self.agenda.read_up_to().is_none() {
            self.take_up()?;
        }
        loop {
            self.courier.record.settled()?;
            self.try_waiting().await?;
            self.look_at_held()?;
            self.look_at_new()?;
            self.look_at_kept()?;
            self.courier.record.settled()?;
            let Some(item) = self.agenda.next() else { return Ok(()) };
            self.go_through(item).await?;
        }
    }

    /// Where it stands, by the record.
    fn take_up(&mut self) -> Result<(), StoreError> {
        let (told, kept) = blocking::here(|| {
            let store = &self.parts.store;
            let mut kept = Vec::new();
            for (step, why) in store.kept_for_plugin(&self.name)? {
                kept.push((step, self.urgency(&step)?, why));
            }
            let told = match store.plugin_told(&self.name)? {
                Some(up_to) => up_to,
                None => {
                    let last = store.last_delivery_step()?;
                    store.set_plugin_told(&self.name, last)?;
                    last
                }
            };
            Ok::<_, StoreError>((told, kept))
        })?;
        kept.into_iter().for_each(|(step, urgency, why)| self.kept.take_up(step, urgency, why));
        self.agenda.begin(told);
        Ok(())
    }

    fn urgency(&self, step: &DeliveryStep) -> Result<Urgency, StoreError> {
        if step.kind == DeliveryKind::Drill {
            return Ok(Urgency::Drill);
        }
        let row = self.parts.store.alert(step.alert)?;
        Ok(Urgency::Alert(row.map_or(Priority::Low, |row| row.alert.priority)))
    }

    fn look_at_new(&mut self) -> Result<(), StoreError> {
        let Some(mut after) = self.agenda.read_up_to() else { return Ok(()) };
        let room = self.agenda.room();
        let new = blocking::here(|| {
            let mut new = Vec::new();
            while new.len() < room {
                let steps = self.parts.store.delivery_steps_after(after, PAGE)?;
                let Some(last) = steps.last() else { break };
                after = last.id;
                for step in steps {
                    new.push(Item { step, urgency: self.urgency(&step)?, source: Source::New });
                }
            }
            Ok::<_, StoreError>(new)
        })?;
        new.into_iter().for_each(|item| self.agenda.add(item));
        Ok(())
    }

    /// Once its hours are no longer quiet: what was held. Which of it still matters is decided before any of it is told: with its beginning
    /// gone, an end would look like one of an alert that was told before them.
    fn look_at_held(&mut self) -> Result<(), StoreError> {
        if self.ear.is_quiet(self.parts.clock.now()) {
            self.agenda.hush();
            return Ok(());
        }
        let held = blocking::here(|| self.parts.store.held_for_plugin(&self.name, HELD_MAX))?;
        let (mut new, mut moot) = (Vec::new(), Vec::new());
        blocking::here(|| {
            for step in held.iter().filter(|step| !self.agenda.has(step.id)) {
                let Some(row) = self.parts.store.alert(step.alert)? else {
                    moot.push(step.id);
                    continue;
                };
                match self.fate(step, &held, &row)? {
                    Fate::Told => {
                        let urgency = Urgency::Alert(row.alert.priority);
                        new.push(Item { step: *step, urgency, source: Source::Held });
                    }
                    Fate::Held => {}
                    Fate::Moot => moot.push(step.id),
                }
            }
            Ok::<_, StoreError>(())
        })?;
        // The latest first: cut off in between, what is left is found to be moot, too.
        moot.into_iter().rev().for_each(|step| self.courier.record.write(Entry::Released(step)));
        new.into_iter().for_each(|item| self.agenda.add(item));
        Ok(())
    }

    /// What becomes of a step that was held, by all that was held of its alert.
    fn fate(&self, step: &DeliveryStep, held: &[DeliveryStep], row: &AlertRow) -> Result<Fate, StoreError> {
        let of_alert = held.iter().filter(|other| other.alert == step.alert).map(|other| other.kind);
        let of_alert: Vec<DeliveryKind> = of_alert.collect();
        let over = of_alert.contains(&DeliveryKind::Cleared) || (row.cleared.is_some() && !self.ends_anew(row)?);
        let stands = match &row.acknowledged {
            _ if over => Standing::Over,
            Some(_) => Standing::Seen,
            None => Standing::Unseen,
        };
        Ok(after_quiet(step.kind, &of_alert, stands, self.ear.ear.route.from_level))
    }

    /// What was kept, and has its turn.
    fn look_at_kept(&mut self) -> Result<(), StoreError> {
        self.kept.brought(&self.courier.under_way.take_brought(), self.parts.clock.uptime());
        if self.kept.len() == 0 {
            return Ok(());
        }
        let waiting = match self.kept.owes_any() {
            true => blocking::here(|| self.parts.store.requests_by_target(&self.name))?,
            false => Vec::new(),
        };
        let quiet = self.ear.is_quiet(self.parts.clock.now());
        let ready = self.kept.ready(self.parts.clock.uptime(), quiet, Places::beside(&waiting));
        ready.into_iter().for_each(|item| self.agenda.add(item));
        Ok(())
    }

    /// Tells it of one step, or sees to it that it is told later; and writes that down.
    async fn go_through(&mut self, item: Item) -> Result<(), RoundError> {
        let step = item.step;
        let mut heard = self.hear(&item, item.source == Source::New).await?;
        if matches!(heard, Heard::Hold) && !blocking::here(|| self.parts.store.hold_for_plugin(&self.name, step.id))? {
            let held = self.came_and_went(&step)?;
            heard = if held.is_empty() {
                self.trouble(format!("too much is held for its quiet hours: alert {} goes out now", step.alert));
                self.hear(&item, false).await?
            } else {
                held.into_iter().for_each(|held| self.courier.record.write(Entry::Released(held)));
                Heard::Done
            };
        }
        match heard {
            Heard::Done => {
                self.let_go(&step);
                self.kept.goes_on(step.alert, self.parts.clock.uptime());
            }
            Heard::Hold => self.let_go(&step),
            Heard::Failed(why) => self.keep_failed(&step, item.urgency, why)?,
            Heard::Owes(targets) => {
                if !self.kept.owes_any() {
                    let why = "too much waits for some receiver already: what comes for it is kept until there is room";
                    self.trouble(format!("alert {}: {why}", step.alert));
                }
                let stands = self.kept.owes(step.id, targets, self.parts.clock.uptime());
                self.keep(step, item.urgency, stands)?;
            }
            Heard::Behind => self.keep(step, item.urgency, Stands::Behind)?,
        }
        if item.source == Source::Held {
            self.courier.record.write(Entry::Released(step.id));
        }
        self.agenda.done(step.id);
        if let Some(up_to) = self.agenda.moves() {
            self.courier.record.write(Entry::Told(up_to));
        }
        Ok(())
    }

    /// Tells it of one step, if it hears of it. It is to be held only where it may be.
    async fn hear(&mut self, item: &Item, may_hold: bool) -> Result<Heard, RoundError> {
        let step = &item.step;
        if step.kind == DeliveryKind::Drill {
            self.drill(step).await;
            return Ok(Heard::Done);
        }
        let Some(row) = blocking::here(|| self.parts.store.alert(step.alert))? else { return Ok(Heard::Done) };
        let was_held = item.source == Source::Held;
        if was_held && self.courier.is_too_old(step) {
            self.courier.give_up_rest(step.id)?;
            return Ok(Heard::Done);
        }
        let quiet = may_hold && self.ear.is_quiet(self.parts.clock.now());
        let told = match self.ear.decide(&self.parts.hearing.notes, &row, step.kind, quiet) {
            Verdict::Tell(_) | Verdict::Hold if !was_held && self.is_history(step, &row)? => {
                self.courier.give_up_rest(step.id)?;
                return Ok(Heard::Done);
            }
            // The hours came to their end just now: what was held before it goes before it, or is over with it.
            Verdict::Tell(_) if may_hold && self.is_behind_held(step)? => return Ok(Heard::Hold),
            Verdict::Tell(told) => told,
            Verdict::Hold => return Ok(self.holds(step)?),
            Verdict::PassOver => {
                if self.kept.why(step.id).is_some() {
                    self.courier.unask_owed(step.id)?;
                }
                return Ok(Heard::Done);
            }
        };
        if self.kept.is_behind(step) {
            return Ok(Heard::Behind);
        }
        // Of what was held, the day it is tried for begins now.
        let age = if was_held { self.courier.fresh() } else { self.courier.age(step) };
        let event = hearing::event(step, &row, &self.parts.hearing.notes, told);
        // Kept before the place in the record moved on, it is read as new after a cut.
        let again = self.kept.why(step.id).is_some();
        let heard = self.tell(step, event, age, again).await?;
        if self.kept.is_failed(step.id) && !matches!(heard, Heard::Failed(_)) {
            self.trouble(format!("its script answers for alert {} after all", step.alert));
            // What waits of it is asked for again, too.
            self.courier.under_way.wake();
        }
        Ok(heard)
    }

    /// Whether it will be told as news how an alert ended, which it did once the hours were no longer quiet: then it is told of all of it.
    fn ends_anew(&self, row: &AlertRow) -> Result<bool, StoreError> {
        let said = self.ear.decide(&self.parts.hearing.notes, row, DeliveryKind::Cleared, false);
        let Some(mut after) = self.agenda.read_up_to().filter(|_| matches!(said, Verdict::Tell(_))) else {
            return Ok(false);
        };
        if self.agenda.ends(row.alert.id) {
            return Ok(true);
        }
        // Recorded since the record was read.
        let is_end = |step: &DeliveryStep| step.alert == row.alert.id && step.kind == DeliveryKind::Cleared;
        loop {
            let steps = self.parts.store.delivery_steps_after(after, PAGE)?;
            let Some(last) = steps.last() else { return Ok(false) };
            if steps.iter().any(is_end) {
                return Ok(true);
            }
            after = last.id;
        }
    }

    /// A step comes in quiet hours: it is held, unless it was told before them and is read again after a cut. Held, it would count as one that
    /// nobody has heard of, and an alert that ends in these hours as one that came and went in them.
    fn holds(&self, step: &DeliveryStep) -> Result<Heard, StoreError> {
        let written = blocking::here(|| self.parts.store.requests_of_step(&self.name, step.id))?;
        if written.is_empty() {
            return Ok(Heard::Hold);
        }
        let owed: BTreeSet<Target> =
            written.iter().filter(|one| one.came == Came::Owed).filter_map(|one| one.target).collect();
        Ok(if owed.is_empty() { Heard::Done } else { Heard::Owes(owed) })
    }

    /// Whether something of the same alert is still held that comes before a step.
    fn is_behind_held(&self, step: &DeliveryStep) -> Result<bool, StoreError> {
        let held = blocking::here(|| self.parts.store.held_for_plugin(&self.name, HELD_MAX))?;
        Ok(is_behind(step, &held))
    }

    /// What is held of an alert whose end this is, if the step is among it with which the output joins: nobody was told of it, nor needs
    /// to be.
    fn came_and_went(&self, step: &DeliveryStep) -> Result<Vec<DeliveryStepId>, StoreError> {
        if step.kind != DeliveryKind::Cleared {
            return Ok(Vec::new());
        }
        let mut held = blocking::here(|| self.parts.store.held_for_plugin(&self.name, HELD_MAX))?;
        held.retain(|other| other.alert == step.alert);
        let joins = joins(self.ear.ear.route.from_level);
        let is_unheard = held.iter().any(|other| other.kind == joins);
        Ok(if is_unheard { held.into_iter().map(|other| other.id).collect() } else { Vec::new() })
    }

    /// The script failed on a step, which is kept: it says so once, for as long as it is the same.
    pub(super) fn keep_failed(&mut self, step: &DeliveryStep, urgency: Urgency, why: String) -> Result<(), StoreError> {
        let text = format!("alert {}: {why}; it is kept and its script asked again", step.alert);
        let (stands, is_told) = self.kept.failed(step.id, why, self.parts.clock.uptime());
        if !is_told {
            tracing::error!(plugin = %self.name, alert = %step.alert, "an output failed; it is asked again");
            self.trouble(text);
        }
        let gave_way = self.kept.gives_way(step.id);
        self.keep(*step, urgency, stands)?;
        if self.kept.gives_way(step.id) && !gave_way {
            // What waits of later steps of its alert goes from here on.
            self.courier.under_way.wake();
        }
        Ok(())
    }

    /// A step is kept. Where there is no room, the one that is missed least goes, which may be this one.
    fn keep(&mut self, step: DeliveryStep, urgency: Urgency, stands: Stands) -> Result<(), StoreError> {
        let before: Option<KeptFor> = self.kept.why(step.id);
        if let Some(least) = self.kept.gives_room(&step, urgency) {
            self.trouble(format!("too much is kept for it: a step of alert {} is given up", least.alert));
            self.courier.give_up_rest(least.id)?;
            if least.id == step.id {
                return Ok(());
            }
            self.let_go(&least);
            self.agenda.done(least.id);
        }
        let why = stands.why();
        self.kept.put(step, urgency, stands);
        if before != Some(why) {
            self.courier.record.write(Entry::Kept(step.id, why));
        }
        Ok(())
    }

    /// A step is kept no longer, if it was.
    fn let_go(&mut self, step: &DeliveryStep) {
        if self.kept.remove(step.id) {
            self.courier.record.write(Entry::LetGo(step.id));
        }
    }
}

/// Whether a step comes after one of the same alert among those that are held.
fn is_behind(step: &DeliveryStep, held: &[DeliveryStep]) -> bool {
    held.iter().any(|other| other.alert == step.alert && other.id < step.id)
}

#[cfg(test)]
mod tests {
    use pitchside_model::{AlertId, Timestamp};

    use super::*;

    #[test]
    fn a_step_stands_behind_what_is_held_of_its_alert_from_before_it_and_behind_nothing_else() {
        let step = |id, alert: u8, kind| {
            let (recorded_at, alert) = (Timestamp(id), AlertId([alert; 16]));
            DeliveryStep { id: DeliveryStepId(id), recorded_at, alert, kind }
        };
        let held = [step(3, 1, DeliveryKind::Raised), step(7, 2, DeliveryKind::Escalated(1))];
        for (id, alert, kind, expected) in [
            (4, 1, DeliveryKind::Escalated(1), true),
            (5, 1, DeliveryKind::Acknowledged, true),
            (6, 1, DeliveryKind::Cleared, true),
            (8, 2, DeliveryKind::Acknowledged, true),
            (3, 1, DeliveryKind::Raised, false),
            (2, 2, DeliveryKind::Raised, false),
            (9, 3, DeliveryKind::Raised, false),
        ] {
            assert_eq!(is_behind(&step(id, alert, kind), &held), expected, "{id} {kind:?}");
        }
    }
}
