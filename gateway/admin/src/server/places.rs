//! How many connections are open, in all and from one address.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::Limits;
use crate::metrics::Metrics;

/// How often the log is told that connections are refused for one reason.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Who holds how many connections.
#[derive(Debug, Default)]
pub(super) struct Open {
    by_peer: Mutex<HashMap<IpAddr, usize>>,
    /// By reason, of which there are a few.
    warned: Mutex<HashMap<&'static str, Warned>>,
}

/// What the log was told of one reason.
#[derive(Debug, Default)]
struct Warned {
    last: Option<Instant>,
    /// Those it was not told of since.
    untold: u64,
}

impl Warned {
    /// One more: of how many the log is to be told now, if it is.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.last.is_some_and(|last| now.duration_since(last) < WARN_EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl Open {
    pub(super) fn take(&self, peer: IpAddr, limits: &Limits) -> Result<(), &'static str> {
        let mut open = self.by_peer.lock();
        if open.values().sum::<usize>() >= limits.connections_max {
            return Err("too_many");
        }
        let count = open.entry(peer).or_insert(0);
        if *count >= limits.connections_per_peer_max {
            return Err("too_many_from_one_address");
        }
        *count += 1;
        Ok(())
    }

    /// Loud, but once a minute for each reason, with how many there were: a flood must not fill the disk with its own refusals.
    pub(super) fn warn(&self, peer: IpAddr, reason: &'static str, error: Option<&io::Error>) {
        let told = self.warned.lock().entry(reason).or_default().count(Instant::now());
        if let Some(connections) = told {
            let error = error.map(tracing::field::display);
            tracing::warn!(%peer, reason, error, connections, "connections are being refused");
        }
    }

    fn leave(&self, peer: IpAddr) {
        let mut open = self.by_peer.lock();
        if let Some(count) = open.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&peer);
            }
        }
    }
}

/// A connection's place among the bounds.
pub(super) struct Place {
    pub(super) open: Arc<Open>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) peer: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.leave(self.peer);
        self.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_a_minute_with_how_many_there_were() {
        let (mut warned, begin) = (Warned::default(), Instant::now());
        let told: Vec<_> = (0..125).map(|s| warned.count(begin + Duration::from_secs(s))).collect();
        let lines: Vec<_> = (0..).zip(told).filter_map(|(s, told)| told.map(|told| (s, told))).collect();
        assert_eq!(lines, [(0, 1), (60, 60), (120, 60)]);
    }
}
