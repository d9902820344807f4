//! What settings name and do not hold: who the ledger is, the first release policy, the clinic's certificate authorities. It is read at the
//! start or when it is needed, so settings that are right may name what is not.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, ensure};
use ledger_block::channel::PublicKey;
use ledger_block::policy::{POLICY_BYTES_MAX, Policy};
use ledger_block::release::{SIGNED_BYTES_MAX, SignedPolicy};
use pitchside_config::{Ledger, Settings};

use crate::files::read_bounded;
use crate::pipeline::outputs::authorities::Authorities;

/// The settings that name it.
pub const LEDGER_KEY: &str = "ledger.public_key";
/// The same of the ledger's policy.
pub const LEDGER_POLICY: &str = "ledger.policy";
/// The same of the first release policy.
pub const RELEASE_POLICY: &str = "firmware.release_policy";
/// The same of the clinic's certificate authorities.
pub const AUTHORITIES: &str = "delivery.authorities";
/// The one that names no file, and may name another listener's place: where other boxes are served firmware.
pub const LISTEN: &str = "firmware.listen";

/// A setting whose value or file is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Which.
    pub key: &'static str,
    /// Why.
    pub why: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.why)
    }
}

/// All that these settings name and that is of no use. The gateway starts without it.
pub fn unusable(settings: &Settings) -> Vec<Unusable> {
    let mut found = Vec::new();
    let mut look = |key: &'static str, looked: anyhow::Result<()>| {
        found.extend(looked.err().map(|error| Unusable { key, why: format!("{error:#}") }));
    };
    if let Some(ledger) = &settings.ledger {
        look(LEDGER_KEY, key_of(ledger).map(|_key| ()));
        look(LEDGER_POLICY, policy_of(ledger).map(|_policy| ()));
    }
    if let Some(file) = &settings.firmware.release_policy {
        look(RELEASE_POLICY, first_policy(file).map(|_policy| ()));
    }
    if let Some(file) = &settings.delivery.authorities {
        look(AUTHORITIES, Authorities::check(file));
    }
    found.extend(settings.unserved().map(|why| Unusable { key: LISTEN, why }));
    found
}

/// Looks at one file, as the one that this setting will name; none if it names no such file.
pub fn look_at(key: &str, file: &Path) -> Option<anyhow::Result<()>> {
    Some(match key {
        LEDGER_POLICY => policy(file).map(|_policy| ()),
        RELEASE_POLICY => first_policy(file).map(|_policy| ()),
        AUTHORITIES => Authorities::check(file),
        _ => return None,
    })
}

/// The ledger's key on the channel.
///
/// # Errors
/// It is nobody's.
pub fn key_of(ledger: &Ledger) -> anyhow::Result<PublicKey> {
    let public: PublicKey = ledger.public_key.to_lowercase().parse()?;
    ensure!(!public.is_low_order(), "is of low order, nobody's key: take it from the ledger's channel.pub");
    Ok(public)
}

/// Which logs and witnesses are believed.
///
/// # Errors
/// The file cannot be read, or is no policy, or one that believes no log.
pub fn policy_of(ledger: &Ledger) -> anyhow::Result<Policy> {
    policy(&ledger.policy)
}

fn policy(file: &Path) -> anyhow::Result<Policy> {
    let bytes = read_bounded(file, POLICY_BYTES_MAX).context("the ledger's policy")?;
    let policy = Policy::parse(&bytes).with_context(|| format!("the ledger's policy {}", file.display()))?;
    ensure!(!policy.logs().is_empty(), "the ledger's policy {} names no log", file.display());
    Ok(policy)
}

/// The first release policy, as its signers made it.
///
/// # Errors
/// The file cannot be read, or is none.
pub fn first_policy(file: &Path) -> anyhow::Result<SignedPolicy> {
    let bytes = read_bounded(file, SIGNED_BYTES_MAX).context("the release policy")?;
    SignedPolicy::parse(&bytes).with_context(|| format!("the release policy {}", file.display()))
}

#[cfg(test)]
mod tests {
    use ledger_block::note::{KeyKind, SignerKey};

    use super::*;
    use crate::pipeline::firmware::tests::policy as release_policy;

    #[test]
    fn whatever_settings_name_is_of_use_or_told_by_the_setting_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let log = SignerKey::new("log.example/1", KeyKind::Ed25519, &[1; 32]).unwrap();
        let text = format!("log {}\nquorum none\n", log.verifier());
        let authority = rcgen::generate_simple_self_signed(vec!["clinic".to_owned()]).unwrap().cert.pem();
        let mut settings = Settings {
            ledger: Some(Ledger {
                address: "ledger.example:7001".to_owned(),
                public_key: "0a".repeat(32),
                policy: at("ledger"),
            }),
            ..Settings::default()
        };
        settings.firmware.release_policy = Some(at("release"));
        settings.delivery.authorities = Some(at("authorities"));
        let told = |settings: &Settings| unusable(settings).into_iter().map(|one| one.key).collect::<Vec<_>>();
        assert_eq!(told(&settings), [LEDGER_POLICY, RELEASE_POLICY, AUTHORITIES], "none is there");
        std::fs::write(at("ledger"), &text).unwrap();
        std::fs::write(at("release"), release_policy().to_bytes()).unwrap();
        std::fs::write(at("authorities"), authority).unwrap();
        assert!(unusable(&settings).is_empty(), "{:?}", unusable(&settings));
        // As editors save it, cut short, empty, of no log.
        for bad in [format!("\u{feff}{text}"), text.replace('\n', "\r\n"), text.trim_end().to_owned(), String::new()] {
            std::fs::write(at("ledger"), &bad).unwrap();
            assert_eq!(told(&settings), [LEDGER_POLICY], "{bad:?}");
        }
        std::fs::write(at("ledger"), "quorum none\n").unwrap();
        assert!(unusable(&settings)[0].to_string().ends_with("names no log"), "{:?}", unusable(&settings));
        std::fs::write(at("ledger"), &text).unwrap();
        settings.ledger.as_mut().unwrap().public_key = "00".repeat(32);
        assert_eq!(told(&settings), [LEDGER_KEY]);
        settings.firmware.listen = Some(settings.http.address);
        assert_eq!(told(&settings), [LEDGER_KEY, LISTEN]);
    }
}
