//! Functions of reals out of the operations IEEE 754 rounds alike everywhere (+, -, *, /, square root): the library's own
//! `exp` and `atan` may differ in the last bit from one machine to the next, and with them an alert.

use std::f64::consts::{FRAC_PI_2, LN_2};

use pitchside_model::Decimal;

/// ln 2 in two parts, the first with so few digits that its multiples are exact.
const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// e^x.
pub fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let k = (x / LN_2).round();
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    // |r| <= ln 2 / 2: the 16th term is below 1e-20.
    let series = (1..=16).rev().fold(1.0, |sum, n| 1.0 + sum * r / f64::from(n));
    let half = |n: i32| {
        if n >= 0 {
            f64::from_bits(((1_023 + n) as u64) << 52)
        } else {
            1.0 / f64::from_bits(((1_023 - n) as u64) << 52)
        }
    };
    series * half(k as i32)
}

/// The angle of a tangent, in radians.
pub fn atan(x: f64) -> f64 {
    if x < 0.0 {
        return -atan(-x);
    }
    if x > 1.0 {
        return FRAC_PI_2 - atan(1.0 / x);
    }
    // Half the angle three times: |t| <= tan(pi / 32), and the 12th term is below 1e-24.
    let t = (0..3).fold(x, |t, _| t / (1.0 + (1.0 + t * t).sqrt()));
    let series = (0..12).rev().fold(0.0, |sum, n| 1.0 / f64::from(2 * n + 1) - t * t * sum);
    8.0 * t * series
}

/// A value rounded to so many decimals; none if it has none.
pub fn decimal(value: f64, decimals: u8) -> Option<Decimal> {
    let scale = (0..decimals).fold(1.0, |scale, _| scale * 10.0);
    let mantissa = (value * scale).round();
    (mantissa.abs() < 9e15)
        .then(|| Decimal { mantissa: mantissa as i64, exponent: -i8::try_from(decimals).unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn they_agree_with_the_library_to_its_last_bits(x in -40.0f64..40.0) {
            proptest::prop_assert!((exp(x) / x.exp() - 1.0).abs() < 4e-15, "{x} {} {}", exp(x), x.exp());
            proptest::prop_assert!((atan(x) - x.atan()).abs() < 1e-15, "{x} {} {}", atan(x), x.atan());
        }
    }

    #[test]
    fn rounding_keeps_the_decimals() {
        assert_eq!(decimal(28.349, 2), Some(Decimal { mantissa: 2_835, exponent: -2 }));
        assert_eq!(decimal(-0.04, 1), Some(Decimal { mantissa: 0, exponent: -1 }));
        assert_eq!((decimal(f64::NAN, 1), decimal(1e300, 0)), (None, None));
    }
}
