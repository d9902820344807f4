//! What a version on trial keeps of devices. It goes with the trial: whatever takes over goes on from what the one before it kept.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_model::DeviceId;

use crate::plugin::states::{DEVICES_MAX, Place};

/// What is kept of one device; none before the version was asked about it.
pub(super) type Cell = Arc<Mutex<Option<Vec<u8>>>>;

/// What is kept of all devices; of too many the longest silent makes room.
#[derive(Debug, Default)]
pub(super) struct Own {
    devices: HashMap<DeviceId, Slot>,
    /// Rises with every touch.
    turn: u64,
}

#[derive(Debug)]
struct Slot {
    touched: u64,
    /// Beside what the one that runs keeps there.
    beside: Place,
    cell: Cell,
}

impl Own {
    /// The place of a device beside that of the one that runs; a new one where that has forgotten the device. Whoever has it goes on
    /// with it, also when the device was forgotten meanwhile.
    pub fn cell(&mut self, device: &DeviceId, beside: Place) -> Cell {
        self.turn += 1;
        if let Some(slot) = self.devices.get_mut(device).filter(|slot| slot.beside.ptr_eq(&beside)) {
            slot.touched = self.turn;
            return Arc::clone(&slot.cell);
        }
        if self.devices.len() >= DEVICES_MAX && !self.devices.contains_key(device) {
            let longest = self.devices.iter().min_by_key(|(_, slot)| slot.touched).map(|(device, _)| device.clone());
            if let Some(longest) = longest {
                self.devices.remove(&longest);
            }
        }
        let cell = Cell::default();
        self.devices.insert(device.clone(), Slot { touched: self.turn, beside, cell: Arc::clone(&cell) });
        cell
    }

    /// The next payload of a device begins anew.
    pub fn forget(&mut self, device: &DeviceId) {
        self.devices.remove(device);
    }

    /// All begin anew.
    pub fn clear(&mut self) {
        self.devices.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_device_makes_room_and_what_was_forgotten_begins_anew() {
        let id = |n: usize| DeviceId::parse(&format!("hub-{n}")).unwrap();
        let mut own = Own::default();
        for n in 0..DEVICES_MAX {
            *own.cell(&id(n), Place::default()).lock() = Some(vec![1]);
        }
        let kept = |own: &mut Own, n: usize| own.cell(&id(n), Place::default()).lock().clone();
        assert_eq!(kept(&mut own, 0), Some(vec![1]));
        assert_eq!(kept(&mut own, DEVICES_MAX), None);
        assert_eq!((own.devices.len(), kept(&mut own, 0)), (DEVICES_MAX, Some(vec![1])));
        assert_eq!(kept(&mut own, 1), None, "it was silent for longest");
        let before = own.cell(&id(0), Place::default());
        own.forget(&id(0));
        *before.lock() = Some(vec![2]);
        assert_eq!(kept(&mut own, 0), None, "what was on its way when it was forgotten is of before");
        own.clear();
        assert_eq!(kept(&mut own, 5), None);
    }

    #[test]
    fn what_is_kept_belongs_to_what_the_one_that_runs_keeps_of_the_device_by_then() {
        let id = DeviceId::parse("hub").unwrap();
        let places = [1, 2].map(|byte| Arc::new(tokio::sync::Mutex::new(vec![byte])));
        let mut own = Own::default();
        let mut kept = |at: usize, then: u8| own.cell(&id, Arc::downgrade(&places[at])).lock().replace(vec![then]);
        assert_eq!([kept(0, 1), kept(0, 2)], [None, Some(vec![1])]);
        assert_eq!(kept(1, 3), None, "the device was forgotten there");
        assert_eq!(kept(0, 4), None, "one that was read from before, and comes late");
        assert_eq!([kept(1, 5), kept(1, 6)], [None, Some(vec![5])]);
    }
}
