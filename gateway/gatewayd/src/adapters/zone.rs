//! The zone of sensors that keep local time.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use pitchside_decode::gatt::Zone;
use pitchside_model::Timestamp;

/// A zone of the IANA database.
#[derive(Debug)]
struct Named(TimeZone);

/// The zone of this name.
pub fn named(name: &str) -> anyhow::Result<Arc<dyn Zone>> {
    let zone = TimeZone::get(name).with_context(|| format!("the time zone {name}"))?;
    Ok(Arc::new(Named(zone)))
}

impl Zone for Named {
    fn ahead_s(&self, shown: Timestamp) -> [i32; 2] {
        // What the database cannot reach is far from any time a tolerance believes.
        let Ok(shown) = jiff::Timestamp::from_microsecond(shown.0) else { return [0; 2] };
        let (first, second) = match self.0.to_ambiguous_timestamp(Offset::UTC.to_datetime(shown)).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, offset),
            AmbiguousOffset::Gap { before, .. } => (before, before),
            AmbiguousOffset::Fold { before, after } => (before, after),
        };
        [first.seconds(), second.seconds()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_on_the_wall_is_ahead_by_what_its_zone_says_that_day() {
        let ahead = |zone, shown: &str| {
            let shown = shown.parse::<jiff::Timestamp>().unwrap();
            named(zone).unwrap().ahead_s(Timestamp(shown.as_microsecond()))
        };
        assert_eq!(ahead("UTC", "2026-07-01T12:00:00Z"), [0, 0]);
        assert_eq!(ahead("Europe/Berlin", "2026-07-01T12:00:00Z"), [7_200, 7_200]);
        assert_eq!(ahead("Europe/Berlin", "2026-12-01T12:00:00Z"), [3_600, 3_600]);
        assert_eq!(ahead("Asia/Kathmandu", "2026-12-01T12:00:00Z"), [20_700, 20_700]);
        assert_eq!(ahead("America/New_York", "2026-12-01T12:00:00Z"), [-18_000, -18_000]);
        // 2026-03-29, 02:00 CET is 03:00 CEST; 2026-10-25, 03:00 CEST is 02:00 CET.
        assert_eq!(ahead("Europe/Berlin", "2026-03-29T02:30:00Z"), [3_600, 3_600], "a clock that nobody changed");
        assert_eq!(ahead("Europe/Berlin", "2026-10-25T02:30:00Z"), [7_200, 3_600]);
        assert_eq!(ahead("Europe/Berlin", "2026-10-25T03:00:00Z"), [3_600, 3_600]);
        assert!(named("Europe/Atlantis").is_err());
    }
}
