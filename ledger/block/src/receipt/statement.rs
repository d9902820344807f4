//! "I have read this payload back from my store": a note of the log, part of receipt R3.

use std::fmt;

use data_encoding::BASE64;

use crate::header::Header;
use crate::merkle::Hash;
use crate::note::{NoteError, SignedNote, SignerKey, VerifierKey};

const TITLE: &str = "pitchside payload read back";

/// The log's statement about one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadRead {
    /// The log's origin.
    pub origin: String,
    /// BLAKE3 of the padded payload.
    pub digest: Hash,
    /// Its length in bytes.
    pub length: u64,
}

/// Why the statement does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not a note signed by the log's key.
    #[error("{0}")]
    Note(#[from] NoteError),
    /// Signed, but it says something else.
    #[error("the log's statement is about another payload")]
    OtherPayload,
}

/// The note text: title, origin, digest in base64, length.
impl fmt::Display for PayloadRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}\n{}\n{}\n{}", self.origin, BASE64.encode(&self.digest), self.length)
    }
}

impl PayloadRead {
    /// Signs the statement. It can't be taken for a checkpoint: its second line is no tree size.
    pub fn sign(&self, key: &SignerKey, time_s: u64) -> Result<SignedNote, NoteError> {
        let mut note = SignedNote::new(self.to_string())?;
        note.sign(key, time_s)?;
        Ok(note)
    }

    /// Checks that `note` is signed by the log and is about the payload of `header`.
    pub fn verify(note: &[u8], log: &VerifierKey, header: &Header) -> Result<(), StatementError> {
        let note = SignedNote::parse(note)?;
        note.verify(&[log])?;
        let want = Self { origin: log.name().to_owned(), digest: header.payload_digest, length: header.payload_length };
        if note.text() == want.to_string() { Ok(()) } else { Err(StatementError::OtherPayload) }
    }
}
