//! The secure channel between gateway and ledger: `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s` (Noise revision 34) in frames
//! of two length bytes. Bytes in, bytes out: no socket, no clock, no randomness of its own.
//!
//! The gateway speaks first and knows the ledger's static key. Message 1 can be replayed by whoever recorded it, so it
//! carries a timestamp and nothing that changes state; the ledger counts a peer as present only once a first transport
//! frame has opened, which needs the pre-shared key. Layouts are drawn in `ledger/README.md`.
//!
//! | module | holds |
//! | --- | --- |
//! | [`frames`] | length-prefixed frames out of a byte stream |
//! | [`handshake`] | the two handshake messages, either side |
//! | [`keys`] | static keys and pre-shared keys, wiped when dropped |
//! | [`transport`] | sealing and opening after the handshake |

pub mod frames;
pub mod handshake;
pub mod keys;
mod source;
pub mod transport;

#[cfg(test)]
mod tests;

pub use frames::{FRAME_BYTES_MAX, Splitter};
pub use handshake::{Client, Hail, Server};
pub use keys::{Keypair, Psk, PublicKey};
pub use transport::{Channel, MESSAGE_BYTES_MAX, Opener, Sealer};

/// The Noise protocol name.
pub const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/// Bound into the handshake by both sides.
pub const PROLOGUE: &[u8] = b"pitchside/ledger/1";
/// The channel's version, in both handshake messages.
pub const VERSION: u8 = 1;
/// Bytes one side may seal under one handshake; then a new one is due (DESIGN.md: 1 GiB).
pub const CHANNEL_BYTES_MAX: u64 = 1 << 30;
/// Seconds one handshake may serve; then a new one is due (DESIGN.md: 2 h).
pub const CHANNEL_SECONDS_MAX: u64 = 7_200;

/// Why a handshake or a frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Handshake or frame did not authenticate: wrong key, wrong pre-shared key, or changed bytes.
    #[error("not authentic: wrong static key, wrong pre-shared key, or bytes changed on the way")]
    NotAuthentic,
    /// A handshake message of the wrong length.
    #[error("a handshake message of {0} bytes; is this a Pitchside ledger port?")]
    Handshake(usize),
    /// The peer speaks another version.
    #[error("the peer speaks channel version {0}, this side speaks {VERSION}; update the older of the two")]
    Version(u8),
    /// A frame without content.
    #[error("an empty frame")]
    EmptyFrame,
    /// A message too long for one frame.
    #[error("a message of {0} bytes; at most {MESSAGE_BYTES_MAX} fit a frame")]
    TooLong(usize),
    /// The bytes one handshake may seal are used up.
    #[error("this handshake has sealed its {CHANNEL_BYTES_MAX} bytes; connect again")]
    Spent,
    /// The Noise library refused its parameters; a defect, not an attack.
    #[error("the Noise parameters were refused")]
    Parameters,
}
