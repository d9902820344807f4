//! Variable-length integers and packed bits, the alphabet of a segment's plaintext.

use super::SegmentError;

/// Appends an unsigned integer, 7 bits a byte, least significant first (LEB128).
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Length of [`put_varint`]'s output.
pub(super) fn varint_len(value: u64) -> usize {
    usize::try_from((64 - (value | 1).leading_zeros()).div_ceil(7)).unwrap_or(10)
}

/// Small magnitudes to small numbers: 0, -1, 1, -2, ... to 0, 1, 2, 3, ...
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends a signed integer.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Appends numbers of `width` bits each, least significant bit first; the last byte's unused bits are zero.
pub(super) fn put_bits(out: &mut Vec<u8>, width: u32, values: impl Iterator<Item = u64>) {
    let (mut held, mut bits) = (0u128, 0u32);
    for value in values {
        held |= u128::from(value) << bits;
        bits += width;
        while bits >= 8 {
            out.push(held as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held as u8);
    }
}

/// What is left to read.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], SegmentError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(SegmentError::Malformed("it ends too early"))?;
        self.0 = tail;
        Ok(head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, SegmentError> {
        self.take(1).map(|bytes| bytes.first().copied().unwrap_or(0))
    }

    pub(super) fn varint(&mut self) -> Result<u64, SegmentError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part || (byte == 0 && shift > 0) {
                return Err(SegmentError::Malformed("an integer is not in its shortest form"));
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(SegmentError::Malformed("an integer is longer than 64 bits"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, SegmentError> {
        self.varint().map(unzigzag)
    }

    /// A count of at most `most`: nothing is allocated for more.
    pub(super) fn count(&mut self, most: usize) -> Result<usize, SegmentError> {
        let count = self.varint()?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= most)
            .ok_or(SegmentError::Malformed("a count exceeds the limits"))
    }

    /// `count` numbers of `width` bits each (1 to 64).
    pub(super) fn bits(&mut self, width: u32, count: usize) -> Result<Vec<u64>, SegmentError> {
        let length = (count as u64 * u64::from(width)).div_ceil(8);
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        let mask = u64::MAX >> (64 - width);
        let mut values = Vec::with_capacity(count);
        let (mut held, mut bits) = (0u128, 0u32);
        let mut bytes = bytes.iter();
        for _ in 0..count {
            while bits < width {
                held |= u128::from(bytes.next().copied().unwrap_or(0)) << bits;
                bits += 8;
            }
            values.push(held as u64 & mask);
            held >>= width;
            bits -= width;
        }
        if held != 0 {
            return Err(SegmentError::Malformed("unused bits are not zero"));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_padded_integer_is_refused() {
        assert!(Reader::new(&[0x80, 0x00]).varint().is_err());
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).varint().is_err());
        assert!(Reader::new(&[0x80]).varint().is_err());
    }

    proptest! {
        #[test]
        fn integers_read_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            put_signed(&mut out, signed);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert_eq!(reader.signed().unwrap(), signed);
            prop_assert!(reader.rest().is_empty());
        }

        #[test]
        fn packed_numbers_read_back(width in 1u32..=64, values in prop::collection::vec(any::<u64>(), 0..50)) {
            let values: Vec<u64> = values.into_iter().map(|value| value >> (64 - width)).collect();
            let mut out = Vec::new();
            put_bits(&mut out, width, values.iter().copied());
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.bits(width, values.len()).unwrap(), values);
            prop_assert!(reader.rest().is_empty());
        }
    }
}
