//! What the page shows and does, from the store.

use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use parking_lot::RwLock;
use pitchside_admin::{
    AboutRule, AlertView, At, BlockView, CommandError, Commands, Event, Health, Ledger, LedgerLink, Metrics, Page,
    PasswordHash, Receipt, Role, STEPS_MAX, Status, Steps, StoredUser, UserName, Users, View, ViewError,
};
use pitchside_model::{AlertId, AlertState, Timestamp};
use pitchside_store::{
    AlertRow, BlockKey, BlockRow, DeliveryKind, DeliveryStep, DeliveryStepId, Level, Reset, Store, StoreError,
};

use crate::clock::Clock;
use crate::delivery::drill::Report;
use crate::pipeline::delivery::RuleNotes;
use crate::pipeline::telling::Telling;
use crate::pipeline::undecoded::troubles;
use crate::reset::{self, ResetError};

/// What is known of the way to the ledger.
#[derive(Debug, Clone, Copy)]
pub struct LedgerState {
    /// Up, down or not wanted.
    pub link: LedgerLink,
    /// When the last receipt came.
    pub last_receipt_at: Option<Timestamp>,
}

/// Implements all three traits of the page.
pub struct PageAdapter {
    /// The store.
    pub store: Store,
    /// Announces acknowledgements.
    pub telling: Arc<Telling>,
    /// Counters that the status repeats.
    pub metrics: Arc<Metrics>,
    /// The gateway's clock.
    pub clock: Clock,
    /// The gateway's name.
    pub name: String,
    /// When it started.
    pub started_at: Timestamp,
    /// The way to the ledger.
    pub ledger: Arc<RwLock<LedgerState>>,
    /// What the rules in force say of their alerts.
    pub notes: Arc<RuleNotes>,
}

fn unavailable(error: StoreError) -> ViewError {
    ViewError::Unavailable(error.to_string())
}

impl PageAdapter {
    fn view(&self, row: &AlertRow) -> AlertView {
        alert_view(row, self.notes.of(&row.alert.rule).shown())
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ViewError> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || read(&store))
            .await
            .map_err(|error| ViewError::Unavailable(error.to_string()))?
            .map_err(unavailable)
    }
}

#[async_trait]
impl View for PageAdapter {
    async fn status(&self) -> Result<Status, ViewError> {
        let backlog = self.read(|store| store.backlog()).await?;
        let ledger = *self.ledger.read();
        Ok(Status {
            gateway: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: At(self.started_at),
            devices_connected: u64::try_from(self.metrics.devices_connected.get()).unwrap_or(0),
            readings: self.metrics.readings.get(),
            ledger: Ledger {
                link: ledger.link,
                blocks_waiting: backlog.blocks,
                last_receipt_at: ledger.last_receipt_at.map(At),
            },
        })
    }

    async fn open_alerts(&self, rows: u32) -> Result<Vec<AlertView>, ViewError> {
        let rows = self.read(move |store| store.open_alerts(rows)).await?;
        Ok(rows.iter().map(|row| self.view(row)).collect())
    }

    async fn alerts(&self, rows: u32) -> Result<Vec<AlertView>, ViewError> {
        let rows = self.read(move |store| store.alerts(rows)).await?;
        Ok(rows.iter().map(|row| self.view(row)).collect())
    }

    async fn last_step(&self) -> Result<u64, ViewError> {
        self.read(|store| Ok(store.last_delivery_step()?.0.unsigned_abs())).await
    }

    async fn steps_after(&self, step: u64) -> Result<Option<Steps>, ViewError> {
        let Ok(after) = i64::try_from(step) else { return Ok(None) };
        let notes = Arc::clone(&self.notes);
        self.read(move |store| steps_after(store, &notes, DeliveryStepId(after))).await
    }

    async fn blocks(&self, page: Page) -> Result<Vec<BlockView>, ViewError> {
        let before = page.before.map(|index| BlockKey { incarnation: u64::MAX >> 1, index });
        let rows = self
            .read(move |store| {
                let newest = store.last_block()?;
                let before = before.map(|key| BlockKey { incarnation: newest.map_or(0, |b| b.key.incarnation), ..key });
                store.blocks_before(before, page.rows)
            })
            .await?;
        Ok(rows.iter().map(block_view).collect())
    }

    async fn health(&self) -> Health {
        let health = self.store.health();
        let mut problems: Vec<String> = health.problem.iter().map(ToString::to_string).collect();
        if !self.store.damaged_rows().is_empty() {
            problems
                .push(format!("{} journal rows did not open; run pitchside doctor", self.store.damaged_rows().len()));
        }
        // Readings are accepted all the same: what a plugin can't read now is kept.
        let ok = problems.is_empty();
        problems.extend(self.read(|store| Ok(troubles(store))).await.unwrap_or_default());
        problems.extend(self.read(alert_path).await.unwrap_or_default());
        Health { ok, problems }
    }
}

/// What the last drill found wrong with the alert path; or an output that is on, and whose script fails on alerts.
fn alert_path(store: &Store) -> Result<Option<String>, StoreError> {
    let drill = store.last_drill()?.and_then(|drill| drill.ended.map(|ended| (ended, drill.report)));
    if let Some(((at, false), report)) = drill {
        let report: Report = serde_json::from_str(&report).unwrap_or_default();
        return Ok(Some(format!("the alert path failed a drill at {at} ({report}); run pitchside doctor")));
    }
    for (name, _) in store.steps_failed()? {
        if store.plugin(&name)?.is_none_or(|row| row.enabled) {
            return Ok(Some(format!("the script of output {name} fails on alerts; run pitchside doctor")));
        }
    }
    Ok(None)
}

/// What happened to alerts after a step, if all of it is still on the record: numbers have no holes but where steps were deleted.
fn steps_after(store: &Store, notes: &RuleNotes, after: DeliveryStepId) -> Result<Option<Steps>, StoreError> {
    let last = store.last_delivery_step()?;
    if !(0..=i64::from(STEPS_MAX)).contains(&last.0.saturating_sub(after.0)) {
        return Ok(None);
    }
    let steps = store.delivery_steps_after(after, STEPS_MAX)?;
    let up_to = steps.last().map_or(after, |step| step.id);
    let whole = steps.iter().zip(after.0 + 1..).all(|(step, id)| step.id.0 == id);
    if !whole || up_to < last {
        return Ok(None);
    }
    let mut events = Vec::with_capacity(steps.len());
    for step in &steps {
        events.extend(step_event(store, notes, step)?.map(|event| (step.id.0.unsigned_abs(), event)));
    }
    Ok(Some(Steps { events, up_to: up_to.0.unsigned_abs() }))
}

/// A step as pages are told of it, with the alert as it stands now; none if it is a drill's, or its alert is no longer kept.
pub fn step_event(store: &Store, notes: &RuleNotes, step: &DeliveryStep) -> Result<Option<Event>, StoreError> {
    if step.kind == DeliveryKind::Drill {
        return Ok(None);
    }
    let id = step.alert;
    let Some(row) = store.alert(id)? else { return Ok(None) };
    let view = || alert_view(&row, notes.of(&row.alert.rule).shown());
    Ok(match step.kind {
        DeliveryKind::Raised => Some(Event::AlertRaised { alert: view() }),
        DeliveryKind::Escalated(_) => Some(Event::AlertEscalated { alert: view() }),
        DeliveryKind::Acknowledged => row
            .acknowledged
            .as_ref()
            .and_then(|(by, at)| Some(Event::AlertAcknowledged { id, by: UserName::parse(by)?, at: At(*at) })),
        DeliveryKind::Cleared => row.cleared.map(|at| {
            let by = row.reset.as_ref().and_then(|reset| UserName::parse(&reset.by));
            Event::AlertCleared { id, at: At(at), by }
        }),
        DeliveryKind::Drill => None,
    })
}

/// A block as the page shows it.
pub fn block_view(row: &BlockRow) -> BlockView {
    BlockView {
        index: row.key.index,
        hash: HEXLOWER.encode(&row.hash),
        sealed_at: At(row.sealed_at),
        readings: row.readings,
        payload_bytes: row.payload_bytes,
        receipt: receipt(row.level),
    }
}

/// A receipt level in the page's word.
pub fn receipt(level: Level) -> Receipt {
    match level {
        Level::R0 => Receipt::R0,
        Level::R1 => Receipt::R1,
        Level::R2 => Receipt::R2,
        Level::R3 => Receipt::R3,
    }
}

/// An alert and what became of it.
pub fn alert_view(row: &AlertRow, about: AboutRule) -> AlertView {
    let mut view = AlertView::raised(&row.alert, about);
    if let Some((by, at)) = &row.acknowledged {
        view.acknowledged_by = UserName::parse(by);
        view.acknowledged_at = Some(At(*at));
        view.state = AlertState::Acknowledged;
    }
    if let Some((level, at)) = row.escalations.last() {
        view.escalation = *level;
        view.escalated_at = Some(At(*at));
    }
    if let Some(at) = row.cleared {
        view.cleared_at = Some(At(at));
        view.reset_by = row.reset.as_ref().and_then(|reset| UserName::parse(&reset.by));
        view.reset_note = row.reset.as_ref().and_then(|reset| reset.note.clone());
        view.state = AlertState::Cleared;
    }
    view
}

impl Users for PageAdapter {
    fn find(&self, name: &UserName) -> Result<Option<StoredUser>, ViewError> {
        let Some(user) = self.store.user(name.as_str()).map_err(unavailable)? else { return Ok(None) };
        if user.disabled_at.is_some() {
            return Ok(None);
        }
        let role = Role::parse(&user.role)
            .ok_or_else(|| ViewError::Unavailable(format!("user {name} has an unknown role; add the user anew")))?;
        let password = PasswordHash::parse(&user.password_hash).map_err(|e| ViewError::Unavailable(e.to_string()))?;
        Ok(Some(StoredUser { role, password }))
    }
}

#[async_trait]
impl Commands for PageAdapter {
    async fn acknowledge(&self, id: AlertId, by: &UserName) -> Result<AlertView, CommandError> {
        let (store, name, now) = (self.store.clone(), by.to_string(), self.clock.now());
        let telling = Arc::clone(&self.telling);
        let acknowledge = move || store.acknowledge_alert(id, &name, now).inspect(|_| telling.tell());
        let row = tokio::task::spawn_blocking(acknowledge)
            .await
            .map_err(|error| CommandError::Unavailable(error.to_string()))?
            .map_err(|error| match error {
                StoreError::Unknown { .. } => CommandError::UnknownAlert(id),
                other => CommandError::Unavailable(other.to_string()),
            })?;
        Ok(self.view(&row))
    }

    async fn reset(&self, id: AlertId, by: &UserName, note: Option<&str>) -> Result<AlertView, CommandError> {
        let unavailable = |error: StoreError| CommandError::Unavailable(error.to_string());
        let read = |error: ViewError| CommandError::Unavailable(error.to_string());
        let (asked, now) = (Reset { by: by.to_string(), note: note.map(str::to_owned) }, self.clock.now());
        self.read(move |store| Ok(reset::ask(store, id, &asked, now))).await.map_err(read)?.map_err(
            |error| match error {
                ResetError::Unknown(id) => CommandError::UnknownAlert(id),
                ResetError::Over(_) => CommandError::AlertOver(id),
                ResetError::NeedsDrill(id) => CommandError::NeedsDrill(id),
                ResetError::Store(error) => unavailable(error),
            },
        )?;
        let over = async {
            let mut look = tokio::time::interval(reset::LOOK_EVERY);
            loop {
                look.tick().await;
                if let Some(row) = self.read(move |store| reset::done(store, id)).await? {
                    return Ok::<_, ViewError>(row);
                }
            }
        };
        match tokio::time::timeout(reset::WITHIN, over).await {
            Ok(row) => {
                let row = row.map_err(read)?;
                // Its condition ended before the rules came to it: the asker should know that nobody reset it.
                if row.reset.is_none() { Err(CommandError::AlertOver(id)) } else { Ok(self.view(&row)) }
            }
            Err(_) => Err(CommandError::ResetWaits(id)),
        }
    }
}
