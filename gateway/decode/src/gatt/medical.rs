//! The numbers of IEEE 11073-20601, annex F.7: a decimal mantissa with a decimal exponent, so that `E0C8` is 2.00 and `F014`
//! is 2.0. GATT calls them medfloat16 (SFLOAT) and medfloat32 (FLOAT).
//!
//! ```text
//! SFLOAT  15..12 exponent | 11..0 mantissa      both two's complement
//! FLOAT   31..24 exponent | 23..0 mantissa
//!
//! NaN 07ff 007fffff   NRes 0800 00800000   +INF 07fe 007ffffe   -INF 0802 00800002   reserved 0801 00800001
//! ```
//!
//! The special values are whole words, with exponent 0: they are looked for before any sign is extended. `e7ff` is 20.47.

use pitchside_model::Decimal;
use pitchside_model::decimal::EXPONENT_MAX;

/// A measured number, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// As written: digits and exponent.
    Decimal(Decimal),
    /// No number.
    Special(Special),
}

/// The values that are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Not a number: the measurement failed.
    NaN,
    /// Not at this resolution.
    NRes,
    /// Above the range.
    PositiveInfinity,
    /// Below the range.
    NegativeInfinity,
}

/// Why a FLOAT is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatFault {
    /// The word reserved for future use.
    Reserved(u32),
    /// A power of ten that no reading holds.
    Exponent(i8),
}

/// Reads an SFLOAT. The error is the reserved word.
pub const fn sfloat(raw: u16) -> Result<Number, u16> {
    Ok(match raw {
        0x07ff => Number::Special(Special::NaN),
        0x0800 => Number::Special(Special::NRes),
        0x07fe => Number::Special(Special::PositiveInfinity),
        0x0802 => Number::Special(Special::NegativeInfinity),
        0x0801 => return Err(raw),
        _ => {
            let signed = raw as i16;
            // The shifts carry the sign: of 4 bits at the top, of 12 bits moved to the top and back.
            let (exponent, mantissa) = (signed >> 12, (signed << 4) >> 4);
            Number::Decimal(Decimal { mantissa: mantissa as i64, exponent: exponent as i8 })
        }
    })
}

/// Reads a FLOAT.
pub const fn float(raw: u32) -> Result<Number, FloatFault> {
    Ok(match raw {
        0x007f_ffff => Number::Special(Special::NaN),
        0x0080_0000 => Number::Special(Special::NRes),
        0x007f_fffe => Number::Special(Special::PositiveInfinity),
        0x0080_0002 => Number::Special(Special::NegativeInfinity),
        0x0080_0001 => return Err(FloatFault::Reserved(raw)),
        _ => {
            let signed = raw as i32;
            let (exponent, mantissa) = ((signed >> 24) as i8, (signed << 8) >> 8);
            if exponent > EXPONENT_MAX || exponent < -EXPONENT_MAX {
                return Err(FloatFault::Exponent(exponent));
            }
            Number::Decimal(Decimal { mantissa: mantissa as i64, exponent })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(number: Number) -> String {
        match number {
            Number::Decimal(decimal) => decimal.to_string(),
            Number::Special(special) => format!("{special:?}"),
        }
    }

    #[test]
    fn precision_is_kept() {
        for (raw, expected) in [(0xe0c8, "2.00"), (0xf014, "2.0"), (0x0002, "2"), (0x1002, "2e1"), (0x0062, "98")] {
            assert_eq!(sfloat(raw).map(text), Ok(expected.to_owned()), "{raw:04x}");
        }
        for (raw, expected) in [(0xfe00_0eb0, "37.60"), (0xff00_0178, "37.6"), (0xff00_016c, "36.4")] {
            assert_eq!(float(raw).map(text), Ok(expected.to_owned()), "{raw:08x}");
        }
    }

    #[test]
    fn special_values_are_whole_words_and_never_numbers() {
        for (raw, expected) in
            [(0x07ff, "NaN"), (0x0800, "NRes"), (0x07fe, "PositiveInfinity"), (0x0802, "NegativeInfinity")]
        {
            assert_eq!(sfloat(raw).map(text), Ok(expected.to_owned()));
        }
        for (raw, expected) in [
            (0x007f_ffff, "NaN"),
            (0x0080_0000, "NRes"),
            (0x007f_fffe, "PositiveInfinity"),
            (0x0080_0002, "NegativeInfinity"),
        ] {
            assert_eq!(float(raw).map(text), Ok(expected.to_owned()));
        }
        assert_eq!(sfloat(0x0801), Err(0x0801));
        assert_eq!(float(0x0080_0001), Err(FloatFault::Reserved(0x0080_0001)));
    }

    #[test]
    fn next_to_the_special_values_are_numbers() {
        for (raw, expected) in [(0x07fd, "2045"), (0x0803, "-2045"), (0xe7ff, "20.47"), (0xf800, "-204.8")] {
            assert_eq!(sfloat(raw).map(text), Ok(expected.to_owned()), "{raw:04x}");
        }
        assert_eq!(float(0x007f_fffd).map(text), Ok("8388605".to_owned()));
        assert_eq!(float(0x0080_0003).map(text), Ok("-8388605".to_owned()));
        assert_eq!(float(0x1300_0001), Err(FloatFault::Exponent(19)));
        assert_eq!(float(0x8000_0001), Err(FloatFault::Exponent(-128)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(mantissa in -2045i64..=2045, exponent in -8i8..=7) {
            let raw = (mantissa as u16 & 0x0fff) | (exponent as u16) << 12;
            prop_assert_eq!(sfloat(raw), Ok(Number::Decimal(Decimal { mantissa, exponent })));
        }

        #[test]
        fn what_is_written_in_32_bits_is_read(mantissa in -8_388_605i64..=8_388_605, exponent in -18i8..=18) {
            let raw = (mantissa as u32 & 0x00ff_ffff) | u32::from(exponent as u8) << 24;
            prop_assert_eq!(float(raw), Ok(Number::Decimal(Decimal { mantissa, exponent })));
        }
    }
}
