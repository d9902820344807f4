//! Bluetooth: which devices to look for, as the database says, and what doctor reads of how they are doing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pitchside_auth::RadioDevice;
use pitchside_collect::Intake;
use pitchside_collect::ble::core::{Condition, CoreConfig, Status};
use pitchside_collect::ble::{Ble, Target};
use pitchside_config::Settings;
use pitchside_decode::Decoders;
use pitchside_model::{DeviceId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::front::Front;
use crate::adapters::bonds::Bonds;
use crate::adapters::zone;
use crate::clock::Clock;
use crate::random::OsRandom;

/// Where doctor reads how devices are doing, below the data folder.
pub const STATUS_FILE: &str = "bluetooth.json";
/// How often the devices are looked up anew, and how old what doctor reads may be.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks after the database changed.
const LOOKS_AFTER_CHANGE: u32 = 4;
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// How Bluetooth is doing, for doctor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Since when it is so.
    pub at: Timestamp,
    /// Every enrolled device that is reached by Bluetooth.
    pub devices: Vec<DeviceReport>,
}

/// How one device is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Which.
    pub device: DeviceId,
    /// absent, resting, waiting, connecting, connected or leaving.
    pub state: String,
    /// The adapter it is on.
    pub adapter: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// It answers without its side of the bond, as it seems.
    #[serde(default)]
    pub bond_lost: bool,
    /// What it said of itself, e.g. `body_location: chest`.
    #[serde(default)]
    pub facts: Vec<String>,
}

impl From<Status> for DeviceReport {
    fn from(status: Status) -> Self {
        let state = match status.state {
            Condition::Absent => "absent",
            Condition::Resting => "resting",
            Condition::Waiting => "waiting",
            Condition::Connecting => "connecting",
            Condition::Connected => "connected",
            Condition::Leaving => "leaving",
        };
        Self {
            device: status.device,
            state: state.to_owned(),
            adapter: status.adapter.map(|adapter| adapter.to_string()),
            failures: status.failures,
            bond_lost: status.bond_lost,
            facts: Vec::new(),
        }
    }
}

/// Starts Bluetooth if the settings name an adapter.
pub fn start(
    settings: &Settings,
    front: &Arc<Front>,
    intake: Arc<dyn Intake>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> anyhow::Result<Option<Ble>> {
    if settings.ble.is_empty() {
        return Ok(None);
    }
    let bonds = Arc::new(Bonds::open(&front.store));
    let (sender, targets) = watch::channel(look(front, &bonds));
    let seed = u64::from_le_bytes(OsRandom.bytes()?);
    let config = CoreConfig {
        turn_ms: u64::from(settings.bluetooth.turn_s) * 1_000,
        stall_ms: u64::from(settings.bluetooth.stall_s) * 1_000,
        ..CoreConfig::default()
    };
    let ble =
        radio::start(settings, Arc::clone(&bonds), front.clock.clone(), intake, targets, config, seed, stop.clone())?;
    tasks.spawn(follow(Arc::clone(front), bonds, sender, stop.clone()));
    let path = settings.gateway.data_dir.join(STATUS_FILE);
    tasks.spawn(write(Arc::clone(front), ble.status(), path, stop));
    Ok(Some(ble))
}

/// Decoders that read sensors as the settings have it: how large their wheels are, whose time their clocks keep.
pub fn read_by(settings: &Settings, decoders: Decoders) -> anyhow::Result<Decoders> {
    // The settings hold it below 4,001.
    let wheel_mm = u16::try_from(settings.bluetooth.wheel_mm).unwrap_or(0);
    let zone = settings.bluetooth.zone.as_ref().unwrap_or(&settings.delivery.zone);
    Ok(decoders.wheel(wheel_mm).zone(zone::named(zone)?))
}

fn look(front: &Front, bonds: &Bonds) -> Arc<[Target]> {
    let target = |RadioDevice { id, address, bonding }: RadioDevice| {
        let identity = bonding.and_then(|_| bonds.identity(&id, address));
        let home = bonding.and_then(|_| bonds.home(&id));
        Target { id, address, identity, bonding, home }
    };
    front.auth.radio_devices().into_iter().map(target).collect()
}

/// Hands on changes of who is enrolled, as the door knows them, of the addresses they told when they bonded, and with whom they did.
async fn follow(front: Arc<Front>, bonds: Arc<Bonds>, targets: watch::Sender<Arc<[Target]>>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    let (mut seen, mut looks) = (None, 0);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        // The door hears of a change from the watch, a moment before us or after.
        let revisions = Some((front.store.changes().ok(), bonds.revision()));
        if revisions != seen {
            (seen, looks) = (revisions, LOOKS_AFTER_CHANGE);
        }
        if looks == 0 {
            continue;
        }
        looks -= 1;
        let now = look(&front, &bonds);
        targets.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    }
}

/// Writes how devices are doing, when it changes, for doctor.
async fn write(front: Arc<Front>, mut status: watch::Receiver<Vec<Status>>, path: PathBuf, stop: CancellationToken) {
    loop {
        let mut devices: Vec<DeviceReport> =
            status.borrow_and_update().iter().cloned().map(DeviceReport::from).collect();
        for device in &mut devices {
            let facts = front.decoders.facts(&device.device).into_iter();
            device.facts = facts.map(|fact| format!("{}: {}", fact.kind, fact.text)).collect();
        }
        let report = Report { at: front.clock.now(), devices };
        let to = path.clone();
        let written = tokio::task::spawn_blocking(move || save(&to, &report)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(error = %format!("{error:#}"), "what doctor reads of Bluetooth could not be written");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WRITE_EVERY) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = status.changed() => if changed.is_err() { return },
        }
    }
}

fn save(path: &Path, report: &Report) -> anyhow::Result<()> {
    crate::files::write_secret(path, &serde_json::to_vec(report)?)
}

/// What a gateway wrote last; none if it never had Bluetooth.
pub fn read(data: &Path) -> anyhow::Result<Option<Report>> {
    match std::fs::read(data.join(STATUS_FILE)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(feature = "ble")]
mod radio {
    use super::*;
    use pitchside_collect::ble::bluez::{AdapterConfig, Bluez, Scan, Which};
    use pitchside_collect::ble::{self, Parts};
    use pitchside_config::{BleAdapter, BleScan};
    use pitchside_decode::gatt::date;

    use crate::clock::CLOCK_FLOOR_MS;

    fn adapter(adapter: &BleAdapter) -> AdapterConfig {
        AdapterConfig {
            which: match adapter.adapter.parse() {
                Ok(address) => Which::Address(address),
                Err(_) => Which::Name(adapter.adapter.clone()),
            },
            slots: adapter.slots as usize,
            scan: match adapter.scan {
                BleScan::Passive => Scan::Passive,
                BleScan::Active => Scan::Active,
            },
        }
    }

    pub(super) fn start(
        settings: &Settings,
        memory: Arc<Bonds>,
        clock: Clock,
        intake: Arc<dyn Intake>,
        targets: watch::Receiver<Arc<[Target]>>,
        config: CoreConfig,
        seed: u64,
        stop: CancellationToken,
    ) -> anyhow::Result<Ble> {
        let time = Arc::new(move || {
            let now = clock.now();
            (now.millis() >= CLOCK_FLOOR_MS).then(|| date::write_current(now)).flatten()
        });
        let (adapters, bonds) = (settings.ble.iter().map(adapter).collect(), settings.bluetooth.bonds.clone());
        let radio = Arc::new(Bluez::new(adapters, bonds, memory, time));
        Ok(ble::start(Parts { radio, intake, targets, config, seed }, stop))
    }
}

#[cfg(not(feature = "ble"))]
mod radio {
    use super::*;

    pub(super) fn start(
        _: &Settings,
        _: Arc<Bonds>,
        _: Clock,
        _: Arc<dyn Intake>,
        _: watch::Receiver<Arc<[Target]>>,
        _: CoreConfig,
        _: u64,
        _: CancellationToken,
    ) -> anyhow::Result<Ble> {
        anyhow::bail!("the settings name a Bluetooth adapter, but this program was built without the feature `ble`")
    }
}

#[cfg(test)]
mod tests {
    use pitchside_collect::ble::profile;
    use pitchside_decode::gatt;

    #[test]
    fn all_that_can_be_decoded_is_asked_for_and_nothing_else() {
        for characteristic in 0..=u16::MAX {
            let listened = profile::SERVICES
                .iter()
                .any(|service| service.characteristics.iter().any(|of| of.uuid == characteristic));
            // What a clock shows is asked for when it is set.
            let listened = listened || profile::is_clock(characteristic);
            // Texts are shown in the log, whoever decodes them besides; two numbers of Device Information nowhere else.
            let told = profile::is_information(characteristic);
            let decoded = gatt::is_known(characteristic);
            assert!(!(listened && told), "{characteristic:04x}");
            assert!(decoded || !listened, "{characteristic:04x} is listened to, and nobody reads it");
            assert!(listened || told || !decoded, "{characteristic:04x} could be decoded, and is never asked for");
        }
    }
}
