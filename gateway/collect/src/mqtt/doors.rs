//! How many may come in: in all, from one address, and before they proved who they are.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use super::limits::Limits;

/// Why a connection is closed before a byte of it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("as many connections as the gate takes")]
    Total,
    #[error("as many connections as one address may have")]
    Address,
    #[error("as many connections without proof of identity as the gate takes")]
    Unauthenticated,
    #[error("as many connections without proof of identity as one address may have")]
    UnauthenticatedAddress,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    open: usize,
    unproven: usize,
}

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    /// Only addresses with an open connection.
    by_address: HashMap<IpAddr, Count>,
}

/// The doorkeeper.
#[derive(Debug)]
pub(crate) struct Doors {
    connections_max: usize,
    per_address_max: usize,
    unproven_max: usize,
    unproven_per_address_max: usize,
    counts: Mutex<Counts>,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    doors: Arc<Doors>,
    address: Option<IpAddr>,
    unproven: bool,
}

impl Doors {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            connections_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            unproven_max: limits.unauthenticated_max,
            unproven_per_address_max: limits.unauthenticated_per_address_max,
            counts: Mutex::default(),
        }
    }

    /// Takes a place among the connections and one among the unproven.
    pub(crate) fn enter(self: &Arc<Self>, from: IpAddr) -> Result<(Place, Place), Full> {
        let address = counted(from);
        let mut counts = self.counts.lock();
        let here = address.and_then(|address| counts.by_address.get(&address).copied()).unwrap_or_default();
        if counts.all.open >= self.connections_max {
            return Err(Full::Total);
        }
        if here.open >= self.per_address_max {
            return Err(Full::Address);
        }
        if counts.all.unproven >= self.unproven_max {
            return Err(Full::Unauthenticated);
        }
        if here.unproven >= self.unproven_per_address_max {
            return Err(Full::UnauthenticatedAddress);
        }
        counts.all = Count { open: counts.all.open + 1, unproven: counts.all.unproven + 1 };
        if let Some(address) = address {
            counts.by_address.insert(address, Count { open: here.open + 1, unproven: here.unproven + 1 });
        }
        let place = |unproven| Place { doors: self.clone(), address, unproven };
        Ok((place(false), place(true)))
    }

    /// Connections, and how many of them are unproven.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let counts = self.counts.lock();
        (counts.all.open, counts.all.unproven)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.doors.counts.lock();
        let leave = |count: &mut Count| {
            let number = if self.unproven { &mut count.unproven } else { &mut count.open };
            *number = number.saturating_sub(1);
        };
        leave(&mut counts.all);
        if let Some(address) = self.address
            && let Some(here) = counts.by_address.get_mut(&address)
        {
            leave(here);
            if here.open == 0 && here.unproven == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

/// What counts as one address; `None` for loopback, behind which everything on the box looks alike.
fn counted(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    if address.is_loopback() {
        return None;
    }
    Some(match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors() -> Arc<Doors> {
        Arc::new(Doors::new(&Limits {
            connections_max: 4,
            connections_per_address_max: 3,
            unauthenticated_max: 3,
            unauthenticated_per_address_max: 2,
            ..Limits::default()
        }))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_run_out_in_all_and_per_address_and_come_back() {
        let doors = doors();
        let (a, a_unproven) = doors.enter(ip("10.0.0.1")).unwrap();
        let b = doors.enter(ip("10.0.0.1")).unwrap();
        assert_eq!(doors.enter(ip("10.0.0.1")).err(), Some(Full::UnauthenticatedAddress));
        drop(a_unproven);
        let c = doors.enter(ip("10.0.0.1")).unwrap();
        assert_eq!(doors.enter(ip("10.0.0.1")).err(), Some(Full::Address));
        let d = doors.enter(ip("10.0.0.2")).unwrap();
        assert_eq!(doors.enter(ip("10.0.0.3")).err(), Some(Full::Total));
        drop((a, b, c, d));
        assert_eq!(doors.counts(), (0, 0));
        assert!(doors.counts.lock().by_address.is_empty());
    }

    #[test]
    fn the_unproven_are_few_even_from_many_addresses() {
        let doors = doors();
        let places: Vec<_> = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|a| doors.enter(ip(a)).unwrap()).into();
        assert_eq!(doors.enter(ip("10.0.0.4")).err(), Some(Full::Unauthenticated));
        drop(places);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_loopback_as_none() {
        assert_eq!(counted(ip("2001:db8::1")), counted(ip("2001:db8::ffff")));
        assert_ne!(counted(ip("2001:db8::1")), counted(ip("2001:db8:0:1::1")));
        assert_eq!(counted(ip("::1")), None);
        assert_eq!(counted(ip("::ffff:127.0.0.1")), None);
        assert_eq!(counted(ip("::ffff:10.0.0.1")), counted(ip("10.0.0.1")));
    }
}
