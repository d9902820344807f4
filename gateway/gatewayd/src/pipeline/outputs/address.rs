//! Where a name leads. An admin grants a name, and whoever answers for it in the DNS must not turn it into this machine's own
//! services or into what answers on every link: an address like that is granted as one, or not at all.
//!
//! A name server may answer otherwise the next time. So a name is looked up once a request, and whatever is connected to is one of the
//! addresses that were looked at then; TLS still asks for the name. Every output that goes by a name gets its addresses here.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;

/// Says which addresses a name has.
#[async_trait]
pub trait Names: Send + Sync {
    /// All of them, with this port.
    async fn look_up(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

/// As everything on this machine has its names looked up.
struct OfTheSystem;

#[async_trait]
impl Names for OfTheSystem {
    async fn look_up(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Turns the names that were granted into addresses that may be connected to.
#[derive(Clone)]
pub struct Resolver {
    names: Arc<dyn Names>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(Arc::new(OfTheSystem))
    }
}

impl Resolver {
    /// Looks names up there.
    pub fn new(names: Arc<dyn Names>) -> Self {
        Self { names }
    }

    /// The addresses of a host that requests may go to. To be connected to as they are: to look the name up again undoes the check.
    pub async fn addresses(&self, host: &str, port: u16) -> anyhow::Result<Vec<SocketAddr>> {
        let found = self.names.look_up(host, port).await.with_context(|| format!("looking up {host}"))?;
        let meant = host.parse::<IpAddr>().is_ok() || host == "localhost";
        let good: Vec<SocketAddr> =
            found.iter().copied().filter(|at| meant || is_elsewhere(at.ip().to_canonical())).collect();
        ensure!(
            !good.is_empty() || found.is_empty(),
            "{host} leads to {}, which a name may not: grant the address itself if it is meant",
            found.iter().map(|at| at.ip().to_string()).collect::<Vec<_>>().join(", ")
        );
        ensure!(!good.is_empty(), "{host} has no address");
        Ok(good)
    }
}

fn is_elsewhere(address: IpAddr) -> bool {
    !is_special(address) && !is_own(address)
}

/// Whether an address leads to this machine whoever asks, or to what answers on every link.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.octets()[0] == 0 || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
    }
}

/// Whether an interface of this machine has the address: only then can anything be bound to it.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;

    use parking_lot::Mutex;

    use super::*;

    /// A name server that answers otherwise each time, and has no more answers than it was given.
    pub struct Turning(Mutex<VecDeque<Vec<SocketAddr>>>);

    impl Turning {
        pub fn new<const N: usize>(answers: [&[SocketAddr]; N]) -> (Resolver, Arc<Self>) {
            let turning = Arc::new(Self(Mutex::new(answers.map(<[SocketAddr]>::to_vec).into())));
            (Resolver::new(Arc::clone(&turning) as Arc<dyn Names>), turning)
        }

        /// How many answers nobody asked for.
        pub fn left(&self) -> usize {
            self.0.lock().len()
        }
    }

    #[async_trait]
    impl Names for Turning {
        async fn look_up(&self, _: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
            self.0.lock().pop_front().ok_or_else(|| std::io::Error::other("asked once too often"))
        }
    }

    #[test]
    fn a_name_leads_anywhere_but_to_this_machine_and_to_what_is_on_every_link() {
        for (address, good) in [
            ("10.1.2.3", true),
            ("192.168.1.9", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("127.8.9.10", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("0.0.0.1", false),
            ("224.0.0.251", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(!is_special(address.parse::<IpAddr>().unwrap().to_canonical()), good, "{address}");
        }
    }

    #[test]
    fn an_address_of_an_interface_is_this_machine_s_own() {
        let own = |address: &str| is_own(address.parse().unwrap());
        assert!(own("127.0.0.1"));
        // Of the documentation's networks (RFC 5737, RFC 3849): nobody has one.
        assert!(!own("203.0.113.9") && !own("2001:db8::1"));
    }

    #[tokio::test]
    async fn an_address_that_is_granted_itself_is_meant() {
        for host in ["127.0.0.1", "::1", "localhost"] {
            let found = Resolver::default().addresses(host, 80).await.unwrap();
            assert!(found.iter().all(|at| at.ip().is_loopback()), "{host}");
        }
    }

    #[tokio::test]
    async fn each_answer_is_looked_at_and_of_a_mixed_one_only_the_good_addresses_are_left() {
        let at = |address: &str| SocketAddr::new(address.parse().unwrap(), 25);
        let (good, other, bad) = (at("203.0.113.9"), at("2001:db8::1"), at("127.0.0.1"));
        let (resolver, _) = Turning::new([&[good], &[bad], &[bad, good, other], &[]]);
        let mut said = Vec::new();
        for _ in 0..4 {
            said.push(resolver.addresses("mail.clinic.test", 25).await.map_err(|error| error.to_string()));
        }
        assert_eq!(said[0], Ok(vec![good]));
        let why = "mail.clinic.test leads to 127.0.0.1, which a name may not: grant the address itself if it is meant";
        assert_eq!(said[1], Err(why.to_owned()));
        assert_eq!(said[2], Ok(vec![good, other]));
        assert_eq!(said[3], Err("mail.clinic.test has no address".to_owned()));
    }
}
