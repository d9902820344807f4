//! Handshake messages seen before. A recorded first message can be sent again by anybody; it changes nothing here, since a
//! gateway counts as present only after its first transport frame, but it costs the ledger two curve operations and an
//! answer. Repeated ones are therefore turned away by their timestamp.
//!
//! Only timestamps near the ledger's own clock are compared and remembered: a gateway whose clock was wrong and is set
//! right must not be locked out by what it said before.

use std::collections::HashMap;

use ledger_block::ingest::{DeviceId, Timestamp};
use parking_lot::Mutex;

/// How far a timestamp may be from the ledger's clock to count, in microseconds: 10 minutes.
const NEAR: i64 = 600_000_000;
/// Gateways remembered; beyond it all are forgotten, which costs nothing but some answers to repeated messages.
const GATEWAYS_MAX: usize = 65_536;

/// The newest timestamp of each gateway.
#[derive(Debug, Default)]
pub struct Hails(Mutex<HashMap<DeviceId, Timestamp>>);

impl Hails {
    /// Whether this message may be new.
    pub fn may_be_new(&self, gateway: &DeviceId, sent_at: Timestamp, now: Timestamp) -> bool {
        let is_near = sent_at.micros_since(now).saturating_abs() <= NEAR;
        !is_near || self.0.lock().get(gateway).is_none_or(|last| sent_at > *last)
    }

    /// Remembers the message of a gateway that has proven itself.
    pub fn remember(&self, gateway: &DeviceId, sent_at: Timestamp, now: Timestamp) {
        if sent_at.micros_since(now).saturating_abs() > NEAR {
            tracing::warn!(%gateway, "the gateway's clock is more than 10 minutes from the ledger's");
            return;
        }
        let mut seen = self.0.lock();
        if seen.len() >= GATEWAYS_MAX && !seen.contains_key(gateway) {
            seen.clear();
        }
        let last = seen.entry(gateway.clone()).or_insert(sent_at);
        *last = (*last).max(sent_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_timestamp_is_turned_away_and_a_corrected_clock_is_not() {
        let (hails, gateway) = (Hails::default(), DeviceId::parse("box-1").unwrap());
        let at = Timestamp::from_seconds;
        assert!(hails.may_be_new(&gateway, at(1_000), at(1_000)));
        hails.remember(&gateway, at(1_000), at(1_000));
        assert!(!hails.may_be_new(&gateway, at(1_000), at(1_001)));
        assert!(!hails.may_be_new(&gateway, at(999), at(1_001)));
        assert!(hails.may_be_new(&gateway, at(1_001), at(1_001)));
        // A day ahead, then set right.
        hails.remember(&gateway, at(90_000), at(1_002));
        assert!(hails.may_be_new(&gateway, at(1_003), at(1_003)));
        assert!(hails.may_be_new(&gateway, at(-90_000), at(1_003)), "far behind: let in, never remembered");
    }
}
