//! Whether an output hears of a step, hears of it later, or never. What a script can make something of its manifest says (`hears`);
//! what its people want to hear of the settings say (`[delivery.routes.NAME]`).

use pitchside_config::{Category, Route};
use pitchside_model::Priority;
use pitchside_script::output::Step;
use pitchside_store::DeliveryKind;

/// What is known of an alert when one of its steps is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Its priority.
    pub priority: Priority,
    /// What it is about.
    pub category: Category,
    /// How far it has escalated by now.
    pub level: u8,
}

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is told, as this.
    Tell(Step),
    /// It waits for the end of quiet hours.
    Hold,
    /// It is none of this output's.
    PassOver,
}

/// What an output hears of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ear {
    /// As its manifest says.
    pub hears: Vec<Step>,
    /// As the settings say.
    pub route: Route,
}

impl Ear {
    /// Whether it takes part in drills.
    pub fn drills(&self) -> bool {
        self.hears.contains(&Step::Drill)
    }

    /// What becomes of a step of an alert, in quiet hours or not. Drills ask [`Self::drills`] instead.
    pub fn decide(&self, life: &Life, kind: DeliveryKind, quiet: bool) -> Verdict {
        let route = &self.route;
        let wanted = life.priority >= route.min_priority
            && (route.categories.is_empty() || route.categories.contains(&life.category));
        let (step, reached) = match kind {
            DeliveryKind::Raised => (Step::Raised, 0),
            DeliveryKind::Escalated(level) => (Step::Escalated, level),
            DeliveryKind::Acknowledged => (Step::Acknowledged, life.level),
            DeliveryKind::Cleared => (Step::Cleared, life.level),
            DeliveryKind::Drill => return Verdict::PassOver,
        };
        if !wanted || reached < route.from_level {
            return Verdict::PassOver;
        }
        let joins = step == Step::Escalated && reached == route.from_level;
        let step = match step {
            // Whoever hears of it only now, and knows no escalations, is told that it is raised.
            Step::Escalated if joins && !self.hears.contains(&Step::Escalated) => Step::Raised,
            step => step,
        };
        if !self.hears.contains(&step) {
            return Verdict::PassOver;
        }
        if quiet && life.priority < Priority::High { Verdict::Hold } else { Verdict::Tell(step) }
    }
}

/// The step with which an output joins that hears of alerts from this level on.
pub const fn joins(from_level: u8) -> DeliveryKind {
    if from_level == 0 { DeliveryKind::Raised } else { DeliveryKind::Escalated(from_level) }
}

/// How an alert stands of which something was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is raised, and nobody has seen it.
    Unseen,
    /// It is raised, and somebody has acknowledged it.
    Seen,
    /// It is over.
    Over,
}

/// What becomes of a step that was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is told.
    Told,
    /// It is held until its alert is over.
    Held,
    /// Nobody needs to hear of it any more.
    Moot,
}

/// What becomes of a step, one of those that were held of its alert, now that the hours are no longer quiet. Of an alert that came and went
/// in quiet hours nothing is told; of one that was told before them, that it is over. Nobody hears that an alert escalated which somebody
/// has acknowledged by now. An output that joins at `from_level`, and would have joined with that, hears nothing of it: so what is held stays
/// so, and its end comes behind it and goes with it.
pub fn after_quiet(kind: DeliveryKind, held: &[DeliveryKind], stands: Standing, from_level: u8) -> Fate {
    let is_unheard = held.contains(&joins(from_level));
    match stands {
        Standing::Unseen => Fate::Told,
        Standing::Seen if from_level > 0 && is_unheard => Fate::Held,
        Standing::Seen if matches!(kind, DeliveryKind::Escalated(_)) => Fate::Moot,
        Standing::Seen => Fate::Told,
        Standing::Over if !is_unheard && kind == DeliveryKind::Cleared => Fate::Told,
        Standing::Over => Fate::Moot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIGH: Life = Life { priority: Priority::High, category: Category::Physiological, level: 0 };
    const LOW: Life = Life { priority: Priority::Low, category: Category::Technical, level: 0 };

    fn ear(hears: &[Step], route: Route) -> Ear {
        Ear { hears: hears.to_vec(), route }
    }

    #[test]
    fn without_a_route_an_output_hears_all_that_its_script_knows() {
        let all = ear(&Step::ALL, Route::default());
        for (kind, step) in [
            (DeliveryKind::Raised, Step::Raised),
            (DeliveryKind::Escalated(1), Step::Escalated),
            (DeliveryKind::Acknowledged, Step::Acknowledged),
            (DeliveryKind::Cleared, Step::Cleared),
        ] {
            assert_eq!(all.decide(&LOW, kind, false), Verdict::Tell(step));
        }
        let old = ear(&[Step::Raised, Step::Cleared], Route::default());
        assert_eq!(old.decide(&HIGH, DeliveryKind::Raised, false), Verdict::Tell(Step::Raised));
        assert_eq!(old.decide(&HIGH, DeliveryKind::Escalated(1), false), Verdict::PassOver);
        assert!(all.drills() && !old.drills());
    }

    #[test]
    fn a_route_keeps_out_what_is_below_its_priority_or_about_something_else() {
        let medium = Route { min_priority: Priority::Medium, ..Route::default() };
        assert_eq!(ear(&Step::ALL, medium.clone()).decide(&LOW, DeliveryKind::Raised, false), Verdict::PassOver);
        assert_eq!(ear(&Step::ALL, medium).decide(&HIGH, DeliveryKind::Raised, false), Verdict::Tell(Step::Raised));
        let technical = Route { categories: vec![Category::Technical], ..Route::default() };
        assert_eq!(ear(&Step::ALL, technical.clone()).decide(&HIGH, DeliveryKind::Raised, false), Verdict::PassOver);
        assert_eq!(ear(&Step::ALL, technical).decide(&LOW, DeliveryKind::Raised, false), Verdict::Tell(Step::Raised));
    }

    #[test]
    fn one_for_level_two_hears_of_an_alert_when_it_gets_there_and_of_its_end() {
        let route = Route { from_level: 2, ..Route::default() };
        for (hears, joins) in [(&Step::ALL[..], Step::Escalated), (&[Step::Raised, Step::Cleared][..], Step::Raised)] {
            let ear = ear(hears, route.clone());
            let at = |level| Life { level, ..HIGH };
            assert_eq!(ear.decide(&at(0), DeliveryKind::Raised, false), Verdict::PassOver);
            assert_eq!(
                ear.decide(&at(2), DeliveryKind::Raised, false),
                Verdict::PassOver,
                "told late, it is no sooner"
            );
            assert_eq!(ear.decide(&at(1), DeliveryKind::Escalated(1), false), Verdict::PassOver);
            assert_eq!(ear.decide(&at(2), DeliveryKind::Escalated(2), false), Verdict::Tell(joins));
            assert_eq!(ear.decide(&at(1), DeliveryKind::Cleared, false), Verdict::PassOver);
            assert_eq!(ear.decide(&at(2), DeliveryKind::Cleared, false), Verdict::Tell(Step::Cleared));
        }
    }

    #[test]
    fn quiet_hours_hold_all_but_high_priority() {
        let ear = ear(&Step::ALL, Route::default());
        assert_eq!(ear.decide(&LOW, DeliveryKind::Raised, true), Verdict::Hold);
        assert_eq!(ear.decide(&LOW, DeliveryKind::Cleared, true), Verdict::Hold);
        assert_eq!(ear.decide(&HIGH, DeliveryKind::Raised, true), Verdict::Tell(Step::Raised));
    }

    /// Those of what was held of which this becomes.
    fn of_held(fate: Fate, held: &[DeliveryKind], stands: Standing, from_level: u8) -> Vec<DeliveryKind> {
        held.iter().copied().filter(|kind| after_quiet(*kind, held, stands, from_level) == fate).collect()
    }

    #[test]
    fn of_an_alert_that_came_and_went_in_quiet_hours_nothing_is_told() {
        use DeliveryKind::{Cleared, Escalated, Raised};
        let told = |held: &[DeliveryKind], stands, from_level| of_held(Fate::Told, held, stands, from_level);
        assert_eq!(told(&[Raised, Escalated(1)], Standing::Unseen, 0), [Raised, Escalated(1)]);
        for (held, from_level) in [(&[Raised, Escalated(1), Cleared][..], 0), (&[Escalated(1), Cleared][..], 1)] {
            assert_eq!(of_held(Fate::Moot, held, Standing::Over, from_level), held);
        }
    }

    #[test]
    fn of_an_alert_that_was_told_before_quiet_hours_and_ended_in_them_the_end_is_told() {
        use DeliveryKind::{Cleared, Escalated};
        let told = |held: &[DeliveryKind], from_level| of_held(Fate::Told, held, Standing::Over, from_level);
        assert_eq!(told(&[Cleared], 0), [Cleared]);
        assert_eq!(told(&[Escalated(1), Cleared], 0), [Cleared], "escalated, not joined");
        assert_eq!(told(&[Escalated(2), Cleared], 1), [Cleared]);
    }

    #[test]
    fn that_an_alert_escalated_is_told_nobody_once_somebody_has_seen_it() {
        use DeliveryKind::{Acknowledged, Escalated, Raised};
        let of = |fate, held: &[DeliveryKind], from_level| of_held(fate, held, Standing::Seen, from_level);
        assert_eq!(of(Fate::Told, &[Acknowledged], 0), [Acknowledged]);
        let all = [Raised, Escalated(1), Escalated(2), Acknowledged];
        assert_eq!(of(Fate::Told, &all, 0), [Raised, Acknowledged]);
        assert_eq!(of(Fate::Moot, &all, 0), [Escalated(1), Escalated(2)]);
        assert_eq!(of(Fate::Told, &[Escalated(2), Acknowledged], 1), [Acknowledged], "it joined before them");
        let unheard = [Escalated(1), Escalated(2), Acknowledged];
        assert_eq!(of(Fate::Held, &unheard, 1), unheard, "nor does it hear of the end of what it never heard of");
    }
}
