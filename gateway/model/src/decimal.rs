//! A value as mantissa and decimal exponent. `37.60` is (3760, -2) and stays distinct from `37.6`: the
//! difference is the sensor's precision.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The largest exponent, and the smallest negated.
pub const EXPONENT_MAX: i8 = 18;

/// `mantissa * 10^exponent`. Equality is of the written form; use [`Decimal::compare`] for the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decimal {
    /// The digits.
    pub mantissa: i64,
    /// The power of ten, -18 to 18.
    pub exponent: i8,
}

/// Why a text or number is not a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not a decimal number at all (NaN and infinities are not).
    #[error("not a decimal number")]
    Syntax,
    /// More digits than 64 bits hold, or an exponent beyond ±18.
    #[error("out of range: at most 18 digits and an exponent of -18 to 18")]
    Range,
}

impl Decimal {
    /// From digits and exponent.
    pub const fn new(mantissa: i64, exponent: i8) -> Result<Self, DecimalError> {
        if exponent > EXPONENT_MAX || exponent < -EXPONENT_MAX {
            return Err(DecimalError::Range);
        }
        Ok(Self { mantissa, exponent })
    }

    /// A whole number.
    pub const fn integer(mantissa: i64) -> Self {
        Self { mantissa, exponent: 0 }
    }

    /// Reads `-12.50`, `7`, `1.2e-3`. The number of decimals is kept.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        let (number, power) = match text.split_once(['e', 'E']) {
            Some((number, power)) => (number, power.parse::<i32>().map_err(|_| DecimalError::Syntax)?),
            None => (text, 0),
        };
        let (negative, digits) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || (digits.contains('.') && fraction.is_empty()) {
            return Err(DecimalError::Syntax);
        }
        let mut mantissa: i64 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            if !byte.is_ascii_digit() {
                return Err(DecimalError::Syntax);
            }
            mantissa = mantissa
                .checked_mul(10)
                .and_then(|m| m.checked_add(i64::from(byte - b'0')))
                .ok_or(DecimalError::Range)?;
        }
        let decimals = i32::try_from(fraction.len()).map_err(|_| DecimalError::Range)?;
        let exponent = power.checked_sub(decimals).ok_or(DecimalError::Range)?;
        let exponent = i8::try_from(exponent).map_err(|_| DecimalError::Range)?;
        Self::new(if negative { -mantissa } else { mantissa }, exponent)
    }

    /// The shortest decimal that reads back as this float. For sources that have nothing better (SenML floats).
    pub fn from_f64(value: f64) -> Result<Self, DecimalError> {
        if !value.is_finite() {
            return Err(DecimalError::Syntax);
        }
        let text = format!("{value:e}");
        Self::parse(&text)
    }

    /// The nearest float. For rules and charts only; storage and evidence keep the decimal.
    pub fn to_f64(self) -> f64 {
        if self.exponent >= 0 {
            self.mantissa as f64 * 10f64.powi(i32::from(self.exponent))
        } else {
            self.mantissa as f64 / 10f64.powi(-i32::from(self.exponent))
        }
    }

    /// The mantissa this value has at the given exponent, if it is exact and fits.
    pub fn mantissa_at(self, exponent: i8) -> Option<i64> {
        let shift = i32::from(self.exponent) - i32::from(exponent);
        let factor = 10i64.checked_pow(shift.unsigned_abs())?;
        if shift >= 0 {
            self.mantissa.checked_mul(factor)
        } else if self.mantissa % factor == 0 {
            Some(self.mantissa / factor)
        } else {
            None
        }
    }

    /// Compares by value, exactly.
    pub fn compare(self, other: Self) -> Ordering {
        // Exponents lie within ±18, so one side grows by at most 10^36: 63 + 120 bits overflow i128 only beyond the
        // sign bit of values whose order the signs and magnitudes already settle.
        let low = self.exponent.min(other.exponent);
        let scale = |d: Self| {
            let shift = u32::from((d.exponent - low).unsigned_abs());
            10i128.checked_pow(shift).and_then(|f| i128::from(d.mantissa).checked_mul(f))
        };
        match (scale(self), scale(other)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (None, _) => {
                if self.mantissa > 0 {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (_, None) => {
                if other.mantissa > 0 {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exponent > 0 {
            return write!(f, "{}e{}", self.mantissa, self.exponent);
        }
        if self.exponent == 0 {
            return write!(f, "{}", self.mantissa);
        }
        let decimals = usize::from(self.exponent.unsigned_abs());
        let digits = format!("{:0>width$}", self.mantissa.unsigned_abs(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let sign = if self.mantissa < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn precision_is_kept() {
        let precise = Decimal::parse("37.60").unwrap();
        assert_eq!((precise.mantissa, precise.exponent), (3760, -2));
        assert_ne!(precise, Decimal::parse("37.6").unwrap());
        assert_eq!(precise.compare(Decimal::parse("37.6").unwrap()), Ordering::Equal);
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for bad in ["", "-", ".5", "5.", "1e", "NaN", "inf", "1_0", "0x1", "1e99", "99999999999999999999"] {
            assert!(Decimal::parse(bad).is_err(), "{bad}");
        }
        assert!(Decimal::from_f64(f64::NAN).is_err());
        assert!(Decimal::from_f64(f64::INFINITY).is_err());
    }

    proptest! {
        #[test]
        fn text_reads_back(mantissa in any::<i64>().prop_filter("symmetric", |m| *m != i64::MIN), exponent in -18i8..=18) {
            let decimal = Decimal { mantissa, exponent };
            prop_assert_eq!(Decimal::parse(&decimal.to_string()), Ok(decimal));
        }

        #[test]
        fn comparison_agrees_with_subtraction(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000, e in -9i8..=9, g in -9i8..=9) {
            let (x, y) = (Decimal { mantissa: a, exponent: e }, Decimal { mantissa: b, exponent: g });
            let exact = (i128::from(a) * 10i128.pow((e + 9) as u32)).cmp(&(i128::from(b) * 10i128.pow((g + 9) as u32)));
            prop_assert_eq!(x.compare(y), exact);
        }
    }
}
