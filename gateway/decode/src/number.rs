//! Numbers as payloads write them: a decimal where it fits, a double where only that is wide enough.

use pitchside_model::Decimal;
use pitchside_model::decimal::{DecimalError, EXPONENT_MAX};

/// A number of a payload. SenML promises the range of an IEEE 754 double (RFC 8428, 5); a reading has 64 bits of
/// mantissa and an exponent of ±18. What only the former can hold is kept as [`Number::Wide`]: good enough for a time,
/// refused as a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// The very value that was written, and its digits where they fit.
    Exact(Decimal),
    /// Finite, but outside what a decimal holds: the nearest double.
    Wide(f64),
}

/// Beyond this a double no longer holds every whole number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

impl Number {
    /// Zero.
    pub const ZERO: Self = Self::Exact(Decimal::integer(0));

    /// The shortest decimal that reads back as this double. None for NaN and the infinities.
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        if let Some(decimal) = shortest(value) {
            return Some(Self::Exact(decimal));
        }
        Some(Decimal::from_f64(value).map_or(Self::Wide(value), |d| Self::Exact(without_power(d))))
    }

    /// Reads a half (RFC 8949, appendix D). None for NaN and the infinities.
    ///
    /// Halves and singles are taken for the double they equal, never for the shortest decimal of their own width:
    /// encoders shorten doubles to them where nothing is lost (RFC 8949, 4.2.1), so 93.125 may come in 16 bits, where
    /// 93.1 would read back as the same half.
    pub fn from_f16(bits: u16) -> Option<Self> {
        let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
        let (power, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
        match power {
            31 => None,
            0 => Self::from_f64(sign * fraction * 2f64.powi(-24)),
            _ => Self::from_f64(sign * (1_024.0 + fraction) * 2f64.powi(power - 25)),
        }
    }

    /// Reads a JSON number (RFC 8259, 6) whose grammar has been checked. Never rounded to a decimal: with more digits than
    /// one holds it is wide. None if it overflows a double.
    pub fn from_json(text: &str) -> Option<Self> {
        if let Some(decimal) = Decimal::parse(text).ok().or_else(|| written(text)) {
            return Some(Self::Exact(decimal));
        }
        Self::wide(text.parse().ok()?)
    }

    /// A whole number of any 65 bits.
    pub fn from_integer(value: i128) -> Self {
        match i64::try_from(value) {
            Ok(mantissa) => Self::Exact(Decimal::integer(mantissa)),
            Err(_) => {
                reduced(value < 0, value.unsigned_abs().to_string(), 0).map_or(Self::Wide(value as f64), Self::Exact)
            }
        }
    }

    /// `mantissa * 10^exponent` (CBOR tag 4, RFC 8949, 3.4.4). None if it overflows a double.
    pub fn from_fraction(mantissa: i128, exponent: i64) -> Option<Self> {
        if let (Ok(m), Ok(e)) = (i64::try_from(mantissa), i8::try_from(exponent))
            && let Ok(decimal) = Decimal::new(m, e)
        {
            return Some(Self::Exact(decimal));
        }
        if let Some(decimal) = reduced(mantissa < 0, mantissa.unsigned_abs().to_string(), exponent) {
            return Some(Self::Exact(decimal));
        }
        Self::wide(format!("{mantissa}e{exponent}").parse().ok()?)
    }

    /// The sum, exact where decimals can hold it, else wide. None if it overflows a double.
    pub fn plus(self, other: Self) -> Option<Self> {
        if let (Self::Exact(a), Self::Exact(b)) = (self, other)
            && let Some(sum) = add(a, b)
        {
            return Some(Self::Exact(sum));
        }
        Self::wide(self.to_f64() + other.to_f64())
    }

    fn wide(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Wide(value))
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Exact(decimal) => decimal.to_f64(),
            Self::Wide(value) => value,
        }
    }

    /// The decimal, if it is one.
    pub const fn exact(self) -> Result<Decimal, DecimalError> {
        match self {
            Self::Exact(decimal) => Ok(decimal),
            Self::Wide(_) => Err(DecimalError::Range),
        }
    }

    /// Seconds as whole nanoseconds, rounded half away from zero. None beyond ±292 years.
    pub fn nanoseconds(self) -> Option<i64> {
        let limit = i64::MAX as f64;
        match self {
            Self::Exact(d) => {
                let shift = i32::from(d.exponent) + 9;
                let factor = 10i64.checked_pow(shift.unsigned_abs());
                if shift >= 0 {
                    return factor.map_or((d.mantissa == 0).then_some(0), |f| d.mantissa.checked_mul(f));
                }
                // A divisor too large for 64 bits leaves nothing of the mantissa.
                let Some(divisor) = factor else { return Some(0) };
                let (whole, rest) = (d.mantissa / divisor, d.mantissa % divisor);
                let up = rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
                Some(whole + if up { d.mantissa.signum() } else { 0 })
            }
            Self::Wide(seconds) => {
                let nanos = (seconds * 1e9).round();
                (nanos.abs() < limit).then_some(nanos as i64)
            }
        }
    }
}

/// A JSON number with more digits than [`Decimal::parse`] takes, where the excess is zeros.
fn written(text: &str) -> Option<Decimal> {
    let (number, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let exponent = power.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    reduced(negative, format!("{whole}{fraction}"), exponent)
}

/// `digits * 10^exponent` with as few zeros at the end as it takes to fit; none if it does not fit exactly.
fn reduced(negative: bool, digits: String, exponent: i64) -> Option<Decimal> {
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(Decimal::integer(0));
    }
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let exponent = exponent.checked_add(zeros)?;
    let sign = if negative { "-" } else { "" };
    let mantissa: i64 = format!("{sign}{significant}").parse().ok()?;
    // Zeros the exponent has no room for go back.
    let over = u32::try_from((exponent - i64::from(EXPONENT_MAX)).clamp(0, 19)).ok()?;
    let mantissa = mantissa.checked_mul(10i64.checked_pow(over)?)?;
    Decimal::new(mantissa, i8::try_from(exponent - i64::from(over)).ok()?).ok()
}

/// The decimal with the fewest decimals that reads back as `value`, tried by multiplication: most sensor values have few. A
/// whole number below 2^53 divided by a power of ten up to 10^22 is rounded once, so the division is as good as parsing.
fn shortest(value: f64) -> Option<Decimal> {
    for (decimals, power) in (0i8..).zip(POWERS) {
        let mantissa = (value * power).round();
        if mantissa.abs() > WHOLE_MAX {
            return None;
        }
        if mantissa / power == value {
            return Some(Decimal { mantissa: mantissa as i64, exponent: -decimals });
        }
    }
    None
}

/// The same value with exponent 0 where the exponent was positive and the digits fit: 12e1 from a float says no more
/// about precision than 120.
pub fn without_power(decimal: Decimal) -> Decimal {
    if decimal.exponent <= 0 {
        return decimal;
    }
    decimal.mantissa_at(0).map_or(decimal, Decimal::integer)
}

/// The exact sum, at the finer of both exponents. None if it has more than 64 bits.
pub fn add(a: Decimal, b: Decimal) -> Option<Decimal> {
    let exponent = a.exponent.min(b.exponent);
    let mantissa = a.mantissa_at(exponent)?.checked_add(b.mantissa_at(exponent)?)?;
    Some(Decimal { mantissa, exponent })
}

/// Multiplies by `factor * 10^power`, exactly. None if it does not fit.
pub fn scale(value: Decimal, factor: i64, power: i8) -> Option<Decimal> {
    let mantissa = value.mantissa.checked_mul(factor)?;
    let exponent = value.exponent.checked_add(power)?;
    let moved = Decimal { mantissa, exponent };
    if (-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent) { Some(moved) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(mantissa: i64, exponent: i8) -> Option<Number> {
        Some(Number::Exact(Decimal { mantissa, exponent }))
    }

    #[test]
    fn floats_become_the_shortest_decimal_that_reads_back() {
        assert_eq!(Number::from_f64(120.1), exact(1201, -1));
        assert_eq!(Number::from_f64(1_276_020_076.001), exact(1_276_020_076_001, -3));
        assert_eq!(Number::from_f64(-0.0), exact(0, 0));
        assert_eq!(Number::from_f64(1e15), exact(1_000_000_000_000_000, 0));
        assert_eq!(Number::from_f64(0.1 + 0.2), exact(30_000_000_000_000_004, -17));
        assert_eq!(Number::from_f16(0x3e00), exact(15, -1));
        assert_eq!(Number::from_f16(0x55d2), exact(93_125, -3));
        assert_eq!(Number::from_f16(0x8001), Some(Number::Wide(-(2f64.powi(-24)))));
        assert_eq!(Number::from_f64(1e300), Some(Number::Wide(1e300)));
        for none in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Number::from_f64(none), None);
        }
        assert_eq!(Number::from_f16(0x7c00), None);
        assert_eq!(Number::from_f16(0x7e00), None);
    }

    #[test]
    fn more_digits_than_a_decimal_holds_are_never_rounded_into_one() {
        let read = |text: &str| Number::from_json(text).unwrap();
        for text in [
            "123456789012345678901234567890",
            "37.6000000000000000000000000001",
            "0.1000000000000000055511151231257827",
            "-9223372036854775809",
            "1e-20",
            "1e300",
        ] {
            assert_eq!(read(text), Number::Wide(text.parse().unwrap()), "{text}");
        }
        for (text, mantissa, exponent) in [
            ("37.60000000000000000000000000000", 376, -1),
            ("1000000000000000000000", 1_000, 18),
            ("-9223372036854775808", i64::MIN, 0),
            ("0.00000000000000000000000000", 0, 0),
            ("0e99", 0, 0),
            ("1e20", 100, 18),
        ] {
            assert_eq!(Some(read(text)), exact(mantissa, exponent), "{text}");
        }
        assert_eq!(Number::from_fraction(1 << 70, -2), Some(Number::Wide((1u128 << 70) as f64 / 100.0)));
        assert_eq!(Number::from_fraction(37_600_000_000_000_000_000_000, -21), exact(376, -1));
        assert_eq!(Number::from_integer(1 << 64), Number::Wide(18_446_744_073_709_551_616.0));
        assert_eq!(Some(Number::from_integer(10_i128.pow(20))), exact(100, 18));
        let big = Number::Exact(Decimal { mantissa: i64::MAX, exponent: 0 });
        assert_eq!(big.plus(big), Some(Number::Wide(2.0 * i64::MAX as f64)));
        assert_eq!(Number::Wide(f64::MAX).plus(Number::Wide(f64::MAX)), None);
    }

    #[test]
    fn seconds_become_nanoseconds_without_a_detour_through_floats() {
        let nanos = |text| Number::from_json(text).and_then(Number::nanoseconds);
        assert_eq!(nanos("1.276020076001e+09"), Some(1_276_020_076_001_000_000));
        assert_eq!(nanos("-5"), Some(-5_000_000_000));
        assert_eq!(nanos("0.0000000005"), Some(1));
        assert_eq!(nanos("-0.00000000049"), Some(0));
        assert_eq!(nanos("1e-18"), Some(0));
        assert_eq!(nanos("1e300"), None);
        assert_eq!(nanos("1e18"), None);
    }

    proptest! {
        #[test]
        fn every_finite_double_reads_back(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            let number = Number::from_f64(value).unwrap();
            let text = match number { Number::Exact(d) => d.to_string(), Number::Wide(v) => format!("{v:e}") };
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        }

        #[test]
        fn a_json_number_is_exact_or_wide(digits in "[1-9][0-9]{0,30}", point in 0usize..31, power in -20i32..20) {
            let point = point.min(digits.len());
            let (whole, fraction) = digits.split_at(point);
            let text = format!("{}{}{fraction}e{power}", if whole.is_empty() { "0" } else { whole },
                if fraction.is_empty() { "" } else { "." });
            if let Number::Exact(d) = Number::from_json(&text).unwrap() {
                // Both as digits without zeros at the end, and the power of ten that belongs to them.
                let plain = |digits: &str, power: i64| {
                    let cut = digits.trim_end_matches('0');
                    (cut.trim_start_matches('0').to_owned(), power + (digits.len() - cut.len()) as i64)
                };
                prop_assert_eq!(
                    plain(&d.mantissa.to_string(), i64::from(d.exponent)),
                    plain(&digits, i64::from(power) - fraction.len() as i64)
                );
            }
        }

        #[test]
        fn a_sensor_decimal_sent_as_a_double_comes_back(m in -999_999_999i64..=999_999_999, decimals in 0i8..=6) {
            let value = Decimal { mantissa: m, exponent: -decimals };
            let number = Number::from_f64(value.to_f64()).unwrap();
            prop_assert_eq!(number.exact().unwrap().compare(value), std::cmp::Ordering::Equal);
        }

        #[test]
        fn sums_are_exact(a in -1_000_000i64..1_000_000, e in -6i8..=3, b in -1_000_000i64..1_000_000, g in -6i8..=3) {
            let sum = add(Decimal { mantissa: a, exponent: e }, Decimal { mantissa: b, exponent: g }).unwrap();
            let at = |m: i64, x: i8| i128::from(m) * 10i128.pow((x + 6) as u32);
            prop_assert_eq!(at(sum.mantissa, sum.exponent), at(a, e) + at(b, g));
        }
    }
}
