//! Bodies of the sealed control frames. CONFIRM has none.
//!
//! ```text
//! READY    | gateway time 8, i64 microseconds since 1970 |
//! ADVANCE  | next counter 8 |
//! CLOSE    | reason 1 |
//! ```

use crate::ids::Counter;

/// Why a control body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the control frame has {got} bytes of body, not {expected}")]
pub struct ControlError {
    /// Bytes received.
    pub got: usize,
    /// Bytes of this kind.
    pub expected: usize,
}

/// READY: the session is in use, and this is the gateway's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Microseconds since 1970.
    pub gateway_time_us: i64,
}

/// ADVANCE: the device's next counter must be at least this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The counter.
    pub next: Counter,
}

/// CLOSE: why the session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Close {
    /// The sender has nothing more to say.
    Done = 0,
    /// The device was revoked; it should stop trying.
    Revoked = 1,
    /// Another session of this device took over.
    Superseded = 2,
    /// Any other reason.
    Other = 255,
}

fn whole<const N: usize>(body: &[u8]) -> Result<[u8; N], ControlError> {
    body.try_into().map_err(|_| ControlError { got: body.len(), expected: N })
}

impl Ready {
    /// The body.
    pub const fn encode(self) -> [u8; 8] {
        self.gateway_time_us.to_le_bytes()
    }

    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, ControlError> {
        whole(body).map(|bytes| Self { gateway_time_us: i64::from_le_bytes(bytes) })
    }
}

impl Advance {
    /// The body.
    pub const fn encode(self) -> [u8; 8] {
        self.next.0.to_le_bytes()
    }

    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, ControlError> {
        whole(body).map(|bytes| Self { next: Counter(u64::from_le_bytes(bytes)) })
    }
}

impl Close {
    /// The body.
    pub const fn encode(self) -> [u8; 1] {
        [self as u8]
    }

    /// Reads the body; a reason this version does not know is [`Close::Other`].
    pub fn parse(body: &[u8]) -> Result<Self, ControlError> {
        Ok(match whole(body)? {
            [0] => Self::Done,
            [1] => Self::Revoked,
            [2] => Self::Superseded,
            _ => Self::Other,
        })
    }
}
