//! Who is told of alerts, and when.

use std::sync::Arc;

use anyhow::Context as _;
use pitchside_admin::Events;
use pitchside_collect::mqtt::Gate;
use pitchside_config::Settings;
use pitchside_rules::RuleSet;
use pitchside_store::{DeliveryStepId, Store};

use crate::clock::Clock;
use crate::pipeline::alerts::Alerts;
use crate::pipeline::delivery::drills::{DrillParts, Drills};
use crate::pipeline::delivery::muster::Muster;
use crate::pipeline::delivery::{Escalator, RuleNotes};
use crate::pipeline::outputs::hearing::Hearing;
use crate::pipeline::rules::RulesFeed;
use crate::pipeline::telling::Telling;

/// What rules, outputs, escalations and drills know of each other.
pub(super) struct DeliveryWires {
    /// What the rules in force say of the delivery of their alerts.
    pub(super) notes: Arc<RuleNotes>,
    muster: Muster,
}

impl DeliveryWires {
    /// What the folder says counts until the rules are loaded; if it can't be read, they say so.
    pub(super) fn new(settings: &Settings) -> Self {
        let notes = RuleNotes::default();
        if let Some(Ok(set)) = settings.rules.dir.as_deref().map(RuleSet::read) {
            notes.replace(&set);
        }
        Self { notes: Arc::new(notes), muster: Muster::default() }
    }

    pub(super) fn telling(&self, store: &Store, events: &Events) -> anyhow::Result<Telling> {
        Telling::new(store.clone(), events.clone(), Arc::clone(&self.notes)).context("reading the record of alerts")
    }

    pub(super) fn hearing(&self, settings: &Settings) -> Hearing {
        Hearing::new(&settings.delivery, Arc::clone(&self.notes), self.muster.clone())
    }

    /// `told`: up to here MQTT subscribers find what is on the record.
    pub(super) fn escalator(
        &self,
        settings: &Settings,
        alerts: Alerts,
        told: DeliveryStepId,
        clock: &Clock,
    ) -> Escalator {
        Escalator {
            store: alerts.store.clone(),
            alerts,
            notes: Arc::clone(&self.notes),
            settings: settings.delivery.clone(),
            clock: clock.clone(),
            told,
        }
    }

    pub(super) fn drills(
        &self,
        settings: &Settings,
        rules: RulesFeed,
        alerts: &Alerts,
        gate: &Arc<Gate>,
        clock: &Clock,
    ) -> anyhow::Result<Drills> {
        let parts = DrillParts {
            store: alerts.store.clone(),
            alerts: alerts.clone(),
            rules,
            muster: self.muster.clone(),
            gate: Arc::clone(gate),
            settings: settings.delivery.clone(),
            clock: clock.clone(),
        };
        Drills::new(parts).context("reading how drills of the alert path ended")
    }
}
