//! Where bytes lie: files, and in tests something that loses what was not synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub use ledger_block::content::ReadAt;

/// Bytes of fixed length at places.
pub trait Medium: ReadAt + Send + Sync {
    /// Writes all bytes at a place. Not durable before [`Medium::sync`].
    ///
    /// # Errors
    /// The medium refused; some of the bytes may be there.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all that was written before survive a power cut.
    ///
    /// # Errors
    /// The medium refused; nothing is known about what was written.
    fn sync(&self) -> io::Result<()>;
}

/// A file.
#[derive(Debug)]
pub struct Disk(pub File);

impl ReadAt for Disk {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(&self.0, bytes, offset)
    }
}

impl Medium for Disk {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
