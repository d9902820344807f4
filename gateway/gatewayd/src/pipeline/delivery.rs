//! Alerts that nobody acknowledges go a level higher, and the alert path is proven by drills. What is due when is decided in
//! [`crate::delivery`]; here it is recorded, and told to the page and to MQTT, as is who acknowledged an alert, whichever program
//! recorded it. Outputs follow the same record by themselves.
//!
//! | module | holds |
//! | --- | --- |
//! | [`drills`] | the dead-man's switch |
//! | [`muster`] | which outputs take part in drills, and what became of one |

pub mod drills;
pub mod muster;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pitchside_admin::{AboutRule, AlertCategory};
use pitchside_config::{Category, Delivery};
use pitchside_model::{Alert, AlertId, RuleName};
use pitchside_rules::RuleSet;
use pitchside_rules::drill::PATH_RULE;
use pitchside_script::manifest::RuleCategory;
use pitchside_store::{DeliveryKind, DeliveryStep, DeliveryStepId, Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::alerts::Alerts;
use crate::blocking;
use crate::clock::Clock;
use crate::delivery::escalation::{Escalations, Plan, Taken};

/// How often it is looked whether something is due, or was recorded.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Steps read at a time.
const PAGE: u32 = 256;
/// Steps that may wait for the MQTT router.
const OWING_MAX: usize = 4_096;
/// Alerts taken up at a start.
const WAITING_MAX: u32 = pitchside_store::delivery::STEPS_MAX;

/// What the manifest of a rule says of its alerts.
#[derive(Debug, Clone, Copy)]
pub struct RuleNote {
    /// The longest they wait before they escalate.
    pub escalate: Option<Duration>,
    /// What they are about.
    pub category: Category,
    /// They stay until somebody resets them.
    pub latches: bool,
}

impl RuleNote {
    /// As it is shown with an alert.
    pub const fn shown(&self) -> AboutRule {
        let category = match self.category {
            Category::Physiological => AlertCategory::Physiological,
            Category::Technical => AlertCategory::Technical,
        };
        AboutRule { category, latches: self.latches }
    }
}

/// The same of every rule in force.
#[derive(Default)]
pub struct RuleNotes(ArcSwap<HashMap<RuleName, RuleNote>>);

impl RuleNotes {
    /// These rules are in force now.
    pub fn replace(&self, set: &RuleSet) {
        let note = |rule: &pitchside_rules::RuleSource| RuleNote {
            escalate: rule.manifest.escalate.and_then(|micros| u64::try_from(micros).ok()).map(Duration::from_micros),
            category: match rule.manifest.category {
                RuleCategory::Physiological => Category::Physiological,
                RuleCategory::Technical => Category::Technical,
            },
            latches: rule.manifest.latch,
        };
        self.0.store(Arc::new(set.rules().iter().map(|rule| (rule.name().clone(), note(rule))).collect()));
    }

    /// Of one rule. One that is in force no longer is taken for one about athletes: nobody is kept from hearing of it.
    pub fn of(&self, rule: &RuleName) -> RuleNote {
        let own = if rule.as_str() == PATH_RULE { Category::Technical } else { Category::Physiological };
        self.0.load().get(rule).copied().unwrap_or(RuleNote { escalate: None, category: own, latches: false })
    }
}

/// Watches alerts that wait for somebody, and tells MQTT subscribers that they wait longer, or no more.
pub struct Escalator {
    /// Alerts, and what became of them.
    pub store: Store,
    /// The page and MQTT.
    pub alerts: Alerts,
    /// What the rules say.
    pub notes: Arc<RuleNotes>,
    /// What the settings say.
    pub settings: Delivery,
    /// The gateway's clock.
    pub clock: Clock,
    /// Up to here MQTT subscribers find what is on the record.
    pub told: DeliveryStepId,
}

/// What the escalator knows while it runs.
struct Watching {
    escalations: Escalations,
    /// The record is read up to here.
    after: DeliveryStepId,
    /// Escalations and acknowledgements that did not reach the MQTT router, in their order.
    owing: Vec<DeliveryStep>,
}

impl Watching {
    fn owe(&mut self, step: DeliveryStep) {
        if self.owing.len() < OWING_MAX {
            self.owing.push(step);
        } else {
            tracing::error!(alert = %step.alert, "too much waits for the MQTT router; a step of this alert is not told there");
        }
    }
}

impl Escalator {
    /// Runs until stopped. Cut off anywhere, the next start goes on from what is recorded.
    pub async fn run(self, stop: CancellationToken) {
        let mut state: Option<Watching> = None;
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            if let Err(error) = blocking::here(|| self.look(&mut state)) {
                tracing::warn!(%error, "escalations could not be looked after; they stay due");
            }
        }
    }

    fn look(&self, state: &mut Option<Watching>) -> Result<(), StoreError> {
        let state = match state {
            Some(state) => state,
            None => state.insert(self.take_up()?),
        };
        // What whoever recorded it could not tell the page.
        self.alerts.telling.tell();
        // Read first: what is raised while the record is read escalates a moment early, and nothing late.
        let uptime = self.clock.uptime();
        loop {
            let steps = self.store.delivery_steps_after(state.after, PAGE)?;
            if steps.is_empty() {
                break;
            }
            for step in &steps {
                match step.kind {
                    DeliveryKind::Raised => {
                        if let Some(row) = self.store.alert(step.alert)? {
                            self.watch(&mut state.escalations, &row.alert, 0, Duration::ZERO, uptime);
                        }
                    }
                    DeliveryKind::Acknowledged => {
                        state.escalations.forget(step.alert);
                        state.owe(*step);
                    }
                    DeliveryKind::Cleared => state.escalations.forget(step.alert),
                    DeliveryKind::Escalated(_) | DeliveryKind::Drill => {}
                }
                // One by one: what cannot be read after it must not have it owed a second time.
                state.after = step.id;
            }
            self.publish(state);
        }
        for (alert, level) in state.escalations.due(self.clock.uptime()) {
            self.escalate(state, alert, level)?;
        }
        self.publish(state);
        self.alerts.watches(state.escalations.count());
        Ok(())
    }

    /// Tells MQTT subscribers what they are owed. What comes after a step of its alert that did not go out waits with it.
    fn publish(&self, state: &mut Watching) {
        let mut held_up = HashSet::new();
        state.owing.retain(|step| {
            let waits = held_up.contains(&step.alert)
                || match self.alerts.publish_step(step) {
                    Ok(()) => false,
                    // It will not be read the next time either.
                    Err(error) if matches!(error.downcast_ref::<StoreError>(), Some(StoreError::Damaged { .. })) => {
                        tracing::error!(%error, alert = %step.alert, "a step of an alert cannot be told to MQTT subscribers");
                        false
                    }
                    Err(_) => true,
                };
            if waits {
                held_up.insert(step.alert);
            }
            waits
        });
    }

    /// Every alert that waits. The place in the record is from before: what is recorded between the two is seen twice, which changes
    /// nothing.
    fn take_up(&self) -> Result<Watching, StoreError> {
        let mut escalations = Escalations::default();
        let waiting = self.store.waiting_alerts(WAITING_MAX)?;
        if waiting.len() >= WAITING_MAX as usize {
            tracing::error!("more than {WAITING_MAX} alerts wait for somebody; the oldest of them do not escalate");
        }
        // In this order: a clock that jumps in between makes an escalation early, and none late.
        let (uptime, now) = (self.clock.uptime(), self.clock.now());
        for alert in waiting {
            let waited = u64::try_from(now.micros_since(alert.since)).map_or(Duration::ZERO, Duration::from_micros);
            self.watch(&mut escalations, &alert.alert, alert.level, waited, uptime);
        }
        Ok(Watching { escalations, after: self.told, owing: Vec::new() })
    }

    fn watch(&self, escalations: &mut Escalations, alert: &Alert, level: u8, waited: Duration, uptime: Duration) {
        let by_priority = self.settings.escalate_after.of(alert.priority).map(pitchside_config::Span::duration);
        let by_rule = self.notes.of(&alert.rule).escalate;
        let Some(plan) = Plan::of(by_priority, by_rule, self.settings.escalate_levels) else { return };
        if escalations.watch(alert.id, plan, level, waited, uptime) == Taken::Full {
            tracing::error!(alert = %alert.id, "too many alerts wait for somebody; this one does not escalate");
        }
    }

    fn escalate(&self, state: &mut Watching, alert: AlertId, level: u8) -> Result<(), StoreError> {
        // Before anybody can hear of it: the next level counts from here.
        let uptime = self.clock.uptime();
        let step = self.store.escalate_alert(alert, level, self.clock.now())?;
        let row = self.store.alert(alert)?;
        let (Some(row), Some(step)) = (row, step) else {
            // Somebody has seen it, or it is over, since the record was read.
            state.escalations.forget(alert);
            return Ok(());
        };
        state.escalations.escalated(alert, level, uptime);
        tracing::warn!(%alert, rule = %row.alert.rule, level, "nobody has acknowledged an alert; it escalates");
        self.alerts.escalated();
        state.owe(step);
        Ok(())
    }
}
