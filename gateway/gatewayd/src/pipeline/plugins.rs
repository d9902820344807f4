//! The decoders that run, brought to what library and database say while the gateway runs: a plugin that is installed, updated,
//! corrected, switched off or on is so within a second, and nothing is missed meanwhile, for payloads go to the old one until
//! the new one stands. A new version on trial is asked beside it, and takes over or is refused by what was found.

mod kept;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pitchside_decode::plugin::worker::StartError;
use pitchside_decode::plugin::{PluginLimits, Trial};
use pitchside_decode::{Decoders, Plugin};
use pitchside_model::PluginName;
use pitchside_script::Program;
use pitchside_script::manifest::PluginKind;
use pitchside_store::plugins::PackageDigest;
use pitchside_store::{Candidate, PluginChange, Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::kept::Kept;
use self::verdict::{Beside, verdict};
use crate::blocking;
use crate::clock::Clock;
use crate::plugins::wanted::{self, Inventory, Wanted};
use crate::stamp::{self, Stamp};

/// What a plugin was made of: another one, and it is started anew.
type Fingerprint = [u8; 32];

/// Plugins that are started at the same time.
const STARTS_AT_ONCE: usize = 4;

/// How often library and database are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long before a plugin is started again whose process did not come up.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What the plugins need of the rest.
pub struct PluginsParts {
    /// The library's folder, if there is one.
    pub library: Option<PathBuf>,
    /// What was installed; the log.
    pub store: Store,
    /// Runs one plugin.
    pub program: Program,
    /// Where they are asked.
    pub decoders: Arc<Decoders>,
    /// The gateway's clock.
    pub clock: Clock,
}

/// Brings plugins to what they are to be.
pub struct PluginsTask {
    parts: PluginsParts,
    running: BTreeMap<PluginName, Running>,
    /// What does not compile, by its fingerprint: not tried again before it is another one.
    refused: BTreeMap<PluginName, Fingerprint>,
    /// When what did not come up is tried again.
    again_at: Option<Instant>,
    trials: BTreeMap<PluginName, OnTrial>,
    /// What they keep of devices.
    kept: Kept,
    seen: Option<Seen>,
    /// What could not be read when it was last looked at.
    told: Vec<String>,
}

struct Running {
    fingerprint: Fingerprint,
    version: String,
    script: String,
}

struct OnTrial {
    sha256: PackageDigest,
    version: String,
    trial: Arc<Trial>,
}

/// What library and database looked like: other values, and there is something to read.
#[derive(PartialEq, Eq)]
pub(super) struct Seen {
    revision: u64,
    library: Option<Stamp>,
}

impl Seen {
    /// As they look now.
    pub(super) fn now(library: Option<&Path>, store: &Store) -> Result<Self, StoreError> {
        Ok(Self { revision: store.plugins_revision()?, library: library.map(stamp::of) })
    }
}

impl PluginsTask {
    /// Starts what is to run.
    pub async fn start(parts: PluginsParts) -> Self {
        let (running, refused, trials) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let kept = Kept::new(parts.store.clone());
        let mut task = Self { parts, running, refused, again_at: None, trials, kept, seen: None, told: Vec::new() };
        task.look().await;
        task
    }

    /// The hash of all scripts that run, as block headers have it; zeros if none does.
    pub fn hash(&self) -> [u8; 32] {
        if self.running.is_empty() {
            return [0; 32];
        }
        let mut hasher = blake3::Hasher::new();
        for (name, running) in &self.running {
            hasher.update(name.as_str().as_bytes()).update(&[0]).update(running.script.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// Runs until stopped; `on_change` is told the hash of what runs whenever that changes.
    pub async fn run(mut self, on_change: impl Fn([u8; 32]) + Send, stop: CancellationToken) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut hash = self.hash();
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.kept.remember(),
                _ = every.tick() => self.kept.remember(),
            }
            self.look().await;
            self.listen();
            if self.hash() != hash {
                hash = self.hash();
                on_change(hash);
            }
        }
    }

    async fn look(&mut self) {
        if let Err(error) = self.reconcile().await {
            tracing::error!(error = %format!("{error:#}"), "plugins could not be looked at; what runs goes on");
        }
        if let Err(error) = self.settle() {
            tracing::error!(%error, "a version on trial could not be settled; it stays on trial");
        }
    }

    async fn reconcile(&mut self) -> anyhow::Result<()> {
        let PluginsParts { library, store, .. } = &self.parts;
        let now = blocking::here(|| Seen::now(library.as_deref(), store))?;
        let again = self.again_at.is_some_and(|at| Instant::now() >= at);
        if self.seen.as_ref() == Some(&now) && !again {
            return Ok(());
        }
        self.again_at = None;
        let inventory = blocking::here(|| Inventory::read(library.as_deref(), store))?;
        if inventory.problems != self.told {
            inventory.problems.iter().for_each(|problem| tracing::error!("{problem}"));
            self.told.clone_from(&inventory.problems);
        }
        let runs = |wanted: &Wanted| wanted.enabled && wanted.folder.manifest.kind == PluginKind::Decoder;
        let missing: Vec<(&PluginName, &Wanted, Fingerprint)> = inventory
            .plugins
            .iter()
            .filter(|(_, wanted)| runs(wanted))
            .map(|(name, wanted)| (name, wanted, wanted.fingerprint()))
            .filter(|(name, _, fingerprint)| !self.is_settled(name, fingerprint))
            .collect();
        // Side by side, since a start is mostly waiting for another process.
        let program = &self.parts.program;
        let mut started = Vec::new();
        for some in missing.chunks(STARTS_AT_ONCE) {
            let mut starting = Vec::new();
            for (name, wanted, _) in some {
                let states = self.kept.of(name);
                starting.push(Plugin::start_with(&wanted.folder, program, PluginLimits::default(), states));
            }
            started.extend(join_all(starting).await);
        }
        for ((name, wanted, fingerprint), started) in missing.into_iter().zip(started) {
            self.take_up(name, wanted, fingerprint, started);
        }
        let stays = |name: &PluginName| match inventory.plugins.get(name) {
            Some(wanted) => runs(wanted),
            // Half written, most likely: what ran of it goes on until it can be read.
            None => inventory.unreadable.iter().any(|folder| folder == name.as_str()),
        };
        let gone: Vec<PluginName> = self.running.keys().filter(|name| !stays(name)).cloned().collect();
        for name in gone {
            tracing::info!(plugin = %name, "runs no more");
            self.running.remove(&name);
            self.parts.decoders.remove_plugin(&name);
            self.kept.leave(&name, inventory.plugins.contains_key(&name));
        }
        self.trials.retain(|name, on| {
            let wanted = inventory.plugins.get(name).and_then(Wanted::candidate);
            let stays = wanted.is_some_and(|candidate| candidate.sha256 == on.sha256);
            if !stays {
                self.parts.decoders.set_trial(name, None);
            }
            stays
        });
        for (name, wanted) in &inventory.plugins {
            if let Some(candidate) = wanted.candidate() {
                self.try_beside(name, candidate).await;
            }
        }
        self.seen = Some(now);
        Ok(())
    }

    /// Starts a plugin unless this very one runs; what runs goes on if the other does not start.
    /// It runs as it is, or was refused as it is.
    fn is_settled(&self, name: &PluginName, fingerprint: &Fingerprint) -> bool {
        self.running.get(name).is_some_and(|running| running.fingerprint == *fingerprint)
            || self.refused.get(name) == Some(fingerprint)
    }

    fn take_up(
        &mut self,
        name: &PluginName,
        wanted: &Wanted,
        fingerprint: Fingerprint,
        started: Result<Plugin, StartError>,
    ) {
        match started {
            Ok(plugin) => {
                self.listen_to(name);
                self.parts.decoders.set_plugin(plugin);
                let (version, script) = (wanted.folder.manifest.version.clone(), wanted.folder.source.clone());
                tracing::info!(plugin = %name, %version, "plugin runs");
                self.running.insert(name.clone(), Running { fingerprint, version, script });
                self.refused.remove(name);
            }
            Err(error) => {
                tracing::error!(%error, "a plugin does not start and is left out");
                self.note(name, &[format!("it does not start: {error}")]);
                match error {
                    StartError::Script { .. } => drop(self.refused.insert(name.clone(), fingerprint)),
                    // The box is busy or out of something: it may come up later.
                    StartError::Worker { .. } => {
                        self.refused.remove(name);
                        self.again_at = Some(Instant::now() + AGAIN_AFTER);
                    }
                }
            }
        }
    }

    async fn try_beside(&mut self, name: &PluginName, candidate: Candidate) {
        if let Some(on) = self.trials.get(name) {
            // Whatever was started anew has no trial beside it yet.
            self.parts.decoders.set_trial(name, Some(Arc::clone(&on.trial)));
            return;
        }
        let store = &self.parts.store;
        let started = async {
            let (package, _) = blocking::here(|| wanted::package(store, candidate.sha256))?;
            let mut folder = crate::plugins::folder(&package)?;
            folder.chosen = blocking::here(|| store.plugin_settings(name))?.into_iter().collect();
            let plugin = Plugin::start(&folder, &self.parts.program, PluginLimits::default()).await?;
            anyhow::Ok((plugin, package.manifest.version.clone()))
        };
        match started.await {
            Ok((plugin, version)) => {
                let trial = Arc::new(Trial::new(plugin));
                tracing::info!(plugin = %name, %version, "a new version is tried beside the one that runs");
                self.parts.decoders.set_trial(name, Some(Arc::clone(&trial)));
                self.trials.insert(name.clone(), OnTrial { sha256: candidate.sha256, version, trial });
            }
            Err(error) if matches!(error.downcast_ref(), Some(StartError::Worker { .. })) => {
                tracing::warn!(plugin = %name, error = %format!("{error:#}"), "the new version does not come up yet");
                self.again_at = Some(Instant::now() + AGAIN_AFTER);
            }
            Err(error) => {
                let change = PluginChange::Settle { candidate: candidate.sha256, takes_over: false };
                let deed = format!("the new version is refused: it does not start: {error:#}");
                tracing::warn!(plugin = %name, "the new version does not start and is refused");
                let now = self.parts.clock.now();
                if let Err(error) = blocking::here(|| store.change_plugin(name, change, &deed, now)) {
                    tracing::error!(plugin = %name, %error, "a version that does not start could not be refused");
                }
            }
        }
    }

    /// Ends the trials that have shown what they can.
    fn settle(&mut self) -> Result<(), StoreError> {
        if self.trials.is_empty() {
            return Ok(());
        }
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        let mut settled = Vec::new();
        for (name, on) in &self.trials {
            let row = blocking::here(|| store.plugin(name))?;
            let Some((candidate, enabled)) = row.and_then(|row| Some((row.candidate?, row.enabled))) else { continue };
            let runs = self.parts.decoders.plugin(name).is_some();
            let beside = Beside::of(enabled, runs, !self.refused.contains_key(name));
            let found = on.trial.findings();
            let Some((takes_over, verdict)) = verdict(&found, &candidate, beside, now >= candidate.until) else {
                continue;
            };
            let old = self.running.get(name).map_or("nothing", |running| running.version.as_str());
            let deed = match takes_over {
                true => format!("{} took over from {old}: {verdict}", on.version),
                false => format!("{} is refused, {old} stays: {verdict}", on.version),
            };
            let change = PluginChange::Settle { candidate: candidate.sha256, takes_over };
            blocking::here(|| store.change_plugin(name, change, &deed, now))?;
            let (version, compared) = (&on.version, found.compared);
            tracing::info!(plugin = %name, %version, takes_over, compared, "the trial of a new version is over");
            settled.push(name.clone());
        }
        for name in settled {
            self.trials.remove(&name);
            self.parts.decoders.set_trial(&name, None);
        }
        Ok(())
    }

    /// Writes down what went wrong in plugins since the last time.
    fn listen(&self) {
        self.running.keys().for_each(|name| self.listen_to(name));
    }

    fn listen_to(&self, name: &PluginName) {
        let Some(plugin) = self.parts.decoders.plugin(name) else { return };
        let (mut troubles, lost) = plugin.take_troubles();
        if lost > 0 {
            troubles.push(format!("and {lost} more in the same moment"));
        }
        if !troubles.is_empty() {
            self.note(name, &troubles);
        }
    }

    fn note(&self, name: &PluginName, troubles: &[String]) {
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        if let Err(error) = blocking::here(|| store.note_plugin_trouble(name, troubles, now)) {
            tracing::warn!(plugin = %name, %error, "a plugin's troubles could not be written down");
        }
    }
}
