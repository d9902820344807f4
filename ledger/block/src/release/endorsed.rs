//! Bytes with several signatures: COSE_Sign (RFC 9052, 4.1) with Ed25519 (RFC 9053, 2.2), in one form. The signatures stand
//! in ascending order of their key ids, so the same bytes with the same signers are the same object, and signers who sign
//! apart from each other can be put together.

use std::fmt;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use minicbor::Decoder;
use minicbor::data::Tag;
use minicbor::decode::Error;
use sha2::{Digest as _, Sha256};

use crate::cbor::{CborError, Deterministic, Writer, array, array_of, exact, fixed, key, map};

/// The most signatures read.
pub const SIGNATURES_MAX: usize = 32;
/// CBOR tag of COSE_Sign (RFC 9052, 2).
const COSE_SIGN: u64 = 98;

/// Which key signed: the first 8 bytes of SHA-256 of the Ed25519 public key. COSE's `kid`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(pub [u8; 8]);

impl Kid {
    /// Of a public key.
    pub fn of(public: &[u8; 32]) -> Self {
        let hash: [u8; 32] = Sha256::digest(public).into();
        let mut kid = [0; 8];
        kid.copy_from_slice(hash.split_at(8).0);
        Self(kid)
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kid({self})")
    }
}

/// A release key. The secret leaves memory when dropped and is never printed.
pub struct ReleaseKey(SigningKey);

impl ReleaseKey {
    /// From the 32 secret bytes of RFC 8032.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The Ed25519 public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

impl fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseKey({})", Kid::of(&self.public()))
    }
}

/// Bytes and who signed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endorsed {
    payload: Vec<u8>,
    /// Ascending by key id.
    signatures: Vec<(Kid, [u8; 64])>,
}

/// Why signatures are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndorseError {
    /// Longer than what is read.
    #[error("the signed object has {have} bytes, at most {most} are read")]
    TooLong {
        /// Bytes given.
        have: usize,
        /// Bytes read at most.
        most: usize,
    },
    /// Not COSE_Sign in the one form used here.
    #[error("not COSE_Sign (RFC 9052, 4.1) in the one form used here: {0}")]
    Form(#[from] CborError),
    /// A signature by a key nobody named.
    #[error("signed with key {0}, which is not among those that may sign")]
    UnknownKey(Kid),
    /// A signature that does not verify.
    #[error("the signature of key {0} does not match")]
    Signature(Kid),
    /// Too few of those who may sign did.
    #[error("signed by {have} of the keys that may sign, {want} are needed")]
    Threshold {
        /// Valid signatures.
        have: usize,
        /// How many it takes.
        want: usize,
    },
    /// Signatures over other bytes cannot be put together with these.
    #[error("these are signatures over something else: both files must come from the same draft")]
    Other,
    /// More signatures than are read.
    #[error("at most {SIGNATURES_MAX} signatures")]
    Crowded,
}

impl Endorsed {
    /// Nobody's yet.
    pub const fn draft(payload: Vec<u8>) -> Self {
        Self { payload, signatures: Vec::new() }
    }

    /// Reads at most `most` bytes; no signature is checked.
    ///
    /// # Errors
    /// Longer, or not in form.
    pub fn parse(bytes: &[u8], most: usize) -> Result<Self, EndorseError> {
        if bytes.len() > most {
            return Err(EndorseError::TooLong { have: bytes.len(), most });
        }
        Ok(exact(bytes)?)
    }

    /// What is signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whose signatures are on it, ascending. Not checked.
    pub fn signers(&self) -> impl ExactSizeIterator<Item = Kid> + '_ {
        self.signatures.iter().map(|(kid, _)| *kid)
    }

    /// Signs in a context (RFC 9052's external data). Signing again with the same key changes nothing.
    ///
    /// # Errors
    /// All places are taken.
    pub fn sign(&mut self, context: &[u8], with: &ReleaseKey) -> Result<(), EndorseError> {
        let kid = Kid::of(&with.public());
        let signature = with.0.sign(&to_be_signed(kid, context, &self.payload)).to_bytes();
        self.put(kid, signature)
    }

    /// Takes the signatures that others collected over the same bytes.
    ///
    /// # Errors
    /// The bytes differ, or all places are taken.
    pub fn merge(&mut self, other: &Self) -> Result<(), EndorseError> {
        if other.payload != self.payload {
            return Err(EndorseError::Other);
        }
        other.signatures.iter().try_for_each(|(kid, signature)| self.put(*kid, *signature))
    }

    fn put(&mut self, kid: Kid, signature: [u8; 64]) -> Result<(), EndorseError> {
        match self.signatures.binary_search_by_key(&kid, |(kid, _)| *kid) {
            Ok(at) => {
                if let Some(place) = self.signatures.get_mut(at) {
                    place.1 = signature;
                }
            }
            Err(_) if self.signatures.len() >= SIGNATURES_MAX => return Err(EndorseError::Crowded),
            Err(at) => self.signatures.insert(at, (kid, signature)),
        }
        Ok(())
    }

    /// Checks every signature: each must be by one of these keys and hold (RFC 8032, strict). One key counts once, since it
    /// can stand here once. Gives whose they are.
    ///
    /// # Errors
    /// A key that is not among them, or a signature that does not hold: one bad signature spoils the whole, so that what
    /// is accepted here is accepted everywhere.
    pub fn verify(&self, context: &[u8], keys: &[[u8; 32]]) -> Result<Vec<[u8; 32]>, EndorseError> {
        let check = |(kid, signature): &(Kid, [u8; 64])| {
            let public = keys.iter().find(|key| Kid::of(key) == *kid).ok_or(EndorseError::UnknownKey(*kid))?;
            let key = VerifyingKey::from_bytes(public).map_err(|_| EndorseError::Signature(*kid))?;
            let signature = Signature::from_bytes(signature);
            key.verify_strict(&to_be_signed(*kid, context, &self.payload), &signature)
                .map(|()| *public)
                .map_err(|_| EndorseError::Signature(*kid))
        };
        self.signatures.iter().map(check).collect()
    }
}

/// The protected header of one signature: `{1: -8, 4: kid}`.
fn protected(kid: Kid) -> Vec<u8> {
    let mut out = Writer::default();
    out.map(2).uint(1).int(-8).uint(4).bytes(&kid.0);
    out.into_bytes()
}

/// RFC 9052, 4.4: `["Signature", body_protected, sign_protected, external_aad, payload]`.
fn to_be_signed(kid: Kid, context: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.array(5).text("Signature").bytes(&[]).bytes(&protected(kid)).bytes(context).bytes(payload);
    out.into_bytes()
}

impl Deterministic for Endorsed {
    fn write(&self, out: &mut Writer) {
        out.tag(COSE_SIGN).array(4).bytes(&[]).map(0).bytes(&self.payload).array(self.signatures.len() as u64);
        for (kid, signature) in &self.signatures {
            out.array(3).bytes(&protected(*kid)).map(0).bytes(signature);
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        if input.tag()? != Tag::new(COSE_SIGN) {
            return Err(Error::message("not COSE_Sign"));
        }
        array_of(input, 4)?;
        if !input.bytes()?.is_empty() || map(input)? != 0 {
            return Err(Error::message("headers of the body"));
        }
        let payload = input.bytes()?.to_vec();
        let count = array(input)?;
        if count > SIGNATURES_MAX as u64 {
            return Err(Error::message("too many signatures"));
        }
        let mut signatures: Vec<(Kid, [u8; 64])> = Vec::new();
        for _ in 0..count {
            array_of(input, 3)?;
            let kid = kid(input.bytes()?)?;
            if map(input)? != 0 {
                return Err(Error::message("unprotected headers"));
            }
            if signatures.last().is_some_and(|(last, _)| *last >= kid) {
                return Err(Error::message("signatures out of order, or two of one key"));
            }
            signatures.push((kid, fixed(input)?));
        }
        Ok(Self { payload, signatures })
    }
}

fn kid(header: &[u8]) -> Result<Kid, Error> {
    let mut input = Decoder::new(header);
    if map(&mut input)? != 2 {
        return Err(Error::message("wrong protected header"));
    }
    key(&mut input, 1)?;
    if input.i64()? != -8 {
        return Err(Error::message("another algorithm"));
    }
    key(&mut input, 4)?;
    fixed(&mut input).map(Kid)
}
