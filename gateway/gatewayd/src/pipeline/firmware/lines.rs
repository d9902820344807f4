//! What this clinic has that firmware is made for: what this box is, and what each of its sensors last said it is. The sensors'
//! words are kept (`sensor_firmware`), so that a release is here before a sensor asks for it.
//!
//! One line a sensor: whoever says it is something else is that from then on, and no more what it was. So none, whatever it
//! says, takes the place of another's firmware or of the box's own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ledger_block::release::{Component, HardwareId, Target};
use parking_lot::Mutex;
use pitchside_model::DeviceId;
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

/// What is known.
#[derive(Default)]
struct Said {
    own: Option<Line>,
    sensors: BTreeMap<String, Line>,
}

/// The lines of this clinic.
pub struct Lines {
    said: Mutex<Said>,
    changed: watch::Sender<()>,
}

/// What enrolled sensors last said. One that is revoked is here no more.
fn kept(store: &Store) -> Result<BTreeMap<String, Line>, StoreError> {
    let revoked = store.devices()?.into_iter().filter(|device| device.revoked_at.is_some());
    let revoked: BTreeSet<DeviceId> = revoked.map(|device| device.id).collect();
    let line = |row: SensorFirmware| {
        let (component, hardware) = (row.component.parse().ok()?, row.hardware.parse().ok()?);
        Some((row.device.to_string(), Line { target: Target::Sensor, component, hardware }))
    };
    Ok(store.sensor_firmware()?.into_iter().filter(|row| !revoked.contains(&row.device)).filter_map(line).collect())
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

    /// This box is that.
    pub fn own(&self, line: Line) {
        let before = self.said.lock().own.replace(line.clone());
        if before != Some(line) {
            self.changed.send_replace(());
        }
    }

    /// A sensor has said that it is that, and nothing else.
    pub fn sensor(&self, name: &str, line: Line) {
        let before = self.said.lock().sensors.insert(name.to_owned(), line.clone());
        if before != Some(line) {
            self.changed.send_replace(());
        }
    }

    /// All of them: the box's own first, then what most sensors are.
    pub fn all(&self) -> Vec<Line> {
        let said = self.said.lock();
        let mut sensors: BTreeMap<&Line, usize> = BTreeMap::new();
        said.sensors.values().for_each(|line| *sensors.entry(line).or_default() += 1);
        let mut lines: Vec<(&Line, usize)> = sensors.into_iter().collect();
        lines.sort_by_key(|(_, count)| Reverse(*count));
        said.own.iter().chain(lines.into_iter().map(|(line, _)| line)).cloned().collect()
    }

    /// Changes with each new one.
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

    fn line(hardware: &str) -> Line {
        let (component, hardware) = ("strap".parse().unwrap(), hardware.parse().unwrap());
        Line { target: Target::Sensor, component, hardware }
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
            lines.sensor("liar", line(&format!("a{n}")));
        }
        let own = Line { target: Target::Box, ..line("z9") };
        lines.own(own.clone());
        ["s7", "s8"].iter().for_each(|name| lines.sensor(name, line("r2")));
        assert_eq!(lines.all(), [own, line("r2"), line("a499")], "what most sensors are, before what one says");
        let changes = lines.changes();
        lines.sensor("s8", line("r2"));
        assert!(!changes.has_changed().unwrap(), "nothing new");
        lines.sensor("s8", line("r3"));
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
        assert_eq!(Lines::open(&store).all(), [line("r2"), line("r3")]);
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
        assert_eq!(Lines::open(&store).all(), [line("r2"), line("r3")]);
        store.revoke_device(&DeviceId::parse("s8").unwrap(), Timestamp(2)).unwrap();
        assert_eq!(Lines::open(&store).all(), [line("r2")]);
    }
}
