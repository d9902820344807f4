//! Numbers that travel, instants, and where randomness comes from.

use core::fmt;

macro_rules! number {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub u64);

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A secure session, chosen at random by the gateway.
    SessionId
);
number!(
    /// A frame's number within one direction of a session: the AEAD nonce, never used twice.
    Counter
);
number!(
    /// A device's message count: random whenever the device cannot remember its last [`Seq`].
    Epoch
);
number!(
    /// A message's number within its [`Epoch`], from 0 without holes.
    Seq
);
number!(
    /// An instant in milliseconds, of any clock that only goes forward; the same clock throughout.
    Millis
);
number!(
    /// The monotonic timestamp of a P2 HELLO: larger in every HELLO of a device than in all before, across its reboots.
    Stamp
);

impl Millis {
    /// Milliseconds from `earlier` to this instant; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant, so many milliseconds later.
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// The source of randomness gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the source of randomness failed; no handshake can be made without it")]
pub struct RandomFailed;

/// A cryptographically secure source of randomness.
pub trait Random {
    /// Fills the whole buffer.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomFailed>;
}

impl<F: FnMut(&mut [u8]) -> Result<(), RandomFailed>> Random for F {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        self(bytes)
    }
}
