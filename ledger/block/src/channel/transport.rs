//! After the handshake: one message a frame, in order, each direction with its own counter from 0.

use std::sync::Arc;

use snow::{HandshakeState, StatelessTransportState};

use super::frames::{FRAME_BYTES_MAX, frame};
use super::{CHANNEL_BYTES_MAX, ChannelError};

/// Bytes of a ChaCha20-Poly1305 tag.
const TAG_BYTES: usize = 16;
/// The longest message one frame carries.
pub const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX - TAG_BYTES;

/// An established channel; [`Channel::split`] gives its two directions to two tasks.
pub struct Channel {
    sealer: Sealer,
    opener: Opener,
}

impl Channel {
    pub(super) fn new(state: HandshakeState) -> Result<Self, ChannelError> {
        let state = Arc::new(state.into_stateless_transport_mode().map_err(|_| ChannelError::Parameters)?);
        let opener = Opener { state: Arc::clone(&state), next: 0, bytes: 0 };
        Ok(Self { sealer: Sealer { state, next: 0, bytes: 0 }, opener })
    }

    /// The sending and the receiving half.
    pub fn split(self) -> (Sealer, Opener) {
        (self.sealer, self.opener)
    }
}

/// The sending half.
pub struct Sealer {
    state: Arc<StatelessTransportState>,
    next: u64,
    bytes: u64,
}

impl Sealer {
    /// Seals one message; gives the frame with its length.
    ///
    /// # Errors
    /// The message does not fit a frame, or the handshake's bytes are used up.
    pub fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, ChannelError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(ChannelError::TooLong(message.len()));
        }
        self.bytes = spend(self.bytes, message.len())?;
        let mut sealed = vec![0u8; message.len() + TAG_BYTES];
        let length =
            self.state.write_message(self.next, message, &mut sealed).map_err(|_| ChannelError::NotAuthentic)?;
        self.next += 1;
        frame(sealed.get(..length).unwrap_or_default())
    }

    /// Whether so much was sealed that a new handshake should be made before the limit ends this one.
    pub const fn worn(&self) -> bool {
        self.bytes > CHANNEL_BYTES_MAX / 8 * 7
    }
}

/// The receiving half.
pub struct Opener {
    state: Arc<StatelessTransportState>,
    next: u64,
    bytes: u64,
}

impl Opener {
    /// Opens the next frame (without its length). A frame repeated, left out or moved does not open.
    ///
    /// # Errors
    /// Not authentic, or the handshake's bytes are used up.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, ChannelError> {
        if sealed.len() < TAG_BYTES {
            return Err(ChannelError::NotAuthentic);
        }
        self.bytes = spend(self.bytes, sealed.len())?;
        let mut message = vec![0u8; sealed.len()];
        let length =
            self.state.read_message(self.next, sealed, &mut message).map_err(|_| ChannelError::NotAuthentic)?;
        self.next += 1;
        message.truncate(length);
        Ok(message)
    }
}

fn spend(used: u64, bytes: usize) -> Result<u64, ChannelError> {
    let used = used.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    if used > CHANNEL_BYTES_MAX { Err(ChannelError::Spent) } else { Ok(used) }
}
