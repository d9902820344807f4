//! Typed transactions: leaves that change what the log allows. Each is a COSE_Sign1 (RFC 9052) over a CBOR map, behind a
//! tag of its own, with the log's origin in the external data: a transaction of one log means nothing in another.

use minicbor::Decoder;
use minicbor::decode::Error;
use pitchside_model::{DeviceId, Timestamp};

use super::LEAF_BYTES_MAX;
use super::bounded::name;
use crate::cbor::{CborError, Deterministic, Writer, exact, fixed, key, map};
use crate::cose::{self, CoseError};
use crate::header::GatewayKey;

/// The five bytes before the COSE_Sign1: CBOR tag 0x70737478 ("pstx"). A block header never begins so.
pub const PREFIX: [u8; 5] = [0xda, 0x70, 0x73, 0x74, 0x78];
/// The version of the state machine these transactions are written for.
pub const VERSION: u64 = 1;
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

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Admits a member. Signed by the operator.
    Enrol {
        /// Its name.
        name: DeviceId,
        /// What it may do.
        role: Role,
        /// Its Ed25519 key.
        signing: [u8; 32],
        /// Its X25519 key on the channel; zero for a member that never connects.
        channel: [u8; 32],
    },
    /// Binds a subject's key generation to a signing key. Signed by a gateway.
    AssignKey {
        /// Whose key.
        subject: SubjectId,
        /// Which generation; each is assigned once.
        generation: u32,
        /// The subject's Ed25519 key.
        key: [u8; 32],
    },
    /// Records a grant by its digest. Signed by a gateway on the subject's behalf; the grant itself bears the subject's
    /// signature.
    Grant {
        /// Who grants.
        subject: SubjectId,
        /// BLAKE3 of the grant.
        grant: [u8; 32],
        /// When it ends.
        until: Timestamp,
    },
    /// Ends a grant. Signed by a gateway.
    Revoke {
        /// BLAKE3 of the grant.
        grant: [u8; 32],
    },
    /// Publishes a firmware release by its digest. Signed by a publisher.
    Release {
        /// BLAKE3 of the manifest.
        manifest: [u8; 32],
    },
    /// Begins or widens a rollout. Signed by a gateway.
    Rollout {
        /// BLAKE3 of the manifest.
        manifest: [u8; 32],
        /// 1 to 100.
        percent: u8,
    },
    /// Stops a release for good. Signed by a publisher or a gateway.
    Halt {
        /// BLAKE3 of the manifest.
        manifest: [u8; 32],
    },
    /// Publishes a rule set by its hash. Signed by a gateway.
    Rule {
        /// Hash of the rule set, as in block headers.
        rules: [u8; 32],
    },
    /// Replaces a signing key. Signed with the key it replaces, or by the operator if that is lost. The first leaf of a
    /// log is the operator's, signed with the new key itself.
    Rotate {
        /// Whose key: a member, or the operator.
        name: DeviceId,
        /// The new Ed25519 key.
        key: [u8; 32],
    },
    /// Records that a subject's key generation was destroyed. Signed by a gateway.
    Erase {
        /// Whose key.
        subject: SubjectId,
        /// Which generation.
        generation: u32,
    },
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
    #[error("a transaction of version {0}; this side knows version {VERSION}")]
    Version(u64),
}

impl Deterministic for Transaction {
    fn write(&self, out: &mut Writer) {
        let (kind, fields) = self.act.shape();
        out.map(4 + fields).uint(0).uint(VERSION).uint(1).uint(kind).uint(2).text(self.signer.as_str());
        out.uint(3).int(self.time.0).uint(4);
        match &self.act {
            Act::Enrol { name, role, signing, channel } => {
                out.text(name.as_str()).uint(5).uint(u64::from(*role as u8));
                out.uint(6).bytes(signing).uint(7).bytes(channel)
            }
            Act::AssignKey { subject, generation, key } => {
                out.bytes(&subject.0).uint(5).uint(u64::from(*generation)).uint(6).bytes(key)
            }
            Act::Grant { subject, grant, until } => out.bytes(&subject.0).uint(5).bytes(grant).uint(6).int(until.0),
            Act::Revoke { grant: digest }
            | Act::Release { manifest: digest }
            | Act::Halt { manifest: digest }
            | Act::Rule { rules: digest } => out.bytes(digest),
            Act::Rollout { manifest, percent } => out.bytes(manifest).uint(5).uint(u64::from(*percent)),
            Act::Rotate { name, key } => out.text(name.as_str()).uint(5).bytes(key),
            Act::Erase { subject, generation } => out.bytes(&subject.0).uint(5).uint(u64::from(*generation)),
        };
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        let fields = map(input)?;
        key(input, 0)?;
        if input.u64()? != VERSION {
            return Err(Error::message("another version"));
        }
        key(input, 1)?;
        let kind = input.u64()?;
        key(input, 2)?;
        let signer = name(input)?;
        key(input, 3)?;
        let time = Timestamp(input.i64()?);
        key(input, 4)?;
        let act = Act::read(kind, input)?;
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

impl Act {
    /// Its number, and how many fields of its own it has.
    const fn shape(&self) -> (u64, u64) {
        match self {
            Self::Enrol { .. } => (1, 4),
            Self::AssignKey { .. } => (2, 3),
            Self::Grant { .. } => (3, 3),
            Self::Revoke { .. } => (4, 1),
            Self::Release { .. } => (5, 1),
            Self::Rollout { .. } => (6, 2),
            Self::Halt { .. } => (7, 1),
            Self::Rule { .. } => (8, 1),
            Self::Rotate { .. } => (9, 2),
            Self::Erase { .. } => (10, 2),
        }
    }

    /// The word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Enrol { .. } => "enrol",
            Self::AssignKey { .. } => "assign-key",
            Self::Grant { .. } => "grant",
            Self::Revoke { .. } => "revoke",
            Self::Release { .. } => "release",
            Self::Rollout { .. } => "rollout",
            Self::Halt { .. } => "halt",
            Self::Rule { .. } => "rule",
            Self::Rotate { .. } => "rotate",
            Self::Erase { .. } => "erase",
        }
    }

    /// Reads the fields of one kind; the first field's key has been read.
    fn read(kind: u64, input: &mut Decoder<'_>) -> Result<Self, Error> {
        Ok(match kind {
            1 => Self::Enrol {
                name: name(input)?,
                role: after(input, 5, |input| {
                    Role::from_code(input.u8()?).ok_or_else(|| Error::message("unknown role"))
                })?,
                signing: after(input, 6, fixed)?,
                channel: after(input, 7, fixed)?,
            },
            2 => Self::AssignKey {
                subject: SubjectId(fixed(input)?),
                generation: after(input, 5, Decoder::u32)?,
                key: after(input, 6, fixed)?,
            },
            3 => Self::Grant {
                subject: SubjectId(fixed(input)?),
                grant: after(input, 5, fixed)?,
                until: Timestamp(after(input, 6, Decoder::i64)?),
            },
            4 => Self::Revoke { grant: fixed(input)? },
            5 => Self::Release { manifest: fixed(input)? },
            6 => {
                let (manifest, percent) = (fixed(input)?, after(input, 5, Decoder::u8)?);
                if !(1..=100).contains(&percent) {
                    return Err(Error::message("a rollout is 1 to 100 per cent"));
                }
                Self::Rollout { manifest, percent }
            }
            7 => Self::Halt { manifest: fixed(input)? },
            8 => Self::Rule { rules: fixed(input)? },
            9 => Self::Rotate { name: name(input)?, key: after(input, 5, fixed)? },
            10 => Self::Erase { subject: SubjectId(fixed(input)?), generation: after(input, 5, Decoder::u32)? },
            _ => return Err(Error::message("unknown kind of transaction")),
        })
    }
}

/// A map key, then its value.
fn after<'b, T>(
    input: &mut Decoder<'b>,
    expected: u64,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Error>,
) -> Result<T, Error> {
    key(input, expected)?;
    read(input)
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

/// The version a payload states, if it is another than ours.
fn version(payload: &[u8]) -> Option<u64> {
    let mut input = Decoder::new(payload);
    map(&mut input).ok()?;
    key(&mut input, 0).ok()?;
    input.u64().ok().filter(|version| *version != VERSION)
}
