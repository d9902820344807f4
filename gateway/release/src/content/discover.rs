//! Boxes on the LAN, by mDNS: service `_pitchside._tcp`, under a random instance name that says nothing about the clinic, with
//! a TXT record that holds the protocol's version and nothing else. Whoever answers is believed to have an address, no more;
//! only addresses of the LAN are taken, so that nobody can send us elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const SERVICE: &str = "_pitchside._tcp.local.";
const VERSION: &str = "1";
/// Boxes remembered.
const BOXES_MAX: usize = 64;

/// Why the LAN cannot be searched. Firmware then comes from the ledger alone.
#[derive(Debug, thiserror::Error)]
#[error("mDNS does not start ({0}); boxes on the LAN are not found, firmware comes from the ledger's store alone")]
pub struct DiscoverError(#[from] mdns_sd::Error);

/// Announces this box's content port and looks for others until told to stop. `instance` is the random name.
///
/// # Errors
/// The sockets cannot be had.
pub fn start(
    instance: &str,
    port: u16,
    boxes: watch::Sender<BTreeSet<SocketAddr>>,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, DiscoverError> {
    let daemon = ServiceDaemon::new()?;
    let host = format!("{instance}.local.");
    let info = ServiceInfo::new(SERVICE, instance, &host, "", port, &[("v", VERSION)][..])?.enable_addr_auto();
    let own = info.get_fullname().to_owned();
    daemon.register(info)?;
    let events = daemon.browse(SERVICE)?;
    Ok(tokio::spawn(async move {
        let mut known: BTreeMap<String, Option<SocketAddr>> = BTreeMap::new();
        loop {
            let event = tokio::select! {
                event = events.recv_async() => event,
                () = stop.cancelled() => break,
            };
            match event {
                Ok(ServiceEvent::ServiceResolved(found)) => {
                    let speaks = found.txt_properties.get_property_val_str("v") == Some(VERSION);
                    let room = known.len() < BOXES_MAX || known.contains_key(&found.fullname);
                    if found.fullname == own || !speaks || !room {
                        continue;
                    }
                    let ips = found.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr).filter(|ip| is_lan(*ip));
                    // One address a box, IPv4 first: two would look like two boxes.
                    let address = ips.min().map(|ip| SocketAddr::new(ip, found.port));
                    known.insert(found.fullname.clone(), address);
                }
                Ok(ServiceEvent::ServiceRemoved(_, name)) => drop(known.remove(&name)),
                Ok(_) => continue,
                Err(_ended) => break,
            }
            boxes.send_replace(known.values().flatten().copied().collect());
        }
        // A good-bye, so that others need not find out by waiting.
        if let Ok(left) = daemon.unregister(&own) {
            let _said = tokio::time::timeout(std::time::Duration::from_millis(500), left.recv_async()).await;
        }
        let _stopped = daemon.shutdown();
    }))
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
    fn only_addresses_of_the_lan_are_taken() {
        for lan in ["10.1.2.3", "192.168.7.1", "172.16.0.9", "169.254.3.4", "127.0.0.1", "fd00::1"] {
            assert!(is_lan(lan.parse().unwrap()), "{lan}");
        }
        for other in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "fe80::1", "224.0.0.251", "0.0.0.0"] {
            assert!(!is_lan(other.parse().unwrap()), "{other}");
        }
    }
}
