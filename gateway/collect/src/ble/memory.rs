//! Who was bonded once, remembered apart from BlueZ's own store: so that a bond this box has lost is told from a first one.

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
}
