//! Who the device is, and the sizes it can afford.

use alloc::string::String;

use pitchside_wire::message::IN_FLIGHT_MAX;
use pitchside_wire::{Credential, Stamp, handshake};

/// What a device is made with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name it was enrolled under.
    pub id: String,
    /// The keys it was given.
    pub credential: Credential,
    /// Class P2: above every stamp used before, across reboots. A stored [`crate::Device::next_stamp`], or a clock that
    /// never runs backwards.
    pub first_stamp: Stamp,
    /// Messages the outbox holds, 1 to 1024.
    pub outbox_messages_max: usize,
    /// Body bytes the outbox holds.
    pub outbox_bytes_max: usize,
    /// Messages one poll sends; the rest follow with the next.
    pub burst_max: usize,
}

impl Config {
    /// The largest outbox in messages, 1 MiB of bodies, 256 messages a poll.
    pub fn new(id: impl Into<String>, credential: Credential) -> Self {
        Self {
            id: id.into(),
            credential,
            first_stamp: Stamp(1),
            outbox_messages_max: IN_FLIGHT_MAX,
            outbox_bytes_max: 1 << 20,
            burst_max: 256,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !handshake::is_device_id(&self.id) {
            return Err(ConfigError::Id);
        }
        if self.outbox_messages_max == 0 || self.outbox_messages_max > IN_FLIGHT_MAX {
            return Err(ConfigError::Outbox(self.outbox_messages_max));
        }
        if self.burst_max == 0 {
            return Err(ConfigError::Burst);
        }
        Ok(())
    }
}

/// Why a device cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The name cannot be one.
    #[error("a device id has 1 to 48 letters, digits, '-', '_' or '.', beginning with a letter or digit")]
    Id,
    /// An outbox of no or too many messages.
    #[error("an outbox holds 1 to {IN_FLIGHT_MAX} messages, not {0}")]
    Outbox(usize),
    /// A poll that sends nothing.
    #[error("a poll must send at least one message")]
    Burst,
}
