//! What decoders keep of devices, between the plugins that run and the database: read when a plugin is started, written down as it
//! changes. What changed in the moment before a power cut may be lost; a hub that comes back says again what it announces.

use std::collections::BTreeMap;

use pitchside_decode::plugin::States;
use pitchside_model::PluginName;
use pitchside_store::Store;

use crate::blocking;

/// Keeps it.
pub(super) struct Kept {
    store: Store,
    /// Of the plugins that run.
    states: BTreeMap<PluginName, States>,
    /// The last attempt to write failed, and that was said.
    failing: bool,
}

impl Kept {
    pub(super) fn new(store: Store) -> Self {
        Self { store, states: BTreeMap::new(), failing: false }
    }

    /// What a plugin keeps, whichever version of it runs.
    pub(super) fn of(&mut self, name: &PluginName) -> States {
        if let Some(states) = self.states.get(name) {
            return states.clone();
        }
        let states = States::default();
        match blocking::here(|| self.store.decoder_states(name)) {
            Ok(rows) => {
                for (device, kept) in rows {
                    match kept {
                        Ok(kept) => states.restore(&device, kept),
                        Err(error) => tracing::error!(%error, "what a decoder kept of a device is lost"),
                    }
                }
            }
            Err(error) => tracing::error!(plugin = %name, %error, "what a decoder kept could not be read"),
        }
        self.states.insert(name.clone(), states.clone());
        states
    }

    /// Writes down what changed since the last time.
    pub(super) fn remember(&mut self) {
        let mut failed = None;
        for (name, states) in &self.states {
            let changes = states.take_changed();
            if changes.is_empty() {
                continue;
            }
            if let Err(error) = blocking::here(|| self.store.put_decoder_states(name, &changes)) {
                states.put_back(changes);
                failed = Some(error);
            }
        }
        if let Some(error) = failed.as_ref().filter(|_| !self.failing) {
            tracing::error!(%error, "what decoders keep of devices cannot be written down; it is tried again");
        }
        self.failing = failed.is_some();
    }

    /// A plugin runs no more: from now on the database alone has it, unless the plugin was taken out and that with it.
    pub(super) fn leave(&mut self, name: &PluginName, stays: bool) {
        if stays {
            self.remember();
        }
        self.states.remove(name);
    }
}
