//! Date Time: year (2 octets), month, day, hours, minutes, seconds. Zero for year, month or day: not known.
//!
//! It has no time zone: it is what the device's display shows. Who sets the clock decides what it means; so what is read here is
//! what is shown, as if it were UTC, and [`super::clock`] says when that was.
//!
//! Current Time (Current Time Service 1.1, 3.1): a Date Time, the day of the week (1 is Monday), 1/256 s and why the clock was
//! last adjusted.

use pitchside_model::Timestamp;
use pitchside_model::time::MICROS_PER_SECOND;

use crate::error::GattFault;

/// Why a clock was adjusted: by an external reference.
const BY_REFERENCE: u8 = 1 << 1;

/// Reads a Date Time as if it were UTC. None if the device does not know the date.
pub fn read(field: [u8; 7]) -> Result<Option<Timestamp>, GattFault> {
    let [low, high, month, day, hour, minute, second] = field;
    let year = i64::from(u16::from_le_bytes([low, high]));
    if hour > 23
        || minute > 59
        || second > 59
        || month > 12
        || day > 31
        || (year != 0 && !(1582..=9999).contains(&year))
    {
        return Err(GattFault::Date);
    }
    if year == 0 || month == 0 || day == 0 {
        return Ok(None);
    }
    let (month, day) = (i64::from(month), i64::from(day));
    if day > days_in_month(year, month) {
        return Err(GattFault::Date);
    }
    let of_day = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    let seconds = days_from_civil(year, month, day) * 86_400 + of_day;
    Ok(Some(Timestamp::from_seconds(seconds)))
}

/// Writes a Current Time in UTC; its first seven octets are the Date Time. None before 1582 and after 9999, which it cannot say.
pub fn write_current(time: Timestamp) -> Option<[u8; 10]> {
    let [a, b, c, d, e, f, g] = write(time)?;
    let days = time.0.div_euclid(86_400 * MICROS_PER_SECOND);
    // 1970-01-01 was a Thursday.
    let weekday = u8::try_from((days + 3).rem_euclid(7) + 1).ok()?;
    let fraction = u8::try_from(time.0.rem_euclid(MICROS_PER_SECOND) * 256 / MICROS_PER_SECOND).ok()?;
    Some([a, b, c, d, e, f, g, weekday, fraction, BY_REFERENCE])
}

/// Writes a Date Time in UTC. None before 1582 and after 9999, which it cannot say.
pub fn write(time: Timestamp) -> Option<[u8; 7]> {
    let seconds = time.millis().div_euclid(1_000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // By eras of 400 years that begin in March, as below.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let year = u16::try_from(year).ok().filter(|year| (1582..=9999).contains(year))?;
    let [low, high] = year.to_le_bytes();
    let octet = |number: i64| u8::try_from(number).ok();
    Some([low, high, octet(month)?, octet(day)?, octet(of_day / 3_600)?, octet(of_day / 60 % 60)?, octet(of_day % 60)?])
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a Gregorian date, by eras of 400 years (146,097 days) that begin in March.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(year: u16, rest: [u8; 5]) -> [u8; 7] {
        let [low, high] = year.to_le_bytes();
        let [month, day, hour, minute, second] = rest;
        [low, high, month, day, hour, minute, second]
    }

    fn shown(field: [u8; 7]) -> Option<String> {
        read(field).unwrap().map(|time| time.to_string())
    }

    #[test]
    fn dates_are_read_with_leap_days() {
        let at = |year, rest| shown(field(year, rest)).unwrap();
        assert_eq!(at(2012, [12, 5, 11, 50, 27]), "2012-12-05T11:50:27.000Z");
        assert_eq!(at(2024, [2, 29, 23, 59, 59]), "2024-02-29T23:59:59.000Z");
        assert_eq!(at(2000, [2, 29, 0, 0, 0]), "2000-02-29T00:00:00.000Z");
    }

    #[test]
    fn a_current_time_has_the_day_of_the_week_and_parts_of_a_second() {
        let at = |seconds: i64, micros: i64| write_current(Timestamp(seconds * 1_000_000 + micros)).unwrap();
        // 2026-11-21 is a Saturday.
        assert_eq!(at(1_795_253_390, 0), [0xEA, 7, 11, 21, 9, 29, 50, 6, 0, 2]);
        assert_eq!(at(1_795_253_390 + 86_400, 999_999), [0xEA, 7, 11, 22, 9, 29, 50, 7, 255, 2]);
        assert_eq!(at(1_795_253_390 + 2 * 86_400, 500_000), [0xEA, 7, 11, 23, 9, 29, 50, 1, 128, 2]);
        assert_eq!(at(-1, 500_000)[2..], [12, 31, 23, 59, 59, 3, 128, 2], "1969 ended on a Wednesday");
        assert_eq!(write_current(Timestamp::from_seconds(-20_000_000_000)), None, "before 1582");
    }

    #[test]
    fn an_unknown_date_is_none_and_no_date_is_refused() {
        for unknown in [field(0, [1, 1, 0, 0, 0]), field(2026, [0, 1, 0, 0, 0]), field(2026, [1, 0, 0, 0, 0])] {
            assert_eq!(read(unknown), Ok(None));
        }
        for bad in [
            field(2026, [13, 1, 0, 0, 0]),
            field(2026, [1, 32, 0, 0, 0]),
            field(2026, [4, 31, 0, 0, 0]),
            field(2025, [2, 29, 0, 0, 0]),
            field(1900, [2, 29, 0, 0, 0]),
            field(2026, [1, 1, 24, 0, 0]),
            field(2026, [1, 1, 0, 60, 0]),
            field(2026, [1, 1, 0, 0, 60]),
            field(1581, [1, 1, 0, 0, 0]),
            field(10_000, [1, 1, 0, 0, 0]),
        ] {
            assert_eq!(read(bad), Err(GattFault::Date), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_date_prints_as_it_was_written(
            year in 1582u16..=9999, month in 1u8..=12, day in 1u8..=28, hour in 0u8..24, minute in 0u8..60, second in 0u8..60,
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z");
            let field = field(year, [month, day, hour, minute, second]);
            prop_assert_eq!(shown(field), Some(text));
            prop_assert_eq!(read(field).unwrap().and_then(write), Some(field));
        }
    }
}
