//! Whom outputs trust: the certificate authorities of the system, and those of the clinic's own network that the settings name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::named::AUTHORITIES;

/// Where systems keep the authorities they trust.
const OF_THE_SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// The most authorities of the clinic's own.
const OWN_MAX: usize = 64;

/// Read anew for each connection: what an admin changes counts at once.
#[derive(Debug, Clone, Default)]
pub struct Authorities {
    own: Option<PathBuf>,
}

impl Authorities {
    /// Those of the system, and the ones in this file of PEM.
    pub const fn new(own: Option<PathBuf>) -> Self {
        Self { own }
    }

    /// Whether a file holds authorities that can be trusted.
    ///
    /// # Errors
    /// It cannot be read, holds none, or something else.
    pub fn check(file: &Path) -> anyhow::Result<()> {
        Self::new(Some(file.to_owned())).trusted().map(|_roots| ())
    }

    /// Those of the clinic's own. A file that is named must be right: whoever names it relies on it.
    fn own(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let Some(file) = &self.own else { return Ok(Vec::new()) };
        let read = || format!("reading {}", file.display());
        let found: Vec<_> = CertificateDer::pem_file_iter(file)
            .with_context(read)?
            .take(OWN_MAX + 1)
            .collect::<Result<_, _>>()
            .with_context(read)?;
        anyhow::ensure!(!found.is_empty(), "{} holds no certificate", file.display());
        anyhow::ensure!(found.len() <= OWN_MAX, "{} holds more than {OWN_MAX} certificates", file.display());
        Ok(found)
    }

    /// TLS with whoever proves a name to them.
    pub fn connector(&self) -> anyhow::Result<TlsConnector> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// The same, as somebody may be trusted by them.
    fn trusted(&self) -> anyhow::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in self.own()? {
            roots.add(certificate).context("a certificate that cannot be trusted as an authority")?;
        }
        Ok(roots)
    }

    /// All of them.
    fn roots(&self) -> anyhow::Result<RootCertStore> {
        let mut roots = self.trusted().context(AUTHORITIES)?;
        match OF_THE_SYSTEM.iter().map(Path::new).find(|file| file.is_file()) {
            Some(file) => {
                let certificates =
                    CertificateDer::pem_file_iter(file).with_context(|| format!("reading {}", file.display()))?;
                // One that is too old to be read must not keep the others out.
                for certificate in certificates.flatten() {
                    let _old = roots.add(certificate);
                }
            }
            None if roots.is_empty() => {
                anyhow::bail!(
                    "this system has no certificate authorities (ca-certificates): whom to trust is not known"
                );
            }
            None => {}
        }
        anyhow::ensure!(!roots.is_empty(), "this system's certificate authorities (ca-certificates) are empty");
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_named_must_hold_authorities_and_not_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let of = |file: &Path| Authorities::new(Some(file.to_owned()));
        let refused = |file: &Path| format!("{:#}", of(file).roots().unwrap_err());
        assert!(refused(&file).contains("delivery.authorities: reading"), "{}", refused(&file));
        std::fs::write(&file, "no certificate\n").unwrap();
        assert!(refused(&file).contains("holds no certificate"), "{}", refused(&file));
        let made = rcgen::generate_simple_self_signed(vec!["clinic".to_owned()]).unwrap().cert.pem();
        std::fs::write(&file, &made).unwrap();
        assert_eq!(of(&file).own().unwrap().len(), 1);
        assert!(Authorities::check(&file).is_ok());
        assert!(!of(&file).roots().unwrap().is_empty());
        std::fs::write(&file, made.repeat(OWN_MAX + 1)).unwrap();
        assert!(refused(&file).contains("more than 64"), "{}", refused(&file));
        assert!(Authorities::check(&file).is_err());
        assert!(Authorities::default().own().unwrap().is_empty());
    }
}
