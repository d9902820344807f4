//! Where tiles and the published checkpoint live: files here, S3 objects when one machine is outgrown.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The index refused.
    #[error("the index: {0}")]
    Index(#[from] rusqlite::Error),
    /// Something that must be there is not.
    #[error("{0} is missing; run `ledgerd fsck`")]
    Missing(String),
    /// The index holds a value it never writes.
    #[error("the index holds an impossible {0}; run `ledgerd fsck`")]
    Impossible(&'static str),
    /// An entry too long for a bundle.
    #[error("an entry of {0} bytes does not fit a bundle")]
    TooLong(usize),
}

impl StorageError {
    /// Wraps an I/O error with its path.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Small immutable objects by path, and one that is replaced: `checkpoint`.
pub trait Objects: Send + Sync {
    /// The bytes at a path, if there are any.
    ///
    /// # Errors
    /// The store cannot be read.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// Stores all of them; when this returns they survive a power cut.
    ///
    /// # Errors
    /// The store refused one; others may have been written.
    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> Result<(), StorageError>;

    /// Forgets these, where they exist.
    ///
    /// # Errors
    /// The store refused.
    fn remove(&self, paths: &[String]) -> Result<(), StorageError>;

    /// Overwrites and forgets one, if it exists; when this returns, that survives a power cut. What the medium below keeps of
    /// old sectors, or a bucket of old versions, is beyond it.
    ///
    /// # Errors
    /// The store refused.
    fn erase(&self, path: &str) -> Result<(), StorageError>;

    /// Every path that begins with this, sorted. For `fsck`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn paths(&self, prefix: &str) -> Result<Vec<String>, StorageError>;
}

/// Objects as files below one directory.
///
/// A file is written under a temporary name, fsynced, renamed, and then each directory that changed is fsynced once: a
/// reader, before or after a power cut, sees the whole file or none.
#[derive(Debug)]
pub struct FileObjects {
    root: PathBuf,
    next: AtomicU64,
}

/// Files whose names begin so are leftovers of a crash.
pub(crate) const TEMPORARY: &str = ".tmp-";

impl FileObjects {
    /// Below this directory.
    pub const fn new(root: PathBuf) -> Self {
        Self { root, next: AtomicU64::new(0) }
    }

    fn temporary(&self, target: &Path) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        target.with_file_name(format!("{TEMPORARY}{}-{number}", std::process::id()))
    }

    fn walk(&self, at: &Path, found: &mut Vec<String>) -> Result<(), StorageError> {
        let entries = match fs::read_dir(at) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StorageError::io(at)(error)),
        };
        for entry in entries {
            let path = entry.map_err(StorageError::io(at))?.path();
            if path.is_dir() {
                self.walk(&path, found)?;
            } else if let Some(name) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) {
                found.push(name.to_owned());
            }
        }
        Ok(())
    }
}

impl Objects for FileObjects {
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.root.join(path);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(StorageError::io(&path)(error)),
        }
    }

    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> Result<(), StorageError> {
        let mut touched = BTreeSet::new();
        for (path, bytes) in objects {
            let target = self.root.join(path);
            create_parents(&target, &self.root, &mut touched)?;
            let temporary = self.temporary(&target);
            write_synced(&temporary, bytes)?;
            fs::rename(&temporary, &target).map_err(StorageError::io(&target))?;
        }
        touched.iter().try_for_each(|directory| sync_directory(directory))
    }

    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        for path in paths {
            let path = self.root.join(path);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StorageError::io(&path)(error)),
                _ => {}
            }
            // The directory of partial widths goes with its last file.
            if let Some(parent) = path.parent().filter(|p| p.extension().is_some_and(|e| e == "p")) {
                let _not_empty_yet = fs::remove_dir(parent);
            }
        }
        Ok(())
    }

    fn erase(&self, path: &str) -> Result<(), StorageError> {
        let path = self.root.join(path);
        let erased = (|| {
            let mut file = match OpenOptions::new().write(true).open(&path) {
                Ok(file) => file,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
            file.write_all(&vec![0; length])?;
            file.sync_all()?;
            fs::remove_file(&path)
        })();
        erased.map_err(StorageError::io(&path))?;
        match path.parent().filter(|parent| parent.is_dir()) {
            Some(parent) => sync_directory(parent),
            None => Ok(()),
        }
    }

    fn paths(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let mut found = Vec::new();
        self.walk(&self.root.join(prefix), &mut found)?;
        found.sort();
        Ok(found)
    }
}

/// Writes a new file and fsyncs it.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    written.map_err(|error| {
        let _leftover = fs::remove_file(path);
        StorageError::io(path)(error)
    })
}

/// Makes the directories above a file, and notes every directory that must be fsynced for the file to be found again.
pub(crate) fn create_parents(target: &Path, root: &Path, touched: &mut BTreeSet<PathBuf>) -> Result<(), StorageError> {
    let Some(parent) = target.parent() else { return Ok(()) };
    let mut missing = Vec::new();
    let mut at = parent;
    while !at.exists() && at != root {
        missing.push(at);
        let Some(above) = at.parent() else { break };
        at = above;
    }
    for directory in missing.iter().rev() {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StorageError::io(directory)(error));
            }
            _ => {}
        }
        touched.extend(directory.parent().map(Path::to_owned));
    }
    touched.insert(parent.to_owned());
    Ok(())
}

/// Makes renames and new names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StorageError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(StorageError::io(path))
}

/// Objects in memory, for tests of the tree.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct MemoryObjects(parking_lot::Mutex<std::collections::BTreeMap<String, Vec<u8>>>);

#[cfg(test)]
impl Objects for MemoryObjects {
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.lock().get(path).cloned())
    }
    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> Result<(), StorageError> {
        self.0.lock().extend(objects.iter().cloned());
        Ok(())
    }
    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        let mut held = self.0.lock();
        paths.iter().for_each(|path| {
            held.remove(path);
        });
        Ok(())
    }
    fn erase(&self, path: &str) -> Result<(), StorageError> {
        self.0.lock().remove(path);
        Ok(())
    }
    fn paths(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        Ok(self.0.lock().keys().filter(|path| path.starts_with(prefix)).cloned().collect())
    }
}
