//! Words about firmware: the plaintext of a FIRMWARE frame. A device that never says [`Status`] never hears one.
//!
//! ```text
//! from the device                                    from the gateway
//! STATUS  1 | 1    | what runs, what is under way     OFFER  1 | 0x81 | a signed manifest
//! PULL    1 | 2    | digest, offset, length           CHUNK  1 | 0x82 | digest, offset, proof, bytes
//! REPORT  1 | 3    | what became of a release         WAIT   1 | 0x83 | why, how long, digest
//!                                                     NOTED  1 | 0x84 | report, whether to start it
//! ```
//!
//! Drawn whole in `README.md`, "Firmware". Each word has its own bound, all of them together less than a frame.

mod down;
#[cfg(test)]
mod tests;
mod up;

pub use down::{Chunk, Down, Noted, Wait, WaitCode};
pub use up::{Battery, Phase, Pull, Reason, Report, Stage, Status, Up, Version};

/// The form of every word drawn here.
pub const FORM: u8 = 1;
/// The longest hardware id or component.
pub const NAME_BYTES_MAX: usize = 32;
/// The longest signed manifest (`ledger/block`, "Releases").
pub const OFFER_BYTES_MAX: usize = 4_096;
/// The most image bytes in one chunk.
pub const CHUNK_BYTES_MAX: usize = 4_096;
/// The fewest image bytes a device must take in one chunk.
pub const CHUNK_BYTES_MIN: usize = 64;
/// Bytes of an image that are proven at a time: a BLAKE3 subtree of 16 chunks, as in `ledger/block`, "Content".
pub const GROUP_BYTES: u32 = 16 * 1024;
/// The most hashes of a proof: an image has less than 2^32 bytes, so at most 2^18 groups.
pub const PROOF_HASHES_MAX: usize = 18;
/// The longest text of a report.
pub const TEXT_BYTES_MAX: usize = 64;

/// Why bytes are no word about firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FirmwareError {
    /// Cut short, or longer than what it says.
    #[error("a word about firmware of {0} bytes has another length than its fields")]
    Length(usize),
    /// Another form.
    #[error("form {0} of words about firmware is not known, only {FORM}")]
    Form(u8),
    /// No such word from that side.
    #[error("no word about firmware begins with {0:#04x} from this side")]
    Kind(u8),
    /// A field out of its range.
    #[error("the field '{0}' of a word about firmware is out of range")]
    Field(&'static str),
}
