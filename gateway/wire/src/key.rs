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

impl PublicKey {
    /// Whether it is of low order (RFC 7748, section 6.1): all zeros, or one of a few others with which every secret comes to
    /// the same, which anybody knows. Nobody's private key belongs to it.
    pub fn is_low_order(&self) -> bool {
        !StaticSecret::from([1; KEY_BYTES]).diffie_hellman(&Point::from(self.0)).was_contributory()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_which_every_secret_comes_to_the_same_is_known() {
        let one = core::array::from_fn(|at| u8::from(at == 0));
        // The one of order 8 that begins with e0.
        let mut of_order_8 = [0; KEY_BYTES];
        let hex = b"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
        data_encoding::HEXLOWER.decode_mut(hex, &mut of_order_8).unwrap();
        for low in [[0; KEY_BYTES], one, of_order_8] {
            assert!(PublicKey(low).is_low_order(), "{low:?}");
        }
        for private in [[1; KEY_BYTES], [7; KEY_BYTES]] {
            assert!(!PrivateKey::new(private).public().is_low_order());
        }
    }
}
