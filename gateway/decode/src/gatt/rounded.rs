//! Units that a profile leaves to the device and that have no finite factor into ours: degrees Fahrenheit, and kilopascals for
//! a blood pressure. Nobody at the clinic can set most such devices to another unit, so these are rounded, and these alone.
//!
//! ```text
//! Cel    = ([degF] - 32) * 5 / 9                  98.6 [degF] = 37.00 Cel       98.7 [degF] = 37.06 Cel
//! mm[Hg] = kPa * 1,000,000 / 133,322              16.0 kPa    = 120.01 mm[Hg]
//! ```
//!
//! UCUM (ucum-essence.xml) defines `[degF]` as degf(5 K/9) and `m[Hg]` as 133.3220 kPa: both are ratios of whole numbers, so the
//! one rounding is the last step. It is to one digit more than the device wrote: a temperature that has a finite decimal stays
//! exact, and what has none is off by less than a tenth of what the device itself can tell apart.

use pitchside_model::Decimal;
use pitchside_model::decimal::EXPONENT_MAX;

use super::medical::Number;
use crate::error::GattFault;

/// `ours = (theirs - zero) * over / under`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    zero: i128,
    over: i128,
    under: i128,
}

/// Degrees Fahrenheit to `Cel`.
pub const FAHRENHEIT: Ratio = Ratio { zero: 32, over: 5, under: 9 };
/// Kilopascals to `mm[Hg]`.
pub const KILOPASCAL: Ratio = Ratio { zero: 0, over: 1_000_000, under: 133_322 };

impl Ratio {
    /// The number in our unit; a special value has none. `name` is the field's, for a refusal: with one digit more it may not fit.
    pub fn apply(self, number: Number, name: &'static str) -> Result<Number, GattFault> {
        match number {
            Number::Special(_) => Ok(number),
            Number::Decimal(value) => {
                let ours = self.convert(value).ok_or(GattFault::Range(name, value.mantissa))?;
                Ok(Number::Decimal(ours))
            }
        }
    }

    fn convert(self, theirs: Decimal) -> Option<Decimal> {
        // A power of ten says no more of the resolution than the zeros it stands for: 1e2 is 100.
        let written = theirs.exponent.min(0);
        let exponent = written.checked_sub(1).filter(|exponent| *exponent >= -EXPONENT_MAX)?;
        let power = |digits: i8| 10i128.checked_pow(u32::from(digits.unsigned_abs()));
        let value = i128::from(theirs.mantissa).checked_mul(power(theirs.exponent.max(0))?)?;
        let shifted = value.checked_sub(self.zero.checked_mul(power(written)?)?)?;
        let dividend = shifted.checked_mul(self.over)?.checked_mul(10)?;
        let mantissa = i64::try_from(nearest(dividend, self.under)?).ok()?;
        Some(Decimal { mantissa, exponent })
    }
}

/// The quotient, halves away from zero.
fn nearest(dividend: i128, divisor: i128) -> Option<i128> {
    let (whole, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    let up = rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
    Some(whole + if up { dividend.signum() } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::super::medical::Special;
    use super::*;
    use proptest::prelude::*;

    fn to(ratio: Ratio, theirs: &str) -> String {
        match ratio.apply(Number::Decimal(Decimal::parse(theirs).unwrap()), "the value").unwrap() {
            Number::Decimal(ours) => ours.to_string(),
            Number::Special(special) => panic!("{special:?}"),
        }
    }

    #[test]
    fn degrees_fahrenheit_are_exact_where_they_can_be_and_else_finer_by_one_digit() {
        for (theirs, ours) in [
            ("98.6", "37.00"),
            ("98.60", "37.000"),
            ("98.7", "37.06"),
            ("100.4", "38.00"),
            ("98", "36.7"),
            ("32", "0.0"),
            ("0", "-17.8"),
            ("-40", "-40.0"),
            ("31.9", "-0.06"),
            ("212", "100.0"),
            ("1e2", "37.8"),
        ] {
            assert_eq!(to(FAHRENHEIT, theirs), ours, "{theirs}");
        }
    }

    #[test]
    fn kilopascals_are_those_of_ucum() {
        for (theirs, ours) in [
            ("16", "120.0"),
            ("16.0", "120.01"),
            ("10.7", "80.26"),
            ("133.322", "1000.0000"),
            ("1", "7.5"),
            ("0", "0.0"),
        ] {
            assert_eq!(to(KILOPASCAL, theirs), ours, "{theirs}");
        }
    }

    #[test]
    fn special_values_have_no_unit_and_what_does_not_fit_is_refused() {
        for special in [Special::NaN, Special::NRes, Special::PositiveInfinity, Special::NegativeInfinity] {
            for ratio in [FAHRENHEIT, KILOPASCAL] {
                assert_eq!(ratio.apply(Number::Special(special), "it"), Ok(Number::Special(special)));
            }
        }
        for exponent in [18, -18] {
            let wide = Number::Decimal(Decimal { mantissa: 8_388_605, exponent });
            assert_eq!(FAHRENHEIT.apply(wide, "it"), Err(GattFault::Range("it", 8_388_605)));
        }
    }

    proptest! {
        #[test]
        fn nothing_is_off_by_more_than_half_of_the_last_digit(m in -8_388_605i64..=8_388_605, e in -9i8..=7, kpa: bool) {
            let ratio = if kpa { KILOPASCAL } else { FAHRENHEIT };
            let ours = ratio.convert(Decimal { mantissa: m, exponent: e }).unwrap();
            prop_assert_eq!(ours.exponent, e.min(0) - 1);
            // Both sides times 10^10 * under, so that all is whole.
            let at = |m: i64, e: i8| i128::from(m) * 10i128.pow((e + 10) as u32);
            let exact = (at(m, e) - ratio.zero * 10i128.pow(10)) * ratio.over;
            let off = at(ours.mantissa, ours.exponent) * ratio.under - exact;
            prop_assert!(2 * off.abs() <= at(1, ours.exponent) * ratio.under, "{ours}");
        }
    }
}
