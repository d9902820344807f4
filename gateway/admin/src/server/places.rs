//! How many connections are open, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::Limits;
use crate::metrics::Metrics;

/// Who holds how many connections.
#[derive(Debug, Default)]
pub(super) struct Open {
    by_peer: Mutex<HashMap<IpAddr, usize>>,
    warned: Mutex<Option<Instant>>,
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

    /// Loud, but once a second: a flood must not fill the disk with its own refusals.
    pub(super) fn warn(&self, peer: IpAddr, reason: &str) {
        let mut warned = self.warned.lock();
        if warned.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            *warned = Some(Instant::now());
            tracing::warn!(%peer, reason, "connections are being refused");
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
