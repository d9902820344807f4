//! Steps in alerts' lives: each is recorded exactly once, whatever is replayed, and encrypted.

use pitchside_model::{Alert, AlertEvent, AlertId, AthleteId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use crate::delivery;
use crate::erasure::is_erased;
use crate::error::StoreError;
use crate::key::Vault;
use crate::resets::{self, Reset};
use crate::sql;
use crate::tables::Tables;

/// The most events one call records.
pub const EVENTS_MAX: usize = 4_096;
/// The most rows one call lists.
pub const ROWS_MAX: u32 = 1_000;

/// Number of a step, rising in the order of recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct AlertStepId(pub i64);

/// One recorded step.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertStep {
    /// Its number.
    pub id: AlertStepId,
    /// When it was recorded, by the gateway's clock.
    pub recorded_at: Timestamp,
    /// What the rules said, or somebody did.
    pub event: AlertEvent,
    /// If the alert was cleared by hand: who reset it.
    pub by: Option<String>,
}

/// An alert with all its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// As it was raised.
    pub alert: Alert,
    /// When that was recorded, by the gateway's clock.
    pub recorded_at: Timestamp,
    /// Whether that it was raised has reached the page and the broker.
    pub delivered: bool,
    /// When it had, by the gateway's clock; none also of an alert from before that was kept.
    pub delivered_at: Option<Timestamp>,
    /// Who has seen it, and when, if anybody has.
    pub acknowledged: Option<(String, Timestamp)>,
    /// Event time of the reading that cleared it, if one has; when it was reset, by the gateway's clock, if somebody did.
    pub cleared: Option<Timestamp>,
    /// Who reset it, and why, if it was cleared by hand.
    pub reset: Option<Reset>,
    /// The levels it has escalated to, and when, by the gateway's clock.
    pub escalations: Vec<(u8, Timestamp)>,
}

/// What was newly recorded.
pub type NewAlerts = Vec<AlertStep>;

/// What a step's body says.
#[derive(Serialize, Deserialize)]
enum Body {
    Raised(Alert),
    Acknowledged(String),
    Cleared(Timestamp),
}

/// In place of a time: a step went out before times were kept. 0: it did not go out yet.
const WENT_OUT: i64 = 1;

const RAISED: i64 = 0;
const ACKNOWLEDGED: i64 = 1;
const CLEARED: i64 = 2;

/// A step's body is bound to the alert and the step.
pub(crate) fn context(alert: AlertId, step: i64) -> [u8; 24] {
    let mut context = [0u8; 24];
    context[..16].copy_from_slice(&alert.0);
    context[16..].copy_from_slice(&step.to_be_bytes());
    context
}

fn damaged(alert: AlertId) -> StoreError {
    StoreError::Damaged { table: "alert_steps", row: alert.to_string() }
}

/// A step as it is stored.
struct Sealed {
    alert: AlertId,
    step: i64,
    body: Vec<u8>,
}

impl Sealed {
    fn new(vault: &Vault, boot: u64, alert: AlertId, step: i64, body: &Body) -> Result<Self, StoreError> {
        let plain = postcard::to_stdvec(body).map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Self { alert, step, body: vault.alerts.seal_copy(boot, &context(alert, step), &plain)? })
    }

    fn open(&self, vault: &Vault) -> Result<Body, StoreError> {
        let plain = vault.alerts.open(&context(self.alert, self.step), &self.body).map_err(|_| damaged(self.alert))?;
        postcard::from_bytes(&plain).map_err(|_| damaged(self.alert))
    }

    /// Inserts it unless that step is there; returns its number if it is new.
    fn record(&self, connection: &Connection, now: Timestamp) -> Result<Option<AlertStepId>, StoreError> {
        let mut insert = connection.prepare_cached(sql!("alerts/record"))?;
        let new = insert.execute(params![self.alert.0.as_slice(), self.step, now.0, self.body])?;
        Ok((new == 1).then(|| AlertStepId(connection.last_insert_rowid())))
    }

    fn read(row: &Row<'_>, from: usize) -> rusqlite::Result<Self> {
        Ok(Self { alert: AlertId(row.get(from)?), step: row.get(from + 1)?, body: row.get(from + 2)? })
    }
}

/// That an alert was cleared at a time, to be recorded in somebody else's transaction.
pub(crate) struct Clearing(Sealed);

impl Clearing {
    pub(crate) fn new(tables: &Tables, alert: AlertId, at: Timestamp) -> Result<Self, StoreError> {
        Ok(Self(Sealed::new(tables.vault(), tables.boot(), alert, CLEARED, &Body::Cleared(at))?))
    }

    /// Its step's number, if the alert was not over yet.
    pub(crate) fn record(&self, connection: &Connection, now: Timestamp) -> Result<Option<AlertStepId>, StoreError> {
        self.0.record(connection, now)
    }
}

/// An event with its step's sealed form.
fn seal(vault: &Vault, boot: u64, event: &AlertEvent) -> Result<Sealed, StoreError> {
    match event {
        AlertEvent::Raised(alert) => Sealed::new(vault, boot, alert.id, RAISED, &Body::Raised(alert.clone())),
        AlertEvent::Cleared { id, event_time } => Sealed::new(vault, boot, *id, CLEARED, &Body::Cleared(*event_time)),
    }
}

impl Tables {
    /// Records what the rules said and returns what of it was new, in order. The same event again, from a replay or a
    /// second reading of the journal, changes nothing, nor does one about an athlete who was erased.
    pub fn record_alerts(&self, events: &[AlertEvent], now: Timestamp) -> Result<NewAlerts, StoreError> {
        if events.len() > EVENTS_MAX {
            let (size, max) = (events.len() as u64, EVENTS_MAX as u64);
            return Err(StoreError::TooLarge { what: "a list of alert events", size, max });
        }
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let sealed: Vec<Sealed> =
            events.iter().map(|event| seal(self.vault(), self.boot(), event)).collect::<Result<_, _>>()?;
        let events = events.to_vec();
        self.write(move |connection| {
            let mut new = Vec::new();
            for (event, sealed) in events.iter().zip(&sealed) {
                if !is_wanted(connection, event)? {
                    continue;
                }
                if let Some(id) = sealed.record(connection, now)? {
                    new.push(AlertStep { id, recorded_at: now, event: event.clone(), by: None });
                }
            }
            Ok(new)
        })
    }

    /// Notes that somebody has seen an alert. Doing so twice changes nothing: the first name stays.
    pub fn acknowledge_alert(&self, alert: AlertId, by: &str, now: Timestamp) -> Result<AlertRow, StoreError> {
        let body = Body::Acknowledged(by.chars().take(64).collect());
        let sealed = Sealed::new(self.vault(), self.boot(), alert, ACKNOWLEDGED, &body)?;
        self.write(move |connection| {
            let raised: Option<i64> = connection
                .prepare_cached(sql!("alerts/raised"))?
                .query_row([alert.0.as_slice()], |row| row.get(0))
                .optional()?;
            if raised.is_none() {
                return Err(StoreError::Unknown { what: "alert", name: alert.to_string() });
            }
            sealed.record(connection, now).map(drop)
        })?;
        self.alert(alert)?.ok_or_else(|| StoreError::Unknown { what: "alert", name: alert.to_string() })
    }

    /// One alert.
    pub fn alert(&self, alert: AlertId) -> Result<Option<AlertRow>, StoreError> {
        let life = self.read(|connection| life_of(connection, alert))?;
        fold(self.vault(), life)
    }

    /// Alerts, the most lately raised first, at most [`ROWS_MAX`].
    pub fn alerts(&self, rows: u32) -> Result<Vec<AlertRow>, StoreError> {
        self.list(sql!("alerts/latest"), rows)
    }

    /// Alerts that are not both acknowledged and cleared, the most lately raised first, at most [`ROWS_MAX`].
    pub fn open_alerts(&self, rows: u32) -> Result<Vec<AlertRow>, StoreError> {
        self.list(sql!("alerts/open"), rows)
    }

    /// Alerts that are not cleared, the most lately raised first, at most [`ROWS_MAX`]: however many others nobody has acknowledged.
    pub fn standing_alerts(&self, rows: u32) -> Result<Vec<AlertRow>, StoreError> {
        self.list(sql!("alerts/standing"), rows)
    }

    fn list(&self, statement: &'static str, rows: u32) -> Result<Vec<AlertRow>, StoreError> {
        let lives = self.read(|connection| {
            let mut statement = connection.prepare_cached(statement)?;
            let ids = statement.query_map([rows.min(ROWS_MAX)], |row| row.get(0).map(AlertId))?;
            ids.map(|id| life_of(connection, id?)).collect::<Result<Vec<_>, StoreError>>()
        })?;
        lives.into_iter().filter_map(|life| fold(self.vault(), life).transpose()).collect()
    }

    /// Steps not yet marked as delivered, oldest first, at most [`ROWS_MAX`]. For the start after a crash.
    pub fn undelivered_alerts(&self, rows: u32) -> Result<Vec<AlertStep>, StoreError> {
        self.steps(sql!("alerts/undelivered"), [rows.min(ROWS_MAX)])
    }

    /// How alerts ended that were recorded as over since then and marked as delivered, the newest first, at most [`ROWS_MAX`]. For the
    /// start: who was away had no word of it.
    pub fn ends_since(&self, since: Timestamp, rows: u32) -> Result<Vec<AlertStep>, StoreError> {
        self.steps(sql!("alerts/ends"), params![since.0, rows.min(ROWS_MAX)])
    }

    /// Steps that are in no block yet, oldest first, at most [`ROWS_MAX`]. Acknowledgements are not sealed.
    pub fn unsealed_alerts(&self, rows: u32) -> Result<Vec<AlertStep>, StoreError> {
        self.steps(sql!("alerts/unsealed"), [rows.min(ROWS_MAX)])
    }

    /// The newest step there is; 0 if there is none.
    pub fn alerts_end(&self) -> Result<AlertStepId, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("alerts/end"))?;
            Ok(statement.query_row([], |row| row.get(0).map(AlertStepId))?)
        })
    }

    fn steps(&self, statement: &'static str, bounds: impl rusqlite::Params) -> Result<Vec<AlertStep>, StoreError> {
        let sealed = self.read(|connection| {
            let mut statement = connection.prepare_cached(statement)?;
            let rows = statement.query_map(bounds, |row| {
                let reset: Option<Vec<u8>> = row.get(5)?;
                Ok((AlertStepId(row.get(0)?), Timestamp(row.get(1)?), Sealed::read(row, 2)?, reset))
            })?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })?;
        let open = |(id, recorded_at, sealed, reset): (AlertStepId, Timestamp, Sealed, Option<Vec<u8>>)| {
            let event = match sealed.open(self.vault())? {
                Body::Raised(alert) => AlertEvent::Raised(alert),
                Body::Cleared(event_time) => AlertEvent::Cleared { id: sealed.alert, event_time },
                Body::Acknowledged(_) => return Err(damaged(sealed.alert)),
            };
            let by =
                reset.map(|body| resets::open(self.vault(), sealed.alert, &body)).transpose()?.map(|reset| reset.by);
            Ok(AlertStep { id, recorded_at, event, by })
        };
        sealed.into_iter().map(open).collect()
    }

    /// Marks steps as delivered at that time.
    pub fn set_alerts_delivered(&self, steps: &[AlertStepId], at: Timestamp) -> Result<(), StoreError> {
        let (steps, at) = (steps.to_vec(), at.0.max(WENT_OUT));
        self.write(move |connection| {
            let mut update = connection.prepare_cached(sql!("alerts/delivered"))?;
            steps.iter().try_for_each(|step| update.execute([step.0, at]).map(drop))?;
            Ok(())
        })
    }

    /// Deletes alerts that are over, seen by somebody, delivered, recorded before `before`, and in blocks with R3 (as are
    /// all blocks before those); returns how many steps went. `before` must lie further back than the rules replay: an
    /// older alert could be recorded twice.
    pub fn prune_alerts(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let proven: Option<i64> =
                connection.prepare_cached(sql!("blocks/proven_alerts"))?.query_row([], |row| row.get(0)).optional()?;
            let Some(proven) = proven else { return Ok(0) };
            let pruned = connection.prepare_cached(sql!("alerts/prune"))?.execute([before.0, proven])? as u64;
            delivery::prune(connection, before)?;
            Ok(pruned)
        })
    }
}

/// The alerts about an athlete. Those that do not open are nobody's.
pub(crate) fn of_athlete(
    connection: &Connection,
    vault: &Vault,
    athlete: &AthleteId,
) -> Result<Vec<AlertId>, StoreError> {
    let mut statement = connection.prepare_cached(sql!("erasure/raised"))?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let Ok(Body::Raised(alert)) = Sealed::read(row, 0)?.open(vault)
            && alert.athlete.as_ref() == Some(athlete)
        {
            found.push(alert.id);
        }
    }
    Ok(found)
}

/// Whether an event is of an alert that is on the record, or may come there. Of an athlete who was erased none may, and what clears an alert
/// that is not there clears nothing.
fn is_wanted(connection: &Connection, event: &AlertEvent) -> Result<bool, StoreError> {
    Ok(match event {
        AlertEvent::Raised(alert) => match &alert.athlete {
            Some(athlete) => !is_erased(connection, athlete)?,
            None => true,
        },
        AlertEvent::Cleared { id, .. } => {
            connection.prepare_cached(sql!("alerts/raised"))?.exists([id.0.as_slice()])?
        }
    })
}

/// An alert's steps, when each was recorded, and when it was delivered; the levels it has escalated to; who reset it, sealed.
struct Life {
    alert: AlertId,
    steps: Vec<(Sealed, Timestamp, i64)>,
    escalations: Vec<(u8, Timestamp)>,
    reset: Option<Vec<u8>>,
}

fn life_of(connection: &Connection, alert: AlertId) -> Result<Life, StoreError> {
    let mut statement = connection.prepare_cached(sql!("alerts/steps"))?;
    let rows = statement
        .query_map([alert.0.as_slice()], |row| Ok((Sealed::read(row, 0)?, Timestamp(row.get(3)?), row.get(4)?)))?;
    Ok(Life {
        alert,
        steps: rows.collect::<rusqlite::Result<_>>()?,
        escalations: delivery::escalations(connection, alert)?,
        reset: resets::done_of(connection, alert)?,
    })
}

/// None if the alert was never raised here.
fn fold(vault: &Vault, life: Life) -> Result<Option<AlertRow>, StoreError> {
    let (mut raised, mut acknowledged, mut cleared) = (None, None, None);
    for (sealed, recorded_at, delivered) in life.steps {
        match sealed.open(vault)? {
            Body::Raised(alert) => raised = Some((alert, recorded_at, delivered)),
            Body::Acknowledged(by) => acknowledged = Some((by, recorded_at)),
            Body::Cleared(event_time) => cleared = Some(event_time),
        }
    }
    let escalations = life.escalations;
    let reset = life.reset.map(|body| resets::open(vault, life.alert, &body)).transpose()?;
    Ok(raised.map(|(alert, recorded_at, delivered)| AlertRow {
        alert,
        recorded_at,
        delivered: delivered != 0,
        delivered_at: (delivered > WENT_OUT).then_some(Timestamp(delivered)),
        acknowledged,
        cleared,
        reset,
        escalations,
    }))
}
