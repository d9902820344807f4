//! What is remembered of every device: bounded, and all of it can be forgotten at the price of one reading.

use std::collections::{BTreeMap, HashMap};

use pitchside_model::{DeviceId, Reading};

use super::{Context, Decoded, Fact, FactKind, State, decode};
use crate::error::GattFault;

/// More devices than a clinic has; beyond it the one that was silent longest is forgotten.
pub const DEVICES_MAX: usize = 4_096;

/// The states of all devices.
#[derive(Debug, Default)]
pub struct Devices {
    slots: HashMap<DeviceId, Slot>,
    /// Rises with every message: a clock that can't be set.
    turn: u64,
}

#[derive(Debug, Default)]
struct Slot {
    state: State,
    facts: BTreeMap<FactKind, String>,
    used: u64,
}

impl Devices {
    /// Reads one value of a device. Nothing changes if it is refused.
    pub fn decode(
        &mut self,
        device: &DeviceId,
        characteristic: u16,
        bytes: &[u8],
        context: &Context<'_>,
    ) -> Result<Vec<Reading>, GattFault> {
        let mut state = self.slots.get(device.as_str()).map_or_else(State::default, |slot| slot.state);
        let Decoded { readings, fact } = decode(&mut state, characteristic, bytes, context)?;
        let stateful = fact.is_some() || state != State::default();
        if stateful || self.slots.contains_key(device.as_str()) {
            let slot = self.slot(device);
            slot.state = state;
            slot.facts.extend(fact.map(|fact| (fact.kind, fact.text)));
        }
        Ok(readings)
    }

    /// What a device said of itself.
    pub fn facts(&self, device: &DeviceId) -> Vec<Fact> {
        let slot = self.slots.get(device.as_str()).into_iter();
        slot.flat_map(|slot| &slot.facts).map(|(kind, text)| Fact { kind: *kind, text: text.clone() }).collect()
    }

    /// Forgets a device.
    pub fn forget(&mut self, device: &DeviceId) {
        self.slots.remove(device.as_str());
    }

    fn slot(&mut self, device: &DeviceId) -> &mut Slot {
        self.turn += 1;
        if !self.slots.contains_key(device.as_str()) && self.slots.len() >= DEVICES_MAX {
            let oldest = self.slots.iter().min_by_key(|(_, slot)| slot.used);
            let oldest = oldest.map(|(device, _)| device.clone());
            if let Some(oldest) = oldest {
                self.slots.remove(oldest.as_str());
            }
        }
        let turn = self.turn;
        let slot = self.slots.entry(device.clone()).or_default();
        slot.used = turn;
        slot
    }
}
