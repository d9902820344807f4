//! Numbers as payloads write them: a decimal where it fits, a double where only that is wide enough.

use pitchside_model::Decimal;
use pitchside_model::decimal::{DecimalError, EXPONENT_MAX};

/// A number of a payload. SenML promises the range of an IEEE 754 double (RFC 8428, 5); a reading has 64 bits of
/// mantissa and an exponent of ±18. What only the former can hold is kept as [`Number::Wide`]: good enough for a time; as a
/// value its last digits are rounded off, and it is refused if it is too large.
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

    /// The decimal nearest to it, if it is not too large for one: see [`rounded`].
    pub fn nearest(self) -> Result<Decimal, DecimalError> {
        match self {
            Self::Exact(decimal) => Ok(decimal),
            Self::Wide(value) => rounded(&format!("{value:e}")).ok_or(DecimalError::Range),
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

/// The decimal nearest to a JSON number: to 18 places, or as many as its 64 bits have room for, halves away from zero. A float
/// of a program prints 17 digits, wherever they begin: what stands beyond is no sensor's. None if its whole part alone is too
/// large.
pub fn rounded(text: &str) -> Option<Decimal> {
    let Parts { negative, digits, power } = Parts::of(text);
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(Decimal::integer(0));
    }
    // How many digits stand before the point; below zero, zeros follow it.
    let whole = power + i64::try_from(digits.len()).ok()?;
    let written = i8::try_from((-power).clamp(0, i64::from(EXPONENT_MAX))).ok()?;
    for places in (0..=written).rev() {
        let kept = whole + i64::from(places);
        if kept < 0 {
            break;
        }
        // With more there is no room in 64 bits.
        let Some(kept) = usize::try_from(kept).ok().filter(|kept| *kept <= 19) else { continue };
        let up = digits.as_bytes().get(kept).is_some_and(|digit| *digit >= b'5');
        let head: String = digits.chars().chain(std::iter::repeat('0')).take(kept).collect();
        let mantissa = format!("0{head}").parse::<i64>().ok().and_then(|head| head.checked_add(i64::from(up)));
        match mantissa {
            None => {}
            Some(0) => break,
            Some(mantissa) => {
                return Some(Decimal { mantissa: if negative { -mantissa } else { mantissa }, exponent: -places });
            }
        }
    }
    // Nothing is left of it, or it is too large.
    (whole <= -i64::from(EXPONENT_MAX)).then_some(Decimal::integer(0))
}

/// A power of ten beyond all that is held here, with room to add and subtract what a text is long.
const POWER_MAX: i64 = 1 << 48;

/// A JSON number in pieces.
struct Parts {
    negative: bool,
    /// Those before the point and those behind it.
    digits: String,
    /// Of ten, by which all the digits are multiplied.
    power: i64,
}

impl Parts {
    fn of(text: &str) -> Self {
        let (number, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // Its grammar is checked: what does not parse has too many digits.
        let power: i64 = power.parse().unwrap_or(if power.starts_with('-') { i64::MIN } else { i64::MAX });
        let decimals = i64::try_from(fraction.len()).unwrap_or(POWER_MAX);
        Self { negative, digits: format!("{whole}{fraction}"), power: power.clamp(-POWER_MAX, POWER_MAX) - decimals }
    }
}

/// A JSON number with more digits than [`Decimal::parse`] takes, where the excess is zeros.
fn written(text: &str) -> Option<Decimal> {
    let Parts { negative, digits, power } = Parts::of(text);
    reduced(negative, digits, power)
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
    let over = u32::try_from(exponent.saturating_sub(i64::from(EXPONENT_MAX)).clamp(0, 19)).ok()?;
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
mod tests;
