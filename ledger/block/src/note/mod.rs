//! Signed notes: text signed by one or more keys (C2SP signed-note, with the cosignatures of C2SP tlog-cosignature).

mod key;

use std::fmt::Write as _;

use data_encoding::BASE64;

pub use key::{KeyError, KeyKind, SignerKey, VerifierKey};

/// The longest note, in bytes. Sixteen signatures of post-quantum size fit.
pub const NOTE_BYTES_MAX: usize = 256 * 1024;
/// The most signature lines. C2SP asks for at least 16.
pub const SIGNATURES_MAX: usize = 64;

const DASH: &str = "\u{2014} ";

/// Why bytes are not a signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`].
    #[error("the note has {0} bytes, at most {NOTE_BYTES_MAX} are read")]
    TooLong(usize),
    /// Not UTF-8, or a control character other than newline.
    #[error("the note is not plain text: byte {at} is not allowed")]
    NotText {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// No blank line between text and signatures, or no newline at an end.
    #[error("the note has no text, blank line and signatures, each ending in a newline")]
    Shape,
    /// A signature line that is not one.
    #[error("signature line {0} is not \"\u{2014} NAME BASE64\" with a key id and a signature")]
    Signature(usize),
    /// More than [`SIGNATURES_MAX`] signatures.
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// A key named in the check signed something else.
    #[error("the signature of {0} does not match the note")]
    WrongSignature(String),
    /// None of the keys asked about signed it.
    #[error("none of the {0} known keys signed the note")]
    NotSigned(usize),
    /// Text that cannot be the text of a note.
    #[error("the text must be UTF-8 without control characters and end in a newline")]
    Text,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Who says so.
    pub name: String,
    /// First four bytes of the hash of name and key.
    pub key_id: u32,
    /// What the key's algorithm made.
    pub signature: Vec<u8>,
}

/// A text and its signatures, none of them checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// Whether a text may stand in a note: no control character but newline, and a newline at the end.
fn is_text(text: &str) -> bool {
    text.ends_with('\n') && !text.bytes().any(|byte| byte < 0x20 && byte != b'\n')
}

impl SignedNote {
    /// A note without signatures yet. The text ends in a newline.
    pub fn new(text: String) -> Result<Self, NoteError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong(text.len()));
        }
        if is_text(&text) { Ok(Self { text, signatures: Vec::new() }) } else { Err(NoteError::Text) }
    }

    /// Reads a note; at least one signature line is required.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = std::str::from_utf8(bytes).map_err(|e| NoteError::NotText { at: e.valid_up_to() })?;
        if let Some(at) = note.bytes().position(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::NotText { at });
        }
        // The text is separated from the signatures by the last empty line.
        let split = note.rfind("\n\n").ok_or(NoteError::Shape)?;
        let (text, rest) = (note.get(..=split), note.get(split + 2..));
        let (Some(text), Some(rest)) = (text, rest) else { return Err(NoteError::Shape) };
        let lines = rest.strip_suffix('\n').ok_or(NoteError::Shape)?;
        let mut signatures = Vec::new();
        for (number, line) in lines.split('\n').enumerate() {
            if number == SIGNATURES_MAX {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(parse_signature(line).ok_or(NoteError::Signature(number + 1))?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The signed text, with its final newline. To be ignored until [`SignedNote::verify`] succeeded.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, unchecked.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Signs the text and adds the line. A cosigning key states the time, in seconds since 1970; others ignore it.
    pub fn sign(&mut self, key: &SignerKey, time_s: u64) -> Result<(), NoteError> {
        let signature = key.sign(&self.text, time_s);
        self.add(NoteSignature { name: key.name().to_owned(), key_id: key.verifier().key_id(), signature })
    }

    /// Adds a signature line made elsewhere (a witness's answer). A line of the same name and key id is replaced.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        self.signatures.retain(|have| have.name != signature.name || have.key_id != signature.key_id);
        if self.signatures.len() >= SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Checks every signature made by one of `keys`, and returns those that signed, as positions in `keys`. Signatures of
    /// other keys are ignored; a wrong one of a known key refuses the note, and so does none at all.
    pub fn verify(&self, keys: &[&VerifierKey]) -> Result<Vec<usize>, NoteError> {
        let mut signed = Vec::new();
        for signature in &self.signatures {
            let known = keys.iter().position(|key| key.name() == signature.name && key.key_id() == signature.key_id);
            let Some((at, key)) = known.and_then(|at| keys.get(at).map(|key| (at, key))) else { continue };
            if !key.verifies(&self.text, &signature.signature) {
                return Err(NoteError::WrongSignature(key.name().to_owned()));
            }
            if !signed.contains(&at) {
                signed.push(at);
            }
        }
        if signed.is_empty() { Err(NoteError::NotSigned(keys.len())) } else { Ok(signed) }
    }
}

impl std::fmt::Display for SignedNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            let mut blob = signature.key_id.to_be_bytes().to_vec();
            blob.extend_from_slice(&signature.signature);
            f.write_str(DASH)?;
            f.write_str(&signature.name)?;
            f.write_char(' ')?;
            writeln!(f, "{}", BASE64.encode(&blob))?;
        }
        Ok(())
    }
}

/// Whether a key name may stand in a note: not empty, no Unicode space, no `+`, no control character.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, blob) = line.strip_prefix(DASH)?.split_once(' ')?;
    let blob = BASE64.decode(blob.as_bytes()).ok()?;
    let (key_id, signature) = blob.split_first_chunk::<4>()?;
    if !is_name(name) || signature.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), key_id: u32::from_be_bytes(*key_id), signature: signature.to_vec() })
}

#[cfg(test)]
pub(crate) mod tests;
