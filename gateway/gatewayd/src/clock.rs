//! The edge where time enters: the only place of the gateway that reads the system's clocks.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use pitchside_model::Timestamp;

/// Earlier than this the clock was never set: the first release of this program.
pub const CLOCK_FLOOR_MS: i64 = 1_767_225_600_000;

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
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
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
