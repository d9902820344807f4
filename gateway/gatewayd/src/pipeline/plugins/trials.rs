//! New versions on trial: each is asked beside the one that runs, under what is set now, and takes over or is refused by what was found.

use std::sync::Arc;

use pitchside_decode::Plugin;
use pitchside_decode::plugin::worker::StartError;
use pitchside_decode::plugin::{PluginLimits, Trial};
use pitchside_model::PluginName;
use pitchside_script::manifest::Chosen;
use pitchside_store::plugins::PackageDigest;
use pitchside_store::{Candidate, PluginChange, StoreError};
use tokio::time::Instant;

use super::verdict::{Beside, verdict};
use super::{AGAIN_AFTER, PluginsTask};
use crate::blocking;
use crate::plugins::signature::Signer;
use crate::plugins::wanted::{self, Inventory, Wanted};

/// A version that is tried.
pub(super) struct OnTrial {
    sha256: PackageDigest,
    version: String,
    /// Who signed it.
    signer: Signer,
    /// What was set when it was started: what was found under other settings says nothing.
    chosen: Chosen,
    trial: Arc<Trial>,
}

impl PluginsTask {
    /// What is tried is what the database says, under what is set now.
    pub(super) async fn look_at_trials(&mut self, inventory: &Inventory) {
        self.trials.retain(|name, on| {
            let stays = inventory.plugins.get(name).is_some_and(|wanted| {
                let is_tried = wanted.candidate().is_some_and(|candidate| candidate.sha256 == on.sha256);
                is_tried && wanted.folder.chosen == on.chosen
            });
            if !stays {
                self.parts.decoders.set_trial(name, None);
            }
            stays
        });
        for (name, wanted) in &inventory.plugins {
            // What still runs under other settings, for its process did not come up anew, is nothing to compare with.
            let is_behind = self.running.contains_key(name) && !self.is_settled(name, &wanted.fingerprint());
            if let Some(candidate) = wanted.candidate().filter(|_| !is_behind) {
                self.try_beside(name, wanted, candidate).await;
            }
        }
    }

    async fn try_beside(&mut self, name: &PluginName, wanted: &Wanted, candidate: Candidate) {
        if let Some(on) = self.trials.get(name) {
            // Whatever was started anew has no trial beside it yet.
            self.parts.decoders.set_trial(name, Some(Arc::clone(&on.trial)));
            return;
        }
        let (store, chosen) = (&self.parts.store, &wanted.folder.chosen);
        let started = async {
            let (package, signer) = blocking::here(|| wanted::package(store, candidate.sha256))?;
            let mut folder = crate::plugins::folder(&package)?;
            folder.chosen.clone_from(chosen);
            let unset = folder.manifest.unset(chosen);
            anyhow::ensure!(unset.is_empty(), "{}", unset.join(", "));
            let plugin = Plugin::start(&folder, &self.parts.program, PluginLimits::default()).await?;
            anyhow::Ok((plugin, package.manifest.version.clone(), signer))
        };
        match started.await {
            Ok((plugin, version, signer)) => {
                let (trial, chosen) = (Arc::new(Trial::new(plugin)), chosen.clone());
                tracing::info!(plugin = %name, %version, "a new version is tried beside the one that runs");
                self.parts.decoders.set_trial(name, Some(Arc::clone(&trial)));
                let on = OnTrial { sha256: candidate.sha256, version, signer, chosen, trial };
                self.trials.insert(name.clone(), on);
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

    /// Ends the trials that have shown what they can, and those of whoever is trusted no more.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        if self.trials.is_empty() {
            return Ok(());
        }
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        let trusted = blocking::here(|| store.plugin_signers())?;
        let mut settled = Vec::new();
        for (name, on) in &self.trials {
            let row = blocking::here(|| store.plugin(name))?;
            let Some((candidate, enabled)) = row.and_then(|row| Some((row.candidate?, row.enabled))) else { continue };
            // Another one by now: it is taken up at the next look.
            if candidate.sha256 != on.sha256 {
                continue;
            }
            let runs = self.parts.decoders.plugin(name).is_some();
            let can_run = !self.refused.contains_key(name) && !self.unfit.contains_key(name);
            let beside = Beside::of(enabled, runs, can_run);
            let found = on.trial.findings();
            let over = if on.signer.is_among(trusted.iter().map(|(key, _)| key.as_str())) {
                verdict(&found, &candidate, beside, now >= candidate.until)
            } else {
                Some((false, "its signer is trusted no more".to_owned()))
            };
            let Some((takes_over, verdict)) = over else { continue };
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
}
