//! Who was bonded once, remembered apart from BlueZ's own store: so that a bond this box has lost is told from a first one, and that
//! none but our own bonds are ever removed.

use pitchside_model::{BleAddress, DeviceId};

/// Between whom a bond was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The adapter's own address.
    pub adapter: BleAddress,
    /// The device's identity address.
    pub device: BleAddress,
}

/// The memory. Its calls may block on the disk.
pub trait Memory: Send + Sync + 'static {
    /// Whether a bond with this device was ever made.
    fn was_bonded(&self, device: &DeviceId) -> bool;

    /// One was. Durable when it returns.
    ///
    /// # Errors
    /// It could not be kept, and why.
    fn bonded(&self, device: &DeviceId, made: Made) -> Result<(), String>;

    /// Bonds that the host is to remove: of devices that are no longer enrolled, and of those that somebody asked to be forgotten.
    ///
    /// # Errors
    /// It is not known, and why.
    fn given_up(&self) -> Result<Vec<(DeviceId, Made)>, String>;

    /// The host has removed one. Durable when it returns.
    ///
    /// # Errors
    /// It could not be kept, and why.
    fn removed(&self, device: &DeviceId, made: Made) -> Result<(), String>;
}
