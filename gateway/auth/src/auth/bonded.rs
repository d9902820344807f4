//! Those the host has bonded with: let in by the key their link is encrypted with.

use pitchside_model::ble::BOND_KEY_BITS;
use pitchside_model::{Assurance, Bond, DeviceId, Pairing};

use super::Auth;
use crate::door::{Cause, Refusal};
use crate::enrol::{RadioDevice, radio_device};
use crate::login::{PasswordLogin, Role};
use crate::record::DeviceClass;

impl Auth {
    /// Lets in a device whose link is encrypted with `bond`, if it was enrolled as bonded and the bond is as good as its
    /// enrolment asks: LE Secure Connections, a key of 128 bits, and a code compared if one was agreed on.
    pub fn admit_bonded(&self, device: &DeviceId, bond: &Bond) -> Result<PasswordLogin, Refusal> {
        let record = self.record(device.as_str()).ok_or(Refusal::silent(Cause::UnknownDevice))?;
        if record.class != DeviceClass::Bonded {
            return Err(Refusal::silent(Cause::WrongClass));
        }
        let radio = radio_device(&record, &self.kek).map_err(|error| Refusal::silent(Cause::Stored(error)))?;
        let bonding = radio.and_then(|radio| radio.bonding).ok_or(Refusal::silent(Cause::WrongClass))?;
        let agreed = bonding.pairing == Pairing::JustWorks || bond.authenticated;
        if !bond.secure_connections || bond.key_bits < BOND_KEY_BITS || !agreed {
            return Err(Refusal::silent(Cause::WeakBond));
        }
        self.log_in(&record, Role::Hub, Assurance::Bonded)
    }

    /// The enrolled devices in good standing that are reached by Bluetooth. One whose row does not open is left out, which
    /// the log says.
    pub fn radio_devices(&self) -> Vec<RadioDevice> {
        let records: Vec<_> =
            self.roster.read().values().filter(|record| record.revoked_at.is_none()).cloned().collect();
        let mut devices: Vec<RadioDevice> = records
            .iter()
            .filter_map(|record| {
                radio_device(record, &self.kek).unwrap_or_else(|error| {
                    tracing::error!(device = %record.id, %error, "a device's row does not open; enrol it again");
                    None
                })
            })
            .collect();
        devices.sort_by(|a, b| a.id.cmp(&b.id));
        devices
    }
}
