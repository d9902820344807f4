//! What is written of steps that were told. While the store takes nothing it waits here, and nothing more goes out meanwhile: what went
//! out unrecorded would go out again, and again, for as long as the disk is full.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_model::{PluginName, Timestamp};
use pitchside_store::delivery::Written;
use pitchside_store::{DeliveryStepId, KeptFor, Store, StoreError};

use crate::blocking;

/// Something to be written of an output.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// What became of requests that it made of a step.
    Came(DeliveryStepId, Vec<Written>, Timestamp),
    /// It was told of all up to a step that is neither held nor kept.
    Told(DeliveryStepId),
    /// A step is kept for it, for this.
    Kept(DeliveryStepId, KeptFor),
    /// A step is kept no longer.
    LetGo(DeliveryStepId),
    /// It was told of one that was held for its quiet hours.
    Released(DeliveryStepId),
}

/// What is written of one output, in order.
#[derive(Clone)]
pub(super) struct Record {
    name: PluginName,
    store: Store,
    /// A step's own entries and those of what was put aside: as many as may wait, at most.
    unwritten: Arc<Mutex<VecDeque<Entry>>>,
}

impl Record {
    pub fn new(name: PluginName, store: Store) -> Self {
        Self { name, store, unwritten: Arc::default() }
    }

    /// Writes it, now or as soon as the store takes it: [`Record::settled`] says whether it has.
    pub fn write(&self, entry: Entry) {
        blocking::here(|| self.unwritten.lock().push_back(entry));
        if let Err(error) = self.settled() {
            tracing::warn!(plugin = %self.name, %error, "what an output did cannot be written down; it sends nothing more until it is");
        }
    }

    /// Everything is written. Nothing may go out before it is.
    pub fn settled(&self) -> Result<(), StoreError> {
        // Whoever waits for the lock waits for the disk.
        blocking::here(|| {
            let mut unwritten = self.unwritten.lock();
            while let Some(entry) = unwritten.front() {
                self.put(entry)?;
                unwritten.pop_front();
            }
            Ok(())
        })
    }

    fn put(&self, entry: &Entry) -> Result<(), StoreError> {
        match entry {
            Entry::Came(step, came, at) => self.store.note_requests(&self.name, *step, came.clone(), *at),
            Entry::Told(step) => self.store.set_plugin_told(&self.name, *step),
            Entry::Kept(step, why) => self.store.keep_for_plugin(&self.name, *step, *why),
            Entry::LetGo(step) => self.store.let_go_for_plugin(&self.name, *step),
            Entry::Released(step) => self.store.release_for_plugin(&self.name, *step),
        }
    }
}
