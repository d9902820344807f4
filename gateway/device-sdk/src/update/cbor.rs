//! Deterministic CBOR (RFC 8949, 4.2.1), read from the front of a slice: shortest heads, definite lengths. Nothing is
//! copied. Who reads an exact sequence of items in this way reads the one encoding there is.

use alloc::vec::Vec;

/// Not the item that was expected here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unexpected;

/// What is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Items<'a>(pub &'a [u8]);

impl<'a> Items<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unexpected> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Unexpected)?;
        self.0 = rest;
        Ok(head)
    }

    fn head(&mut self, major: u8) -> Result<u64, Unexpected> {
        let first = *self.take(1)?.first().ok_or(Unexpected)?;
        if first >> 5 != major {
            return Err(Unexpected);
        }
        let (bytes, least) = match first & 0x1F {
            small @ 0..=23 => return Ok(u64::from(small)),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err(Unexpected),
        };
        let value = self.take(bytes)?.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        if value < least { Err(Unexpected) } else { Ok(value) }
    }

    pub fn uint(&mut self) -> Result<u64, Unexpected> {
        self.head(0)
    }

    pub fn u32(&mut self) -> Result<u32, Unexpected> {
        u32::try_from(self.head(0)?).map_err(|_| Unexpected)
    }

    pub fn int(&mut self) -> Result<i64, Unexpected> {
        let negative = self.0.first().is_some_and(|first| first >> 5 == 1);
        let value = i64::try_from(self.head(u8::from(negative))?).map_err(|_| Unexpected)?;
        Ok(if negative { !value } else { value })
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Unexpected> {
        let length = usize::try_from(self.head(2)?).map_err(|_| Unexpected)?;
        self.take(length)
    }

    pub fn hash(&mut self) -> Result<[u8; 32], Unexpected> {
        self.bytes()?.try_into().map_err(|_| Unexpected)
    }

    pub fn text(&mut self) -> Result<&'a str, Unexpected> {
        let length = usize::try_from(self.head(3)?).map_err(|_| Unexpected)?;
        core::str::from_utf8(self.take(length)?).map_err(|_| Unexpected)
    }

    pub fn array(&mut self) -> Result<u64, Unexpected> {
        self.head(4)
    }

    pub fn map(&mut self) -> Result<u64, Unexpected> {
        self.head(5)
    }

    pub fn tag(&mut self) -> Result<u64, Unexpected> {
        self.head(6)
    }

    pub fn end(&self) -> Result<(), Unexpected> {
        if self.0.is_empty() { Ok(()) } else { Err(Unexpected) }
    }
}

/// Appends a byte string.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        length @ 0..=23 => out.push(0x40 | length as u8),
        length @ 24..=0xFF => out.extend_from_slice(&[0x58, length as u8]),
        length => {
            out.push(0x59);
            // A signed manifest has at most 4096 bytes.
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}
