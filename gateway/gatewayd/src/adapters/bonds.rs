//! Which devices this box has bonded with, kept by `store` for `collect`; which of those bonds are gone, and which are to go.
//!
//! ```text
//! ble-bonds    strap-1 00:11:22:33:44:55 F0:F1:F2:F3:F4:01 2    device, adapter, the device's address, asked   the gateway writes
//! ble-forget   strap-1 3                                        device, asked                                  the command line writes
//! ```
//!
//! `asked` counts how often somebody asked for the device to be forgotten. A bond made when that was 2 goes when it is 3: so each side
//! writes its own list alone, and no clock is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pitchside_collect::ble::keys::{self, KeysError};
use pitchside_collect::ble::{Made, Memory};
use pitchside_model::ble::RandomAddress;
use pitchside_model::{BleAddress, DeviceId};
use pitchside_store::{Store, StoreError, Tables};

const KEPT: &str = "ble-bonds";
const FORGET: &str = "ble-forget";
/// Bonds remembered: more than any box has slots for.
const BONDS_MAX: usize = 1_024;

/// A bond that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    device: DeviceId,
    made: Made,
    asked: u64,
}

fn parse(line: &str) -> Option<Kept> {
    let mut words = line.split(' ');
    let device = DeviceId::parse(words.next()?).ok()?;
    let made = Made { adapter: words.next()?.parse().ok()?, device: words.next()?.parse().ok()? };
    // Written before anybody could ask, it has no fourth word.
    let asked = words.next().map_or(Some(0), |asked| asked.parse().ok())?;
    words.next().is_none().then_some(Kept { device, made, asked })
}

fn text(tables: &Tables, name: &str) -> Result<String, StoreError> {
    Ok(tables.meta(name)?.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default())
}

/// In the order in which they were made.
fn load(tables: &Tables) -> Result<Vec<Kept>, StoreError> {
    Ok(text(tables, KEPT)?.lines().filter_map(parse).take(BONDS_MAX).collect())
}

type Asked = BTreeMap<DeviceId, u64>;

fn asked(tables: &Tables) -> Result<Asked, StoreError> {
    let line = |line: &str| {
        let (device, asked) = line.split_once(' ')?;
        Some((DeviceId::parse(device).ok()?, asked.parse().ok()?))
    };
    Ok(text(tables, FORGET)?.lines().filter_map(line).collect())
}

/// Asks the gateway, running or not, to remove its bond with a device, which stays enrolled and pairs anew.
///
/// # Errors
/// The database does not answer.
pub fn forget(tables: &Tables, device: &DeviceId) -> Result<(), StoreError> {
    let mut asked = asked(tables)?;
    // Of devices without a bond there is nothing left to ask.
    let bonded = load(tables)?;
    asked.retain(|other, _| other == device || bonded.iter().any(|kept| kept.device == *other));
    let count = asked.entry(device.clone()).or_default();
    *count = count.saturating_add(1);
    let lines: String = asked.iter().map(|(device, asked)| format!("{device} {asked}\n")).collect();
    tables.set_meta(FORGET, lines.as_bytes())
}

/// Bonds that are to be removed: of whoever is no longer enrolled, and those made before somebody asked.
fn given_up(kept: &[Kept], is_enrolled: impl Fn(&DeviceId) -> bool, asked: &Asked) -> Vec<(DeviceId, Made)> {
    let is_over =
        |kept: &&Kept| !is_enrolled(&kept.device) || asked.get(&kept.device).is_some_and(|now| *now > kept.asked);
    kept.iter().filter(is_over).map(|kept| (kept.device.clone(), kept.made)).collect()
}

/// The memory.
pub struct Bonds {
    store: Store,
    kept: Mutex<Vec<Kept>>,
    /// Who was enrolled at a revision of the devices: asked for every second, it is read when it changed.
    enrolled: Mutex<Option<(u64, BTreeSet<DeviceId>)>>,
    revision: AtomicU64,
}

impl Bonds {
    /// Takes up what was kept.
    pub fn open(store: &Store) -> Self {
        let kept = load(store).unwrap_or_else(|error| {
            tracing::warn!(%error, "which devices were bonded is not known: a lost bond is not told, and none is removed");
            Vec::new()
        });
        Self { store: store.clone(), kept: Mutex::new(kept), enrolled: Mutex::default(), revision: AtomicU64::new(0) }
    }

    /// The address that a device told when it last bonded, if it was enrolled by one that it may change.
    pub fn identity(&self, device: &DeviceId, enrolled: BleAddress) -> Option<BleAddress> {
        if enrolled.if_random() != RandomAddress::Resolvable {
            return None;
        }
        let kept = self.kept.lock();
        let last = kept.iter().rfind(|kept| kept.device == *device)?;
        Some(last.made.device).filter(|told| *told != enrolled)
    }

    /// The adapter that a device last bonded with.
    pub fn home(&self, device: &DeviceId) -> Option<BleAddress> {
        let kept = self.kept.lock();
        kept.iter().rfind(|kept| kept.device == *device).map(|last| last.made.adapter)
    }

    /// Changes with what is remembered.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Durable first: what is remembered and not kept would be forgotten by the next start.
    fn keep(&self, kept: &mut Vec<Kept>, next: Vec<Kept>) -> Result<(), String> {
        let line = |kept: &Kept| format!("{} {} {} {}\n", kept.device, kept.made.adapter, kept.made.device, kept.asked);
        let lines: String = next.iter().map(line).collect();
        self.store.set_meta(KEPT, lines.as_bytes()).map_err(|error| error.to_string())?;
        *kept = next;
        self.revision.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

impl Memory for Bonds {
    fn made(&self, device: &DeviceId) -> Vec<Made> {
        self.kept.lock().iter().filter(|kept| kept.device == *device).map(|kept| kept.made).collect()
    }

    fn bonded(&self, device: &DeviceId, made: Made) -> Result<(), String> {
        let mut kept = self.kept.lock();
        // One that is about to go stays so: it is not this bond that was asked for anew.
        if kept.iter().any(|kept| kept.device == *device && kept.made == made) {
            return Ok(());
        }
        // A host has one bond with an address: whoever had it before has none.
        let mut next: Vec<Kept> = kept.iter().filter(|kept| kept.made != made).cloned().collect();
        if next.len() >= BONDS_MAX {
            return Err(format!("{BONDS_MAX} bonds are remembered already"));
        }
        let asked = asked(&self.store).map_err(|error| error.to_string())?.get(device).copied().unwrap_or(0);
        next.push(Kept { device: device.clone(), made, asked });
        self.keep(&mut kept, next)
    }

    fn given_up(&self) -> Result<Vec<(DeviceId, Made)>, String> {
        let kept = self.kept.lock();
        if kept.is_empty() {
            return Ok(Vec::new());
        }
        let read = || {
            let revision = self.store.changes()?.devices;
            let mut known = self.enrolled.lock();
            if known.as_ref().is_none_or(|(at, _)| *at != revision) {
                let devices = self.store.devices()?.into_iter().filter(|device| device.revoked_at.is_none());
                *known = Some((revision, devices.map(|device| device.id).collect()));
            }
            let is_enrolled = |id: &DeviceId| known.as_ref().is_some_and(|(_, ids)| ids.contains(id));
            Ok(given_up(&kept, is_enrolled, &asked(&self.store)?))
        };
        read().map_err(|error: StoreError| error.to_string())
    }

    fn removed(&self, device: &DeviceId, made: Made) -> Result<(), String> {
        let mut kept = self.kept.lock();
        let next = kept.iter().filter(|kept| kept.device != *device || kept.made != made).cloned().collect();
        self.keep(&mut kept, next)
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
    // The last one of each: a device that moved to another adapter has left its first bond behind.
    let last: BTreeMap<DeviceId, Made> = load(tables)?.into_iter().map(|kept| (kept.device, kept.made)).collect();
    Ok(last
        .into_iter()
        .filter(|(device, made)| is_enrolled(device) && is_gone(made))
        .map(|(device, _)| device)
        .collect())
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use pitchside_auth::enrol;
    use pitchside_model::Timestamp;
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
        let bonds = Bonds::open(&store);
        assert_eq!(bonds.made(&strap), []);
        bonds.bonded(&strap, MADE).unwrap();
        let lost = || lost(&store, host.path()).unwrap();
        assert!(lost().is_empty());
        // The power went before BlueZ's file was on the disk: it is gone, or holds no key.
        std::fs::write(place.join("info"), "[General]\nName=Strap\n").unwrap();
        assert_eq!(lost(), from_ref(&strap));
        std::fs::remove_dir_all(&place).unwrap();
        assert_eq!(lost(), from_ref(&strap));
        assert_eq!(Bonds::open(&store).made(&strap), [MADE], "the next start knows");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("info"), info).unwrap();
        assert!(lost().is_empty());
    }

    #[test]
    fn the_bond_of_a_revoked_device_is_given_up_over_restarts_until_the_host_has_removed_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let (strap, other) = (DeviceId::parse("strap-1").unwrap(), DeviceId::parse("strap-2").unwrap());
        for id in [&strap, &other] {
            store.add_device(row(enrol::wired(id.clone(), None, Timestamp(0)))).unwrap();
        }
        let elsewhere = Made { device: BleAddress([0xF0, 9, 9, 9, 9, 9]), ..MADE };
        let bonds = Bonds::open(&store);
        bonds.bonded(&strap, MADE).unwrap();
        bonds.bonded(&other, elsewhere).unwrap();
        assert_eq!(bonds.given_up(), Ok(vec![]));
        store.revoke_device(&strap, Timestamp(1)).unwrap();
        assert_eq!(bonds.given_up(), Ok(vec![(strap.clone(), MADE)]));
        // The gateway stopped before BlueZ was there.
        let bonds = Bonds::open(&store);
        assert_eq!(bonds.given_up(), Ok(vec![(strap.clone(), MADE)]), "and no bond but ours");
        bonds.removed(&strap, MADE).unwrap();
        assert_eq!((bonds.given_up(), Bonds::open(&store).given_up()), (Ok(vec![]), Ok(vec![])));
        assert_eq!((bonds.made(&strap), bonds.made(&other)), (vec![], vec![elsewhere]));
    }

    #[test]
    fn a_device_that_is_to_be_forgotten_loses_the_bonds_it_had_then_and_no_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let strap = DeviceId::parse("strap-1").unwrap();
        store.add_device(row(enrol::wired(strap.clone(), None, Timestamp(0)))).unwrap();
        let second = Made { adapter: BleAddress([2; 6]), ..MADE };
        let bonds = Bonds::open(&store);
        bonds.bonded(&strap, MADE).unwrap();
        bonds.bonded(&strap, second).unwrap();
        assert_eq!(Bonds::open(&store).home(&strap), Some(second.adapter), "known over a restart");
        forget(&store, &strap).unwrap();
        let both = vec![(strap.clone(), MADE), (strap.clone(), second)];
        assert_eq!(bonds.given_up(), Ok(both.clone()));
        // Connected once more before it was removed: that makes the old bond no new one.
        bonds.bonded(&strap, MADE).unwrap();
        assert_eq!(bonds.given_up(), Ok(both));
        bonds.removed(&strap, MADE).unwrap();
        bonds.removed(&strap, second).unwrap();
        assert_eq!((bonds.home(&strap), bonds.made(&strap)), (None, vec![]));
        bonds.bonded(&strap, MADE).unwrap();
        assert_eq!((bonds.given_up(), Bonds::open(&store).given_up()), (Ok(vec![]), Ok(vec![])), "it has paired anew");
        forget(&store, &strap).unwrap();
        assert_eq!(bonds.given_up(), Ok(vec![(strap, MADE)]), "asked a second time");
    }

    #[test]
    fn an_address_that_is_enrolled_anew_is_its_new_owners() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let (old, new) = (DeviceId::parse("strap-1").unwrap(), DeviceId::parse("strap-2").unwrap());
        store.add_device(row(enrol::wired(new.clone(), None, Timestamp(0)))).unwrap();
        let bonds = Bonds::open(&store);
        bonds.bonded(&old, MADE).unwrap();
        assert_eq!(bonds.given_up(), Ok(vec![(old, MADE)]));
        bonds.bonded(&new, MADE).unwrap();
        assert_eq!(bonds.given_up(), Ok(vec![]), "the new bond is not removed in the old one's name");
    }

    #[test]
    fn a_device_enrolled_by_an_address_that_it_changes_is_known_by_the_one_it_bonded_with_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let strap = DeviceId::parse("strap-1").unwrap();
        store.add_device(row(enrol::wired(strap.clone(), None, Timestamp(0)))).unwrap();
        let (changing, lasting) = (BleAddress([0x4A, 1, 2, 3, 4, 5]), BleAddress([0xF0, 9, 9, 9, 9, 9]));
        let bonds = Bonds::open(&store);
        let before = bonds.revision();
        assert_eq!(bonds.identity(&strap, changing), None);
        bonds.bonded(&strap, MADE).unwrap();
        assert_ne!(bonds.revision(), before, "whoever looks for it is told");
        assert_eq!(Bonds::open(&store).identity(&strap, changing), Some(MADE.device));
        // A bond of whoever had its name before says nothing of an address that lasts.
        assert_eq!((bonds.identity(&strap, lasting), bonds.identity(&strap, MADE.device)), (None, None));
        bonds.removed(&strap, MADE).unwrap();
        assert_eq!(bonds.identity(&strap, changing), None);
    }

    #[test]
    fn a_line_that_is_none_is_left_out() {
        for bad in
            ["", "s7", "s7 00:00:00:00:00:01", "s7 x F0:F1:F2:F3:F4:01", "s7 00:00:00:00:00:01 F0:F1:F2:F3:F4:01 x"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let before = parse("s7 00:00:00:00:00:01 F0:F1:F2:F3:F4:01").unwrap();
        assert_eq!((before.device.as_str(), before.asked), ("s7", 0), "as it was written before anybody could ask");
    }
}
