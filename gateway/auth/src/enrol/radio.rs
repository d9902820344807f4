//! Devices reached by Bluetooth: the bonded ones, which have no key of ours, and PS/1 devices with an address.
//!
//! ```text
//! secret of a bonded device   | address 6 | pairing 1 | code 4 | profiles 4 |    little-endian
//! of a PS/1 device on BLE     | its keys 32 or 64 | address 6 |
//! ```
//!
//! Pairing is 0 for just works, 1 for a code to be read off, 2 for a code that is known. Behind 1 stands 0, or one more than the code that
//! was told last: it may be another the next time, so it goes with the bond. All of it is wrapped and so bound to the device's name and
//! class: a row whose address was changed is nobody's.

use pitchside_model::ble::CODE_MAX;
use pitchside_model::{BleAddress, Bonding, DeviceId, Pairing, PluginName, Profiles, Timestamp};
use zeroize::Zeroizing;

use super::{EnrolError, blank, unwrap, wrap};
use crate::kek::{Kek, UnwrapError};
use crate::record::{DeviceClass, DeviceRecord};

/// Bytes of an address.
pub(super) const ADDRESS_BYTES: usize = 6;
const BONDED_BYTES: usize = ADDRESS_BYTES + 9;

const JUST_WORKS: u8 = 0;
const READ_OFF: u8 = 1;
const KNOWN: u8 = 2;

/// An enrolled device that is reached by Bluetooth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RadioDevice {
    /// Its name.
    pub id: DeviceId,
    /// Where it is.
    pub address: BleAddress,
    /// How it is bonded and what it is asked for; none: it speaks PS/1 and proves itself.
    pub bonding: Option<Bonding>,
}

/// Enrols a device that the host bonds with by LE Secure Connections: heart straps, thermometers.
pub fn bonded(
    id: DeviceId,
    address: BleAddress,
    bonding: Bonding,
    decoder: Option<PluginName>,
    kek: &Kek,
    now: Timestamp,
) -> Result<DeviceRecord, EnrolError> {
    let written = match bonding.pairing {
        Pairing::JustWorks => (JUST_WORKS, 0),
        Pairing::Code(None) => (READ_OFF, 0),
        Pairing::Code(Some(code)) => (KNOWN, code),
    };
    sealed(blank(id, DeviceClass::Bonded, decoder, Vec::new(), now), address, bonding, written, kek)
}

fn sealed(
    mut record: DeviceRecord,
    address: BleAddress,
    bonding: Bonding,
    (pairing, code): (u8, u32),
    kek: &Kek,
) -> Result<DeviceRecord, EnrolError> {
    if bonding.profiles.is_empty() {
        return Err(EnrolError::NoProfiles);
    }
    if matches!(bonding.pairing, Pairing::Code(Some(code)) if code > CODE_MAX) {
        return Err(EnrolError::Code);
    }
    let mut secret = Zeroizing::new(Vec::with_capacity(BONDED_BYTES));
    secret.extend_from_slice(&address.0);
    secret.push(pairing);
    secret.extend_from_slice(&code.to_le_bytes());
    secret.extend_from_slice(&bonding.profiles.bits().to_le_bytes());
    record.secret = wrap(&record, kek, &secret)?;
    Ok(record)
}

/// The same bonded device with the code somebody read off it, or with none, so that the next pairing waits for one. One that was enrolled
/// with its code has it printed on it: it keeps the code that is told for good.
pub fn with_code(record: &DeviceRecord, code: Option<u32>, kek: &Kek) -> Result<DeviceRecord, EnrolError> {
    let device = radio_device(record, kek)?.ok_or(EnrolError::NotBonded)?;
    let bonding =
        device.bonding.filter(|bonding| bonding.pairing != Pairing::JustWorks).ok_or(EnrolError::NotBonded)?;
    let written = match code {
        None => (READ_OFF, 0),
        Some(code) if is_read_off(record, kek)? => (READ_OFF, code.saturating_add(1)),
        Some(code) => (KNOWN, code),
    };
    sealed(record.clone(), device.address, Bonding { pairing: Pairing::Code(code), ..bonding }, written, kek)
}

/// The same bonded device without the code that was read off it for a bond that is given up: it may show another for the next. None if
/// there is no such code.
pub fn without_told_code(record: &DeviceRecord, kek: &Kek) -> Result<Option<DeviceRecord>, EnrolError> {
    let device = radio_device(record, kek)?.ok_or(EnrolError::NotBonded)?;
    let has_code = device.bonding.is_some_and(|bonding| matches!(bonding.pairing, Pairing::Code(Some(_))));
    if has_code && is_read_off(record, kek)? { with_code(record, None, kek).map(Some) } else { Ok(None) }
}

/// Whether a bonded device was enrolled without its code.
fn is_read_off(record: &DeviceRecord, kek: &Kek) -> Result<bool, UnwrapError> {
    Ok(unwrap(record, kek)?.get(ADDRESS_BYTES) == Some(&READ_OFF))
}

/// The same PS/1 device, to be reached by Bluetooth at this address.
pub fn with_address(record: &DeviceRecord, address: BleAddress, kek: &Kek) -> Result<DeviceRecord, EnrolError> {
    let keys = keys_bytes(record.class).ok_or(EnrolError::NoAddress)?;
    let mut secret = unwrap(record, kek)?;
    secret.truncate(keys);
    let mut with = Zeroizing::new(Vec::with_capacity(keys + ADDRESS_BYTES));
    with.extend_from_slice(&secret);
    with.extend_from_slice(&address.0);
    let mut record = record.clone();
    record.secret = wrap(&record, kek, &with)?;
    Ok(record)
}

/// Bytes of a PS/1 class's keys.
pub(super) const fn keys_bytes(class: DeviceClass) -> Option<usize> {
    match class {
        DeviceClass::P0 | DeviceClass::P1 => Some(32),
        DeviceClass::P2 => Some(64),
        DeviceClass::Hub | DeviceClass::App | DeviceClass::Wired | DeviceClass::Bonded => None,
    }
}

/// Where the device is and how it is bonded; none if it is not reached by Bluetooth.
pub fn radio_device(record: &DeviceRecord, kek: &Kek) -> Result<Option<RadioDevice>, UnwrapError> {
    let keys = keys_bytes(record.class);
    if keys.is_none() && record.class != DeviceClass::Bonded {
        return Ok(None);
    }
    let secret = unwrap(record, kek)?;
    let device = |address: &[u8; ADDRESS_BYTES], bonding| {
        Ok(Some(RadioDevice { id: record.id.clone(), address: BleAddress(*address), bonding }))
    };
    match keys {
        Some(keys) => match secret.get(keys..).ok_or(UnwrapError::Form)? {
            [] => Ok(None),
            address => device(address.try_into().map_err(|_| UnwrapError::Form)?, None),
        },
        None => {
            let (address, rest) = secret.split_first_chunk().ok_or(UnwrapError::Form)?;
            device(address, Some(bonding(rest).ok_or(UnwrapError::Form)?))
        }
    }
}

fn bonding(bytes: &[u8]) -> Option<Bonding> {
    let (pairing, rest) = bytes.split_first()?;
    let (code, profiles) = rest.split_first_chunk::<4>()?;
    let code = u32::from_le_bytes(*code);
    let pairing = match *pairing {
        JUST_WORKS => Pairing::JustWorks,
        READ_OFF if code <= CODE_MAX + 1 => Pairing::Code(code.checked_sub(1)),
        KNOWN if code <= CODE_MAX => Pairing::Code(Some(code)),
        _ => return None,
    };
    Some(Bonding { pairing, profiles: Profiles::from_bits(u32::from_le_bytes(profiles.try_into().ok()?))? })
}
