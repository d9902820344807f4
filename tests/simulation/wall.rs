//! The wall's clock: the only place these programs ask it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time, microseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "the edge")]
pub fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
