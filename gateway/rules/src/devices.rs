//! The devices that messages come from: whose they are, which messages were taken, and how far each stream has come.

use std::sync::Arc;

use pitchside_model::{AthleteId, DeviceId, Gap, GapReason, Quality, Quantity};
use pitchside_script::manifest::RuleScope;
use serde::{Deserialize, Serialize};

use crate::arrivals::{Messages, Order, Progress};
use crate::id::{Map, Subject};
use crate::item::{Item, Point, PointContent};

/// The most devices whose messages are remembered.
pub const DEVICES_MAX: usize = 8_192;

/// What is remembered of a device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Device {
    messages: Messages,
    streams: Vec<(Quantity, Progress)>,
    touched: u64,
}

/// Who sent a message, and whose readings it holds.
#[derive(Debug)]
pub(crate) struct Who {
    pub device: DeviceId,
    pub athlete: Option<AthleteId>,
    by_device: Subject,
    by_athlete: Subject,
}

impl Who {
    pub fn new(device: DeviceId, athlete: Option<AthleteId>) -> Self {
        let by_device = Subject::Device(device.clone());
        let by_athlete = athlete.clone().map_or_else(|| by_device.clone(), Subject::Athlete);
        Self { device, athlete, by_device, by_athlete }
    }

    /// Whose they are to a rule of this scope: readings of nobody are their device's.
    pub fn subject(&self, scope: RuleScope) -> &Subject {
        match scope {
            RuleScope::Athlete => &self.by_athlete,
            RuleScope::Device => &self.by_device,
        }
    }
}

/// A device, and who wore it when it was last heard.
#[derive(Debug)]
struct Slot {
    who: Arc<Who>,
    device: Device,
}

/// All of them. A device keeps its place until another needs it.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    places: Map<DeviceId, usize>,
    slots: Vec<Slot>,
}

impl Devices {
    /// Takes a message: the place of its device and whose it is; none if it was taken before.
    pub fn take(&mut self, item: &Item<'_>, number: u64) -> Option<(usize, Arc<Who>)> {
        let place = match self.places.get(item.device) {
            Some(place) => *place,
            // The parent only sends names that were parsed before.
            None => self.put(DeviceId::parse(item.device).ok()?, Device::default()),
        };
        let slot = self.slots.get_mut(place)?;
        slot.device.touched = number;
        if !slot.device.messages.first(item.epoch, item.seq) {
            return None;
        }
        if slot.who.athlete.as_ref().map(AthleteId::as_str) != item.athlete {
            let athlete = item.athlete.and_then(|name| AthleteId::parse(name).ok());
            slot.who = Arc::new(Who::new(slot.who.device.clone(), athlete));
        }
        Some((place, Arc::clone(&slot.who)))
    }

    /// Gives a device a place; the one heard least lately makes room.
    fn put(&mut self, id: DeviceId, device: Device) -> usize {
        let slot = Slot { who: Arc::new(Who::new(id.clone(), None)), device };
        let place = if self.slots.len() < DEVICES_MAX {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            let oldest = self.slots.iter().enumerate().min_by_key(|(_, slot)| slot.device.touched);
            let place = oldest.map_or(0, |(place, _)| place);
            if let Some(old) = self.slots.get_mut(place).map(|old| std::mem::replace(old, slot)) {
                self.places.remove(&old.who.device);
            }
            place
        };
        self.places.insert(id, place);
        place
    }

    /// A device sends this quantity itself: at once, not only from the next message on, for what it is made of may stand before it.
    pub fn sends(&mut self, place: usize, quantity: Quantity) {
        if let Some(progress) = self.progress(place, quantity) {
            progress.own = true;
        }
    }

    /// Whether it ever did.
    pub fn sends_itself(&self, place: usize, quantity: Quantity) -> bool {
        let streams = self.slots.get(place).map(|slot| slot.device.streams.as_slice()).unwrap_or_default();
        streams.iter().any(|(of, progress)| *of == quantity && progress.own)
    }

    /// How far a stream has come; it begins here if there was none.
    fn progress(&mut self, place: usize, quantity: Quantity) -> Option<&mut Progress> {
        let streams = &mut self.slots.get_mut(place)?.device.streams;
        let at = match streams.iter().position(|(of, _)| *of == quantity) {
            Some(at) => at,
            None => {
                streams.push((quantity, Progress::default()));
                streams.len() - 1
            }
        };
        streams.get_mut(at).map(|(_, progress)| progress)
    }

    /// The place of a device; one that is not remembered gets one.
    pub fn place(&mut self, device: &DeviceId) -> usize {
        self.find(device).unwrap_or_else(|| self.put(device.clone(), Device::default()))
    }

    /// The place of a device that is remembered.
    pub fn find(&self, device: &DeviceId) -> Option<usize> {
        self.places.get(device).copied()
    }

    /// Where a reading of message `number` stands in its stream; none if windows cannot take it.
    pub fn order(&mut self, place: usize, point: &Point, number: u64) -> Option<Order> {
        let progress = self.progress(place, point.quantity)?;
        match point.content {
            PointContent::Gap(Gap { reason: GapReason::ClockStep, .. }) => {
                progress.step(point.time);
                Some(Order::SetBack)
            }
            // A gap may be told late; it ends what there is all the same.
            PointContent::Gap(_) => Some(Order::Onward),
            // A reading the gateway knows to be in the future must not hold up those of the present.
            _ if point.quality.contains(Quality::FUTURE) => None,
            PointContent::Number(_) | PointContent::Wave | PointContent::Samples(_) => {
                Some(progress.arrive(number, point.time)).filter(|order| *order != Order::Behind)
            }
        }
    }

    /// How far each stream of a device has come.
    pub fn came(&self, device: &DeviceId) -> Vec<(Quantity, Progress)> {
        let slot = self.find(device).and_then(|place| self.slots.get(place));
        slot.map(|slot| slot.device.streams.clone()).unwrap_or_default()
    }

    /// Puts the streams of a device to where they had come.
    pub fn resume_came(&mut self, device: &DeviceId, streams: Vec<(Quantity, Progress)>) {
        let place = self.place(device);
        if let Some(slot) = self.slots.get_mut(place) {
            slot.device.streams = streams;
        }
    }

    /// All that is remembered, by name.
    pub fn keep(&self) -> Vec<(DeviceId, Device)> {
        let all = self.slots.iter().map(|slot| (slot.who.device.clone(), slot.device.clone()));
        let mut kept: Vec<(DeviceId, Device)> = all.collect();
        kept.sort_by(|a, b| a.0.cmp(&b.0));
        kept
    }

    /// Takes what was kept.
    pub fn resume(&mut self, kept: Vec<(DeviceId, Device)>) {
        *self = Self::default();
        for (id, device) in kept {
            self.put(id, device);
        }
    }
}

#[cfg(test)]
mod tests {
    use pitchside_model::{Assurance, Epoch, Seq};

    use super::*;

    fn take(devices: &mut Devices, name: &str, athlete: Option<&str>, number: u64) -> Option<(usize, Option<String>)> {
        let item = Item {
            device: name,
            athlete,
            assurance: Assurance::Noise,
            epoch: Epoch(1),
            seq: Seq(7),
            readings: Vec::new(),
        };
        let (place, who) = devices.take(&item, number)?;
        assert_eq!(who.device.as_str(), name);
        Some((place, who.athlete.as_ref().map(ToString::to_string)))
    }

    #[test]
    fn the_device_heard_least_lately_makes_room_and_no_other_is_forgotten() {
        let (mut devices, last) = (Devices::default(), DEVICES_MAX as u64);
        for number in 0..=last {
            assert!(take(&mut devices, &format!("d{number}"), None, number + 1).is_some());
        }
        // The newcomer has the place of the first, and each of the others its own.
        assert_eq!(devices.find(&DeviceId::parse("d0").unwrap()), None);
        assert_eq!(devices.find(&DeviceId::parse(&format!("d{last}")).unwrap()), Some(0));
        assert_eq!(devices.find(&DeviceId::parse("d2").unwrap()), Some(2));
        let kept = devices.keep();
        assert_eq!(kept.len(), DEVICES_MAX);
        assert_eq!(take(&mut devices, "d2", None, last + 2), None, "the same message again");
        assert!(take(&mut devices, "d0", None, last + 3).is_some(), "forgotten, so new");
        let mut again = Devices::default();
        again.resume(kept.clone());
        assert_eq!(again.keep(), kept);
    }

    #[test]
    fn readings_are_of_whoever_wears_the_device_now() {
        let mut devices = Devices::default();
        let subject = |devices: &mut Devices, athlete: Option<&str>, seq: u64| {
            let item = Item {
                device: "strap",
                athlete,
                assurance: Assurance::Noise,
                epoch: Epoch(1),
                seq: Seq(seq),
                readings: Vec::new(),
            };
            let (_, who) = devices.take(&item, seq + 1).unwrap();
            [RuleScope::Athlete, RuleScope::Device].map(|scope| who.subject(scope).clone())
        };
        let device = Subject::Device(DeviceId::parse("strap").unwrap());
        let athlete = |name: &str| Subject::Athlete(AthleteId::parse(name).unwrap());
        assert_eq!(subject(&mut devices, Some("ann"), 0), [athlete("ann"), device.clone()]);
        assert_eq!(subject(&mut devices, Some("ben"), 1), [athlete("ben"), device.clone()]);
        assert_eq!(subject(&mut devices, None, 2), [device.clone(), device]);
    }
}
