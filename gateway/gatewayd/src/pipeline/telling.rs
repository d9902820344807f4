//! What happens to alerts, told to open pages from the record, under the numbers of its steps and in their order: so a page that
//! comes back can say where it was, and hears what it missed. What must not wait for the record has been told before it.

use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_admin::Events;
use pitchside_store::{DeliveryStepId, Store, StoreError};

use super::delivery::RuleNotes;
use crate::adapters::page::step_event;

/// Steps read at a time.
const PAGE: u32 = 256;

/// Tells pages what is on the record.
pub struct Telling {
    store: Store,
    events: Events,
    notes: Arc<RuleNotes>,
    /// Told up to here. Held while telling, so that steps go out in their order.
    told: Mutex<DeliveryStepId>,
}

impl Telling {
    /// Goes on from what is on the record. Before anything is recorded, and before anybody listens.
    pub fn new(store: Store, events: Events, notes: Arc<RuleNotes>) -> Result<Self, StoreError> {
        let told = Mutex::new(store.last_delivery_step()?);
        Ok(Self { store, events, notes, told })
    }

    /// Tells what is new on the record. Waits for the disk. What cannot be read now is told by the next call.
    pub fn tell(&self) {
        if let Err(error) = self.try_tell() {
            tracing::warn!(%error, "what happened to alerts could not be read for open pages; they are told later");
        }
    }

    fn try_tell(&self) -> Result<(), StoreError> {
        let mut told = self.told.lock();
        let last = self.store.last_delivery_step()?;
        // Looked at after the record: whoever comes later reads what is there by now from the record itself.
        if self.events.listeners() == 0 {
            *told = last.max(*told);
            return Ok(());
        }
        while *told < last {
            let steps = self.store.delivery_steps_after(*told, PAGE)?;
            if steps.is_empty() {
                // They have been deleted meanwhile.
                *told = last;
            }
            for step in steps {
                match step_event(&self.store, &self.notes, &step) {
                    Ok(Some(event)) => self.events.publish_step(step.id.0.unsigned_abs(), &event),
                    Ok(None) => {}
                    // It will not be read the next time either.
                    Err(error @ StoreError::Damaged { .. }) => tracing::error!(%error, "a step cannot be told"),
                    Err(error) => return Err(error),
                }
                *told = step.id;
            }
        }
        Ok(())
    }
}
