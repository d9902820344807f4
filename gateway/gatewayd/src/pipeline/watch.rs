//! What changes while running: devices, assignments, athletes (by a command, through the database), silence, old rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pitchside_admin::Event;
use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_model::{AthleteId, DeviceId, Timestamp};
use pitchside_store::{Revisions, RowId, Store};
use tokio_util::sync::CancellationToken;

use super::alerts::Alerts;
use super::erased::Erased;
use super::front::Front;
use super::roster::Row;
use super::sealing::Sealing;
use super::streams::Noticed;
use crate::adapters::athletes::sealing_ring;
use crate::blocking;
use crate::clock::Clock;
use crate::identity::Identity;

/// How often the database is asked for changes by other processes.
const CHANGES_EVERY: Duration = Duration::from_millis(200);
/// How long to wait before what failed of letting go of an athlete is tried again: it may go through the whole journal.
const ERASED_AGAIN: Duration = Duration::from_secs(10);
/// How long after an athlete's key could not be made anew it is tried again.
const KEYS_AGAIN: Duration = Duration::from_secs(10);
/// How often silence is looked for.
const SILENCE_EVERY: Duration = Duration::from_secs(1);
/// How often sealed rows beyond the rules' horizon are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(30);
/// How much longer than the horizon rows are kept that no rule has heard, in microseconds.
const UNHEARD_KEPT: i64 = 24 * 3_600 * MICROS_PER_SECOND;
/// How long alerts stay in the list after they are sealed and delivered; they stay in the blocks for good.
const ALERTS_KEPT: i64 = 365 * 24 * 3_600 * MICROS_PER_SECOND;

/// Everything the watch looks after.
pub struct Watch {
    /// The front.
    pub front: Arc<Front>,
    /// What was said to later MQTT subscribers and open pages.
    pub alerts: Alerts,
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
    /// The last row of the journal that the rules need not hear again.
    pub heard_up_to: Arc<AtomicI64>,
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
    /// Runs until stopped. Each thing is looked after by itself: none waits for another's disk.
    pub async fn run(self, stop: CancellationToken) {
        let all = async { tokio::join!(self.changes(), self.silence(), self.prune()) };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = all => {}
        }
    }

    async fn changes(&self) {
        let mut every = tokio::time::interval(CHANGES_EVERY);
        let (mut seen, mut erased) = (None, Erased::of("watch"));
        let (mut held_off, mut keys_at) = (Duration::ZERO, None);
        loop {
            every.tick().await;
            let mut gaps = Vec::new();
            report(blocking::here(|| self.look(&mut seen, &mut keys_at, &mut gaps)));
            let gone = blocking::here(|| erased.look(&self.store, self.clock.uptime()));
            // That their streams ended is nobody's.
            for gap in &mut gaps {
                gap.athlete = gap.athlete.take().filter(|athlete| !erased.is_one(athlete));
            }
            // Before anything that takes long: whoever wears those devices now is heard already.
            self.front.record(gaps).await;
            if self.clock.uptime() >= held_off {
                let let_go = blocking::here(|| {
                    let gone = gone?;
                    gone.iter().try_for_each(|athlete| self.let_go_of(athlete))?;
                    Ok::<_, anyhow::Error>(erased.let_go(&self.store, &gone, self.clock.uptime())?)
                });
                if let_go.is_err() {
                    held_off = self.clock.uptime() + ERASED_AGAIN;
                }
                report(let_go);
            }
        }
    }

    /// Lets go of what the gateway itself still knows of an athlete who was erased, and of what it wrote down since.
    fn let_go_of(&self, athlete: &AthleteId) -> anyhow::Result<()> {
        for device in self.front.board.forget_athlete(athlete) {
            self.alerts.events.publish(&Event::Gone { device });
        }
        self.alerts.let_go_of(athlete);
        self.store.sweep_erased(athlete)?;
        Ok(self.store.recount_undecoded()?)
    }

    /// Takes up what changed, and by `keys_at` keys that could not be had before. `gaps`: the streams that ended because somebody else
    /// wears their device now, whatever fails after it.
    fn look(
        &self,
        seen: &mut Option<Revisions>,
        keys_at: &mut Option<Duration>,
        gaps: &mut Vec<Noticed>,
    ) -> anyhow::Result<()> {
        let (now, uptime) = (self.store.changes()?, self.clock.uptime());
        if *seen == Some(now) && keys_at.is_none_or(|at| uptime < at) {
            return Ok(());
        }
        // Whoever is no longer let in goes first, whatever else fails.
        let ended = self.front.auth.refresh(self.clock.now());
        if let Ok(ended) = &ended {
            self.front.close(ended.clone());
        }
        // A new athlete's key must be there before the first reading is said to be theirs.
        let (ring, has_all) = sealing_ring(&self.store, &self.identity)?;
        self.sealing.set_ring(ring);
        *keys_at = (!has_all).then_some(uptime + KEYS_AGAIN);
        if seen.is_none_or(|before| before.athletes != now.athletes) {
            // The ledger is to keep or to delete copies of keys: sync hears of it as of a block.
            self.sealing.sealed.notify_one();
        }
        let (before, after) = (self.front.roster.load(), roster(&self.store)?);
        // What a device said and counted before somebody else wore it, or before it was enrolled anew, is not theirs.
        for (device, row) in before.iter() {
            if after.get(device).is_none_or(|now| now.athlete != row.athlete || now.decoder != row.decoder) {
                self.front.decoders.forget(device);
            }
        }
        gaps.extend(self.front.put_roster(after));
        ended?;
        *seen = Some(now);
        Ok(())
    }

    async fn silence(&self) {
        let mut every = tokio::time::interval(SILENCE_EVERY);
        loop {
            every.tick().await;
            self.front.record_silence(self.silent_after_us).await;
        }
    }

    async fn prune(&self) {
        let mut every = tokio::time::interval(PRUNE_EVERY);
        loop {
            every.tick().await;
            let (store, now) = (self.store.clone(), self.clock.now());
            let (horizon, heard) = (self.horizon_us, RowId(self.heard_up_to.load(Ordering::Acquire)));
            let pruned = tokio::task::spawn_blocking(move || prune(&store, now, horizon, heard)).await;
            report(pruned.map_err(anyhow::Error::from).and_then(|pruned| pruned));
        }
    }
}

/// Rows the rules have heard go after the horizon; others are kept a day longer, and then go loudly: rules that never
/// start must not fill the disk.
fn prune(store: &Store, now: Timestamp, horizon_us: i64, heard: RowId) -> anyhow::Result<()> {
    let before = now.plus_micros(-horizon_us);
    store.prune_journal(before, now, heard)?;
    let unheard = store.prune_journal(before.plus_micros(-UNHEARD_KEPT), now, RowId(i64::MAX))?;
    if unheard > 0 {
        tracing::error!(
            rows = unheard,
            "sealed journal rows went that no rule has heard; see why the rules do not run"
        );
    }
    store.prune_alerts(before.plus_micros(-UNHEARD_KEPT - ALERTS_KEPT))?;
    Ok(())
}

fn report(result: anyhow::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(error = %format!("{error:#}"), "the watch failed once; it goes on");
    }
}
