//! Keys that sign and verify notes: C2SP signed-note "Verifier keys", types 0x01 (Ed25519) and 0x04 (cosignature/v1).

use std::fmt;

use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::is_name;

/// The longest key text.
const KEY_TEXT_MAX: usize = 1_024;
const SECRET_PREFIX: &str = "PRIVATE+KEY+";

/// What a key's signatures look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// 0x01: Ed25519 over the text.
    Ed25519,
    /// 0x04: Ed25519 over "cosignature/v1", a time and the text (C2SP tlog-cosignature).
    Cosignature,
}

impl KeyKind {
    /// The byte assigned by C2SP signed-note.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x01 => Some(Self::Ed25519),
            0x04 => Some(Self::Cosignature),
            _ => None,
        }
    }
}

/// Why a text is not a usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not `NAME+HEXID+BASE64`.
    #[error("a verifier key is NAME+8 HEX DIGITS+BASE64, joined by '+'")]
    Shape,
    /// Not `PRIVATE+KEY+NAME+HEXID+BASE64`.
    #[error("a signer key is PRIVATE+KEY+NAME+8 HEX DIGITS+BASE64, joined by '+'")]
    SecretShape,
    /// A name with spaces, `+` or control characters, or none.
    #[error("a key name is not empty and has neither spaces nor '+'")]
    Name,
    /// A signature type other than Ed25519 (0x01) and cosignature/v1 (0x04).
    #[error("signature type 0x{0:02x} is not supported: use Ed25519 (0x01) or Ed25519 cosignatures (0x04)")]
    Kind(u8),
    /// 32 bytes that are no point of the curve, or a weak one.
    #[error("the public key is not a valid Ed25519 key")]
    Point,
    /// Name, type and key hash to another id: a slip in copying.
    #[error("the key id {have:08x} does not belong to this name and key, which have {want:08x}: copy it again")]
    Id {
        /// As written.
        have: u32,
        /// As computed.
        want: u32,
    },
}

fn key_id(name: &str, kind: KeyKind, public: &[u8; 32]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', kind.code()]);
    hasher.update(public);
    let hash: [u8; 32] = hasher.finalize().into();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// The text a cosigner signs: header line, time line, note text.
fn cosigned(text: &str, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

/// Splits `NAME+HEXID+BASE64` into name, id and the decoded bytes after the type.
fn split(text: &str) -> Option<(&str, u32, Zeroizing<Vec<u8>>)> {
    if text.len() > KEY_TEXT_MAX {
        return None;
    }
    let (name, rest) = text.split_once('+')?;
    let (id, blob) = rest.split_once('+')?;
    if id.len() != 8 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let blob = Zeroizing::new(BASE64.decode(blob.as_bytes()).ok()?);
    Some((name, u32::from_str_radix(id, 16).ok()?, blob))
}

/// A key that checks signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    kind: KeyKind,
    key: VerifyingKey,
}

impl VerifierKey {
    /// From a name and 32 bytes of an Ed25519 public key.
    pub fn new(name: &str, kind: KeyKind, public: &[u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name);
        }
        let key = VerifyingKey::from_bytes(public).map_err(|_| KeyError::Point)?;
        if key.is_weak() {
            return Err(KeyError::Point);
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, kind, public), kind, key })
    }

    /// Reads a vkey: `NAME+HEXID+BASE64(type || public key)`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, have, blob) = split(text).ok_or(KeyError::Shape)?;
        let (code, public) = blob.split_first().ok_or(KeyError::Shape)?;
        let kind = KeyKind::from_code(*code).ok_or(KeyError::Kind(*code))?;
        let public: &[u8; 32] = public.try_into().map_err(|_| KeyError::Shape)?;
        let key = Self::new(name, kind, public)?;
        if key.id == have { Ok(key) } else { Err(KeyError::Id { have, want: key.id }) }
    }

    /// The key's name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of the hash of name, type and key.
    pub const fn key_id(&self) -> u32 {
        self.id
    }

    /// What its signatures look like.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The Ed25519 public key.
    pub fn public(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Whether this key made `signature` (the bytes after the key id) over the note text.
    pub fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        let strict = |message: &[u8], bytes: &[u8]| {
            Signature::from_slice(bytes).is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
        };
        match self.kind {
            KeyKind::Ed25519 => strict(text.as_bytes(), signature),
            KeyKind::Cosignature => signature.split_first_chunk::<8>().is_some_and(|(time, signature)| {
                let time_s = u64::from_be_bytes(*time);
                time_s <= i64::MAX as u64 && strict(cosigned(text, time_s).as_bytes(), signature)
            }),
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = vec![self.kind.code()];
        blob.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id, BASE64.encode(&blob))
    }
}
impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

/// A key that signs notes. Its secret leaves memory when dropped and is never printed by `Debug`.
pub struct SignerKey {
    public: VerifierKey,
    secret: SigningKey,
}

impl SignerKey {
    /// From a name and the 32 secret bytes of RFC 8032.
    pub fn new(name: &str, kind: KeyKind, secret: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = SigningKey::from_bytes(secret);
        let public = VerifierKey::new(name, kind, &secret.verifying_key().to_bytes())?;
        Ok(Self { public, secret })
    }

    /// Reads `PRIVATE+KEY+NAME+HEXID+BASE64(type || secret)`, the form Go's sumdb/note writes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let rest = text.strip_prefix(SECRET_PREFIX).ok_or(KeyError::SecretShape)?;
        let (name, have, blob) = split(rest).ok_or(KeyError::SecretShape)?;
        let (code, secret) = blob.split_first().ok_or(KeyError::SecretShape)?;
        let kind = KeyKind::from_code(*code).ok_or(KeyError::Kind(*code))?;
        let secret: &[u8; 32] = secret.try_into().map_err(|_| KeyError::SecretShape)?;
        let key = Self::new(name, kind, secret)?;
        if key.public.id == have { Ok(key) } else { Err(KeyError::Id { have, want: key.public.id }) }
    }

    /// The text [`SignerKey::parse`] reads. For a file only its owner may read.
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        let mut blob = Zeroizing::new(vec![self.public.kind.code()]);
        blob.extend_from_slice(self.secret.as_bytes());
        let encoded = Zeroizing::new(BASE64.encode(&blob));
        Zeroizing::new(format!("{SECRET_PREFIX}{}+{:08x}+{}", self.public.name, self.public.id, encoded.as_str()))
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.public.name
    }

    /// Its public half.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.public
    }

    /// The signature bytes (after the key id) over a note text. `time_s`, in seconds since 1970, stands in cosignatures
    /// only.
    pub fn sign(&self, text: &str, time_s: u64) -> Vec<u8> {
        match self.public.kind {
            KeyKind::Ed25519 => self.secret.sign(text.as_bytes()).to_bytes().to_vec(),
            KeyKind::Cosignature => {
                let time_s = time_s.min(i64::MAX as u64);
                let mut bytes = time_s.to_be_bytes().to_vec();
                bytes.extend_from_slice(&self.secret.sign(cosigned(text, time_s).as_bytes()).to_bytes());
                bytes
            }
        }
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({})", self.public.name)
    }
}
