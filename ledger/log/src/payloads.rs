//! Block payloads by BLAKE3: uploaded in pieces that resume, checked as a whole, kept beside the log.
//!
//! `payloads/ab/<64 hex>` holds a whole payload, `partial/<gateway>/<64 hex>` the bytes of one that is still arriving.
//! Nothing of a partial upload is fsynced: after a power cut its bytes may be wrong, the final hash finds that, and the
//! upload begins again. A whole payload is fsynced under its partial name, renamed, and its directory fsynced, before
//! anything may refer to it. None takes the room on the disk that is kept for the log (`room.rs`).

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use ledger_block::ingest::DeviceId;
use parking_lot::Mutex;

use crate::objects::{StorageError, create_parents, sync_directory};
use crate::room::{Bulk, Disk, NoRoom};

/// Uploads one gateway may have unfinished; beyond it the oldest is forgotten (it can always begin again).
pub const PARTIALS_MAX: usize = 64;

/// Why a piece or a whole payload was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The piece does not begin where the held bytes end.
    #[error("the ledger holds {expected} bytes; go on from there")]
    WrongOffset {
        /// Bytes held.
        expected: u64,
    },
    /// The whole does not have the length or hash it should; the partial upload is forgotten.
    #[error("the bytes do not hash to the payload's name")]
    Mismatch,
    /// The disk has no room but the log's; what is held stays, and the upload goes on from there.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Where payloads live.
pub trait Payloads: Send + Sync {
    /// Length of a payload that is here as a whole.
    ///
    /// # Errors
    /// The store cannot be read.
    fn whole(&self, payload: &[u8; 32]) -> Result<Option<u64>, StorageError>;

    /// Bytes held of an unfinished upload.
    ///
    /// # Errors
    /// The store cannot be read.
    fn held(&self, gateway: &DeviceId, payload: &[u8; 32]) -> Result<u64, StorageError>;

    /// Adds a piece; gives the bytes now held.
    ///
    /// # Errors
    /// The piece begins elsewhere than at the end of what is held, there is no room for it, or the store refused.
    fn append(&self, gateway: &DeviceId, payload: &[u8; 32], offset: u64, piece: &[u8]) -> Result<u64, PayloadError>;

    /// Checks length and hash; when this returns, the payload is whole and survives a power cut.
    ///
    /// # Errors
    /// Length or hash differ, or the store refused.
    fn finish(&self, gateway: &DeviceId, payload: &[u8; 32], length: u64) -> Result<(), PayloadError>;

    /// Bytes of a whole payload from an offset, at most `max`; none if it is not here.
    ///
    /// # Errors
    /// The store cannot be read.
    fn read(&self, payload: &[u8; 32], offset: u64, max: usize) -> Result<Option<Vec<u8>>, StorageError>;

    /// BLAKE3 and length of the bytes that are really there. For `fsck`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn measure(&self, payload: &[u8; 32]) -> Result<Option<([u8; 32], u64)>, StorageError>;
}

/// Payloads as files.
#[derive(Debug)]
pub struct FilePayloads {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    // Two connections of one gateway may upload the same payload; pieces are checked and written under this lock.
    writing: Mutex<()>,
}

impl FilePayloads {
    /// Below this directory, on this disk.
    pub const fn new(root: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { root, disk, writing: Mutex::new(()) }
    }

    /// The file of a whole payload.
    pub fn path(&self, payload: &[u8; 32]) -> PathBuf {
        let name = HEXLOWER.encode(payload);
        self.root.join("payloads").join(name.get(..2).unwrap_or_default()).join(name)
    }

    fn partials(&self, gateway: &DeviceId) -> PathBuf {
        self.root.join("partial").join(gateway.as_str())
    }

    fn partial(&self, gateway: &DeviceId, payload: &[u8; 32]) -> PathBuf {
        self.partials(gateway).join(HEXLOWER.encode(payload))
    }

    fn forget_oldest(&self, gateway: &DeviceId) -> Result<(), StorageError> {
        let directory = self.partials(gateway);
        fs::create_dir_all(&directory).map_err(StorageError::io(&directory))?;
        let mut held = Vec::new();
        for entry in fs::read_dir(&directory).map_err(StorageError::io(&directory))? {
            let entry = entry.map_err(StorageError::io(&directory))?;
            let changed = entry.metadata().and_then(|m| m.modified()).map_err(StorageError::io(&directory))?;
            held.push((changed, entry.path()));
        }
        held.sort();
        let excess = (held.len() + 1).saturating_sub(PARTIALS_MAX);
        for (_, path) in held.iter().take(excess) {
            fs::remove_file(path).map_err(StorageError::io(path))?;
        }
        Ok(())
    }
}

fn length(path: &Path) -> Result<Option<u64>, StorageError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io(path)(error)),
    }
}

fn hash(path: &Path) -> io::Result<([u8; 32], u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0u8; 1 << 16];
    let mut total = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((*hasher.finalize().as_bytes(), total));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        total += count as u64;
    }
}

impl Payloads for FilePayloads {
    fn whole(&self, payload: &[u8; 32]) -> Result<Option<u64>, StorageError> {
        length(&self.path(payload))
    }

    fn held(&self, gateway: &DeviceId, payload: &[u8; 32]) -> Result<u64, StorageError> {
        Ok(length(&self.partial(gateway, payload))?.unwrap_or(0))
    }

    fn append(&self, gateway: &DeviceId, payload: &[u8; 32], offset: u64, piece: &[u8]) -> Result<u64, PayloadError> {
        let _one_writer = self.writing.lock();
        let path = self.partial(gateway, payload);
        let held = length(&path)?;
        if held.unwrap_or(0) != offset {
            return Err(PayloadError::WrongOffset { expected: held.unwrap_or(0) });
        }
        self.disk.space()?.fits(piece.len() as u64, Bulk::Gateway)?;
        if held.is_none() {
            self.forget_oldest(gateway)?;
        }
        let written = (|| {
            let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
            // A short write (disk full) leaves a length that is a truth: the next piece begins there.
            file.write_all(piece)?;
            Ok(offset + piece.len() as u64)
        })();
        written.map_err(|error| StorageError::io(&path)(error).into())
    }

    fn finish(&self, gateway: &DeviceId, payload: &[u8; 32], expected: u64) -> Result<(), PayloadError> {
        let _one_writer = self.writing.lock();
        let (partial, whole) = (self.partial(gateway, payload), self.path(payload));
        if length(&whole)?.is_some_and(|held| held == expected) {
            return Ok(());
        }
        if length(&partial)?.is_none() {
            // An empty payload never sees a piece.
            self.forget_oldest(gateway)?;
            File::create(&partial).map_err(StorageError::io(&partial))?;
        }
        let (found, held) = hash(&partial).map_err(StorageError::io(&partial))?;
        if found != *payload || held != expected {
            fs::remove_file(&partial).map_err(StorageError::io(&partial))?;
            return Err(PayloadError::Mismatch);
        }
        let mut touched = BTreeSet::new();
        create_parents(&whole, &self.root, &mut touched)?;
        File::open(&partial).and_then(|file| file.sync_all()).map_err(StorageError::io(&partial))?;
        fs::rename(&partial, &whole).map_err(StorageError::io(&whole))?;
        touched.iter().try_for_each(|directory| sync_directory(directory))?;
        Ok(())
    }

    fn read(&self, payload: &[u8; 32], offset: u64, max: usize) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.path(payload);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io(&path)(error)),
        };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(max as u64).read_to_end(&mut bytes))
            .map_err(StorageError::io(&path))?;
        Ok(Some(bytes))
    }

    fn measure(&self, payload: &[u8; 32]) -> Result<Option<([u8; 32], u64)>, StorageError> {
        let path = self.path(payload);
        match hash(&path) {
            Ok(measured) => Ok(Some(measured)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io(&path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::TestDisk;

    fn open(dir: &Path, free: u64) -> FilePayloads {
        FilePayloads::new(dir.to_owned(), Arc::new(TestDisk::with(free)))
    }

    fn store() -> (tempfile::TempDir, FilePayloads, DeviceId) {
        let dir = tempfile::tempdir().unwrap();
        let payloads = open(dir.path(), 1 << 30);
        (dir, payloads, DeviceId::parse("box-1").unwrap())
    }

    #[test]
    fn an_upload_resumes_where_it_stopped_and_is_whole_only_after_its_hash_was_checked() {
        let (dir, payloads, gateway) = store();
        let bytes = vec![7u8; 100_000];
        let name = *blake3::hash(&bytes).as_bytes();
        assert_eq!(payloads.append(&gateway, &name, 0, &bytes[..60_000]).unwrap(), 60_000);
        let again = open(dir.path(), 1 << 30);
        assert_eq!(again.held(&gateway, &name).unwrap(), 60_000);
        let wrong = again.append(&gateway, &name, 0, &bytes[..10]);
        assert!(matches!(wrong, Err(PayloadError::WrongOffset { expected: 60_000 })));
        again.append(&gateway, &name, 60_000, &bytes[60_000..]).unwrap();
        assert_eq!(again.whole(&name).unwrap(), None);
        again.finish(&gateway, &name, 100_000).unwrap();
        again.finish(&gateway, &name, 100_000).unwrap();
        assert_eq!(again.whole(&name).unwrap(), Some(100_000));
        assert_eq!(again.read(&name, 99_990, 50).unwrap().unwrap(), &bytes[99_990..]);
        assert_eq!(again.held(&gateway, &name).unwrap(), 0);
    }

    #[test]
    fn a_payload_that_does_not_hash_to_its_name_is_forgotten() {
        let (_dir, payloads, gateway) = store();
        payloads.append(&gateway, &[1; 32], 0, b"not that").unwrap();
        assert!(matches!(payloads.finish(&gateway, &[1; 32], 8), Err(PayloadError::Mismatch)));
        assert_eq!(payloads.held(&gateway, &[1; 32]).unwrap(), 0);
        assert_eq!(payloads.whole(&[1; 32]).unwrap(), None);
    }

    #[test]
    fn a_payload_leaves_the_log_its_room_and_goes_on_when_there_is_more() {
        let (dir, payloads, gateway) = store();
        payloads.append(&gateway, &[1; 32], 0, b"half").unwrap();
        let reserve = Bulk::Gateway.reserve(64 << 30);
        let full = open(dir.path(), reserve + 3);
        let refused = full.append(&gateway, &[1; 32], 4, b"more");
        assert!(matches!(refused, Err(PayloadError::NoRoom(NoRoom { needed: 4, .. }))), "{refused:?}");
        assert!(matches!(full.append(&gateway, &[2; 32], 0, b"more"), Err(PayloadError::NoRoom(_))));
        assert_eq!(open(dir.path(), reserve + 4).append(&gateway, &[1; 32], 4, b"more").unwrap(), 8);
    }

    #[test]
    fn unfinished_uploads_are_bounded() {
        let (dir, payloads, gateway) = store();
        for n in 0..PARTIALS_MAX + 9 {
            let mut name = [0; 32];
            name[0] = u8::try_from(n).unwrap();
            payloads.append(&gateway, &name, 0, b"x").unwrap();
        }
        assert_eq!(fs::read_dir(dir.path().join("partial/box-1")).unwrap().count(), PARTIALS_MAX);
    }
}
