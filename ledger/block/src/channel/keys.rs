//! Keys of the channel. Secrets are wiped when dropped and never printed.

use std::fmt;

use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};
use zeroize::Zeroizing;

use super::ChannelError;

/// An X25519 public key (RFC 7748), 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}
impl PublicKey {
    /// Whether it is of low order (RFC 7748, section 6.1): all zeros, or one of a few others with which every secret comes to
    /// the same, which anybody knows. Nobody's secret belongs to such a key.
    pub fn is_low_order(&self) -> bool {
        let Some(mut curve) = DefaultResolver.resolve_dh(&DHChoice::Curve25519) else { return true };
        curve.set(&[1; 32]);
        let mut shared = [0u8; 32];
        curve.dh(&self.0, &mut shared).is_err() || shared == [0; 32]
    }
}
impl std::str::FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        read_hex(text).map(|bytes| Self(*bytes))
    }
}

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 bytes as 64 lower-case hexadecimal digits")]
pub struct KeyError;

fn read_hex(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let bytes = Zeroizing::new(data_encoding::HEXLOWER.decode(text.trim().as_bytes()).map_err(|_| KeyError)?);
    let mut key = Zeroizing::new([0u8; 32]);
    if bytes.len() != key.len() {
        return Err(KeyError);
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

/// An X25519 static key pair.
#[derive(Clone)]
pub struct Keypair {
    secret: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

impl Keypair {
    /// The pair of a secret of 32 random bytes.
    ///
    /// # Errors
    /// Never with the built-in Curve25519.
    pub fn from_secret(secret: Zeroizing<[u8; 32]>) -> Result<Self, ChannelError> {
        let mut curve = DefaultResolver.resolve_dh(&DHChoice::Curve25519).ok_or(ChannelError::Parameters)?;
        curve.set(secret.as_slice());
        let public = curve.pubkey().try_into().map_err(|_| ChannelError::Parameters)?;
        Ok(Self { secret, public: PublicKey(public) })
    }

    /// The public half.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The secret half, for storing it in a file only its owner reads.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}
impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.public)
    }
}

/// A pre-shared key of 256 bits.
#[derive(Clone)]
pub struct Psk(Zeroizing<[u8; 32]>);

impl Psk {
    /// From 32 random bytes.
    pub const fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self(secret)
    }

    /// From hexadecimal, as it stands in a key file.
    ///
    /// # Errors
    /// Anything but 32 bytes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        read_hex(text).map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(..)")
    }
}
