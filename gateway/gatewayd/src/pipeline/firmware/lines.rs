//! What this clinic has that firmware is made for: what this box is, and what each of its sensors last said it is. The sensors'
//! words are kept (`sensor_firmware`), so that a release is here before a sensor asks for it.
//!
//! One line a sensor: whoever says it is something else is that from then on, and no more what it was. So none, whatever it
//! says, takes the place of another's firmware or of the box's own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ledger_block::release::{Component, HardwareId, SecurityCounter, Target};
use parking_lot::Mutex;
use pitchside_model::DeviceId;
use pitchside_release::policy::Thing;
use pitchside_store::{SensorFirmware, Store, StoreError};
use tokio::sync::watch;

/// Target, component, hardware: what has versions that only rise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Sensor or box.
    pub target: Target,
    /// Which of its components.
    pub component: Component,
    /// Its board.
    pub hardware: HardwareId,
}

impl From<&Thing> for Line {
    fn from(thing: &Thing) -> Self {
        Self { target: thing.target, component: thing.component.clone(), hardware: thing.hardware.clone() }
    }
}

/// What is known.
#[derive(Default)]
struct Said {
    own: Option<Thing>,
    sensors: BTreeMap<String, Thing>,
}

/// The lines of this clinic.
pub struct Lines {
    said: Mutex<Said>,
    changed: watch::Sender<()>,
}

/// What enrolled sensors last said. One that is revoked is here no more.
fn kept(store: &Store) -> Result<BTreeMap<String, Thing>, StoreError> {
    let revoked = store.devices()?.into_iter().filter(|device| device.revoked_at.is_some());
    let revoked: BTreeSet<DeviceId> = revoked.map(|device| device.id).collect();
    let thing = |row: SensorFirmware| {
        let (component, hardware) = (row.component.parse().ok()?, row.hardware.parse().ok()?);
        let (name, installed, counter) =
            (row.device.to_string(), row.version.parse().ok(), SecurityCounter(row.counter));
        Some((name.clone(), Thing { name, target: Target::Sensor, component, hardware, installed, counter }))
    };
    Ok(store.sensor_firmware()?.into_iter().filter(|row| !revoked.contains(&row.device)).filter_map(thing).collect())
}

impl Lines {
    /// Takes up what was kept.
    pub fn open(store: &Store) -> Self {
        let sensors = kept(store).unwrap_or_else(|error| {
            tracing::warn!(%error, "which hardware this clinic has is not known; devices will say it again");
            BTreeMap::new()
        });
        Self { said: Mutex::new(Said { own: None, sensors }), changed: watch::Sender::new(()) }
    }

    /// This box is that, or a sensor has said that it is that, and nothing else.
    pub fn is(&self, thing: &Thing) {
        let before = {
            let mut said = self.said.lock();
            match thing.target {
                Target::Box => said.own.replace(thing.clone()),
                Target::Sensor => said.sensors.insert(thing.name.clone(), thing.clone()),
            }
        };
        if before.as_ref() != Some(thing) {
            self.changed.send_replace(());
        }
    }

    /// All of them, and what is of each: the box's own first, then what most sensors are.
    pub fn all(&self) -> Vec<(Line, Vec<Thing>)> {
        let said = self.said.lock();
        let mut sensors: BTreeMap<Line, Vec<Thing>> = BTreeMap::new();
        said.sensors.values().for_each(|thing| sensors.entry(Line::from(thing)).or_default().push(thing.clone()));
        let mut lines: Vec<(Line, Vec<Thing>)> = sensors.into_iter().collect();
        lines.sort_by_key(|(_, things)| Reverse(things.len()));
        said.own.iter().map(|thing| (Line::from(thing), vec![thing.clone()])).chain(lines).collect()
    }

    /// Changes with each new one, and with what runs on one.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use pitchside_model::Timestamp;
    use pitchside_store::RootKey;

    use super::*;
    use crate::pipeline::firmware::devices::fresh;

    fn thing(name: &str, hardware: &str) -> Thing {
        let (name, component, hardware) = (name.to_owned(), "strap".parse().unwrap(), hardware.parse().unwrap());
        Thing { name, target: Target::Sensor, component, hardware, installed: None, counter: SecurityCounter(0) }
    }

    fn line(hardware: &str) -> Line {
        Line::from(&thing("any", hardware))
    }

    fn all(lines: &Lines) -> Vec<Line> {
        lines.all().into_iter().map(|(line, _)| line).collect()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        (dir, store)
    }

    #[test]
    fn a_sensor_that_says_it_is_everything_is_one_thing_and_the_box_comes_first() {
        let (_dir, store) = store();
        let lines = Lines::open(&store);
        for n in 0..500 {
            lines.is(&thing("liar", &format!("a{n}")));
        }
        let own = Line { target: Target::Box, ..line("z9") };
        lines.is(&Thing { target: Target::Box, ..thing("box", "z9") });
        ["s7", "s8"].iter().for_each(|name| lines.is(&thing(name, "r2")));
        assert_eq!(all(&lines), [own, line("r2"), line("a499")], "what most sensors are, before what one says");
        let mut changes = lines.changes();
        lines.is(&thing("s8", "r2"));
        assert!(!changes.has_changed().unwrap(), "nothing new");
        lines.is(&Thing { counter: SecurityCounter(1), ..thing("s8", "r2") });
        assert!(changes.has_changed().unwrap(), "what it may install may be another");
        changes.mark_unchanged();
        lines.is(&thing("s8", "r3"));
        assert!(changes.has_changed().unwrap());
    }

    #[test]
    fn what_sensors_said_is_known_after_a_restart_but_not_of_revoked_ones() {
        let (_dir, store) = store();
        for (name, hardware) in [("s7", "r2"), ("s8", "r3"), ("s9", "../x")] {
            let device = DeviceId::parse(name).unwrap();
            let row = SensorFirmware { hardware: hardware.to_owned(), component: "strap".to_owned(), ..fresh(&device) };
            store.put_sensor_firmware(row, None).unwrap();
        }
        assert_eq!(all(&Lines::open(&store)), [line("r2"), line("r3")]);
        let device = pitchside_store::Device {
            id: DeviceId::parse("s8").unwrap(),
            class: "p1".to_owned(),
            secret: vec![1],
            decoder: None,
            filters: Vec::new(),
            enrolled_at: Timestamp(1),
            revoked_at: None,
        };
        store.add_device(device).unwrap();
        assert_eq!(all(&Lines::open(&store)), [line("r2"), line("r3")]);
        store.revoke_device(&DeviceId::parse("s8").unwrap(), Timestamp(2)).unwrap();
        assert_eq!(all(&Lines::open(&store)), [line("r2")]);
    }
}
