//! Whether a package is let in. Deny by default: signed by somebody trusted, newer than what there is, asking for no more than
//! was granted, and true to its own cases.

use ledger_block::note::VerifierKey;
use pitchside_model::PluginName;
use pitchside_script::manifest::{Chosen, PluginKind};
use pitchside_script::package::{Digest, Package, PackageError};

use super::signature::{self, SignatureError};
use super::{failures, folder};

/// Why a package is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is none.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// It comes without a note.
    #[error("the package is not signed: there is no {0}; its maker signs it with `pitchside plugin sign`")]
    Unsigned(String),
    /// Nobody trusted vouches for it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is there already.
    #[error("{name} {version} is installed already")]
    Already {
        /// Which plugin.
        name: PluginName,
        /// Which version.
        version: String,
    },
    /// It is no newer than what there is.
    #[error(
        "{name} {version} is no newer than {installed}, which is installed: a downgrade is refused; `pitchside plugin rollback {name}` goes back to the version before"
    )]
    Downgrade {
        /// Which plugin.
        name: PluginName,
        /// Its version.
        version: String,
        /// What there is.
        installed: String,
    },
    /// It is of another kind than what there is.
    #[error("{name} is a {is} now, and was a {was}: remove the old one first, or give the new one another name")]
    Kind {
        /// Which plugin.
        name: PluginName,
        /// What it is.
        is: PluginKind,
        /// What there is.
        was: PluginKind,
    },
    /// It asks for more than it was granted.
    #[error("{name} asks for what it was not granted: {}; to grant it, add: {}", .asks.join(", "), .asks.iter().map(|a| format!("--grant {a}")).collect::<Vec<_>>().join(" "))]
    Capabilities {
        /// Which plugin.
        name: PluginName,
        /// What was not granted.
        asks: Vec<String>,
    },
    /// A grant for what it does not ask for: a slip, most likely.
    #[error("{name} does not ask for {grant}: grant what it asks for, and nothing else")]
    NotAsked {
        /// Which plugin.
        name: PluginName,
        /// What was granted.
        grant: String,
    },
    /// Its script or its cases do not hold.
    #[error("{name} fails its own cases:\n{}", .failures.join("\n"))]
    Cases {
        /// Which plugin.
        name: PluginName,
        /// What fails.
        failures: Vec<String>,
    },
}

impl Refusal {
    /// Whether something was changed after it was signed.
    pub const fn is_tampered(&self) -> bool {
        matches!(self, Self::Signature(error) if error.is_tampered())
    }
}

/// A plugin that is there: its package if it was installed, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The package; none for the library's.
    pub digest: Option<Digest>,
    /// What it is for.
    pub kind: PluginKind,
    /// Three numbers, to compare by.
    pub order: [u32; 3],
    /// As written.
    pub version: String,
}

/// What decides.
pub struct Scales<'a> {
    /// Keys whose plugins are let in.
    pub trusted: &'a [VerifierKey],
    /// What it was granted before.
    pub granted: &'a [String],
    /// What is granted with it.
    pub grants: &'a [String],
    /// What an admin set of it before. What it asks for by a name that is not set yet is granted once it is.
    pub chosen: &'a Chosen,
}

/// A package that was signed by somebody trusted.
#[derive(Debug)]
pub struct Vouched {
    /// What came.
    pub package: Package,
    /// Who vouches for it.
    pub signer: String,
}

/// Reads a package and finds out who vouches for it.
pub fn vouch(archive: &[u8], note: &[u8], trusted: &[VerifierKey]) -> Result<Vouched, Refusal> {
    let package = Package::open(archive)?;
    let signer = signature::verify(&package, note, trusted)?;
    Ok(Vouched { package, signer })
}

/// Whether a package that somebody vouches for may be there instead of `present`.
pub fn weigh(vouched: &Vouched, present: Option<&Present>, scales: &Scales<'_>) -> Result<(), Refusal> {
    let manifest = &vouched.package.manifest;
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    if let Some(present) = present {
        if present.digest == Some(vouched.package.digest) {
            return Err(Refusal::Already { name, version });
        }
        if manifest.kind != present.kind {
            return Err(Refusal::Kind { name, is: manifest.kind, was: present.kind });
        }
        if manifest.order() <= present.order {
            return Err(Refusal::Downgrade { name, version, installed: present.version.clone() });
        }
    }
    let asked = manifest.asks(scales.chosen).0.iter().map(ToString::to_string).collect::<Vec<_>>();
    if let Some(grant) = scales.grants.iter().find(|grant| !asked.contains(grant)) {
        return Err(Refusal::NotAsked { name, grant: grant.clone() });
    }
    let is_granted = |asked: &String| scales.granted.contains(asked) || scales.grants.contains(asked);
    let asks: Vec<String> = asked.into_iter().filter(|asked| !is_granted(asked)).collect();
    if !asks.is_empty() {
        return Err(Refusal::Capabilities { name, asks });
    }
    let failures = folder(&vouched.package).map_or_else(|error| vec![error.to_string()], |folder| failures(&folder));
    if failures.is_empty() { Ok(()) } else { Err(Refusal::Cases { name, failures }) }
}
