//! When an alert that nobody has acknowledged goes a level higher. Time is uptime, which only passes: what the clock on the wall is
//! set to meanwhile changes nothing. After a restart the wall's clock says how long each has waited already, the only clock that
//! was there.

use std::collections::BTreeMap;
use std::time::Duration;

use pitchside_model::AlertId;

/// The most alerts watched; of others it is said that they do not escalate.
pub const WATCHED_MAX: usize = 4_096;

/// How one alert escalates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The time from each level to the next.
    pub after: Duration,
    /// How many there are.
    pub levels: u8,
}

impl Plan {
    /// The plan of an alert: as the settings say for its priority, or sooner if its rule asks for that; none if it never escalates.
    pub fn of(by_priority: Option<Duration>, by_rule: Option<Duration>, levels: u8) -> Option<Self> {
        let after = match (by_priority, by_rule) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        (levels > 0).then_some(Self { after, levels })
    }
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    plan: Plan,
    level: u8,
    /// Uptime.
    due: Duration,
}

/// What became of an alert that is to be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is watched, or was already.
    Watched,
    /// It has gone as far as it goes.
    AtTheTop,
    /// There are [`WATCHED_MAX`]: it will not escalate.
    Full,
}

/// All alerts that wait for somebody.
#[derive(Debug, Default)]
pub struct Escalations {
    watched: BTreeMap<AlertId, Watched>,
}

impl Escalations {
    /// Watches an alert that has reached `level`, and has waited there for so long.
    pub fn watch(&mut self, alert: AlertId, plan: Plan, level: u8, waited: Duration, uptime: Duration) -> Taken {
        if level >= plan.levels {
            return Taken::AtTheTop;
        }
        if self.watched.contains_key(&alert) {
            return Taken::Watched;
        }
        if self.watched.len() >= WATCHED_MAX {
            return Taken::Full;
        }
        let due = uptime.saturating_add(plan.after.saturating_sub(waited));
        self.watched.insert(alert, Watched { plan, level, due });
        Taken::Watched
    }

    /// How many are watched.
    pub fn count(&self) -> usize {
        self.watched.len()
    }

    /// Somebody has seen it, or it is over.
    pub fn forget(&mut self, alert: AlertId) {
        self.watched.remove(&alert);
    }

    /// What is due, and to which level: one level at a time, however long nobody looked. It stays due until it is
    /// [`escalated`](Self::escalated) or forgotten.
    pub fn due(&self, uptime: Duration) -> Vec<(AlertId, u8)> {
        self.watched.iter().filter(|(_, w)| w.due <= uptime).map(|(alert, w)| (*alert, w.level + 1)).collect()
    }

    /// An alert has reached a level, as is recorded by now; the next takes as long again.
    pub fn escalated(&mut self, alert: AlertId, level: u8, uptime: Duration) {
        let Some(watched) = self.watched.get_mut(&alert) else { return };
        (watched.level, watched.due) = (level, uptime.saturating_add(watched.plan.after));
        if level >= watched.plan.levels {
            self.watched.remove(&alert);
        }
    }
}

#[cfg(test)]
mod tests;
