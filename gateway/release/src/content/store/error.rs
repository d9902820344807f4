//! Why a content could not be stored or read.

use std::io;
use std::path::PathBuf;

use ledger_block::content::ContentId;

/// Why a content could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No space left on the disk, the reserve left out.
    #[error(
        "{path}: the disk is full: {needed} bytes are needed and {free} are free beside the reserve; free some space"
    )]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free beside the reserve.
        free: u64,
    },
    /// The store's own bound.
    #[error("{needed} bytes do not fit: contents in use take {used} of {bytes_max}; raise firmware.store_bytes_max")]
    NoRoom {
        /// Bytes needed.
        needed: u64,
        /// Bytes in use.
        used: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// Never admitted.
    #[error("content {0} is not in the store")]
    Unknown(ContentId),
    /// Groups are still missing.
    #[error("content {content} lacks {missing} groups")]
    Incomplete {
        /// Which.
        content: ContentId,
        /// How many.
        missing: u32,
    },
    /// The bytes have the right BLAKE3 and another SHA-256 than the manifest says: the manifest contradicts itself.
    #[error("content {content} has SHA-256 {found}, its manifest says {expected}: that release is not to be trusted")]
    Sha256 {
        /// Which.
        content: ContentId,
        /// As measured, hexadecimal.
        found: String,
        /// As stated.
        expected: String,
    },
    /// The name is here already under another size or SHA-256.
    #[error("content {0} is in the store with another size or SHA-256; one of the two manifests lies")]
    OtherSha(ContentId),
    /// A file to be taken in is another content.
    #[error("{path} is content {found}, not {expected}")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Its BLAKE3.
        found: ContentId,
        /// The BLAKE3 wanted.
        expected: ContentId,
    },
    /// Bytes on disk are no longer what was verified.
    #[error("content {0} rotted on disk: it is fetched again")]
    Rotten(ContentId),
    /// The `about` file is none.
    #[error("{0} is damaged; remove its folder and fetch the content again")]
    About(PathBuf),
}
