//! What changes while running: devices, assignments, athletes (by a command, through the database), silence, old rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pitchside_model::DeviceId;
use pitchside_store::{Revisions, Store};
use tokio_util::sync::CancellationToken;

use super::front::Front;
use super::roster::Row;
use super::sealing::Sealing;
use crate::adapters::athletes::load_ring;
use crate::clock::Clock;
use crate::identity::Identity;

/// How often the database is asked for changes by other processes.
const CHANGES_EVERY: Duration = Duration::from_millis(200);
/// How often silence is looked for.
const SILENCE_EVERY: Duration = Duration::from_secs(1);
/// How often sealed rows beyond the rules' horizon are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(30);

/// Everything the watch looks after.
pub struct Watch {
    /// The front.
    pub front: Arc<Front>,
    /// The open batch.
    pub sealing: Arc<Sealing>,
    /// Journal, blocks, tables.
    pub store: Store,
    /// The box's keys.
    pub identity: Arc<Identity>,
    /// The gateway's clock.
    pub clock: Clock,
    /// A stream is silent after so many microseconds.
    pub silent_after_us: i64,
    /// How long sealed rows are kept, in microseconds.
    pub horizon_us: i64,
}

/// The roster as the database has it now.
pub fn roster(store: &Store) -> anyhow::Result<HashMap<DeviceId, Row>> {
    let mut rows: HashMap<DeviceId, Row> = HashMap::new();
    for device in store.devices()? {
        rows.insert(device.id, Row { athlete: None, decoder: device.decoder });
    }
    for assignment in store.assignments()? {
        rows.entry(assignment.device).or_default().athlete = Some(assignment.athlete);
    }
    Ok(rows)
}

impl Watch {
    /// Runs until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut changes = tokio::time::interval(CHANGES_EVERY);
        let mut silence = tokio::time::interval(SILENCE_EVERY);
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        let mut seen = None;
        loop {
            let result = tokio::select! {
                () = stop.cancelled() => return,
                _ = changes.tick() => self.changes(&mut seen),
                _ = silence.tick() => {
                    self.front.record_silence(self.silent_after_us).await;
                    Ok(())
                }
                _ = prune.tick() => self.prune().await,
            };
            if let Err(error) = result {
                tracing::warn!(error = %format!("{error:#}"), "the watch failed once; it goes on");
            }
        }
    }

    fn changes(&self, seen: &mut Option<Revisions>) -> anyhow::Result<()> {
        let now = self.store.changes()?;
        if *seen == Some(now) {
            return Ok(());
        }
        // Whoever is no longer let in goes first, whatever else fails.
        let ended = self.front.auth.refresh(self.clock.now());
        if let Ok(ended) = &ended {
            self.front.close(ended.clone());
        }
        // A new athlete's key must be there before the first reading is said to be theirs.
        self.sealing.set_ring(load_ring(&self.store, &self.identity)?);
        self.front.roster.replace(roster(&self.store)?);
        ended?;
        *seen = Some(now);
        Ok(())
    }

    async fn prune(&self) -> anyhow::Result<()> {
        let (store, now) = (self.store.clone(), self.clock.now());
        let before = now.plus_micros(-self.horizon_us);
        tokio::task::spawn_blocking(move || store.prune_journal(before, now)).await??;
        Ok(())
    }
}
