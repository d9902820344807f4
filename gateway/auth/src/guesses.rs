//! How many passwords may be tried. Only wrong ones cost: a right one gets its tokens back, so whoever knows the password
//! may come as often as it likes.
//!
//! By name and address, so that a stranger's guesses in a name do not lock out its owner elsewhere; by address, so that one
//! stranger cannot use up what all have; and of all, so that many strangers cannot keep the box busy with argon2.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use parking_lot::Mutex;
use pitchside_model::Timestamp;

use crate::bucket::{Bucket, Keyed};
use crate::limits::{Limits, Rate};

pub(crate) struct Guesses {
    by_name: Keyed,
    by_peer: Keyed,
    rate: Rate,
    all: Mutex<Option<Bucket>>,
}

/// A guess that may be made.
pub(crate) struct Guess<'a> {
    guesses: &'a Guesses,
    name: &'a str,
    peer: Peer,
}

impl Guesses {
    pub fn new(limits: &Limits) -> Self {
        Self {
            by_name: Keyed::new(limits.password),
            by_peer: Keyed::new(limits.password_peer),
            rate: limits.password_all,
            all: Mutex::default(),
        }
    }

    /// `None` if somebody has guessed too often. What was not allowed costs nothing.
    pub fn take<'a>(&'a self, name: &'a str, peer: &str, now: Timestamp) -> Option<Guess<'a>> {
        let peer = Peer::of(peer);
        if !self.by_name.take((name, &peer), now) {
            return None;
        }
        if !self.by_peer.take(peer.network(), now) {
            self.by_name.give_back((name, &peer));
            return None;
        }
        if !self.all.lock().get_or_insert_with(|| Bucket::full(self.rate, now)).take(self.rate, now) {
            self.by_name.give_back((name, &peer));
            self.by_peer.give_back(peer.network());
            return None;
        }
        Some(Guess { guesses: self, name, peer })
    }
}

impl Guess<'_> {
    /// It was none: the password was right, or it was never looked at.
    pub fn forgive(self) {
        self.guesses.by_name.give_back((self.name, &self.peer));
        self.guesses.by_peer.give_back(self.peer.network());
        if let Some(all) = &mut *self.guesses.all.lock() {
            all.give_back(self.guesses.rate);
        }
    }
}

/// Where somebody is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Peer {
    /// At an IP address; the port is the peer's own choice and says nothing.
    Host(IpAddr),
    /// At what is no IP address.
    Other(Box<str>),
}

impl Peer {
    /// Of `address:port` or an address alone.
    fn of(text: &str) -> Self {
        let address = text.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| text.parse());
        address.map_or_else(|_| Self::Other(text.into()), |address| Self::Host(address.to_canonical()))
    }

    /// What the peer may choose its address from: the /64 of a routed IPv6 address. Link-local ones all have the same.
    fn network(&self) -> Self {
        match self {
            Self::Host(IpAddr::V6(v6)) if !v6.is_unicast_link_local() => {
                Self::Host(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into())
            }
            peer => peer.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_its_host_whatever_its_port_and_shares_what_it_may_choose_addresses_from() {
        let of = Peer::of;
        assert_eq!(of("10.0.0.7:1000"), of("10.0.0.7:2000"));
        assert_eq!(of("10.0.0.7:1000"), of("[::ffff:10.0.0.7]:9"));
        assert_ne!(of("10.0.0.7:1").network(), of("10.0.0.8:1").network());
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8::2]:1"));
        assert_eq!(of("[2001:db8::1]:1").network(), of("[2001:db8::2]:1").network());
        assert_ne!(of("[2001:db8:0:1::1]:1").network(), of("[2001:db8:0:2::1]:1").network());
        assert_ne!(of("[fe80::1]:1").network(), of("[fe80::2]:1").network());
        assert_ne!(of("/dev/ttyUSB0").network(), of("/dev/ttyUSB1").network());
    }
}
