//! The box's own certificate authority and the certificate it serves with.
//!
//! Made on first boot: `ca.pem` is what clients are given, and its key stays in `ca.key`. The server's certificate is made
//! at each start, names the box's host names and addresses, is valid for 397 days (the longest browsers take), and is made
//! anew while running whenever the clock says so ([`is_due`]): a box that runs for years, or was started before its clock was
//! set, goes on serving. It is in no file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use pitchside_model::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::clock::Clock;
use crate::files::{read_secret, write_public, write_secret};

/// File of the authority's certificate, below the key folder.
pub const CA_FILE: &str = "ca.pem";
/// File of its key.
pub const CA_KEY_FILE: &str = "ca.key";
const DAY: Duration = Duration::from_secs(86_400);

/// Makes the authority unless there is one.
pub fn ensure_authority(keys: &Path, name: &str) -> anyhow::Result<()> {
    let (certificate, key) = (keys.join(CA_FILE), keys.join(CA_KEY_FILE));
    if certificate.exists() && key.exists() {
        return Ok(());
    }
    let pair = KeyPair::generate().context("making the authority's key")?;
    let made = authority_params(name).self_signed(&pair).context("signing the authority's certificate")?;
    write_secret(&key, pair.serialize_pem().as_bytes())?;
    write_public(&certificate, made.pem().as_bytes())
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Pitchside {name} authority"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2120, 1, 1);
    params
}

/// When the first release came out, in seconds since 1970: a clock that says less was never set.
const CLOCK_FLOOR: Timestamp = Timestamp::from_seconds(1_767_225_600);
/// How long a certificate is valid that was made by a set clock, from a day before it was made.
const VALID: Duration = Duration::from_secs(397 * 86_400);
/// So long before its end it is made anew.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// A box without the time can't know its clients' time: until the clock is set it serves a certificate that is valid for
/// whatever they may believe.
const VALID_UNSET: Duration = Duration::from_secs(3_650 * 86_400);

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Validity {
    from: Timestamp,
    to: Timestamp,
    /// Made by a clock that was never set.
    unset: bool,
}

fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.plus_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

impl Validity {
    /// Of a certificate made now.
    fn of(now: Timestamp) -> Self {
        let unset = now < CLOCK_FLOOR;
        let from = now.max(CLOCK_FLOOR).plus_micros(-i64::try_from(DAY.as_micros()).unwrap_or(0));
        Self { from, to: after(from, if unset { VALID_UNSET } else { VALID }), unset }
    }
}

/// Whether another certificate is needed: this one ends soon, is not valid yet (the clock was set back), or was made before
/// the clock was set.
fn is_due(validity: Validity, now: Timestamp) -> bool {
    if now < CLOCK_FLOOR {
        return !validity.unset;
    }
    validity.unset || now < validity.from || after(now, RENEWED_BEFORE) >= validity.to
}

/// Makes certificates for the same names, under the box's authority.
struct Maker {
    issuer: Issuer<'static, KeyPair>,
    authority: CertificateDer<'static>,
    hosts: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl Maker {
    fn make(&self, validity: Validity) -> anyhow::Result<Arc<CertifiedKey>> {
        let pair = KeyPair::generate().context("making the server's key")?;
        let mut params =
            CertificateParams::new(self.hosts.clone()).context("a host name in the settings is not one")?;
        params.distinguished_name.push(DnType::CommonName, self.hosts.first().map_or("pitchside", String::as_str));
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let date = |time: Timestamp| {
            let seconds = u64::try_from(time.millis() / 1_000).unwrap_or(0);
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
        };
        (params.not_before, params.not_after) = (date(validity.from), date(validity.to));
        let certificate = params.signed_by(&pair, &self.issuer).context("signing the server's certificate")?;
        let chain = vec![certificate.der().clone(), self.authority.clone()];
        let key = PrivateKeyDer::from_pem_slice(pair.serialize_pem().as_bytes())?;
        Ok(Arc::new(CertifiedKey::from_der(chain, key, &self.provider)?))
    }
}

/// The certificate clients are shown, renewed when it is due.
struct Renewing {
    maker: Maker,
    clock: Clock,
    current: Mutex<(Validity, Arc<CertifiedKey>)>,
}

impl Renewing {
    fn new(maker: Maker, clock: Clock) -> anyhow::Result<Self> {
        let validity = Validity::of(clock.now());
        let first = maker.make(validity)?;
        Ok(Self { maker, clock, current: Mutex::new((validity, first)) })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let now = self.clock.now();
        let mut current = self.current.lock();
        if is_due(current.0, now) {
            let validity = Validity::of(now);
            match self.maker.make(validity) {
                Ok(made) => {
                    tracing::info!(until = %validity.to, "the server's certificate was made anew");
                    *current = (validity, made);
                }
                // The old one may still do for some; the next connection tries again.
                Err(error) => {
                    tracing::error!(error = %format!("{error:#}"), "the server's certificate could not be renewed")
                }
            }
        }
        Arc::clone(&current.1)
    }
}

impl std::fmt::Debug for Renewing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewing").field("hosts", &self.maker.hosts).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Renewing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// The certificate that is served at the moment.
#[derive(Debug, Clone)]
pub struct Served(Arc<Renewing>);

impl Served {
    /// Until when whoever connects now is shown a valid one.
    pub fn until(&self) -> Timestamp {
        // Made anew, if it is due.
        drop(self.0.current());
        self.0.current.lock().0.to
    }
}

/// A server configuration that always has a certificate for `hosts` that is valid by the clock, for the given ALPN protocols; and that
/// certificate.
pub fn serving(
    keys: &Path,
    name: &str,
    clock: Clock,
    hosts: &[String],
    alpn: &[&[u8]],
) -> anyhow::Result<(Arc<ServerConfig>, Served)> {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let maker = maker(keys, name, hosts, Arc::clone(&provider))?;
    let renewing = Arc::new(Renewing::new(maker, clock)?);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::<Renewing>::clone(&renewing));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok((Arc::new(config), Served(renewing)))
}

fn maker(keys: &Path, name: &str, hosts: &[String], provider: Arc<CryptoProvider>) -> anyhow::Result<Maker> {
    let authority_pem = std::fs::read_to_string(keys.join(CA_FILE))
        .with_context(|| format!("reading {}; `pitchside init` makes it", keys.join(CA_FILE).display()))?;
    let authority_key = KeyPair::from_pem(std::str::from_utf8(&read_secret(&keys.join(CA_KEY_FILE))?)?)
        .context("the authority's key is not a PEM key")?;
    Ok(Maker {
        issuer: Issuer::new(authority_params(name), authority_key),
        authority: CertificateDer::from_pem_slice(authority_pem.as_bytes())?,
        hosts: hosts.to_vec(),
        provider,
    })
}

#[cfg(test)]
mod tests;
