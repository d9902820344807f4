//! Boxes on the LAN, by mDNS: service `_pitchside._tcp`, under a random instance name that says nothing about the clinic, with
//! a TXT record that holds the protocol's version and nothing else. Whoever answers is believed to have an address, no more;
//! only addresses of the LAN are taken, so that nobody can send us elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};
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
    fn start(instance: &str, port: u16) -> Result<Self, DiscoverError> {
        let daemon = ServiceDaemon::new()?;
        let host = format!("{instance}.local.");
        let info = ServiceInfo::new(SERVICE, instance, &host, "", port, &[("v", VERSION)][..])?.enable_addr_auto();
        let own = info.get_fullname().to_owned();
        daemon.register(info)?;
        let events = daemon.browse(SERVICE)?;
        Ok(Self { daemon, own, events })
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
                    let ips = said.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr);
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

/// Announces this box's content port and looks for others until told to stop; `boxes` then holds those found beside those
/// it held before. `instance` is the random name.
///
/// A daemon that heard more names than any LAN has is ended, with all it remembers, and another begins after a rest.
///
/// # Errors
/// The sockets cannot be had.
pub fn start(
    instance: String,
    port: u16,
    boxes: watch::Sender<BTreeSet<SocketAddr>>,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, DiscoverError> {
    let mut search = Search::start(&instance, port)?;
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
                match Search::start(&instance, port) {
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
    /// A box, with all addresses it says it has. True if that changed something.
    fn resolved(&mut self, name: &str, ips: impl Iterator<Item = IpAddr>, port: u16) -> bool {
        // One address a box, IPv4 first: two would look like two boxes.
        let Some(ip) = ips.filter(|ip| is_lan(*ip)).min() else { return self.removed(name) };
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

/// Private, link-local without a scope left out, or loopback. IPv6 link-local needs an interface to be reached; every box that
/// has one also announces another address.
fn is_lan(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback(),
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

    #[test]
    fn only_addresses_of_the_lan_are_taken() {
        for lan in ["10.1.2.3", "192.168.7.1", "172.16.0.9", "169.254.3.4", "127.0.0.1", "fd00::1"] {
            assert!(is_lan(lan.parse().unwrap()), "{lan}");
        }
        for other in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "fe80::1", "224.0.0.251", "0.0.0.0"] {
            assert!(!is_lan(other.parse().unwrap()), "{other}");
        }
    }
}
