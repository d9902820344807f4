//! A plugin as one file: a ustar archive of four text files, the same bytes whoever packs them, named by its SHA-256.
//! README.md of this crate draws it. No I/O.
//!
//! | module | holds |
//! | --- | --- |
//! | [`tar`] | the archive: one spelling, everything else refused |

pub mod tar;
#[cfg(test)]
mod tests;

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::manifest::{PluginKind, PluginManifest};
use crate::problem::Problem;
use tar::TarError;

/// The most bytes of an archive.
pub const PACKAGE_BYTES_MAX: usize = 2 << 20;

const README: &str = "README.md";
const CASES: &str = "cases.txt";
const MANIFEST: &str = "plugin.toml";

/// The SHA-256 of an archive (FIPS 180-4): its name. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of an archive.
    pub fn of(archive: &[u8]) -> Self {
        Self(Sha256::digest(archive).into())
    }

    /// Reads 64 small hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 || digits.iter().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The files of a plugin, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFiles {
    /// `plugin.toml`.
    pub manifest: String,
    /// The script; how its file is called, the manifest's kind says.
    pub script: String,
    /// `cases.txt`.
    pub cases: String,
    /// `README.md`.
    pub readme: String,
}

/// An archive that was read and is whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    /// What it calls itself.
    pub manifest: PluginManifest,
    /// Its files.
    pub files: PackageFiles,
    /// Its name.
    pub digest: Digest,
}

/// Why files make no package, or bytes are none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PackageError {
    /// Longer than [`PACKAGE_BYTES_MAX`].
    #[error("the package has {0} bytes; at most {PACKAGE_BYTES_MAX} are read")]
    TooLong(usize),
    /// Not the archive it should be.
    #[error("the package is not what `pitchside plugin pack` makes: {0}")]
    Tar(TarError),
    /// A version that can be written shorter: `01.2.0` and `1.2.0` would be two names of one.
    #[error("version {0} has a number that begins with 0: write it without")]
    Version(String),
    /// A file is missing, or there is one too many.
    #[error("a package of a {kind} holds {wanted}; this one holds {found}")]
    Files {
        /// Its kind.
        kind: PluginKind,
        /// What belongs there.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// No manifest to tell what it is.
    #[error("the package holds no plugin.toml")]
    NoManifest,
    /// Not text.
    #[error("{0} is not UTF-8")]
    NotText(String),
    /// The manifest is faulty.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Manifest(Vec<Problem>),
}

/// Not derived: what it says is said above, and as its source it would be said twice.
impl From<TarError> for PackageError {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

/// The names of a plugin's files, in the order they lie in the archive.
fn names(kind: PluginKind) -> [&'static str; 4] {
    let mut names = [README, CASES, kind.script_file(), MANIFEST];
    names.sort_unstable();
    names
}

/// The archive of a plugin: the same files give the same bytes.
pub fn pack(files: &PackageFiles) -> Result<Vec<u8>, PackageError> {
    let manifest = PluginManifest::parse(MANIFEST, &files.manifest).map_err(PackageError::Manifest)?;
    // What is installed by such a version stays readable; no new one is made.
    if manifest.version.split('.').any(|number| number.len() > 1 && number.starts_with('0')) {
        return Err(PackageError::Version(manifest.version));
    }
    let content = |name: &str| match name {
        README => files.readme.as_bytes(),
        CASES => files.cases.as_bytes(),
        MANIFEST => files.manifest.as_bytes(),
        _ => files.script.as_bytes(),
    };
    let entries: Vec<(&str, &[u8])> = names(manifest.kind).into_iter().map(|name| (name, content(name))).collect();
    let archive = tar::write(&entries)?;
    if archive.len() > PACKAGE_BYTES_MAX { Err(PackageError::TooLong(archive.len())) } else { Ok(archive) }
}

impl Package {
    /// Reads an archive. What [`pack`] would not have written, byte for byte, is refused.
    pub fn open(archive: &[u8]) -> Result<Self, PackageError> {
        if archive.len() > PACKAGE_BYTES_MAX {
            return Err(PackageError::TooLong(archive.len()));
        }
        let entries = tar::read(archive)?;
        let text = |name: &str| -> Option<Result<String, PackageError>> {
            let (_, bytes) = entries.iter().find(|(known, _)| *known == name)?;
            let text = std::str::from_utf8(bytes).map(str::to_owned);
            Some(text.map_err(|_| PackageError::NotText(name.to_owned())))
        };
        let manifest_text = text(MANIFEST).ok_or(PackageError::NoManifest)??;
        let manifest = PluginManifest::parse(MANIFEST, &manifest_text).map_err(PackageError::Manifest)?;
        let (kind, wanted) = (manifest.kind, names(manifest.kind));
        if entries.iter().map(|(name, _)| *name).ne(wanted) {
            let found = entries.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            return Err(PackageError::Files { kind, wanted: wanted.join(", "), found });
        }
        let file = |name: &str| text(name).unwrap_or(Err(PackageError::NoManifest));
        let files = PackageFiles {
            script: file(kind.script_file())?,
            cases: file(CASES)?,
            readme: file(README)?,
            manifest: manifest_text,
        };
        Ok(Self { manifest, files, digest: Digest::of(archive) })
    }
}
