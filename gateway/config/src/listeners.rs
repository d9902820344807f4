//! Where a box with these settings listens, and whether two of its listeners want the same place: then one of them would not start, and the
//! gateway with it. Only what the system would not let stand beside each other is refused.

use std::net::{IpAddr, SocketAddr};

use crate::settings::{Http, Mqtt, Settings};

/// Where the system says whether `[::]` leaves IPv4 to others. Listeners are bound as it says.
const APART: &str = "/proc/sys/net/ipv6/bindv6only";

/// A setting, and where it listens. All of them by TCP.
pub(crate) type Listener = (&'static str, SocketAddr);

/// All listeners without which the gateway does not start, in the order of the manual.
pub(crate) fn listeners(mqtt: &Mqtt, http: &Http) -> Vec<Listener> {
    let all = mqtt.tcp.iter().map(|address| ("mqtt.tcp", *address));
    let all = all.chain(mqtt.tls.map(|address| ("mqtt.tls", address)));
    let all = all.chain(mqtt.websocket.map(|address| ("mqtt.websocket", address)));
    all.chain([("http.address", http.address)]).collect()
}

impl Settings {
    /// Why boxes on the LAN are not served firmware, though releases are believed: another listener has the place of `firmware.listen`. The
    /// gateway runs all the same.
    pub fn unserved(&self) -> Option<String> {
        let believes = self.ledger.is_some() && self.firmware.release_policy.is_some();
        let wanted = self.firmware.listen.filter(|_| believes)?;
        let apart = apart();
        let has = |(_, there): &Listener| collide(*there, wanted, apart);
        let (other, there) = listeners(&self.mqtt, &self.http).into_iter().find(has)?;
        Some(format!("other boxes are served no firmware: {}", same(wanted, other, there)))
    }
}

/// What is said of two listeners that want the same place.
pub(crate) fn same(address: SocketAddr, other: &str, there: SocketAddr) -> String {
    format!("{address} is where {other} listens, too ({there}): give one of them another port")
}

/// The first pair of listeners of which only one can have its place, for each that comes too late.
pub(crate) fn collisions(listeners: &[Listener]) -> Vec<(Listener, Listener)> {
    let apart = apart();
    let late = listeners.iter().enumerate().filter_map(|(at, late)| {
        let before = listeners.iter().take(at).find(|before| collide(before.1, late.1, apart))?;
        Some((*before, *late))
    });
    late.collect()
}

/// Whether `[::]` leaves IPv4 to others on this machine; it does not unless somebody has set it so.
fn apart() -> bool {
    std::fs::read_to_string(APART).is_ok_and(|says| says.trim() == "1")
}

/// Whether only one can listen of these two. An address that stands for all has each of them; that of IPv6 has those of IPv4, too, unless
/// the families are kept apart.
fn collide(a: SocketAddr, b: SocketAddr, apart: bool) -> bool {
    let (one, other) = (a.ip().to_canonical(), b.ip().to_canonical());
    let takes = |all: IpAddr, one: IpAddr| {
        all.is_unspecified() && (all.is_ipv6() == one.is_ipv6() || (all.is_ipv6() && !apart))
    };
    // Any free port is never the same one.
    let port = a.port() == b.port() && a.port() != 0;
    port && (takes(one, other) || takes(other, one) || (one == other && scope(a) == scope(b)))
}

/// Of a link-local address: the same one is another on another link.
const fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_listeners_collide_on_one_port_of_one_address_or_of_all() {
        for (a, b, same) in [
            ("127.0.0.1:8443", "127.0.0.1:8443", true),
            ("0.0.0.0:8443", "192.0.2.7:8443", true),
            ("0.0.0.0:8443", "0.0.0.0:8443", true),
            ("[::]:8443", "192.0.2.7:8443", true),
            ("[::]:8443", "[2001:db8::1]:8443", true),
            ("[::ffff:127.0.0.1]:8443", "127.0.0.1:8443", true),
            ("[fe80::1%2]:8443", "[fe80::1%2]:8443", true),
            ("[fe80::1%2]:8443", "[fe80::1%3]:8443", false),
            ("0.0.0.0:8443", "[2001:db8::1]:8443", false),
            ("127.0.0.1:8443", "192.0.2.7:8443", false),
            ("0.0.0.0:8443", "0.0.0.0:8883", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
        ] {
            let [one, other] = [a, b].map(|text| text.parse().unwrap());
            assert_eq!((collide(one, other, false), collide(other, one, false)), (same, same), "{a} and {b}");
        }
    }

    #[test]
    fn where_the_families_are_kept_apart_all_of_ipv6_has_none_of_ipv4() {
        for (a, b, same) in [
            ("[::]:8443", "192.0.2.7:8443", false),
            ("[::]:8443", "0.0.0.0:8443", false),
            ("[::]:8443", "[2001:db8::1]:8443", true),
            ("0.0.0.0:8443", "192.0.2.7:8443", true),
        ] {
            let [one, other] = [a, b].map(|text| text.parse().unwrap());
            assert_eq!((collide(one, other, true), collide(other, one, true)), (same, same), "{a} and {b}");
        }
    }

    #[test]
    fn the_system_refuses_what_is_told_to_collide_and_nothing_else() {
        use std::net::TcpListener;
        for (a, b) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.2"),
            ("0.0.0.0", "127.0.0.1"),
            ("127.0.0.1", "0.0.0.0"),
            ("[::]", "127.0.0.1"),
            ("127.0.0.1", "[::]"),
            ("[::]", "0.0.0.0"),
            ("[::1]", "127.0.0.1"),
            ("[::1]", "0.0.0.0"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ] {
            // A machine without IPv6 has nothing to say of it; and a port may be somebody else's at the other address.
            let tries: Vec<_> = (0..8)
                .filter_map(|_| {
                    let first = TcpListener::bind(format!("{a}:0")).ok()?;
                    let there = first.local_addr().unwrap();
                    let wanted: SocketAddr = format!("{b}:{}", there.port()).parse().unwrap();
                    Some((collide(there, wanted, apart()), TcpListener::bind(wanted).is_err()))
                })
                .collect();
            let Some((told, _)) = tries.first() else { continue };
            assert_eq!(*told, tries.iter().all(|(_, refused)| *refused), "{a} and {b}: {tries:?}");
        }
    }
}
