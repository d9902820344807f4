//! The box's own certificate authority and the certificate it serves with.
//!
//! Made on first boot: `ca.pem` is what clients are given, `server.pem` is renewed at every start (it names the box's
//! host names and addresses and is valid for 397 days, the longest browsers take). The authority's key stays in `ca.key`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pitchside_model::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::ServerConfig;

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

/// A server configuration with a fresh certificate for `hosts`, for the given ALPN protocols.
pub fn server_config(
    keys: &Path,
    name: &str,
    now: Timestamp,
    hosts: &[String],
    alpn: &[&[u8]],
) -> anyhow::Result<Arc<ServerConfig>> {
    let authority_pem = std::fs::read_to_string(keys.join(CA_FILE))
        .with_context(|| format!("reading {}; `pitchside init` makes it", keys.join(CA_FILE).display()))?;
    let authority_key = KeyPair::from_pem(std::str::from_utf8(&read_secret(&keys.join(CA_KEY_FILE))?)?)
        .context("the authority's key is not a PEM key")?;
    let issuer = Issuer::new(authority_params(name), authority_key);
    let pair = KeyPair::generate().context("making the server's key")?;
    let mut params = CertificateParams::new(hosts.to_vec()).context("a host name in the settings is not one")?;
    params.distinguished_name.push(DnType::CommonName, hosts.first().map_or("pitchside", String::as_str));
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let today = Duration::from_secs(u64::try_from(now.millis() / 1_000).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + today.saturating_sub(DAY);
    params.not_after = epoch + today + 396 * DAY;
    let certificate = params.signed_by(&pair, &issuer).context("signing the server's certificate")?;
    let chain = vec![certificate.der().clone(), CertificateDer::from_pem_slice(authority_pem.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(pair.serialize_pem().as_bytes())?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}
