//! The files of contents: found, measured, forgotten.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ledger_block::content::{ContentId, ReadAt, Shape, slice};
use sha2::{Digest as _, Sha256};

use crate::objects::StorageError;

/// Reads anywhere in a file.
pub(super) struct At(pub File);

impl ReadAt for At {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, bytes, offset)
    }
}

/// Hashes what is read through it.
struct Tee<R>(R, Sha256);

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(bytes)?;
        self.1.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }
}

pub(super) fn length(path: &Path) -> Result<Option<u64>, StorageError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io(path)(error)),
    }
}

/// Removes what is arriving: a file of bytes, or a folder that was being made.
pub(super) fn remove(path: &Path) -> Result<(), StorageError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(StorageError::io(path))
}

/// The declared size of a part, from its name.
pub(super) fn size_of(part: &Path) -> Option<u64> {
    part.file_name()?.to_str()?.split_once('-')?.1.parse().ok()
}

pub(super) fn entries(directory: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let read = match fs::read_dir(directory) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StorageError::io(directory)(error)),
    };
    read.map(|entry| entry.map(|entry| entry.path()).map_err(StorageError::io(directory))).collect()
}

pub(super) fn open(path: &Path) -> Result<Option<At>, StorageError> {
    match File::open(path) {
        Ok(file) => Ok(Some(At(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io(path)(error)),
    }
}

/// Names, SHA-256 and outboard of a file; none if it is gone or shorter than its shape.
pub(super) fn measure(path: &Path, shape: Shape) -> Result<Option<(ContentId, [u8; 32], Vec<u8>)>, StorageError> {
    let file = match File::open(path) {
        Ok(file) => file,
        // Taken out to be mended, since somebody looked.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io(path)(error)),
    };
    let mut tee = Tee(io::BufReader::with_capacity(1 << 18, file), Sha256::new());
    match slice::outboard(shape, &mut tee) {
        Ok((content, outboard)) => Ok(Some((content, tee.1.finalize().into(), outboard))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(StorageError::io(path)(error)),
    }
}
