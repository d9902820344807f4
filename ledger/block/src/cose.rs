//! COSE_Sign1 with Ed25519 (RFC 9052, RFC 9053), in the one form used here: tagged 18, protected header `{1: -8}`, empty
//! unprotected header, attached payload. Any other form of the same content is refused.

use coset::{CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _, iana};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use minicbor::Decoder;
use minicbor::decode::Error;

use crate::cbor::{array_of, map};

/// Bytes around the payload, at most.
pub const ENVELOPE_BYTES_MAX: usize = 80;

/// Why bytes are not a signed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// Longer than what may be signed here.
    #[error("the signed object has {have} bytes, at most {most} are read")]
    TooLong {
        /// Bytes given.
        have: usize,
        /// Bytes read at most.
        most: usize,
    },
    /// Not a COSE_Sign1 at all.
    #[error("not a tagged COSE_Sign1 object (RFC 9052)")]
    Shape,
    /// A COSE_Sign1, but not in the one form used here.
    #[error("not in the one form used here: protected {{1: -8}}, nothing unprotected, deterministic CBOR")]
    Form,
    /// 32 bytes that are no public key.
    #[error("the signer is not a valid Ed25519 public key")]
    Key,
    /// The signature does not match.
    #[error("the signature does not match")]
    Signature,
}

fn assemble(payload: Vec<u8>, signature: Vec<u8>) -> CoseSign1 {
    let protected = HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).build();
    CoseSign1Builder::new().protected(protected).payload(payload).signature(signature).build()
}

/// Signs `payload`. `context` is the external associated data of RFC 9052: it says what is signed (for a block header
/// `pitchside/block/1`), so that a signature can't be shown as one over something else.
pub fn sign(payload: &[u8], context: &[u8], key: &SigningKey) -> Result<Vec<u8>, CoseError> {
    let mut object = assemble(payload.to_vec(), Vec::new());
    object.signature = key.sign(&object.tbs_data(context)).to_bytes().to_vec();
    object.to_tagged_vec().map_err(|_| CoseError::Shape)
}

/// A signed object whose signature is not checked yet.
#[derive(Debug, Clone)]
pub struct Unverified {
    object: CoseSign1,
}

/// Payload and signature of what has the heads of the one form. Whatever is nested where that has a string or nothing is not read: held
/// as a tree of items, it would take thirty times its bytes.
fn strings<'b>(input: &mut Decoder<'b>) -> Result<(&'b [u8], &'b [u8]), Error> {
    input.bytes()?;
    if map(input)? != 0 {
        return Err(Error::message("an unprotected header"));
    }
    Ok((input.bytes()?, input.bytes()?))
}

/// Reads a signed object of at most `most` bytes in the one form used here.
pub fn parse(bytes: &[u8], most: usize) -> Result<Unverified, CoseError> {
    if bytes.len() > most {
        return Err(CoseError::TooLong { have: bytes.len(), most });
    }
    let mut input = Decoder::new(bytes);
    if input.tag().map_or(true, |tag| tag.as_u64() != CoseSign1::TAG) || array_of(&mut input, 4).is_err() {
        return Err(CoseError::Shape);
    }
    let (payload, signature) = strings(&mut input).map_err(|_| CoseError::Form)?;
    let object = assemble(payload.to_vec(), signature.to_vec());
    if object.clone().to_tagged_vec().map_err(|_| CoseError::Shape)? != bytes {
        return Err(CoseError::Form);
    }
    Ok(Unverified { object })
}

impl Unverified {
    /// What is said to be signed. To be trusted for finding the key only.
    pub fn payload(&self) -> &[u8] {
        self.object.payload.as_deref().unwrap_or_default()
    }

    /// Checks the signature, strictly (RFC 8032 with canonical encodings and no small-order keys).
    pub fn verify(&self, context: &[u8], public: &[u8; 32]) -> Result<(), CoseError> {
        let key = VerifyingKey::from_bytes(public).map_err(|_| CoseError::Key)?;
        let signature = Signature::from_slice(&self.object.signature).map_err(|_| CoseError::Signature)?;
        key.verify_strict(&self.object.tbs_data(context), &signature).map_err(|_| CoseError::Signature)
    }
}
