//! What a device says: the plaintext of a DATA frame.
//!
//! ```text
//! | epoch 8 | seq 8 | content 1 | body n |   little-endian
//! ```

use alloc::vec::Vec;

use crate::bytes::Cursor;
use crate::frame::PLAIN_BYTES_MAX;
use crate::ids::{Epoch, Seq};

/// Bytes before the body.
pub const MESSAGE_HEADER_BYTES: usize = 17;
/// The most body bytes in a message.
pub const CONTENT_BYTES_MAX: usize = PLAIN_BYTES_MAX - MESSAGE_HEADER_BYTES;
/// Most messages of a device without a receipt.
pub const IN_FLIGHT_MAX: usize = 1024;

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Content {
    /// SenML in CBOR (RFC 8428).
    SenmlCbor = 0,
    /// SenML in JSON (RFC 8428).
    SenmlJson = 1,
    /// A waveform body ([`crate::waveform`]).
    Waveform = 2,
    /// Vendor bytes, for the decoder plugin the device was enrolled with.
    Vendor = 3,
}

/// Why a plaintext is not a message, or could not become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Fewer than [`MESSAGE_HEADER_BYTES`].
    #[error("a message has at least {MESSAGE_HEADER_BYTES} bytes, this one {0}")]
    Short(usize),
    /// More body than [`CONTENT_BYTES_MAX`].
    #[error("a message body has at most {CONTENT_BYTES_MAX} bytes, this one {0}")]
    Long(usize),
    /// An unknown content number.
    #[error("unknown content {0}: 0 SenML-CBOR, 1 SenML-JSON, 2 waveform, 3 vendor")]
    Content(u8),
}

/// What precedes the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageHeader {
    /// The count this number belongs to.
    pub epoch: Epoch,
    /// The message's number.
    pub seq: Seq,
    /// How to read the body.
    pub content: Content,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What precedes the body.
    pub header: MessageHeader,
    /// The body.
    pub body: Vec<u8>,
}

impl MessageHeader {
    /// The bytes.
    pub fn encode(self) -> [u8; MESSAGE_HEADER_BYTES] {
        let mut bytes = [0; MESSAGE_HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.0.to_le_bytes());
        bytes[16] = self.content as u8;
        bytes
    }

    /// Reads the header in front of a plaintext.
    pub fn parse(plain: &[u8]) -> Result<Self, MessageError> {
        let short = MessageError::Short(plain.len());
        let mut fields = Cursor(plain);
        let epoch = Epoch(fields.u64().ok_or(short)?);
        let seq = Seq(fields.u64().ok_or(short)?);
        let content = match fields.u8().ok_or(short)? {
            0 => Content::SenmlCbor,
            1 => Content::SenmlJson,
            2 => Content::Waveform,
            3 => Content::Vendor,
            other => return Err(MessageError::Content(other)),
        };
        Ok(Self { epoch, seq, content })
    }
}

impl Message {
    /// The plaintext.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        if self.body.len() > CONTENT_BYTES_MAX {
            return Err(MessageError::Long(self.body.len()));
        }
        let mut plain = Vec::with_capacity(MESSAGE_HEADER_BYTES + self.body.len());
        plain.extend_from_slice(&self.header.encode());
        plain.extend_from_slice(&self.body);
        Ok(plain)
    }

    /// Reads a plaintext; its buffer becomes the body.
    pub fn parse(mut plain: Vec<u8>) -> Result<Self, MessageError> {
        let header = MessageHeader::parse(&plain)?;
        plain.drain(..MESSAGE_HEADER_BYTES);
        if plain.len() > CONTENT_BYTES_MAX {
            return Err(MessageError::Long(plain.len()));
        }
        Ok(Self { header, body: plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_read_back(epoch: u64, seq: u64, content in 0u8..4, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let content = [Content::SenmlCbor, Content::SenmlJson, Content::Waveform, Content::Vendor][usize::from(content)];
            let message = Message { header: MessageHeader { epoch: Epoch(epoch), seq: Seq(seq), content }, body };
            prop_assert_eq!(Message::parse(message.encode().unwrap()), Ok(message));
        }

        #[test]
        fn any_bytes_are_a_message_or_refused(plain in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(message) = Message::parse(plain.clone()) {
                prop_assert_eq!(message.encode().unwrap(), plain);
            } else {
                prop_assert!(plain.len() < MESSAGE_HEADER_BYTES || plain[16] > 3);
            }
        }
    }

    #[test]
    fn a_body_too_long_for_a_frame_is_refused_before_it_is_sent() {
        let header = MessageHeader { epoch: Epoch(1), seq: Seq(2), content: Content::Vendor };
        let message = Message { header, body: vec![0; CONTENT_BYTES_MAX + 1] };
        assert_eq!(message.encode(), Err(MessageError::Long(CONTENT_BYTES_MAX + 1)));
    }
}
