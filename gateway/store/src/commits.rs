//! Telling somebody of every journal commit, for the metrics.

use std::sync::OnceLock;
use std::time::Duration;

/// Who is told; at most one.
#[derive(Default)]
pub(crate) struct CommitWatch(OnceLock<Box<dyn Fn(Duration) + Send + Sync>>);

impl CommitWatch {
    /// False if there is a watcher already: it stays.
    pub(crate) fn set(&self, watcher: impl Fn(Duration) + Send + Sync + 'static) -> bool {
        self.0.set(Box::new(watcher)).is_ok()
    }

    /// A journal row is durable; its transaction took this long.
    pub(crate) fn tell(&self, took: Duration) {
        if let Some(watcher) = self.0.get() {
            watcher(took);
        }
    }
}
