//! Whether hours are quiet. Quiet hours are what the clock on the wall shows, so a night is an hour shorter or longer when daylight
//! saving begins or ends. A time of day that a change skips counts as the moment of the change; one that comes twice counts as its first
//! coming where quiet hours begin and as its second where they end: nobody is woken between the two.

use anyhow::Context as _;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use pitchside_config::QuietHours;
use pitchside_model::Timestamp;

use crate::clock::CLOCK_FLOOR_MS;

/// Quiet hours somewhere.
#[derive(Debug, Clone)]
pub struct Quiet {
    hours: QuietHours,
    zone: TimeZone,
}

/// Which coming of a time of day counts, if it comes twice.
#[derive(Clone, Copy)]
enum Coming {
    First,
    Second,
}

impl Quiet {
    /// These hours in a zone of the IANA database.
    pub fn new(hours: QuietHours, zone: &str) -> anyhow::Result<Self> {
        let zone = TimeZone::get(zone).with_context(|| format!("the time zone {zone}"))?;
        Ok(Self { hours, zone })
    }

    /// When the quiet hours end in which `now` lies; none if it lies in none. A clock that was never set knows no hours.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        if now.millis() < CLOCK_FLOOR_MS {
            return None;
        }
        let instant = jiff::Timestamp::from_microsecond(now.0).ok()?;
        let today = self.zone.to_datetime(instant).date();
        // Those of this night may have begun yesterday.
        [today.yesterday().ok()?, today].into_iter().find_map(|date| {
            let ends_on = if self.hours.to > self.hours.from { date } else { date.tomorrow().ok()? };
            let from = self.instant(date, self.hours.from, Coming::First)?;
            let to = self.instant(ends_on, self.hours.to, Coming::Second)?;
            (from <= now && now < to).then_some(to)
        })
    }

    /// The instant of a minute of a day.
    fn instant(&self, date: Date, minute: u16, coming: Coming) -> Option<Timestamp> {
        let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
        let at = self.zone.to_ambiguous_timestamp(date.to_datetime(Time::new(hour, minute, 0, 0).ok()?));
        let instant = match (at.offset(), coming) {
            // What is skipped: the change itself, which comes after the earlier reading of it.
            (AmbiguousOffset::Gap { .. }, _) => self.zone.following(at.earlier().ok()?).next()?.timestamp(),
            (_, Coming::First) => at.earlier().ok()?,
            (_, Coming::Second) => at.later().ok()?,
        };
        Some(Timestamp(instant.as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    fn berlin(hours: &str) -> Quiet {
        Quiet::new(QuietHours::parse(hours).unwrap(), "Europe/Berlin").unwrap()
    }

    #[test]
    fn quiet_hours_go_past_midnight_by_the_clock_on_the_wall() {
        let night = berlin("22:00-07:00");
        assert_eq!(night.until(at("2026-06-10T19:59:59Z")), None);
        assert_eq!(night.until(at("2026-06-10T20:00:00Z")), Some(at("2026-06-11T05:00:00Z")));
        assert_eq!(night.until(at("2026-06-11T04:59:59Z")), Some(at("2026-06-11T05:00:00Z")));
        assert_eq!(night.until(at("2026-06-11T05:00:00Z")), None);
        assert_eq!(night.until(at("2026-12-10T20:30:00Z")), None, "in winter an hour later");
        let noon = berlin("12:00-13:00");
        assert_eq!(noon.until(at("2026-06-10T10:30:00Z")), Some(at("2026-06-10T11:00:00Z")));
        assert_eq!(noon.until(at("2026-06-10T11:00:00Z")), None);
        assert_eq!(noon.until(Timestamp::from_seconds(36_000)), None, "a clock that was never set");
    }

    #[test]
    fn the_night_on_which_daylight_saving_begins_is_an_hour_shorter() {
        // 2026-03-29, 02:00 CET is 03:00 CEST.
        let night = berlin("22:00-07:00");
        assert_eq!(night.until(at("2026-03-28T21:00:00Z")), Some(at("2026-03-29T05:00:00Z")));
        // A time that the change skips is the change: an end at 02:30, and a beginning.
        assert_eq!(berlin("22:00-02:30").until(at("2026-03-29T00:59:59Z")), Some(at("2026-03-29T01:00:00Z")));
        assert_eq!(berlin("22:00-02:30").until(at("2026-03-29T01:00:00Z")), None);
        assert_eq!(berlin("02:30-07:00").until(at("2026-03-29T00:59:59Z")), None);
        assert_eq!(berlin("02:30-07:00").until(at("2026-03-29T01:00:00Z")), Some(at("2026-03-29T05:00:00Z")));
    }

    #[test]
    fn the_night_on_which_daylight_saving_ends_is_an_hour_longer_and_quiet_throughout() {
        // 2026-10-25, 03:00 CEST is 02:00 CET.
        let night = berlin("22:00-07:00");
        assert_eq!(night.until(at("2026-10-24T20:00:00Z")), Some(at("2026-10-25T06:00:00Z")));
        // 02:30 comes twice: quiet hours end at the second, and are not broken between.
        let early = berlin("22:00-02:30");
        for minute in ["00:15", "00:29", "00:31", "00:59", "01:00", "01:29"] {
            let now = at(&format!("2026-10-25T{minute}:00Z"));
            assert_eq!(early.until(now), Some(at("2026-10-25T01:30:00Z")), "{minute}");
        }
        assert_eq!(early.until(at("2026-10-25T01:30:00Z")), None);
        // They begin at the first.
        assert_eq!(berlin("02:30-07:00").until(at("2026-10-25T00:29:59Z")), None);
        assert_eq!(berlin("02:30-07:00").until(at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T06:00:00Z")));
    }

    proptest::proptest! {
        #[test]
        fn whoever_is_told_to_wait_waits_for_less_than_a_day_and_an_hour_and_then_is_told(
            seconds in 1_770_000_000i64..1_900_000_000,
            from in 0u16..1_440,
            to in 0u16..1_440,
            zone in proptest::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
        ) {
            proptest::prop_assume!(from != to);
            let quiet = Quiet::new(QuietHours { from, to }, zone).unwrap();
            let now = Timestamp::from_seconds(seconds);
            if let Some(end) = quiet.until(now) {
                proptest::prop_assert!(end > now);
                proptest::prop_assert!(end.micros_since(now) <= 25 * 3_600 * 1_000_000);
                // The last moment before it is quiet, too.
                proptest::prop_assert_eq!(quiet.until(end.plus_micros(-1)), Some(end));
            }
        }
    }
}
