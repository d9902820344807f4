//! Boxes on the LAN, by mDNS: service `_pitchside._tcp`, under a random instance name that says nothing about the clinic, with
//! a TXT record that holds the protocol's version and nothing else. Whoever answers is believed to have an address, no more;
//! only addresses of the network on which it answered are taken, so that nobody can send us elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use if_addrs::{IfAddr, Interface};
use mdns_sd::{InterfaceId, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const SERVICE: &str = "_pitchside._tcp.local.";
const VERSION: &str = "1";
/// Boxes remembered.
const BOXES_MAX: usize = 64;
/// Boxes remembered behind one address (several may share one in a test, or behind a bridge).
const BOXES_AT_ADDRESS_MAX: usize = 4;
/// Names called out until the search is ended: the daemon remembers each for as long as its caller likes.
const CALLED_MAX: u32 = 2_048;
/// How long nobody is looked for after that.
const REST: Duration = Duration::from_secs(600);
/// The longest name of an instance DNS carries.
const NAME_BYTES_MAX: usize = 255;

/// Why the LAN cannot be searched. Firmware then comes from the ledger alone.
#[derive(Debug, thiserror::Error)]
#[error("mDNS does not start ({0}); boxes on the LAN are not found, firmware comes from the ledger's store alone")]
pub struct DiscoverError(#[from] mdns_sd::Error);

/// The mDNS daemon at work: this box announced, others looked for.
struct Search {
    daemon: ServiceDaemon,
    own: String,
    /// This box is served on loopback, where others then are, too: several on one machine.
    on_loopback: bool,
    events: mdns_sd::Receiver<ServiceEvent>,
}

/// How a search ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Stopped,
    /// The daemon gave up, or more names were called out than any LAN has.
    Flooded,
}

impl Search {
    fn start(instance: &str, local: SocketAddr) -> Result<Self, DiscoverError> {
        let daemon = ServiceDaemon::new()?;
        let host = format!("{instance}.local.");
        let info =
            ServiceInfo::new(SERVICE, instance, &host, "", local.port(), &[("v", VERSION)][..])?.enable_addr_auto();
        let own = info.get_fullname().to_owned();
        daemon.register(info)?;
        let events = daemon.browse(SERVICE)?;
        Ok(Self { daemon, own, on_loopback: local.ip().is_loopback(), events })
    }

    async fn run(
        &self,
        boxes: &watch::Sender<BTreeSet<SocketAddr>>,
        always: &BTreeSet<SocketAddr>,
        stop: &CancellationToken,
    ) -> Ended {
        let (mut found, mut called) = (Found::default(), 0);
        loop {
            let event = tokio::select! {
                event = self.events.recv_async() => event,
                () = stop.cancelled() => return Ended::Stopped,
            };
            let changed = match event {
                Ok(ServiceEvent::ServiceFound(..)) => {
                    called += 1;
                    if called > CALLED_MAX {
                        return Ended::Flooded;
                    }
                    false
                }
                Ok(ServiceEvent::ServiceResolved(said)) if said.fullname != self.own => {
                    let speaks = said.txt_properties.get_property_val_str("v") == Some(VERSION);
                    // Looked at each time: addresses come and go with leases and cables.
                    let near = Near::now(self.on_loopback);
                    let ips = said.addresses.iter().filter(|ip| near.has(ip)).map(ScopedIp::to_ip_addr);
                    speaks && found.resolved(&said.fullname, ips, said.port)
                }
                Ok(ServiceEvent::ServiceRemoved(_, name)) => found.removed(&name),
                Ok(_) => false,
                Err(_ended) => return Ended::Flooded,
            };
            if changed {
                boxes.send_replace(found.boxes().union(always).copied().collect());
            }
        }
    }

    /// With a good-bye, so that others need not find out by waiting.
    async fn end(self) {
        if let Ok(left) = self.daemon.unregister(&self.own) {
            let _said = tokio::time::timeout(Duration::from_millis(500), left.recv_async()).await;
        }
        let _stopped = self.daemon.shutdown();
    }
}

/// Announces this box's content port, at which it listens on `local`, and looks for others until told to stop; `boxes` then holds those
/// found beside those it held before. `instance` is the random name.
///
/// A daemon that heard more names than any LAN has is ended, with all it remembers, and another begins after a rest.
///
/// # Errors
/// The sockets cannot be had.
pub fn start(
    instance: String,
    local: SocketAddr,
    boxes: watch::Sender<BTreeSet<SocketAddr>>,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, DiscoverError> {
    let mut search = Search::start(&instance, local)?;
    let always = boxes.borrow().clone();
    Ok(tokio::spawn(async move {
        loop {
            let ended = search.run(&boxes, &always, &stop).await;
            search.end().await;
            if ended == Ended::Stopped {
                return;
            }
            tracing::warn!(
                "more boxes were called out by mDNS than any LAN has, or mDNS ended: not looked for, for a while"
            );
            boxes.send_replace(always.clone());
            search = loop {
                tokio::select! {
                    () = tokio::time::sleep(REST) => {}
                    () = stop.cancelled() => return,
                }
                match Search::start(&instance, local) {
                    Ok(search) => break search,
                    Err(error) => tracing::error!(%error, "other boxes"),
                }
            };
        }
    }))
}

/// Boxes that answered. Bounded, in all and by address, so that one liar with ten thousand names neither fills memory nor
/// takes every place; boxes found first stay. The worst such a liar brings about is that firmware comes from the ledger: what
/// boxes promise keeps the ledger away only while they give something (`plan`).
#[derive(Debug, Default)]
struct Found(BTreeMap<String, SocketAddr>);

impl Found {
    /// A box, with all addresses it says it has and that are believed. True if that changed something.
    fn resolved(&mut self, name: &str, ips: impl Iterator<Item = IpAddr>, port: u16) -> bool {
        // One address a box, IPv4 first: two would look like two boxes.
        let Some(ip) = ips.min() else { return self.removed(name) };
        let address = SocketAddr::new(ip, port);
        let others = || self.0.iter().filter(|(other, _)| *other != name);
        let crowded =
            others().count() >= BOXES_MAX || others().filter(|(_, at)| at.ip() == ip).count() >= BOXES_AT_ADDRESS_MAX;
        if port == 0 || name.len() > NAME_BYTES_MAX || crowded {
            return self.removed(name);
        }
        self.0.insert(name.to_owned(), address) != Some(address)
    }

    fn removed(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    fn boxes(&self) -> BTreeSet<SocketAddr> {
        self.0.values().copied().collect()
    }
}

/// A network this box is in: by which interface, its address there, and how many leading bits of that are the network's.
#[derive(Debug, Clone, Copy)]
struct Network {
    interface: u32,
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// None of an interface that leads to one machine alone, as a tunnel does: mDNS is not spoken there. Nor of one without a mask, which
    /// would have all addresses in it.
    fn of(interface: &Interface) -> Option<Self> {
        let (address, prefix) = match &interface.addr {
            IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
            IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
        };
        let index = interface.index.filter(|_| prefix > 0 && !interface.is_p2p())?;
        Some(Self { interface: index, address, prefix })
    }

    fn has(&self, ip: IpAddr) -> bool {
        let shared = match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => (own.to_bits() ^ ip.to_bits()).leading_zeros(),
            (IpAddr::V6(own), IpAddr::V6(ip)) => (own.to_bits() ^ ip.to_bits()).leading_zeros(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        shared >= u32::from(self.prefix)
    }
}

/// Which addresses are believed: those of the network on which they were heard, and loopback only where this box is on it itself.
/// Whoever answers must not send us to another network, or to what listens on this machine for this machine.
#[derive(Debug)]
struct Near {
    networks: Vec<Network>,
    on_loopback: bool,
}

impl Near {
    fn now(on_loopback: bool) -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::warn!(%error, "which networks this box is in cannot be read: boxes that answer by mDNS are not taken");
            Vec::new()
        });
        Self { networks: interfaces.iter().filter_map(Network::of).collect(), on_loopback }
    }

    fn has(&self, said: &ScopedIp) -> bool {
        match said {
            ScopedIp::V4(v4) => self.holds((*v4.addr()).into(), v4.interface_ids()),
            ScopedIp::V6(v6) => self.holds((*v6.addr()).into(), std::slice::from_ref(v6.scope_id())),
            _ => false,
        }
    }

    fn holds(&self, ip: IpAddr, heard_on: &[InterfaceId]) -> bool {
        if ip.is_loopback() {
            return self.on_loopback;
        }
        let heard = |network: &&Network| heard_on.iter().any(|interface| interface.index == network.interface);
        is_private(ip) && self.networks.iter().filter(heard).any(|network| network.has(ip))
    }
}

/// Private, or link-local of IPv4. IPv6 link-local needs an interface to be reached; every box that has one also announces another
/// address.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_made_up_boxes_take_neither_memory_nor_every_place() {
        let mut found = Found::default();
        let honest: IpAddr = "192.168.1.7".parse().unwrap();
        assert!(found.resolved("first", [honest].into_iter(), 7_790));
        for n in 0..10_000u16 {
            found.resolved(&format!("liar-{n}"), ["10.0.0.9".parse().unwrap()].into_iter(), n + 1);
        }
        assert_eq!(found.boxes().len(), 1 + BOXES_AT_ADDRESS_MAX, "one address takes few places");
        assert!(found.resolved("late", ["192.168.1.8".parse().unwrap()].into_iter(), 7_790), "others still have room");
        for n in 0..10_000u16 {
            let [high, low] = n.to_be_bytes();
            found.resolved(&format!("crowd-{n}"), [IpAddr::from([10, 1, high, low])].into_iter(), 80);
        }
        assert_eq!(found.boxes().len(), BOXES_MAX);
        assert!(found.boxes().contains(&SocketAddr::new(honest, 7_790)), "who was found first stays");
        assert!(found.resolved("first", std::iter::empty(), 7_790), "a box without an address on the LAN is forgotten");
        assert!(!found.removed("nobody"));
    }

    /// A box in these networks, each written with the number of its interface.
    fn near(networks: &[(u32, &str, u8)], on_loopback: bool) -> Near {
        let network = |(interface, address, prefix): &(u32, &str, u8)| Network {
            interface: *interface,
            address: address.parse().unwrap(),
            prefix: *prefix,
        };
        Near { networks: networks.iter().map(network).collect(), on_loopback }
    }

    fn heard_on(interface: u32) -> [InterfaceId; 1] {
        [InterfaceId { name: format!("eth{interface}"), index: interface }]
    }

    #[test]
    fn only_addresses_of_the_network_they_were_heard_on_are_taken() {
        let on_2 = [(2, "192.168.7.5", 24), (2, "169.254.9.9", 16), (2, "fd00:7::5", 64)];
        let on_3 = [(3, "10.1.0.5", 20), (3, "203.0.113.5", 24)];
        let near = near(&on_2.into_iter().chain(on_3).collect::<Vec<_>>(), false);
        let takes = |ip: &str, interface| near.holds(ip.parse().unwrap(), &heard_on(interface));
        for ip in ["192.168.7.1", "192.168.7.254", "169.254.3.4", "fd00:7::1"] {
            assert!(takes(ip, 2), "{ip}");
            assert!(!takes(ip, 3), "{ip} was heard on another network");
        }
        assert!(takes("10.1.15.255", 3) && !takes("10.1.16.0", 3), "a mask is taken by the bit");
        for elsewhere in ["192.168.8.1", "10.1.2.3", "172.16.0.9", "fd00:8::1", "203.0.113.9", "8.8.8.8"] {
            assert!(!takes(elsewhere, 2), "{elsewhere}");
        }
        for other in ["203.0.113.9", "2001:db8::1", "fe80::1", "224.0.0.251", "0.0.0.0", "::ffff:192.168.7.1"] {
            assert!(!takes(other, 2) && !takes(other, 3), "{other}");
        }
        assert!(!near.holds("192.168.7.1".parse().unwrap(), &[]), "heard nowhere");
    }

    #[test]
    fn loopback_is_taken_by_a_box_alone_that_is_served_there_itself() {
        for ip in ["127.0.0.1", "127.8.8.8", "::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let own = [(1, "127.0.0.1", 8), (1, "::1", 128), (2, "192.168.7.5", 24)];
            for interface in [1, 2] {
                assert!(!near(&own, false).holds(ip, &heard_on(interface)), "{ip}");
                assert!(near(&own, true).holds(ip, &heard_on(interface)), "{ip}");
            }
        }
    }

    #[test]
    fn this_machine_is_in_networks_and_none_of_them_has_all_addresses() {
        let near = Near::now(false);
        assert!(near.networks.iter().any(|network| network.address.is_loopback()), "{near:?}");
        assert!(near.networks.iter().all(|network| network.has(network.address) && network.prefix > 0), "{near:?}");
    }
}
