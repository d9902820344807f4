//! Room on the disk. The log's own leaves and checkpoints find it before the bytes that others hand in: payloads of blocks leave
//! some of it free, contents of releases more. So an upload of firmware ends before it holds up a block, and a block before
//! it holds up a pause or an abort.

use std::fmt::Debug;
use std::path::PathBuf;

use crate::objects::StorageError;

/// Bytes as others hand them in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bulk {
    /// A gateway's: payloads of blocks, copies of keys.
    Gateway,
    /// A publisher's: contents of releases.
    Content,
}

impl Bulk {
    /// What these bytes leave free of a disk: a fixed number of bytes, of a small disk a share of it. The index alone writes some
    /// megabytes before it takes up its own space again.
    pub const fn reserve(self, total: u64) -> u64 {
        let (most, share) = match self {
            Self::Gateway => (64 << 20, total / 16),
            Self::Content => (256 << 20, total / 8),
        };
        if share < most { share } else { most }
    }
}

/// What a disk has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// In all; 0 where a file system does not say.
    pub total: u64,
    /// Free for us.
    pub free: u64,
}

/// There is too little of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} bytes more do not fit: {free} are free on the ledger's disk, and {reserve} of them are kept for its log; the \
     operator makes room"
)]
pub struct NoRoom {
    /// Bytes that are still to come.
    pub needed: u64,
    /// Bytes free.
    pub free: u64,
    /// Those of them that stay free.
    pub reserve: u64,
}

impl Space {
    /// Whether so many bytes more fit. Where the file system does not say what it has, they do, until it refuses them.
    ///
    /// # Errors
    /// They would take what is kept for the log.
    pub fn fits(self, needed: u64, bulk: Bulk) -> Result<(), NoRoom> {
        let reserve = bulk.reserve(self.total);
        if self.total == 0 || self.free.checked_sub(reserve).is_some_and(|left| needed <= left) {
            return Ok(());
        }
        Err(NoRoom { needed, free: self.free, reserve })
    }
}

/// Where everything is kept: asked before bytes are taken.
pub trait Disk: Debug + Send + Sync {
    /// What it has at present.
    ///
    /// # Errors
    /// It cannot be asked.
    fn space(&self) -> Result<Space, StorageError>;
}

/// The file system of a directory.
#[derive(Debug)]
pub struct FileDisk(PathBuf);

impl FileDisk {
    /// The one this directory, which must be there, lies on.
    pub const fn of(directory: PathBuf) -> Self {
        Self(directory)
    }
}

impl Disk for FileDisk {
    fn space(&self) -> Result<Space, StorageError> {
        let path = self.0.as_path();
        let state = rustix::fs::statvfs(path).map_err(|error| StorageError::io(path)(error.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(state.f_frsize);
        // Not `f_bfree`: part of that is the root user's.
        Ok(Space { total: bytes(state.f_blocks), free: bytes(state.f_bavail) })
    }
}

/// A disk of 64 GiB for tests, with as much free as they say.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(crate) struct TestDisk(std::sync::Arc<std::sync::atomic::AtomicU64>);

#[cfg(test)]
impl TestDisk {
    pub fn with(free: u64) -> Self {
        let disk = Self::default();
        disk.leave(free);
        disk
    }

    pub fn leave(&self, free: u64) {
        self.0.store(free, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
impl Disk for TestDisk {
    fn space(&self) -> Result<Space, StorageError> {
        Ok(Space { total: 64 << 30, free: self.0.load(std::sync::atomic::Ordering::SeqCst) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn contents_stop_before_payloads_and_payloads_before_the_log() {
        let space = |free| Space { total: 64 << 30, free };
        assert_eq!(space(257 * MIB).fits(MIB, Bulk::Content), Ok(()));
        let no_room = NoRoom { needed: MIB + 1, free: 257 * MIB, reserve: 256 * MIB };
        assert_eq!(space(257 * MIB).fits(MIB + 1, Bulk::Content), Err(no_room));
        assert_eq!(space(257 * MIB).fits(MIB + 1, Bulk::Gateway), Ok(()), "blocks go on");
        assert!(space(64 * MIB).fits(1, Bulk::Gateway).is_err(), "the rest is the log's");
        assert!(space(u64::MAX).fits(u64::MAX, Bulk::Content).is_err());
    }

    #[test]
    fn a_small_disk_is_not_all_reserve_and_one_that_does_not_say_is_not_full() {
        assert_eq!(Bulk::Content.reserve(64 * MIB), 8 * MIB);
        assert_eq!(Bulk::Gateway.reserve(64 * MIB), 4 * MIB);
        assert_eq!(Space { total: 0, free: 0 }.fits(1, Bulk::Content), Ok(()));
    }

    #[test]
    fn a_real_disk_says_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let space = FileDisk::of(dir.path().to_owned()).space().unwrap();
        assert!(space.free <= space.total, "{space:?}");
        assert!(FileDisk::of(dir.path().join("absent")).space().is_err());
    }
}
