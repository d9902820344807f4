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
fn what_is_too_fine_is_rounded_to_the_nearest_decimal() {
    for (text, mantissa, exponent) in [
        ("1.2246467991473532e-16", 122, -18),
        ("-0.0012345678901234567", -1_234_567_890_123_457, -18),
        ("1.1920928955078125e-07", 119_209_289_551, -18),
        ("0.1234567890123456789", 123_456_789_012_345_679, -18),
        ("37.6000000000000000000000000001", 3_760_000_000_000_000_000, -17),
        ("9.9999999999999999999", 1_000_000_000_000_000_000, -17),
        ("9223372036854775806.5", i64::MAX, 0),
        ("2.50", 250, -2),
        ("1e18", 1_000_000_000_000_000_000, 0),
        ("5e-19", 1, -18),
        ("-5E-19", -1, -18),
        ("4.9e-19", 0, 0),
        ("5e-324", 0, 0),
        ("1e-99999999999999999999", 0, 0),
        ("-0e99999999999999999999", 0, 0),
    ] {
        assert_eq!(rounded(text), Some(Decimal { mantissa, exponent }), "{text}");
    }
    let large =
        ["18446744073709551615", "-9223372036854775809", "9223372036854775807.5", "1e300", "1e99999999999999999999"];
    for text in large {
        assert_eq!(rounded(text), None, "{text}");
    }
    assert_eq!(Number::Wide(5e-324).nearest(), Ok(Decimal::integer(0)));
    assert_eq!(Number::Wide(-1e-18).nearest(), Ok(Decimal { mantissa: -1, exponent: -18 }));
    assert_eq!(Number::Wide(1e19).nearest(), Err(DecimalError::Range));
}

#[test]
fn more_digits_than_a_decimal_holds_are_not_rounded_into_one_while_they_are_read() {
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
