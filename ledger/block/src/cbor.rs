//! Deterministic CBOR (RFC 8949, 4.2.1): shortest integers, definite lengths, integer keys in ascending order, no floats.
//!
//! Writing is done here, in the only form there is; reading is minicbor's, and whoever reads re-encodes and compares
//! ([`exact`]), so a second spelling of the same thing is refused.

use minicbor::Decoder;
use minicbor::decode::Error;

/// Why bytes are not the deterministic encoding of what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// Not CBOR of that shape: a wrong type, length or key, or a number out of range.
    #[error("not the expected CBOR at byte {at}")]
    Shape {
        /// Where reading stopped.
        at: usize,
    },
    /// Bytes after the end.
    #[error("{0} bytes follow the end of the CBOR item")]
    Trailing(usize),
    /// Reads well, but another encoding of it is the deterministic one.
    #[error("not deterministic CBOR (RFC 8949, 4.2.1): the same content has another encoding")]
    NotDeterministic,
}

/// Something with one deterministic encoding.
pub trait Deterministic: Sized {
    /// Appends the encoding.
    fn write(&self, out: &mut Writer);
    /// Reads it; need not check determinism, [`exact`] does.
    fn read(input: &mut Decoder<'_>) -> Result<Self, Error>;

    /// The encoding.
    fn to_cbor(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.write(&mut out);
        out.into_bytes()
    }
}

/// Reads bytes that must be exactly the deterministic encoding of a `T`.
pub fn exact<T: Deterministic>(bytes: &[u8]) -> Result<T, CborError> {
    let mut input = Decoder::new(bytes);
    let item = T::read(&mut input).map_err(|_| CborError::Shape { at: input.position() })?;
    if input.position() != bytes.len() {
        return Err(CborError::Trailing(bytes.len().saturating_sub(input.position())));
    }
    if item.to_cbor() == bytes { Ok(item) } else { Err(CborError::NotDeterministic) }
}

/// Appends CBOR items, each in its shortest form.
#[derive(Debug, Default, Clone)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Empties it, keeping the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        match argument {
            0..=23 => self.0.push(major | argument as u8),
            24..=0xff => self.0.extend_from_slice(&[major | 24, argument as u8]),
            0x100..=0xffff => {
                self.0.push(major | 25);
                self.0.extend_from_slice(&(argument as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(major | 26);
                self.0.extend_from_slice(&(argument as u32).to_be_bytes());
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend_from_slice(&argument.to_be_bytes());
            }
        }
    }

    /// An unsigned integer, also as a map key.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(0, value);
        self
    }

    /// A signed integer.
    pub fn int(&mut self, value: i64) -> &mut Self {
        if value < 0 {
            self.head(1, !value as u64)
        } else {
            self.head(0, value as u64)
        }
        self
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(2, value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(3, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// The head of an array of so many items.
    pub fn array(&mut self, items: u64) -> &mut Self {
        self.head(4, items);
        self
    }

    /// The head of a map of so many pairs; keys must follow in ascending order.
    pub fn map(&mut self, pairs: u64) -> &mut Self {
        self.head(5, pairs);
        self
    }

    /// A tag for the next item.
    pub fn tag(&mut self, tag: u64) -> &mut Self {
        self.head(6, tag);
        self
    }

    /// Null.
    pub fn null(&mut self) -> &mut Self {
        self.0.push(0xf6);
        self
    }

    /// Items encoded elsewhere.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.0.extend_from_slice(encoded);
        self
    }
}

/// The head of a definite-length array; indefinite ones are refused.
pub fn array(input: &mut Decoder<'_>) -> Result<u64, Error> {
    input.array()?.ok_or_else(|| Error::message("indefinite length"))
}

/// The head of a definite-length map; indefinite ones are refused.
pub fn map(input: &mut Decoder<'_>) -> Result<u64, Error> {
    input.map()?.ok_or_else(|| Error::message("indefinite length"))
}

/// An array of exactly so many items.
pub fn array_of(input: &mut Decoder<'_>, items: u64) -> Result<(), Error> {
    if array(input)? == items { Ok(()) } else { Err(Error::message("wrong array length")) }
}

/// The given map key.
pub fn key(input: &mut Decoder<'_>, key: u64) -> Result<(), Error> {
    if input.u64()? == key { Ok(()) } else { Err(Error::message("wrong map key")) }
}

/// A byte string of exactly N bytes.
pub fn fixed<const N: usize>(input: &mut Decoder<'_>) -> Result<[u8; N], Error> {
    input.bytes()?.try_into().map_err(|_| Error::message("wrong byte string length"))
}

/// An array of at most `most` hashes.
pub fn hashes(input: &mut Decoder<'_>, most: usize) -> Result<Vec<[u8; 32]>, Error> {
    let count = array(input)?;
    if usize::try_from(count).map_or(true, |count| count > most) {
        return Err(Error::message("too many hashes"));
    }
    (0..count).map(|_| fixed(input)).collect()
}

/// Appends an array of hashes.
pub fn put_hashes(out: &mut Writer, hashes: &[[u8; 32]]) {
    out.array(hashes.len() as u64);
    for hash in hashes {
        out.bytes(hash);
    }
}

#[cfg(test)]
mod tests;
