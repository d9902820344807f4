//! Where a name leads. An admin grants a name, and whoever answers for it in the DNS must not turn it into this machine's own
//! services or into what answers on every link: an address like that is granted as one, or not at all.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, ensure};

/// The addresses of a host that requests may go to.
pub async fn of(host: &str, port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host((host, port)).await.with_context(|| format!("looking up {host}"))?.collect();
    let meant = host.parse::<IpAddr>().is_ok() || host == "localhost";
    let good: Vec<SocketAddr> = found.iter().copied().filter(|at| meant || is_elsewhere(at.ip())).collect();
    ensure!(
        !good.is_empty() || found.is_empty(),
        "{host} leads to {}, which a name may not: grant the address itself if it is meant",
        found.iter().map(|at| at.ip().to_string()).collect::<Vec<_>>().join(", ")
    );
    ensure!(!good.is_empty(), "{host} has no address");
    Ok(good)
}

fn is_elsewhere(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_multicast()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_anywhere_but_to_this_machine_and_to_what_is_on_every_link() {
        for (address, good) in [
            ("10.1.2.3", true),
            ("192.168.1.9", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("224.0.0.251", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_elsewhere(address.parse().unwrap()), good, "{address}");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_granted_itself_is_meant() {
        for host in ["127.0.0.1", "::1", "localhost"] {
            assert!(of(host, 80).await.unwrap().iter().all(|at| at.ip().is_loopback()), "{host}");
        }
    }
}
