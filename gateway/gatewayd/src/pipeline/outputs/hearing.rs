//! What an output hears of a step: the words of [`crate::delivery`] brought together with the record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pitchside_config::{Category, Delivery, Route};
use pitchside_model::{Alert, DeviceId, PluginName, Priority, Quantity, RuleName, Timestamp};
use pitchside_rules::drill::{DRILL_DEVICE, DRILL_RULE};
use pitchside_script::manifest::RuleCategory;
use pitchside_script::output::{Event, Step};
use pitchside_store::{AlertRow, DeliveryKind, DeliveryStep};
use tokio::time::Instant;

use crate::delivery::quiet::Quiet;
use crate::delivery::route::{Ear, Life, Verdict};
use crate::pipeline::delivery::RuleNotes;
use crate::pipeline::delivery::muster::Muster;
use crate::plugins::wanted::Inventory;

/// Who hears of what.
#[derive(Clone)]
pub struct Hearing {
    routes: Arc<BTreeMap<PluginName, Route>>,
    zone: Arc<str>,
    /// What the rules say of the delivery of their alerts.
    pub notes: Arc<RuleNotes>,
    /// Told what becomes of drills.
    pub muster: Muster,
    drill_within: Duration,
}

impl Hearing {
    /// As the settings say.
    pub fn new(settings: &Delivery, notes: Arc<RuleNotes>, muster: Muster) -> Self {
        Self {
            routes: Arc::new(settings.routes.clone()),
            zone: Arc::from(settings.zone.as_str()),
            notes,
            muster,
            drill_within: Duration::from_secs(u64::from(settings.drill_within_s)),
        }
    }

    /// What one output hears of.
    pub fn ear(&self, name: &PluginName, hears: &[Step]) -> anyhow::Result<OutputEar> {
        let route = self.routes.get(name).cloned().unwrap_or_default();
        let quiet = route.quiet.map(|hours| Quiet::new(hours, &self.zone)).transpose()?;
        Ok(OutputEar { ear: Ear { hears: hears.to_vec(), route }, quiet })
    }
}

impl Hearing {
    /// The outputs that run, with the steps each hears of: who takes part in drills. And those that should run and do not, with why.
    pub fn note_outputs<'a>(
        &self,
        outputs: impl Iterator<Item = (&'a PluginName, &'a [Step])>,
        down: BTreeMap<PluginName, String>,
    ) {
        let (taking_part, aside): (Vec<_>, Vec<_>) = outputs.partition(|(_, hears)| hears.contains(&Step::Drill));
        let names = |outputs: Vec<(&PluginName, &[Step])>| outputs.into_iter().map(|(name, _)| name.clone()).collect();
        self.muster.replace(names(taking_part), names(aside), down);
    }

    /// Says at a start which routes nobody follows: their outputs may still come, so nothing is refused.
    pub fn warn_of_routes(&self, inventory: &Inventory) {
        for name in routes_of_nobody(&self.routes, inventory) {
            tracing::warn!(route = %name, "there is no output of this name, and nobody follows its route: pitchside plugin list");
        }
    }

    /// Until when a drill is to be delivered that is told `now`; none if that is over.
    pub fn drill_until(&self, step: &DeliveryStep, now: Timestamp) -> Option<Instant> {
        let gone = Duration::from_micros(u64::try_from(now.micros_since(step.recorded_at)).unwrap_or(0));
        Some(Instant::now() + self.drill_within.checked_sub(gone)?)
    }
}

/// The routes, by name, for which there is no output.
pub fn routes_of_nobody<'a>(routes: &'a BTreeMap<PluginName, Route>, inventory: &Inventory) -> Vec<&'a PluginName> {
    routes.keys().filter(|name| !inventory.has_output(name)).collect()
}

/// What one output hears of, and when.
pub struct OutputEar {
    /// Of what.
    pub ear: Ear,
    quiet: Option<Quiet>,
}

impl OutputEar {
    /// Whether its hours are quiet.
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        self.quiet.as_ref().is_some_and(|quiet| quiet.until(now).is_some())
    }

    /// What becomes of a step.
    pub fn decide(&self, notes: &RuleNotes, row: &AlertRow, kind: DeliveryKind, quiet: bool) -> Verdict {
        let level = row.escalations.iter().map(|(level, _)| *level).max().unwrap_or(0);
        let life = Life { priority: row.alert.priority, category: notes.of(&row.alert.rule).category, level };
        self.ear.decide(&life, kind, quiet)
    }
}

/// A step as its script is told, as `told`.
pub fn event(step: &DeliveryStep, row: &AlertRow, notes: &RuleNotes, told: Step) -> Event {
    let (mut level, mut by, mut at) = (0, None, step.recorded_at);
    match step.kind {
        DeliveryKind::Raised => at = row.alert.event_time,
        DeliveryKind::Cleared => {
            at = row.cleared.unwrap_or(at);
            by = row.reset.as_ref().map(|reset| reset.by.clone());
        }
        DeliveryKind::Acknowledged => by = row.acknowledged.as_ref().map(|(by, _)| by.clone()),
        DeliveryKind::Escalated(to) => level = to,
        DeliveryKind::Drill => {}
    }
    if matches!(step.kind, DeliveryKind::Acknowledged | DeliveryKind::Cleared) {
        level = row.escalations.iter().map(|(level, _)| *level).max().unwrap_or(0);
    }
    let category = match notes.of(&row.alert.rule).category {
        Category::Physiological => RuleCategory::Physiological,
        Category::Technical => RuleCategory::Technical,
    };
    Event { step: told, at, level, by, category, alert: row.alert.clone() }
}

/// A drill as its script is told: what the built-in rule raised, of the box.
pub fn drill(step: &DeliveryStep) -> Result<Event, String> {
    let named = |error: pitchside_model::id::NameError| error.to_string();
    let alert = Alert {
        id: step.alert,
        rule: RuleName::parse(DRILL_RULE).map_err(named)?,
        rule_version: "1.0.0".to_owned(),
        priority: Priority::High,
        athlete: None,
        device: DeviceId::parse(DRILL_DEVICE).map_err(named)?,
        quantity: Quantity::BATTERY,
        value: None,
        unit: Quantity::BATTERY.unit(),
        event_time: step.recorded_at,
        message: "This is a drill: the alert path works up to here.".to_owned(),
    };
    Ok(Event { step: Step::Drill, at: step.recorded_at, level: 0, by: None, category: RuleCategory::Technical, alert })
}
