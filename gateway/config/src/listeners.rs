//! Where a box with these settings listens, and whether two of its listeners want the same place: then one of them would not start, and the
//! gateway with it.

use std::net::{IpAddr, SocketAddr};

use crate::settings::{Firmware, Http, Ledger, Mqtt};

/// A setting, and where it listens. All of them by TCP.
pub(crate) type Listener = (&'static str, SocketAddr);

/// All listeners, in the order of the manual. Boxes on the LAN are served firmware only where releases are believed.
pub(crate) fn listeners(mqtt: &Mqtt, http: &Http, ledger: Option<&Ledger>, firmware: &Firmware) -> Vec<Listener> {
    let believes = ledger.is_some() && firmware.release_policy.is_some();
    let all = mqtt.tcp.iter().map(|address| ("mqtt.tcp", *address));
    let all = all.chain(mqtt.tls.map(|address| ("mqtt.tls", address)));
    let all = all.chain(mqtt.websocket.map(|address| ("mqtt.websocket", address)));
    let all = all.chain([("http.address", http.address)]);
    all.chain(firmware.listen.filter(|_| believes).map(|address| ("firmware.listen", address))).collect()
}

/// The first pair of listeners of which only one can have its place, for each that comes too late.
pub(crate) fn collisions(listeners: &[Listener]) -> Vec<(Listener, Listener)> {
    let late = listeners.iter().enumerate().filter_map(|(at, late)| {
        let before = listeners.iter().take(at).find(|before| collide(before.1, late.1))?;
        Some((*before, *late))
    });
    late.collect()
}

/// Whether only one can listen of these two. An address that stands for all has each of them; that of IPv6 has those of IPv4, too.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let (one, other) = (a.ip().to_canonical(), b.ip().to_canonical());
    let takes = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
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
            assert_eq!((collide(one, other), collide(other, one)), (same, same), "{a} and {b}");
        }
    }
}
