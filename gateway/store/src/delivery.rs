//! What outputs are told of: every step in an alert's life in one order, escalations and drills among them; how far each output
//! is, what is held for it in its quiet hours, what is kept for it, what became of each of its requests, and how drills ended. Ids and
//! times only: nothing here is health data.

mod kept;
mod requests;

use pitchside_model::{Alert, AlertId, PluginName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

pub use kept::{KEPT_MAX, KeptFor};
pub use requests::{Came, DeliveryRequest, REQUESTS_MAX, Target, WAITING_MAX, Written};

/// The most steps one call reads.
pub const STEPS_MAX: u32 = 1_000;
/// The most steps held for one output.
pub const HELD_MAX: u32 = 1_000;
/// The highest level of an escalation.
pub const LEVEL_MAX: u8 = 9;
/// Drills that are kept.
const DRILLS_KEPT: u32 = 200;
/// The longest report of a drill, in bytes.
pub const REPORT_BYTES_MAX: usize = 16 * 1024;

/// Number of a step, rising in the order of recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct DeliveryStepId(pub i64);

/// Which step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeliveryKind {
    /// The rule's condition holds.
    Raised,
    /// Somebody has seen it.
    Acknowledged,
    /// It holds no longer.
    Cleared,
    /// Nobody has seen it for too long: the level, from 1.
    Escalated(u8),
    /// A drill of the alert path; the id is the drill's own.
    Drill,
}

/// One step that outputs are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryStep {
    /// Its number.
    pub id: DeliveryStepId,
    /// When it was recorded, by the gateway's clock.
    pub recorded_at: Timestamp,
    /// Of which alert.
    pub alert: AlertId,
    /// Which.
    pub kind: DeliveryKind,
}

/// An alert that nobody has seen and that is not over.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingAlert {
    /// As it was raised.
    pub alert: Alert,
    /// When it was recorded, or last escalated, by the gateway's clock.
    pub since: Timestamp,
    /// The level it has reached; 0 for none.
    pub level: u8,
}

/// Number of a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DrillId(pub i64);

/// A drill of the alert path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillRow {
    /// Which.
    pub id: DrillId,
    /// When somebody, or the clock, asked for it.
    pub asked_at: Timestamp,
    /// Somebody did.
    pub by_hand: bool,
    /// When it ended, and whether the path was proven; none while it waits or runs.
    pub ended: Option<(Timestamp, bool)>,
    /// What each leg took.
    pub report: String,
}

fn kind(code: i64, level: i64) -> Option<DeliveryKind> {
    Some(match code {
        0 => DeliveryKind::Raised,
        1 => DeliveryKind::Acknowledged,
        2 => DeliveryKind::Cleared,
        3 => DeliveryKind::Escalated(u8::try_from(level).ok()?),
        4 => DeliveryKind::Drill,
        _ => return None,
    })
}

fn step(row: &Row<'_>) -> Result<DeliveryStep, StoreError> {
    let id: i64 = row.get(0)?;
    let kind = kind(row.get(3)?, row.get(4)?);
    let kind = kind.ok_or_else(|| StoreError::Damaged { table: "delivery_steps", row: id.to_string() })?;
    Ok(DeliveryStep { id: DeliveryStepId(id), recorded_at: Timestamp(row.get(1)?), alert: AlertId(row.get(2)?), kind })
}

fn drill(row: &Row<'_>) -> rusqlite::Result<DrillRow> {
    let (ended_at, proved): (Option<i64>, bool) = (row.get(3)?, row.get(4)?);
    Ok(DrillRow {
        id: DrillId(row.get(0)?),
        asked_at: Timestamp(row.get(1)?),
        by_hand: row.get(2)?,
        ended: ended_at.map(|at| (Timestamp(at), proved)),
        report: row.get(5)?,
    })
}

/// Everything of an output that is removed.
pub(crate) fn forget(connection: &Connection, name: &PluginName) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("delivery/told_forget"))?.execute([name.as_str()])?;
    connection.prepare_cached(sql!("delivery/held_forget"))?.execute([name.as_str()])?;
    connection.prepare_cached(sql!("delivery/kept_forget"))?.execute([name.as_str()])?;
    connection.prepare_cached(sql!("delivery/requests_forget"))?.execute([name.as_str()])?;
    Ok(())
}

/// Steps of alerts that are no longer kept.
pub(crate) fn prune(connection: &Connection, before: Timestamp) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("delivery/prune"))?.execute([before.0])?;
    prune_beside(connection)
}

/// What stands beside steps that are no longer there.
pub(crate) fn prune_beside(connection: &Connection) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("delivery/prune_held"))?.execute([])?;
    connection.prepare_cached(sql!("delivery/prune_kept"))?.execute([])?;
    connection.prepare_cached(sql!("delivery/prune_requests"))?.execute([])?;
    Ok(())
}

/// The levels an alert has reached, and when.
pub(crate) fn escalations(connection: &Connection, alert: AlertId) -> Result<Vec<(u8, Timestamp)>, StoreError> {
    let mut statement = connection.prepare_cached(sql!("delivery/escalations"))?;
    let levels = statement.query_map([alert.0.as_slice()], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?;
    Ok(levels.collect::<rusqlite::Result<_>>()?)
}

impl Tables {
    /// Steps recorded after this one, oldest first, at most [`STEPS_MAX`].
    pub fn delivery_steps_after(&self, after: DeliveryStepId, rows: u32) -> Result<Vec<DeliveryStep>, StoreError> {
        self.delivery_steps(sql!("delivery/after"), params![rows.min(STEPS_MAX), after.0])
    }

    fn delivery_steps(
        &self,
        statement: &'static str,
        bounds: impl rusqlite::Params,
    ) -> Result<Vec<DeliveryStep>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(statement)?;
            let mut rows = statement.query(bounds)?;
            let mut steps = Vec::new();
            while let Some(row) = rows.next()? {
                steps.push(step(row)?);
            }
            Ok(steps)
        })
    }

    /// The step recorded last; 0 if none was.
    pub fn last_delivery_step(&self) -> Result<DeliveryStepId, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/last"))?;
            Ok(DeliveryStepId(statement.query_row([], |row| row.get(0))?))
        })
    }

    /// Records that an alert has escalated to this level, once: none if it has already, or if by now somebody has seen it or it
    /// is over.
    pub fn escalate_alert(
        &self,
        alert: AlertId,
        level: u8,
        now: Timestamp,
    ) -> Result<Option<DeliveryStep>, StoreError> {
        if !(1..=LEVEL_MAX).contains(&level) {
            let (size, max) = (u64::from(level), u64::from(LEVEL_MAX));
            return Err(StoreError::TooLarge { what: "the level of an escalation", size, max });
        }
        self.write(move |connection| {
            let mut insert = connection.prepare_cached(sql!("delivery/escalate"))?;
            let new = insert.execute(params![alert.0.as_slice(), level, now.0])? == 1;
            let id = DeliveryStepId(connection.last_insert_rowid());
            Ok(new.then_some(DeliveryStep { id, recorded_at: now, alert, kind: DeliveryKind::Escalated(level) }))
        })
    }

    /// Alerts that nobody has seen and that are not over, the most lately raised first, at most [`STEPS_MAX`].
    pub fn waiting_alerts(&self, rows: u32) -> Result<Vec<WaitingAlert>, StoreError> {
        let found: Vec<(AlertId, Timestamp, u8)> = self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/waiting"))?;
            let rows = statement.query_map([rows.min(STEPS_MAX)], |row| {
                let level: Option<u8> = row.get(2)?;
                Ok((AlertId(row.get(0)?), Timestamp(row.get(1)?), level.unwrap_or(0)))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })?;
        let mut waiting = Vec::with_capacity(found.len());
        for (id, since, level) in found {
            if let Some(row) = self.alert(id)? {
                waiting.push(WaitingAlert { alert: row.alert, since, level });
            }
        }
        Ok(waiting)
    }

    /// Records a drill that came out of the rules, once.
    pub fn record_drill(&self, drill: AlertId, now: Timestamp) -> Result<Option<DeliveryStep>, StoreError> {
        self.write(move |connection| {
            let mut insert = connection.prepare_cached(sql!("delivery/drill"))?;
            let new = insert.execute(params![drill.0.as_slice(), now.0])? == 1;
            let id = DeliveryStepId(connection.last_insert_rowid());
            connection.prepare_cached(sql!("delivery/drill_trim"))?.execute([DRILLS_KEPT])?;
            Ok(new.then_some(DeliveryStep { id, recorded_at: now, alert: drill, kind: DeliveryKind::Drill }))
        })
    }

    /// The step up to which an output is done with all that is neither held nor kept for it; none if it has not been told of any.
    pub fn plugin_told(&self, name: &PluginName) -> Result<Option<DeliveryStepId>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/told"))?;
            Ok(statement.query_row([name.as_str()], |row| row.get(0).map(DeliveryStepId)).optional()?)
        })
    }

    /// Outputs that somebody set up, by name: they were granted something, or were told of steps already.
    pub fn outputs_set_up(&self) -> Result<Vec<PluginName>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/set_up"))?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(crate::plugins::plugin_name(&row.get::<_, String>(0)?)?);
            }
            Ok(found)
        })
    }

    /// An output is done with all steps up to this one that are neither held nor kept for it.
    pub fn set_plugin_told(&self, name: &PluginName, up_to: DeliveryStepId) -> Result<(), StoreError> {
        let name = name.clone();
        self.write(move |connection| {
            connection.prepare_cached(sql!("delivery/told_put"))?.execute(params![name.as_str(), up_to.0])?;
            Ok(())
        })
    }

    /// This step is held for an output. False, and nothing changed, if [`HELD_MAX`] are held.
    pub fn hold_for_plugin(&self, name: &PluginName, step: DeliveryStepId) -> Result<bool, StoreError> {
        let name = name.clone();
        self.write(move |connection| {
            let mut count = connection.prepare_cached(sql!("delivery/held_count"))?;
            let held: u32 = count.query_row(params![name.as_str(), step.0], |row| row.get(0))?;
            if held >= HELD_MAX {
                return Ok(false);
            }
            connection.prepare_cached(sql!("delivery/hold"))?.execute(params![name.as_str(), step.0])?;
            Ok(true)
        })
    }

    /// What is held for an output, oldest first.
    pub fn held_for_plugin(&self, name: &PluginName, rows: u32) -> Result<Vec<DeliveryStep>, StoreError> {
        self.delivery_steps(sql!("delivery/held"), params![rows.min(STEPS_MAX), name.as_str()])
    }

    /// A step is held no longer.
    pub fn release_for_plugin(&self, name: &PluginName, step: DeliveryStepId) -> Result<(), StoreError> {
        let name = name.clone();
        self.write(move |connection| {
            connection.prepare_cached(sql!("delivery/release"))?.execute(params![name.as_str(), step.0])?;
            Ok(())
        })
    }

    /// Asks for a drill; if one waits or runs already, that is it.
    pub fn ask_drill(&self, by_hand: bool, now: Timestamp) -> Result<DrillId, StoreError> {
        self.write(move |connection| {
            let mut waiting = connection.prepare_cached(sql!("drills/waiting"))?;
            if let Some(row) = waiting.query_row([], drill).optional()? {
                return Ok(row.id);
            }
            connection.prepare_cached(sql!("drills/ask"))?.execute(params![now.0, by_hand])?;
            let id = DrillId(connection.last_insert_rowid());
            connection.prepare_cached(sql!("drills/trim"))?.execute([DRILLS_KEPT])?;
            Ok(id)
        })
    }

    /// The drill that waits or runs.
    pub fn waiting_drill(&self) -> Result<Option<DrillRow>, StoreError> {
        self.one_drill(sql!("drills/waiting"), [])
    }

    /// One drill.
    pub fn drill(&self, id: DrillId) -> Result<Option<DrillRow>, StoreError> {
        self.one_drill(sql!("drills/one"), [id.0])
    }

    /// The drill that ended last.
    pub fn last_drill(&self) -> Result<Option<DrillRow>, StoreError> {
        self.one_drill(sql!("drills/latest"), [])
    }

    fn one_drill(
        &self,
        statement: &'static str,
        bounds: impl rusqlite::Params,
    ) -> Result<Option<DrillRow>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(statement)?;
            Ok(statement.query_row(bounds, drill).optional()?)
        })
    }

    /// A drill has ended. The report is cut at [`REPORT_BYTES_MAX`] by refusing it.
    pub fn end_drill(&self, id: DrillId, proved: bool, report: &str, now: Timestamp) -> Result<(), StoreError> {
        if report.len() > REPORT_BYTES_MAX {
            let (size, max) = (report.len() as u64, REPORT_BYTES_MAX as u64);
            return Err(StoreError::TooLarge { what: "the report of a drill", size, max });
        }
        let report = report.to_owned();
        self.write(move |connection| {
            let mut update = connection.prepare_cached(sql!("drills/end"))?;
            update.execute(params![id.0, now.0, proved, report])?;
            Ok(())
        })
    }

    /// When a drill last proved the path.
    pub fn path_proved_at(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("drills/proved"))?;
            Ok(statement.query_row([], |row| row.get(0).map(Timestamp)).optional()?)
        })
    }
}
