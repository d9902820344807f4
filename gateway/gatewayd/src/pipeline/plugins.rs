//! The decoders that run, brought to what library and database say while the gateway runs: a plugin that is installed, updated,
//! corrected, switched off or on is so within a second, and nothing is missed meanwhile, for payloads go to the old one until
//! the new one stands. A new version on trial is asked beside it, and takes over or is refused by what was found.

mod kept;
mod running;
mod trials;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pitchside_decode::plugin::PluginLimits;
use pitchside_decode::plugin::worker::StartError;
use pitchside_decode::{Decoders, Plugin};
use pitchside_model::PluginName;
use pitchside_script::Program;
use pitchside_store::{Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::kept::Kept;
use self::running::Running;
use self::trials::OnTrial;
use crate::blocking;
use crate::clock::Clock;
use crate::plugins::wanted::{Inventory, Wanted};
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
    /// What does not run as it is set, and why: said when that changes.
    unfit: BTreeMap<PluginName, String>,
    /// When what did not come up is tried again.
    again_at: Option<Instant>,
    trials: BTreeMap<PluginName, OnTrial>,
    /// What they keep of devices.
    kept: Kept,
    seen: Option<Seen>,
    /// What could not be read when it was last looked at.
    told: Vec<String>,
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
        let (unfit, told) = (BTreeMap::new(), Vec::new());
        let mut task = Self { parts, running, refused, unfit, again_at: None, trials, kept, seen: None, told };
        task.look().await;
        task
    }

    /// The hash of all that runs, as block headers have it; zeros if nothing does.
    pub fn hash(&self) -> [u8; 32] {
        running::hash(&self.running)
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
        self.say_unfit(inventory.unfit());
        let missing: Vec<(&PluginName, &Wanted, Fingerprint)> = inventory
            .plugins
            .iter()
            .filter(|(_, wanted)| wanted.decodes())
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
            Some(wanted) => wanted.decodes(),
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
        self.look_at_trials(&inventory).await;
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
                let running = Running::of(&wanted.folder, fingerprint);
                tracing::info!(plugin = %name, version = running.version, "plugin runs");
                self.running.insert(name.clone(), running);
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

    /// Says what does not run as it is set, once. On with the manifest's default it would read other values than the admin chose, and
    /// nobody would know.
    fn say_unfit(&mut self, unfit: BTreeMap<PluginName, String>) {
        for (name, why) in unfit.iter().filter(|(name, why)| self.unfit.get(*name) != Some(*why)) {
            tracing::error!(plugin = %name, why, "a plugin does not run as it is set");
            self.note(name, &[format!("it does not run as it is set: {why}")]);
        }
        self.unfit = unfit;
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
