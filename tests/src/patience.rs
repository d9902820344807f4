//! Waiting for something, with an end: what is awaited decides when to go on, never a length of time.

use std::time::Duration;

use tokio::time::{Instant, timeout};

/// How long anything may take before the test fails. Long enough for a machine that does ten other things.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `found` gives something.
pub async fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < give_up, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The result of something that must not take for ever.
pub async fn soon<T>(what: &str, done: impl Future<Output = T>) -> T {
    timeout(PATIENCE, done).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}
