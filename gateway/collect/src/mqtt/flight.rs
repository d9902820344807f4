//! Messages of one connection that are taken but not settled: what bounds them and how an answer finds its packet.
//!
//! ```text
//! ticket   63..32 counter   31..18 payload in units of 64 bytes   17..16 QoS   15..0 packet identifier
//! ```
//! A ticket carries all an acknowledgement needs, so no table is kept for QoS 0 and 1. QoS 2 needs to remember its packet
//! identifiers between PUBLISH and PUBREL (4.3.3).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::intake::Ticket;

const UNIT: usize = 64;
const UNITS_MAX: usize = (1 << 14) - 1;

/// What a ticket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stub {
    pub packet_id: u16,
    pub qos: u8,
    pub units: usize,
}

/// Makes the ticket of a message.
pub(crate) fn ticket(counter: u32, qos: u8, packet_id: u16, payload: usize) -> Ticket {
    Ticket(
        u64::from(counter) << 32 | (units(payload) as u64) << 18 | u64::from(qos & 0b11) << 16 | u64::from(packet_id),
    )
}

/// Reads a ticket.
pub(crate) fn stub(ticket: Ticket) -> Stub {
    Stub {
        packet_id: (ticket.0 & 0xffff) as u16,
        qos: (ticket.0 >> 16 & 0b11) as u8,
        units: (ticket.0 >> 18) as usize & UNITS_MAX,
    }
}

fn units(payload: usize) -> usize {
    payload.div_ceil(UNIT).min(UNITS_MAX)
}

/// Where a QoS 2 exchange stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exact {
    /// Not settled yet.
    Taken,
    /// PUBREC is sent; the client will send PUBREL.
    Received,
}

/// Counts of one connection.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    count: AtomicUsize,
    units: AtomicUsize,
    freed: Notify,
    exact: Mutex<HashMap<u16, Exact>>,
}

impl Flight {
    /// One more message of QoS 1 or 2.
    pub(crate) fn add(&self, payload: usize) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.units.fetch_add(units(payload), Ordering::Relaxed);
    }

    /// So many are settled.
    pub(crate) fn settle(&self, count: usize, units: usize) {
        let less = |number: &AtomicUsize, by: usize| {
            // An answer given twice must not make the count wrap.
            let _ = number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(by)));
        };
        less(&self.count, count);
        less(&self.units, units);
        self.freed.notify_one();
    }

    /// Messages that are not settled.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether the bytes in flight are under `bytes_max`.
    pub(crate) fn has_bytes(&self, bytes_max: usize) -> bool {
        self.units.load(Ordering::Relaxed) * UNIT < bytes_max
    }

    /// Waits until something is settled.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Begins a QoS 2 exchange; `Err` if this packet identifier already has one.
    pub(crate) fn begin(&self, packet_id: u16) -> Result<(), Exact> {
        match self.exact.lock().entry(packet_id) {
            std::collections::hash_map::Entry::Occupied(entry) => Err(*entry.get()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Exact::Taken);
                Ok(())
            }
        }
    }

    /// QoS 2 exchanges that are not over.
    pub(crate) fn exact(&self) -> usize {
        self.exact.lock().len()
    }

    /// The message is taken: PUBREC may go out.
    pub(crate) fn received(&self, packet_id: u16) {
        self.exact.lock().insert(packet_id, Exact::Received);
    }

    /// The exchange is over; whether there was one.
    pub(crate) fn end(&self, packet_id: u16) -> bool {
        self.exact.lock().remove(&packet_id).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_ticket_gives_back_what_was_put_in(counter: u32, qos in 0u8..3, packet_id: u16, payload in 0usize..1_000_000) {
            let stub = stub(ticket(counter, qos, packet_id, payload));
            prop_assert_eq!(stub.packet_id, packet_id);
            prop_assert_eq!(stub.qos, qos);
            prop_assert_eq!(stub.units, payload.div_ceil(64));
        }
    }

    #[test]
    fn settling_twice_does_not_wrap() {
        let flight = Flight::default();
        flight.add(100);
        flight.settle(1, 2);
        flight.settle(1, 2);
        assert_eq!(flight.count(), 0);
        assert!(flight.has_bytes(1));
    }
}
