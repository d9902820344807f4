//! The frame: its first byte, the header of a sealed frame, and the refusal, the one frame nobody signs.
//!
//! ```text
//! sealed   | kind 1 | session 8 | counter 8 | ciphertext n | tag 16 |
//! REFUSED  | 0x19   | code 1    | retry after 2 | echo 8 |
//! ```

use alloc::vec::Vec;

use crate::bytes::Cursor;
use crate::ids::{Counter, SessionId};

/// Bytes before the ciphertext of a sealed frame: its associated data.
pub const HEADER_BYTES: usize = 17;
/// Bytes of the Poly1305 tag.
pub const TAG_BYTES: usize = 16;
/// The most plaintext in one sealed frame.
pub const PLAIN_BYTES_MAX: usize = 16 * 1024;
/// The longest frame of any kind.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + PLAIN_BYTES_MAX + TAG_BYTES;
/// Bytes of a REFUSED frame.
pub const REFUSED_BYTES: usize = 12;
/// Bytes echoed by a REFUSED frame.
pub const ECHO_BYTES: usize = 8;

/// What a frame is: its first byte, version 1 in the high nibble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Device: the first handshake message.
    Hello = 0x11,
    /// Gateway: the second.
    Reply = 0x12,
    /// Device, sealed: proves the session is live; also sent to resume it on a new link.
    Confirm = 0x13,
    /// Gateway, sealed: the session is in use from here on.
    Ready = 0x14,
    /// Device, sealed: one message.
    Data = 0x15,
    /// Gateway, sealed: what became of messages.
    Receipt = 0x16,
    /// Gateway, sealed: the device's counter must move on.
    Advance = 0x17,
    /// Either, sealed: the session ends.
    Close = 0x18,
    /// Gateway, in clear: a hint, to be believed only as far as a new handshake.
    Refused = 0x19,
    /// Either, sealed: a word about firmware ([`crate::firmware`]). A gateway says one only to a device that did.
    Firmware = 0x1A,
}

/// Where a frame travels on MQTT: `ps/1/{device}/` and this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `hs`: from the device, HELLO and CONFIRM.
    Handshake,
    /// `up`: from the device, DATA, CLOSE and FIRMWARE.
    Up,
    /// `dn`: everything to the device.
    Down,
}

impl Topic {
    /// The last level of the topic.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "hs",
            Self::Up => "up",
            Self::Down => "dn",
        }
    }
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No bytes at all.
    #[error("the frame is empty")]
    Empty,
    /// Another version of the protocol.
    #[error("first byte {0:#04x} is not of PS/1: the high nibble must be 1")]
    Version(u8),
    /// A kind PS/1 does not know, or not one expected here.
    #[error("frame kind {0:#04x} is not allowed here")]
    Kind(u8),
    /// Cut short.
    #[error("the frame has {got} bytes, its kind needs at least {least}")]
    Short {
        /// Bytes received.
        got: usize,
        /// Fewest bytes of this kind.
        least: usize,
    },
    /// Longer than [`FRAME_BYTES_MAX`], or than its kind allows.
    #[error("the frame has {got} bytes, its kind allows {most}")]
    Long {
        /// Bytes received.
        got: usize,
        /// Most bytes of this kind.
        most: usize,
    },
}

impl Kind {
    /// The kind of a frame.
    pub fn of(frame: &[u8]) -> Result<Self, FrameError> {
        let first = *frame.first().ok_or(FrameError::Empty)?;
        if first >> 4 != 1 {
            return Err(FrameError::Version(first));
        }
        if frame.len() > FRAME_BYTES_MAX {
            return Err(FrameError::Long { got: frame.len(), most: FRAME_BYTES_MAX });
        }
        Ok(match first {
            0x11 => Self::Hello,
            0x12 => Self::Reply,
            0x13 => Self::Confirm,
            0x14 => Self::Ready,
            0x15 => Self::Data,
            0x16 => Self::Receipt,
            0x17 => Self::Advance,
            0x18 => Self::Close,
            0x19 => Self::Refused,
            0x1A => Self::Firmware,
            other => return Err(FrameError::Kind(other)),
        })
    }

    /// Whether it is sealed by a session.
    pub const fn is_sealed(self) -> bool {
        !matches!(self, Self::Hello | Self::Reply | Self::Refused)
    }

    /// Where a device sends it; [`Topic::Down`] for what only gateways send.
    pub const fn topic(self) -> Topic {
        match self {
            Self::Hello | Self::Confirm => Topic::Handshake,
            Self::Data | Self::Close | Self::Firmware => Topic::Up,
            Self::Reply | Self::Ready | Self::Receipt | Self::Advance | Self::Refused => Topic::Down,
        }
    }
}

/// The header of a sealed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// Whose keys seal it.
    pub session: SessionId,
    /// Its number, and nonce.
    pub counter: Counter,
}

impl Header {
    /// Reads the header of a sealed frame. Nothing in it is true before the frame opens.
    pub fn parse(frame: &[u8]) -> Result<Self, FrameError> {
        let kind = Kind::of(frame)?;
        if !kind.is_sealed() {
            return Err(FrameError::Kind(kind as u8));
        }
        let short = FrameError::Short { got: frame.len(), least: HEADER_BYTES + TAG_BYTES };
        if frame.len() < HEADER_BYTES + TAG_BYTES {
            return Err(short);
        }
        let mut fields = Cursor(&frame[1..]);
        let session = SessionId(fields.u64().ok_or(short)?);
        let counter = Counter(fields.u64().ok_or(short)?);
        Ok(Self { kind, session, counter })
    }

    /// The bytes of the header.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.kind as u8;
        bytes[1..9].copy_from_slice(&self.session.0.to_le_bytes());
        bytes[9..].copy_from_slice(&self.counter.0.to_le_bytes());
        bytes
    }
}

/// The one answer to everything that is not let in: it does not say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Do not try again sooner.
    pub retry_after_s: u16,
    /// What it answers: a sealed frame's session, or the last 8 bytes of a HELLO.
    pub echo: [u8; ECHO_BYTES],
}

/// The only code of a refusal.
pub const REFUSED_CODE: u8 = 1;

impl Refused {
    /// The answer to `frame`; none for what could not be an attempt (too short to echo, or not from a device).
    pub fn answer(frame: &[u8], retry_after_s: u16) -> Option<Self> {
        let echo = match Kind::of(frame).ok()? {
            Kind::Hello => *frame.last_chunk::<ECHO_BYTES>()?,
            Kind::Confirm | Kind::Data | Kind::Close | Kind::Firmware => {
                Header::parse(frame).ok()?.session.0.to_le_bytes()
            }
            Kind::Reply | Kind::Ready | Kind::Receipt | Kind::Advance | Kind::Refused => return None,
        };
        Some(Self { retry_after_s, echo })
    }

    /// The frame.
    pub fn encode(self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(REFUSED_BYTES);
        frame.extend_from_slice(&[Kind::Refused as u8, REFUSED_CODE]);
        frame.extend_from_slice(&self.retry_after_s.to_le_bytes());
        frame.extend_from_slice(&self.echo);
        frame
    }

    /// Reads the frame. A code this version does not know counts as a refusal all the same.
    pub fn parse(frame: &[u8]) -> Result<Self, FrameError> {
        let kind = Kind::of(frame)?;
        if kind != Kind::Refused {
            return Err(FrameError::Kind(kind as u8));
        }
        if frame.len() > REFUSED_BYTES {
            return Err(FrameError::Long { got: frame.len(), most: REFUSED_BYTES });
        }
        let mut fields = Cursor(frame);
        let short = FrameError::Short { got: frame.len(), least: REFUSED_BYTES };
        fields.u16().ok_or(short)?;
        let retry_after_s = fields.u16().ok_or(short)?;
        let echo = fields.array().ok_or(short)?;
        Ok(Self { retry_after_s, echo })
    }
}
