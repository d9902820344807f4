//! Which devices this box has bonded with, kept by `store` for `collect`; and which of those bonds are gone.

use std::collections::BTreeMap;
use std::path::Path;

use parking_lot::Mutex;
use pitchside_collect::ble::keys::{self, KeysError};
use pitchside_collect::ble::{Made, Memory};
use pitchside_model::DeviceId;
use pitchside_store::{Store, StoreError, Tables};

/// Where they are kept: one a line, `strap-1 00:11:22:33:44:55 F0:F1:F2:F3:F4:01`: device, adapter, the device's address.
const KEPT: &str = "ble-bonds";
/// Devices remembered: more than any box has slots for.
const BONDS_MAX: usize = 1_024;

type Bonded = BTreeMap<DeviceId, Made>;

fn parse(line: &str) -> Option<(DeviceId, Made)> {
    let mut words = line.split(' ');
    let device = DeviceId::parse(words.next()?).ok()?;
    let made = Made { adapter: words.next()?.parse().ok()?, device: words.next()?.parse().ok()? };
    words.next().is_none().then_some((device, made))
}

fn load(tables: &Tables) -> Result<Bonded, StoreError> {
    let text = tables.meta(KEPT)?.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    Ok(text.lines().filter_map(parse).take(BONDS_MAX).collect())
}

/// The memory.
pub struct Bonds {
    store: Store,
    bonded: Mutex<Bonded>,
}

impl Bonds {
    /// Takes up what was kept of the devices that are still enrolled.
    pub fn open(store: &Store, enrolled: &[DeviceId]) -> Self {
        let mut bonded = load(store).unwrap_or_else(|error| {
            tracing::warn!(%error, "which devices were bonded is not known: a lost bond is not told");
            Bonded::new()
        });
        bonded.retain(|device, _| enrolled.contains(device));
        Self { store: store.clone(), bonded: Mutex::new(bonded) }
    }
}

impl Memory for Bonds {
    fn was_bonded(&self, device: &DeviceId) -> bool {
        self.bonded.lock().contains_key(device)
    }

    fn bonded(&self, device: &DeviceId, made: Made) -> Result<(), String> {
        let text = {
            let mut bonded = self.bonded.lock();
            if bonded.get(device) == Some(&made) {
                return Ok(());
            }
            if bonded.len() >= BONDS_MAX && !bonded.contains_key(device) {
                return Err(format!("{BONDS_MAX} bonds are remembered already"));
            }
            bonded.insert(device.clone(), made);
            let line = |(device, made): (&DeviceId, &Made)| format!("{device} {} {}\n", made.adapter, made.device);
            bonded.iter().map(line).collect::<String>()
        };
        self.store.set_meta(KEPT, text.as_bytes()).map_err(|error| error.to_string())
    }
}

/// Devices that are enrolled, were bonded, and whose bond the host no longer shows in `folder`.
///
/// # Errors
/// The database does not answer.
pub fn lost(tables: &Tables, folder: &Path) -> Result<Vec<DeviceId>, StoreError> {
    let enrolled = tables.devices()?;
    let is_enrolled = |id: &DeviceId| enrolled.iter().any(|device| device.id == *id && device.revoked_at.is_none());
    let is_gone = |made: &Made| match keys::bond(folder, made.adapter, made.device) {
        Err(KeysError::NoKey(_)) => true,
        Err(KeysError::Unreadable { error, .. }) => error.kind() == std::io::ErrorKind::NotFound,
        Ok(_) => false,
    };
    let lost = load(tables)?.into_iter().filter(|(device, made)| is_enrolled(device) && is_gone(made));
    Ok(lost.map(|(device, _)| device).collect())
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use pitchside_auth::enrol;
    use pitchside_model::{BleAddress, Timestamp};
    use pitchside_store::RootKey;

    use super::*;
    use crate::adapters::keys::row;

    const MADE: Made = Made { adapter: BleAddress([1; 6]), device: BleAddress([0xF0, 1, 2, 3, 4, 5]) };

    #[test]
    fn a_bond_the_host_has_lost_is_named_over_a_restart_until_it_is_made_again() {
        let (dir, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let strap = DeviceId::parse("strap-1").unwrap();
        store.add_device(row(enrol::wired(strap.clone(), None, Timestamp(0)))).unwrap();
        let place = host.path().join(MADE.adapter.to_string()).join(MADE.device.to_string());
        std::fs::create_dir_all(&place).unwrap();
        let info = "[LongTermKey]\nAuthenticated=3\nEncSize=16\n";
        std::fs::write(place.join("info"), info).unwrap();
        let bonds = Bonds::open(&store, from_ref(&strap));
        assert!(!bonds.was_bonded(&strap));
        bonds.bonded(&strap, MADE).unwrap();
        let lost = || lost(&store, host.path()).unwrap();
        assert!(lost().is_empty());
        // The power went before BlueZ's file was on the disk: it is gone, or holds no key.
        std::fs::write(place.join("info"), "[General]\nName=Strap\n").unwrap();
        assert_eq!(lost(), from_ref(&strap));
        std::fs::remove_dir_all(&place).unwrap();
        assert_eq!(lost(), from_ref(&strap));
        assert!(Bonds::open(&store, from_ref(&strap)).was_bonded(&strap), "the next start knows");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("info"), info).unwrap();
        assert!(lost().is_empty());
        assert!(!Bonds::open(&store, &[]).was_bonded(&strap), "who is no longer enrolled is forgotten");
    }

    #[test]
    fn a_line_that_is_none_is_left_out() {
        for bad in
            ["", "s7", "s7 00:00:00:00:00:01", "s7 x F0:F1:F2:F3:F4:01", "s7 00:00:00:00:00:01 F0:F1:F2:F3:F4:01 x"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
