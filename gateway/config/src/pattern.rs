//! Bytes of which some digits may be any.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The most bytes of one.
const BYTES_MAX: usize = 8;

/// How a packet begins or ends: `a0`, `c?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BytePattern {
    /// Value and mask of each byte.
    bytes: Vec<(u8, u8)>,
}

impl BytePattern {
    /// Value and mask of each byte: it fits if `byte & mask == value`.
    pub fn bytes(&self) -> &[(u8, u8)] {
        &self.bytes
    }
}

impl FromStr for BytePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "must be 1 to {BYTES_MAX} bytes of two hexadecimal digits, ? for any digit, such as a0 or c?, not {text:?}"
            )
        };
        let digits: Option<Vec<(u8, u8)>> = text
            .chars()
            .map(|digit| match digit {
                '?' => Some((0, 0)),
                digit => digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).map(|digit| (digit, 0xf)),
            })
            .collect();
        let digits = digits.filter(|digits| digits.len().is_multiple_of(2)).ok_or_else(wrong)?;
        let bytes: Vec<(u8, u8)> = digits
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[(high, high_mask), (low, low_mask)]| (high << 4 | low, high_mask << 4 | low_mask))
            .collect();
        // One that fits everything finds no packet.
        let says_something = bytes.iter().any(|(_, mask)| *mask != 0);
        if bytes.is_empty() || bytes.len() > BYTES_MAX || !says_something {
            return Err(wrong());
        }
        Ok(Self { bytes })
    }
}

impl fmt::Display for BytePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|(value, mask)| {
            [(value >> 4, mask >> 4), (value & 0xf, mask & 0xf)].iter().try_for_each(|(digit, mask)| match mask {
                0 => f.write_str("?"),
                _ => write!(f, "{digit:x}"),
            })
        })
    }
}

impl Serialize for BytePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_read_and_said_again() {
        for (text, bytes) in
            [("a0", vec![(0xa0, 0xff)]), ("C?", vec![(0xc0, 0xf0)]), ("??55", vec![(0, 0), (0x55, 0xff)])]
        {
            let pattern: BytePattern = text.parse().unwrap();
            assert_eq!(pattern.bytes(), bytes);
            assert_eq!(pattern.to_string(), text.to_lowercase());
        }
        for wrong in ["", "a", "a0c", "g0", "??", "001122334455667788"] {
            assert!(wrong.parse::<BytePattern>().is_err(), "{wrong}");
        }
    }
}
