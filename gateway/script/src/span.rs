//! Spans of time as people write them: `500ms`, `90s`, `5min`, `2h`, `1d`.

const UNITS: &[(&str, i64)] =
    &[("ms", 1_000), ("min", 60_000_000), ("s", 1_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

/// Microseconds of a span; `None` if it is not one or does not fit. No sign, digits only, one unit.
pub fn parse(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<i64>().ok()?.checked_mul(*factor)
}

/// The same with a sign in front: `+60s`, `-812ms`.
pub fn parse_signed(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(rest) => parse(rest).map(|micros| -micros),
        None => parse(text.strip_prefix('+')?),
    }
}

/// A span in the largest unit that is exact.
pub fn format(micros: i64) -> String {
    let largest = ["d", "h", "min", "s", "ms"].iter().find_map(|unit| {
        let (_, factor) = UNITS.iter().find(|(name, _)| name == unit)?;
        (micros % factor == 0).then(|| format!("{}{unit}", micros / factor))
    });
    match (micros, largest) {
        (0, _) => "0s".to_owned(),
        (_, Some(text)) => text,
        (_, None) => format!("{micros}us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_written() {
        assert_eq!(parse("500ms"), Some(500_000));
        assert_eq!(parse("5min"), Some(300_000_000));
        assert_eq!(parse_signed("+20min"), Some(1_200_000_000));
        assert_eq!(parse_signed("-812ms"), Some(-812_000));
        for bad in ["", "5", "min", "5 min", "-5s", "5m", "1e3s", "99999999999999999999s", "9999999999999d", "+5s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse_signed("5s"), None);
    }

    #[test]
    fn spans_print_in_the_largest_exact_unit() {
        for text in ["0s", "500ms", "90s", "5min", "36h", "2d"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }
}
