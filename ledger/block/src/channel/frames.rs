//! Frames on a byte stream: two length bytes, big endian, then so many bytes.

use super::ChannelError;

/// The longest frame, without its two length bytes (Noise revision 34, section 3).
pub const FRAME_BYTES_MAX: usize = 65_535;

/// Collects bytes as they arrive and gives back whole frames. Holds at most one frame and what one read brought.
#[derive(Debug, Default)]
pub struct Splitter {
    held: Vec<u8>,
    taken: usize,
}

impl Splitter {
    /// An empty splitter.
    pub const fn new() -> Self {
        Self { held: Vec::new(), taken: 0 }
    }

    /// Adds bytes from the stream. Call [`Splitter::next_frame`] until it gives nothing before adding more: that keeps the
    /// memory held within one frame and one read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.taken);
        self.taken = 0;
        self.held.extend_from_slice(bytes);
    }

    /// The next whole frame, without its length; nothing if more bytes are needed.
    ///
    /// # Errors
    /// A frame of length 0, which no side ever sends.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, ChannelError> {
        let rest = self.held.get(self.taken..).unwrap_or_default();
        let [high, low, body @ ..] = rest else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 {
            return Err(ChannelError::EmptyFrame);
        }
        if body.len() < length {
            return Ok(None);
        }
        let start = self.taken + 2;
        self.taken = start + length;
        Ok(self.held.get(start..start + length))
    }
}

/// Puts the two length bytes before a Noise message.
pub(super) fn frame(message: &[u8]) -> Result<Vec<u8>, ChannelError> {
    let length = u16::try_from(message.len()).map_err(|_| ChannelError::TooLong(message.len()))?;
    let mut out = Vec::with_capacity(message.len() + 2);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    Ok(out)
}
