//! The way to the gateway: TCP on the loopback, TLS with the box's own CA elsewhere.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Where the gateway listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// `host:port`.
    pub address: String,
    /// PEM file of the authority that signed the gateway's certificate; plain TCP without it.
    pub ca_file: Option<PathBuf>,
    /// The name in the certificate; the host of `address` without it.
    pub server_name: Option<String>,
}

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, encrypted or not.
pub type Connection = Pin<Box<dyn Stream>>;

/// Connects.
pub async fn connect(to: &Address) -> anyhow::Result<Connection> {
    let tcp = TcpStream::connect(&to.address).await.with_context(|| format!("cannot connect to {}", to.address))?;
    tcp.set_nodelay(true)?;
    let Some(ca_file) = &to.ca_file else { return Ok(Box::pin(tcp)) };
    let mut roots = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(ca_file).with_context(|| format!("cannot read {}", ca_file.display()))?
    {
        roots.add(certificate.with_context(|| format!("{} is not PEM", ca_file.display()))?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let host = to.server_name.clone().or_else(|| to.address.rsplit_once(':').map(|(host, _)| host.to_owned()));
    let name = ServerName::try_from(host.unwrap_or_default()).context("the server's name is no name")?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.context("the TLS handshake failed")?;
    Ok(Box::pin(tls))
}
