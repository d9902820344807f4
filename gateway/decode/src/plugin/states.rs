//! What a plugin keeps of each device, held by the parent: a worker that dies, a plugin that is switched off and on or another
//! version of it loses none of it. Whoever keeps it over a restart asks for the changes and gives them back.
//!
//! One payload of a device is read at a time, from what it finds to what it leaves: two that come on two links at once can lose
//! nothing of each other's.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pitchside_model::DeviceId;
use tokio::sync::OwnedMutexGuard;

/// The most devices a plugin keeps something of; the longest silent is forgotten first.
pub const DEVICES_MAX: usize = 256;

type Cell = Arc<tokio::sync::Mutex<Vec<u8>>>;

/// Tells what is kept of a device from what is kept of it after it was forgotten; of a plugin that keeps nothing all are the same.
pub(crate) type Place = Weak<tokio::sync::Mutex<Vec<u8>>>;

/// What is kept of all devices of one plugin. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct States(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    devices: HashMap<DeviceId, Slot>,
    /// Rises with every touch.
    turn: u64,
    /// What nobody has asked for yet since it changed.
    changed: BTreeSet<DeviceId>,
}

#[derive(Debug)]
struct Slot {
    touched: u64,
    cell: Cell,
}

impl Book {
    fn cell(&mut self, device: &DeviceId) -> Cell {
        self.turn += 1;
        if let Some(slot) = self.devices.get_mut(device) {
            slot.touched = self.turn;
            return Arc::clone(&slot.cell);
        }
        if self.devices.len() >= DEVICES_MAX {
            // One that is being read has just been heard.
            let silent = self.devices.iter().filter(|(_, slot)| Arc::strong_count(&slot.cell) == 1);
            if let Some(longest) = silent.min_by_key(|(_, slot)| slot.touched).map(|(device, _)| device.clone()) {
                self.devices.remove(&longest);
                self.changed.insert(longest);
            }
        }
        let slot = Slot { touched: self.turn, cell: Cell::default() };
        let cell = Arc::clone(&slot.cell);
        self.devices.insert(device.clone(), slot);
        cell
    }
}

/// A change for whoever keeps it: what is kept of a device now, or that nothing is.
pub type Change = (DeviceId, Option<Vec<u8>>);

impl States {
    /// What is kept of a device, for the one payload that is read now. Waits for the one before.
    pub(crate) async fn hold(&self, device: &DeviceId) -> Held {
        let cell = self.0.lock().cell(device);
        Held { kept: cell.lock_owned().await, states: self.clone(), device: device.clone() }
    }

    /// What was kept before a restart.
    pub fn restore(&self, device: &DeviceId, kept: Vec<u8>) {
        if let Ok(mut cell) = self.0.lock().cell(device).try_lock() {
            *cell = kept;
        }
    }

    /// Forgets a device.
    pub fn forget(&self, device: &DeviceId) {
        let mut book = self.0.lock();
        if book.devices.remove(device).is_some() {
            book.changed.insert(device.clone());
        }
    }

    /// What changed since the last call. What is being read at this moment comes with the next.
    pub fn take_changed(&self) -> Vec<Change> {
        let mut book = self.0.lock();
        let (mut changes, mut later) = (Vec::new(), BTreeSet::new());
        for device in std::mem::take(&mut book.changed) {
            match book.devices.get(&device).map(|slot| slot.cell.try_lock()) {
                Some(Ok(kept)) => changes.push((device, Some(kept.clone()).filter(|kept| !kept.is_empty()))),
                None => changes.push((device, None)),
                Some(Err(_)) => {
                    later.insert(device);
                }
            }
        }
        book.changed = later;
        changes
    }

    /// They could not be kept: the next call says them again.
    pub fn put_back(&self, changes: Vec<Change>) {
        self.0.lock().changed.extend(changes.into_iter().map(|(device, _)| device));
    }
}

/// What is kept of one device, while one payload of it is read.
#[derive(Debug)]
pub(crate) struct Held {
    kept: OwnedMutexGuard<Vec<u8>>,
    states: States,
    device: DeviceId,
}

impl Held {
    /// As the payload finds it.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Where it is kept: elsewhere, once the device was forgotten and is heard again.
    pub fn place(&self) -> Place {
        Arc::downgrade(OwnedMutexGuard::mutex(&self.kept))
    }

    /// As the payload leaves it. What was forgotten meanwhile stays so.
    pub fn keep(mut self, kept: Vec<u8>) {
        *self.kept = kept;
        self.states.0.lock().changed.insert(self.device);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> DeviceId {
        DeviceId::parse(text).unwrap()
    }

    async fn keeps(states: &States, device: &str, kept: &[u8]) {
        states.hold(&id(device)).await.keep(kept.to_vec());
    }

    #[tokio::test]
    async fn changes_are_told_once_and_again_if_they_could_not_be_kept() {
        let states = States::default();
        states.restore(&id("old"), vec![1]);
        assert!(states.take_changed().is_empty(), "that was kept already");
        keeps(&states, "hub", &[2]).await;
        let changes = states.take_changed();
        assert_eq!(changes, [(id("hub"), Some(vec![2]))]);
        assert!(states.take_changed().is_empty());
        states.put_back(changes.clone());
        assert_eq!(states.take_changed(), changes);
        keeps(&states, "hub", &[3]).await;
        let held = states.hold(&id("hub")).await;
        assert!(states.take_changed().is_empty(), "it is being read");
        drop(held);
        assert_eq!(states.take_changed(), [(id("hub"), Some(vec![3]))]);
        states.forget(&id("hub"));
        states.forget(&id("nobody"));
        assert_eq!(states.take_changed(), [(id("hub"), None)]);
        assert_eq!(states.hold(&id("old")).await.kept(), [1]);
    }

    #[tokio::test]
    async fn what_was_forgotten_while_it_was_read_stays_forgotten() {
        let states = States::default();
        keeps(&states, "hub", &[1]).await;
        let held = states.hold(&id("hub")).await;
        states.forget(&id("hub"));
        held.keep(vec![2]);
        assert_eq!(states.take_changed(), [(id("hub"), None)]);
        assert!(states.hold(&id("hub")).await.kept().is_empty());
        let place = states.hold(&id("hub")).await.place();
        assert!(place.ptr_eq(&states.hold(&id("hub")).await.place()));
        states.forget(&id("hub"));
        assert!(!place.ptr_eq(&states.hold(&id("hub")).await.place()), "it is kept elsewhere from now on");
    }

    #[tokio::test]
    async fn the_longest_silent_device_makes_room() {
        let states = States::default();
        for n in 0..DEVICES_MAX {
            keeps(&states, &format!("hub-{n}"), &[1]).await;
        }
        let read = states.hold(&id("hub-0")).await;
        for n in (2..DEVICES_MAX).chain([1]) {
            drop(states.hold(&id(&format!("hub-{n}"))).await);
        }
        states.take_changed();
        keeps(&states, "one-more", &[1]).await;
        assert_eq!(states.take_changed(), [(id("hub-2"), None), (id("one-more"), Some(vec![1]))]);
        drop(read);
        assert_eq!(states.hold(&id("hub-1")).await.kept(), [1]);
    }
}
