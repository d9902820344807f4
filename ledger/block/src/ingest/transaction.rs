//! Typed transactions: leaves that change what the log allows. Each is a COSE_Sign1 (RFC 9052) over a CBOR map, behind a
//! tag of its own, with the log's origin in the external data: a transaction of one log means nothing in another.

use minicbor::Decoder;
use minicbor::decode::Error;
use pitchside_model::{DeviceId, Timestamp};

mod act;

use super::LEAF_BYTES_MAX;
use super::bounded::name;
use crate::cbor::{CborError, Deterministic, Writer, exact, key, map};
use crate::cose::{self, CoseError};
use crate::header::GatewayKey;

pub use act::{Act, Cohort, HaltReason};

/// The five bytes before the COSE_Sign1: CBOR tag 0x70737478 ("pstx"). A block header never begins so.
pub const PREFIX: [u8; 5] = [0xda, 0x70, 0x73, 0x74, 0x78];
/// The newest version of the state machine these transactions are written for. Each states the one its kind came with.
pub const VERSION: u64 = 3;
/// The name under which the ledger's operator signs; no member can be called so.
pub const OPERATOR: &str = "operator";
/// The external data of the signature; the log's origin follows.
const CONTEXT: &str = "pitchside/transaction/1\n";

/// Who a key belongs to, as 128 random bits: nothing in the log tells one athlete from another by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectId(pub [u8; 16]);

/// What a member of the log may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Seals blocks, publishes rules, assigns keys, erases.
    Gateway = 0,
    /// Publishes and halts releases.
    Publisher = 1,
}

impl Role {
    /// The role of a number in the log.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Gateway),
            1 => Some(Self::Publisher),
            _ => None,
        }
    }
}

/// A transaction before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Who signs: a member's name, or [`OPERATOR`].
    pub signer: DeviceId,
    /// When, by the signer's clock. Also tells a repeated act from a repeated submission.
    pub time: Timestamp,
    /// What it does.
    pub act: Act,
}

/// Why bytes are not a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Without the prefix every transaction has.
    #[error("not a transaction: it lacks the tag 0x70737478")]
    Prefix,
    /// The envelope is wrong, or the signature.
    #[error("transaction: {0}")]
    Cose(#[from] CoseError),
    /// The content is wrong.
    #[error("transaction: {0}")]
    Cbor(#[from] CborError),
    /// Written for another state machine.
    #[error("a transaction of version {0}; this side knows versions up to {VERSION}")]
    Version(u64),
}

impl Deterministic for Transaction {
    fn write(&self, out: &mut Writer) {
        let (kind, fields) = self.act.shape();
        out.map(4 + fields).uint(0).uint(self.act.version()).uint(1).uint(kind).uint(2).text(self.signer.as_str());
        out.uint(3).int(self.time.0).uint(4);
        self.act.write(out);
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        let fields = map(input)?;
        key(input, 0)?;
        let version = input.u64()?;
        key(input, 1)?;
        let kind = input.u64()?;
        key(input, 2)?;
        let signer = name(input)?;
        key(input, 3)?;
        let time = Timestamp(input.i64()?);
        key(input, 4)?;
        let act = Act::read(kind, input)?;
        if act.version() != version {
            return Err(Error::message("another version than this kind's"));
        }
        if act.shape() != (kind, fields.saturating_sub(4)) {
            return Err(Error::message("wrong number of fields"));
        }
        Ok(Self { signer, time, act })
    }
}

impl Transaction {
    /// Signs for the log of this origin; gives the leaf.
    ///
    /// # Errors
    /// Never for a transaction that fits a leaf, as all do.
    pub fn sign(&self, origin: &str, key: &GatewayKey) -> Result<Vec<u8>, TransactionError> {
        let signed = key.sign(&self.to_cbor(), &context(origin))?;
        Ok([PREFIX.as_slice(), &signed].concat())
    }
}

fn context(origin: &str) -> Vec<u8> {
    [CONTEXT.as_bytes(), origin.as_bytes()].concat()
}

/// A transaction with its signature, as it stands in the log.
#[derive(Debug, Clone)]
pub struct SignedTransaction {
    transaction: Transaction,
    envelope: cose::Unverified,
}

impl SignedTransaction {
    /// Whether a leaf begins like a transaction (otherwise it is a block header).
    pub fn is_one(leaf: &[u8]) -> bool {
        leaf.starts_with(&PREFIX)
    }

    /// Reads a leaf; the signature is not checked yet.
    ///
    /// # Errors
    /// Another shape, another form than the deterministic one, another version, or out of bounds.
    pub fn parse(leaf: &[u8]) -> Result<Self, TransactionError> {
        let signed = leaf.strip_prefix(&PREFIX).ok_or(TransactionError::Prefix)?;
        let envelope = cose::parse(signed, LEAF_BYTES_MAX)?;
        match exact(envelope.payload()) {
            Ok(transaction) => Ok(Self { transaction, envelope }),
            // A version this side does not know deserves its own words.
            Err(error) => Err(version(envelope.payload()).map_or(error.into(), TransactionError::Version)),
        }
    }

    /// What was signed.
    pub const fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Whether this key signed it for the log of this origin (RFC 8032, strict: no small-order keys).
    pub fn is_signed_by(&self, origin: &str, key: &[u8; 32]) -> bool {
        self.envelope.verify(&context(origin), key).is_ok()
    }
}

/// The version a payload states, if it is none of ours.
fn version(payload: &[u8]) -> Option<u64> {
    let mut input = Decoder::new(payload);
    map(&mut input).ok()?;
    key(&mut input, 0).ok()?;
    input.u64().ok().filter(|version| !(1..=VERSION).contains(version))
}
