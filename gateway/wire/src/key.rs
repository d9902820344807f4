//! Secrets: wiped when dropped, never printed.

use core::fmt;

use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey as Point, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{Random, RandomFailed};

/// Bytes of every key.
pub const KEY_BYTES: usize = 32;

macro_rules! secret {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; KEY_BYTES]);

        impl $name {
            /// From its bytes.
            pub const fn new(bytes: [u8; KEY_BYTES]) -> Self {
                Self(bytes)
            }

            /// A fresh one.
            pub fn generate(random: &mut dyn Random) -> Result<Self, RandomFailed> {
                let mut key = Self([0; KEY_BYTES]);
                random.fill(&mut key.0)?;
                Ok(key)
            }

            /// The bytes, to store or hand over; keep them from logs.
            pub const fn expose(&self) -> &[u8; KEY_BYTES] {
                &self.0
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
        /// In constant time.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }
        impl Eq for $name {}
    };
}

secret!(
    /// A pre-shared key of 256 bits.
    Psk
);
secret!(
    /// An X25519 private key (RFC 7748).
    PrivateKey
);

impl PrivateKey {
    /// The public key that belongs to it.
    pub fn public(&self) -> PublicKey {
        PublicKey(Point::from(&StaticSecret::from(self.0)).to_bytes())
    }
}

/// An X25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; KEY_BYTES]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..)")
    }
}
