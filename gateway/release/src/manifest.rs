//! Manifests as the ledger's formats have them (`ledger_block::release`), and the check of the bytes they name.

use std::io::{self, Read};

use ledger_block::content::GROUP_BYTES;
pub use ledger_block::release::{
    Component, HardwareId, Kid, MANIFEST_BYTES_MAX, Manifest, ManifestError, PolicyId, ReleaseId, ReleaseKey,
    ReleasePolicy, SIGNED_BYTES_MAX, SIZE_MAX, SecurityCounter, SignedManifest, SignedPolicy, Target, Version,
};
use sha2::{Digest as _, Sha256};

/// What names some bytes: as a manifest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentNames {
    /// How many.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// Their BLAKE3.
    pub blake3: [u8; 32],
}

/// Why bytes are not those a manifest names.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// They cannot be read.
    #[error("reading the content: {0}")]
    Io(#[from] io::Error),
    /// Too many for any release.
    #[error("a release has at most {SIZE_MAX} bytes, these are more")]
    TooLarge,
    /// Another number of them.
    #[error("the manifest names {want} bytes, these are {have}")]
    Size {
        /// Bytes given.
        have: u64,
        /// Bytes named.
        want: u64,
    },
    /// One of the two hashes fits and the other does not: a manifest put together from two releases.
    #[error("the {fits} is the manifest's and the {differs} is not: a mix of two releases; nothing was taken")]
    Mixed {
        /// The hash that fits.
        fits: &'static str,
        /// The hash that does not.
        differs: &'static str,
    },
    /// Other bytes altogether.
    #[error("these are not the bytes the manifest names")]
    Other,
}

impl ContentNames {
    /// Reads bytes to their end and names them.
    ///
    /// # Errors
    /// They cannot be read, or are more than any release has.
    pub fn of(mut bytes: impl Read) -> Result<Self, ContentError> {
        let (mut sha256, mut blake3) = (Sha256::new(), blake3::Hasher::new());
        let mut buffer = vec![0; usize::try_from(GROUP_BYTES).unwrap_or(16_384)];
        let mut size = 0u64;
        loop {
            let count = match bytes.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            size += count as u64;
            if size > SIZE_MAX {
                return Err(ContentError::TooLarge);
            }
            let part = buffer.get(..count).unwrap_or_default();
            sha256.update(part);
            blake3.update(part);
        }
        Ok(Self { size, sha256: sha256.finalize().into(), blake3: *blake3.finalize().as_bytes() })
    }

    /// Whether these are the bytes the manifest names: by size and by both hashes.
    ///
    /// # Errors
    /// They are not, or only half of it is true.
    pub fn check(&self, manifest: &Manifest) -> Result<(), ContentError> {
        match (self.sha256 == manifest.sha256, self.blake3 == manifest.blake3) {
            (true, false) => Err(ContentError::Mixed { fits: "SHA-256", differs: "BLAKE3" }),
            (false, true) => Err(ContentError::Mixed { fits: "BLAKE3", differs: "SHA-256" }),
            _ if self.size != manifest.size => Err(ContentError::Size { have: self.size, want: manifest.size }),
            (false, false) => Err(ContentError::Other),
            (true, true) => Ok(()),
        }
    }
}
