//! Payloads that were kept because their plugin could not read them: read again when it can, in the order they came. And
//! how plugins are, for whoever looks after the box.
//!
//! A plugin that is not there or switched off is not asked. A payload the script fails on is asked for a few times of one
//! version of the plugin, one a device and round, so that neither a bad payload nor a bad script keeps the others waiting; it
//! stays until the plugin is corrected. What a healthy script refuses goes to quarantine.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pitchside_decode::DecodeError;
use pitchside_model::{DeviceId, Entry, Payload, PayloadKind, PluginName, Reading};
use pitchside_seal::closing::weight;
use pitchside_store::{StoreError, Tables, Undecoded, UndecodedId};
use tokio_util::sync::CancellationToken;

use super::front::Front;
use crate::blocking;

/// How often what waits is tried.
const ROUND_EVERY: Duration = Duration::from_secs(5);
/// Payloads read at a time.
const PAGE: u32 = 32;
/// How often a script may fail on one payload before it, or the gateway, is another one.
const TRIES_MAX: u8 = 3;
/// Where the store keeps what is wrong with plugins.
const TROUBLES: &str = "plugins/troubles";

/// What is wrong with plugins, a sentence each, as of the gateway's last look. Names plugins, never people or devices.
pub fn troubles(tables: &Tables) -> Vec<String> {
    let kept = match tables.meta(TROUBLES) {
        Ok(kept) => kept.unwrap_or_default(),
        Err(error) => return vec![format!("how the plugins are could not be read: {error}")],
    };
    if kept.is_empty() { Vec::new() } else { serde_json::from_slice(&kept).unwrap_or_default() }
}

/// Looks after what waits.
pub struct Keeper {
    front: Arc<Front>,
    /// Payloads a script failed on, and how often.
    tried: HashMap<UndecodedId, u8>,
    /// Which plugins that was with: another one, and all may be tried again.
    with: u64,
    /// What was last said of the plugins; none before the first look.
    said: Option<Vec<String>>,
}

/// One turn through what waits.
#[derive(Default)]
struct Round {
    /// Not to be asked now.
    plugins: HashSet<PluginName>,
    /// Had their turn.
    devices: HashSet<DeviceId>,
}

impl Keeper {
    /// Looks after what this front kept.
    pub fn new(front: Arc<Front>) -> Self {
        Self { front, tried: HashMap::new(), with: 0, said: None }
    }

    /// Runs until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut every = tokio::time::interval(ROUND_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            // A payload's step is whole or not at all, so it may be cut off anywhere.
            let round = tokio::select! {
                () = stop.cancelled() => return,
                round = self.round() => round,
            };
            if let Err(error) = round {
                tracing::warn!(%error, "payloads that wait for their plugin could not be looked at; they stay");
            }
        }
    }

    /// Reads all that can be read now.
    pub async fn round(&mut self) -> Result<(), StoreError> {
        self.say()?;
        let with = self.front.decoders.generation();
        if self.with != with {
            self.with = with;
            self.tried.clear();
        }
        let (mut round, mut after) = (Round::default(), UndecodedId::default());
        loop {
            let page = blocking::here(|| self.front.store.undecoded(after, PAGE))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (id, kept) in page {
                match kept {
                    Ok(kept) => self.again(&kept, &mut round).await?,
                    Err(error) if self.tried.insert(id, TRIES_MAX).is_none() => {
                        tracing::error!(%error, "a payload that waited for its plugin cannot be read any more");
                    }
                    Err(_) => {}
                }
            }
        }
        let waiting = blocking::here(|| self.front.store.undecoded_waiting())?;
        self.front.metrics.undecoded_waiting.set(i64::try_from(waiting.payloads).unwrap_or(i64::MAX));
        if waiting.payloads == 0 {
            self.tried.clear();
        }
        Ok(())
    }

    async fn again(&mut self, kept: &Undecoded, round: &mut Round) -> Result<(), StoreError> {
        let front = &self.front;
        let device = &kept.entry.device;
        let plugin = front.roster.load().get(device.as_str()).and_then(|row| row.decoder.clone());
        let Some(plugin) = plugin else { return Ok(()) };
        let tried = self.tried.get(&kept.id).is_some_and(|tries| *tries >= TRIES_MAX);
        if tried || round.plugins.contains(&plugin) || round.devices.contains(device) {
            return Ok(());
        }
        let payload = Payload { kind: PayloadKind::Vendor, bytes: kept.payload.clone(), topic: kept.topic.clone() };
        let message = front.auth.vouch_kept(device.clone(), kept.entry.assurance, payload);
        match front.decoders.vendor_again(&plugin, &message, kept.arrived_at).await {
            Ok(readings) => self.decoded(kept, readings).await,
            Err(error) if error.is_of_the_plugin() => {
                round.plugins.insert(plugin);
                Ok(())
            }
            Err(error) if error.is_ours() => {
                tracing::debug!(%device, reason = %error, "a kept payload still cannot be read");
                round.devices.insert(device.clone());
                // A machine that has no process for it now will have one.
                if !error.is_from_outside() {
                    *self.tried.entry(kept.id).or_default() += 1;
                }
                Ok(())
            }
            Err(error) => self.refused(kept, &error),
        }
    }

    async fn decoded(&mut self, kept: &Undecoded, readings: Vec<Reading>) -> Result<(), StoreError> {
        let front = &self.front;
        let entry = Entry { readings, ..kept.entry.clone() };
        front.board.observe(&entry);
        let (count, weight) = (entry.readings.len() as u64, weight(&entry));
        let heard = front.rules.offer(std::slice::from_ref(&entry));
        match front.store.journal_decoded(kept, entry.readings).await {
            Ok(row) => {
                front.rules.stored(heard, row);
                front.sealing.note_entries(weight, front.clock.now());
                front.metrics.readings.inc_by(count);
                self.tried.remove(&kept.id);
                Ok(())
            }
            Err(error) => {
                front.rules.not_stored(heard);
                Err(error)
            }
        }
    }

    fn refused(&mut self, kept: &Undecoded, error: &DecodeError) -> Result<(), StoreError> {
        self.front.metrics.refused("payload");
        tracing::warn!(device = %kept.entry.device, reason = %error, "a kept payload is refused after all");
        blocking::here(|| self.front.store.refuse_undecoded(kept, &error.to_string()))?;
        self.tried.remove(&kept.id);
        Ok(())
    }

    /// Says what is wrong with the plugins, when that changes.
    fn say(&mut self) -> Result<(), StoreError> {
        let (troubles, off) = self.examine();
        self.front.metrics.plugins_off.set(i64::try_from(off).unwrap_or(i64::MAX));
        if self.said.as_ref() == Some(&troubles) {
            return Ok(());
        }
        troubles.iter().for_each(|trouble| tracing::error!("{trouble}"));
        // Plain sentences always serialise.
        let kept = serde_json::to_vec(&troubles).unwrap_or_default();
        blocking::here(|| self.front.store.set_meta(TROUBLES, &kept))?;
        self.said = Some(troubles);
        Ok(())
    }

    /// What is wrong, and with how many plugins altogether.
    fn examine(&self) -> (Vec<String>, usize) {
        let statuses = self.front.decoders.statuses();
        let mut missing: BTreeMap<PluginName, usize> = BTreeMap::new();
        for row in self.front.roster.load().values() {
            if let Some(plugin) = row.decoder.as_ref().filter(|name| !statuses.iter().any(|s| s.name == **name)) {
                *missing.entry(plugin.clone()).or_default() += 1;
            }
        }
        let mut troubles: Vec<String> = missing
            .iter()
            .map(|(plugin, devices)| {
                format!(
                    "plugin {plugin} is not loaded, and {devices} device(s) need it: install it: pitchside plugin install PACKAGE; if it is \
                     there, pitchside plugin list says what keeps it from running"
                )
            })
            .collect();
        let mut off = missing.len();
        for status in statuses {
            let (name, devices) = (&status.name, status.off_for.len());
            if status.off {
                off += 1;
                troubles.push(format!(
                    "plugin {name} is switched off, its script failed too often: see `pitchside plugin logs {name}`, then update it, or try it again: pitchside plugin enable {name}"
                ));
            } else if devices > 0 {
                troubles.push(format!(
                    "plugin {name} is switched off for {devices} device(s) whose payloads made its script fail: see `pitchside plugin logs {name}`; to try again: pitchside plugin enable {name}"
                ));
            }
        }
        (troubles, off)
    }
}
