//! The edge where time enters: the only place of the gateway that reads the system's clocks, and that says how far the one on
//! the wall is believed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

use ledger_block::ClockState;
use pitchside_model::Timestamp;

/// Earlier than this the clock was never set: the first release of this program.
pub const CLOCK_FLOOR_MS: i64 = 1_767_225_600_000;
/// A machine that was started within so long of the floor, by what its clock shows now, began at the floor: in microseconds.
const BEGAN_NEAR_US: i64 = 600 * 1_000_000;

/// Where an image says its date: systemd sets a clock that shows less to this file's time of change.
const EPOCH_FILE: &str = "/usr/lib/clock-epoch";

/// A clock that shows less was never set: the date of the image, or of the first release where there is no image.
pub fn floor() -> Timestamp {
    floor_by(Path::new(EPOCH_FILE))
}

/// The later of this file's time of change and the first release.
fn floor_by(epoch: &Path) -> Timestamp {
    let changed = std::fs::metadata(epoch).and_then(|meta| meta.modified()).ok();
    let since = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(0).max(CLOCK_FLOOR_MS))
}

#[allow(clippy::disallowed_methods, reason = "the edge")]
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The gateway's clocks: the one that tells the time, in whole milliseconds, and the one that never jumps.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// One that a test turns by hand: milliseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Now. A clock before 1970 reads as 1970: `doctor` reports it, and order never rests on it.
    #[allow(clippy::disallowed_methods, reason = "the edge")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::Acquire)),
        }
    }

    /// Time that only passes: for how long something has lasted, whatever the clock on the wall is set to.
    pub fn uptime(&self) -> Duration {
        match self {
            Self::System => STARTED.elapsed(),
            Self::Manual(millis) => Duration::from_millis(millis.load(Ordering::Acquire).unsigned_abs()),
        }
    }
}

/// Says how far the clock on the wall is believed: for block headers, and for whatever must not be decided by a clock that
/// was never set.
#[derive(Debug, Clone)]
pub struct ClockJudge {
    /// There while the machine's clock follows time servers.
    synchronised: PathBuf,
    /// Where a clock that was never set begins.
    floor: Timestamp,
}

impl ClockJudge {
    /// By this file (`clock.synchronised_file`), kept by whoever sets the machine's clock, and from this moment on ([`floor`]).
    pub const fn new(synchronised: PathBuf, floor: Timestamp) -> Self {
        Self { synchronised, floor }
    }

    /// Now. Looks for a file, in memory where it should lie.
    pub fn state(&self, clock: &Clock) -> ClockState {
        judged(clock.now(), clock.since_boot(), self.floor, self.synchronised.exists())
    }
}

impl Clock {
    /// How long the machine has been on; none if a test turns its clock.
    fn since_boot(&self) -> Option<Duration> {
        let Self::System = self else { return None };
        let on = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Some(Duration::from_secs(u64::try_from(on.tv_sec).unwrap_or(0)))
    }
}

/// What a clock is worth. A machine without a battery begins at its image's date, which is the floor or a little later: if it
/// was started there, by what the clock shows now, nobody has set the clock since.
fn judged(now: Timestamp, since_boot: Option<Duration>, floor: Timestamp, synchronised: bool) -> ClockState {
    if now < floor {
        return ClockState::Unset;
    }
    if synchronised {
        return ClockState::Synchronised;
    }
    let booted = since_boot.map(|on| now.plus_micros(-i64::try_from(on.as_micros()).unwrap_or(i64::MAX)));
    if booted.is_some_and(|at| at.micros_since(floor).abs() < BEGAN_NEAR_US) {
        return ClockState::Unset;
    }
    ClockState::Free
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Timestamp = Timestamp::from_millis(CLOCK_FLOOR_MS);

    #[test]
    fn a_clock_that_was_never_set_is_told_from_one_that_runs_free() {
        let hour = Duration::from_secs(3_600);
        let after = |seconds: i64| FLOOR.plus_micros(seconds * 1_000_000);
        for (now, on, synchronised, state) in [
            (Timestamp::default(), hour, false, ClockState::Unset),
            (after(-1), hour, true, ClockState::Unset),
            // It began at the image's date, and an hour later nobody has set it.
            (after(3_605), hour, false, ClockState::Unset),
            (after(3_605), hour, true, ClockState::Synchronised),
            (after(86_400), hour, false, ClockState::Free),
            (after(86_400), 48 * hour, false, ClockState::Free),
            (after(86_400), hour, true, ClockState::Synchronised),
        ] {
            assert_eq!(judged(now, Some(on), FLOOR, synchronised), state, "{now} on for {on:?}, {synchronised}");
        }
        assert_eq!(judged(FLOOR, None, FLOOR, false), ClockState::Free);
    }

    #[test]
    fn a_clock_that_began_at_the_date_of_the_image_was_never_set() {
        let dir = tempfile::tempdir().unwrap();
        let (epoch, month) = (dir.path().join("clock-epoch"), Duration::from_secs(30 * 86_400));
        assert_eq!(floor_by(&epoch), FLOOR, "no image");
        let image = UNIX_EPOCH + Duration::from_millis(CLOCK_FLOOR_MS.unsigned_abs()) + month;
        let dated = |at| std::fs::File::create(&epoch).unwrap().set_modified(at).unwrap();
        dated(image);
        let floor = floor_by(&epoch);
        assert_eq!(floor.micros_since(FLOOR), 30 * 86_400 * 1_000_000);
        let minute = Duration::from_secs(60);
        assert_eq!(judged(floor.plus_micros(60_000_000), Some(minute), floor, false), ClockState::Unset);
        assert_eq!(judged(floor.plus_micros(-1), Some(minute), floor, true), ClockState::Unset);
        dated(UNIX_EPOCH);
        assert_eq!(floor_by(&epoch), FLOOR, "a file without a date");
    }

    #[test]
    fn the_machine_itself_knows_how_long_it_has_been_on() {
        assert!(Clock::System.since_boot().is_some_and(|on| on > Duration::ZERO));
    }
}
