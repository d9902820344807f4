//! A session as it is stored: secret, to be wrapped by whoever stores it.
//!
//! ```text
//! | version 1 | session 8 | since 8 | receive 8 | transmit 8 | bytes 8 | up 32 | down 32 |   little-endian
//! ```

use zeroize::Zeroizing;

use super::{Ceilings, Role, Session, TrafficKeys};
use crate::bytes::Cursor;
use crate::ids::{Counter, Millis, SessionId};
use crate::window::Window;

/// Bytes of a stored session.
pub const SNAPSHOT_BYTES: usize = 105;
const VERSION: u8 = 1;

/// Why bytes are not a stored session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not [`SNAPSHOT_BYTES`].
    #[error("a stored session has {SNAPSHOT_BYTES} bytes, this one {0}")]
    Length(usize),
    /// Written by another version.
    #[error("stored session of version {0}, this program reads {VERSION}")]
    Version(u8),
}

/// A session as it is stored.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its number.
    pub id: SessionId,
    /// When it began.
    pub since: Millis,
    /// How far it may go before more is stored.
    pub ceilings: Ceilings,
    /// Its keys.
    pub keys: TrafficKeys,
}

impl Snapshot {
    /// The bytes.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SNAPSHOT_BYTES]> {
        let mut bytes = Zeroizing::new([0; SNAPSHOT_BYTES]);
        bytes[0] = VERSION;
        let numbers = [self.id.0, self.since.0, self.ceilings.receive.0, self.ceilings.transmit.0, self.ceilings.bytes];
        for (field, number) in bytes[1..41].chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        bytes[41..73].copy_from_slice(&self.keys.up);
        bytes[73..].copy_from_slice(&self.keys.down);
        bytes
    }

    /// Reads the bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let length = SnapshotError::Length(bytes.len());
        if bytes.len() != SNAPSHOT_BYTES {
            return Err(length);
        }
        let mut fields = Cursor(bytes);
        let version = fields.u8().ok_or(length)?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let mut number = || fields.u64().ok_or(length);
        Ok(Self {
            id: SessionId(number()?),
            since: Millis(number()?),
            ceilings: Ceilings { receive: Counter(number()?), transmit: Counter(number()?), bytes: number()? },
            keys: TrafficKeys { up: fields.array().ok_or(length)?, down: fields.array().ok_or(length)? },
        })
    }
}

impl Session {
    /// The session as it is to be stored before `ceilings` are granted.
    pub fn snapshot(&self, ceilings: Ceilings) -> Snapshot {
        Snapshot { id: self.id, since: self.since, ceilings, keys: self.keys.clone() }
    }

    /// Takes a stored session up again: everything below its ceilings counts as used.
    pub fn restore(role: Role, stored: Snapshot) -> Self {
        let Snapshot { id, since, ceilings, keys } = stored;
        let window = Window::resume(ceilings.receive);
        let mut session = Self::at(id, role, keys, since, ceilings.transmit, window, ceilings);
        (session.bytes_sealed, session.bytes_opened) = (ceilings.bytes, ceilings.bytes);
        session
    }
}
