//! Where devices and sessions are kept: declared here, implemented by whoever has a database.

use pitchside_model::{DeviceId, Timestamp};

use crate::record::{DeviceRecord, SessionRow};

/// The database refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key store failed: {0}")]
pub struct KeyStoreError(pub String);

/// Devices and sessions on disk. What returns `Ok` is durable. Called on handshakes, revocations and once in many frames,
/// never for each frame.
pub trait KeyStore: Send + Sync {
    /// Every device, revoked ones included.
    fn devices(&self) -> Result<Vec<DeviceRecord>, KeyStoreError>;

    /// Marks a device as revoked and forgets its sessions; the first time of revocation stays.
    fn revoke(&self, device: &DeviceId, at: Timestamp) -> Result<(), KeyStoreError>;

    /// Every session, each device's oldest first.
    fn sessions(&self) -> Result<Vec<SessionRow>, KeyStoreError>;

    /// Stores a session, replacing the row of the same id.
    fn put_session(&self, row: &SessionRow) -> Result<(), KeyStoreError>;

    /// Forgets a session.
    fn drop_session(&self, id: [u8; 8]) -> Result<(), KeyStoreError>;

    /// The highest P2 stamp of a confirmed handshake of this device.
    fn p2_stamp(&self, device: &DeviceId) -> Result<Option<u64>, KeyStoreError>;

    /// Sets it.
    fn set_p2_stamp(&self, device: &DeviceId, stamp: u64) -> Result<(), KeyStoreError>;
}
