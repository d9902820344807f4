//! The header of a block: what is signed, chained and logged.

mod codec;

use std::fmt;

use data_encoding::HEXLOWER;
use ed25519_dalek::{SigningKey, VerifyingKey};
use pitchside_model::Timestamp;

use crate::cbor::{CborError, Deterministic as _, exact};
use crate::cose::{self, CoseError};
use crate::merkle::{Hash, leaf_hash};

/// The version of block, payload and segment layouts this crate writes and reads.
pub const BLOCK_VERSION: u64 = 1;
/// The largest signed header, in bytes.
pub const SIGNED_HEADER_BYTES_MAX: usize = 1_024;
/// What a header's signature is over besides the header (RFC 9052 external associated data).
pub const HEADER_CONTEXT: &[u8] = b"pitchside/block/1";
/// The previous hash of a gateway's first block.
pub const GENESIS: Hash = [0; 32];

/// A gateway, named by its Ed25519 public key: a header says itself which key must have signed it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayId(pub [u8; 32]);

impl GatewayId {
    /// Reads 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// Whether a signature can hold under it: it is a point of the curve, and none of the few of small order.
    pub fn can_sign(&self) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }
}
impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}
impl fmt::Debug for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatewayId({self})")
    }
}

/// How often the gateway was restored; 0 at first. A restored box continues the chain with the next incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Incarnation(pub u64);

/// The number of a block in its gateway's chain, from 0 without holes, across incarnations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct BlockIndex(pub u64);

/// What the gateway knew about its own clock when it sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ClockState {
    /// Never set since boot: times are worth nothing.
    Unset = 0,
    /// Set once, running free since.
    Free = 1,
    /// Held to a reference.
    Synchronised = 2,
}

impl ClockState {
    /// From the number in a header.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Unset),
            1 => Some(Self::Free),
            2 => Some(Self::Synchronised),
            _ => None,
        }
    }
}

/// The ledger's head as the gateway last saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenCheckpoint {
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: Hash,
}

/// What a block's signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Who sealed it, and whose key signed it.
    pub gateway: GatewayId,
    /// Restores so far.
    pub incarnation: Incarnation,
    /// Position in the chain.
    pub index: BlockIndex,
    /// [`SignedHeader::hash`] of the block before; [`GENESIS`] for the first.
    pub previous: Hash,
    /// When it was sealed, by the gateway's clock.
    pub sealed_at: Timestamp,
    /// How good that clock was.
    pub clock: ClockState,
    /// Counted root over the segments.
    pub segment_root: Hash,
    /// Length of the padded payload, in bytes.
    pub payload_length: u64,
    /// BLAKE3 of the padded payload.
    pub payload_digest: Hash,
    /// Hash of the rules in force, 0 if none.
    pub rules: Hash,
    /// Hash of the decoders in force, with versions, scripts and params in effect; 0 if none.
    pub plugins: Hash,
    /// Hash of the gateway's own firmware, 0 if not known.
    pub firmware: Hash,
    /// The last ledger checkpoint seen.
    pub checkpoint: Option<SeenCheckpoint>,
}

/// Why bytes are not a valid signed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a signed object, or the signature is wrong.
    #[error("block header: {0}")]
    Cose(#[from] CoseError),
    /// Signed, but what is signed is not a header.
    #[error("block header: {0}")]
    Cbor(#[from] CborError),
    /// Signed with another gateway's key.
    #[error("block header: the key of gateway {signer} cannot sign for gateway {gateway}")]
    Signer {
        /// Whose key it is.
        signer: GatewayId,
        /// Who the header says it is.
        gateway: GatewayId,
    },
}

/// A gateway's signing key. The secret leaves memory when dropped and is never printed.
pub struct GatewayKey(SigningKey);

impl GatewayKey {
    /// From the 32 secret bytes of RFC 8032.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The gateway this key is.
    pub fn id(&self) -> GatewayId {
        GatewayId(self.0.verifying_key().to_bytes())
    }

    /// Signs any payload in a named context other than [`HEADER_CONTEXT`]: typed transactions of the ledger.
    pub fn sign(&self, payload: &[u8], context: &[u8]) -> Result<Vec<u8>, CoseError> {
        cose::sign(payload, context, &self.0)
    }
}
impl fmt::Debug for GatewayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatewayKey({})", self.id())
    }
}

/// A header with its valid signature: the bytes that are chained and logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeader {
    header: Header,
    bytes: Vec<u8>,
}

impl SignedHeader {
    /// Signs a header with its gateway's key.
    pub fn sign(header: Header, key: &GatewayKey) -> Result<Self, HeaderError> {
        if key.id() != header.gateway {
            return Err(HeaderError::Signer { signer: key.id(), gateway: header.gateway });
        }
        let bytes = key.sign(&header.to_cbor(), HEADER_CONTEXT)?;
        Ok(Self { header, bytes })
    }

    /// Reads a signed header and checks form and signature, with the key the header names as its gateway. Whether that
    /// gateway is to be believed is for the caller: the ledger knows its gateways, evidence rests on the ledger.
    pub fn verify(bytes: &[u8]) -> Result<Self, HeaderError> {
        let object = cose::parse(bytes, SIGNED_HEADER_BYTES_MAX)?;
        let header: Header = exact(object.payload())?;
        object.verify(HEADER_CONTEXT, &header.gateway.0)?;
        Ok(Self { header, bytes: bytes.to_vec() })
    }

    /// What it says.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The COSE_Sign1 object: the leaf of the ledger's log.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// RFC 6962 leaf hash of the signed bytes: the next block's `previous`, and the leaf hash in the ledger.
    pub fn hash(&self) -> Hash {
        leaf_hash(&self.bytes)
    }
}

#[cfg(test)]
pub(crate) mod tests;
