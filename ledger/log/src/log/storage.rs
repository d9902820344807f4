//! The stores of a log, and how they lie on one disk.

use std::path::Path;
use std::sync::Arc;

use crate::contents::FileContents;
use crate::index::Index;
use crate::objects::{FileObjects, Objects, StorageError};
use crate::payloads::{FilePayloads, Payloads};
use crate::room::{Disk, FileDisk};
use crate::sqlite::SqliteIndex;

/// The stores of a log.
pub struct Storage {
    /// Places, state, signed checkpoints.
    pub index: Box<dyn Index>,
    /// Tiles, bundles, the published note.
    pub objects: Arc<dyn Objects>,
    /// Block payloads.
    pub payloads: Arc<dyn Payloads>,
    /// Contents of releases.
    pub contents: Arc<FileContents>,
    /// Where all of that lies.
    pub disk: Arc<dyn Disk>,
}

impl Storage {
    /// SQLite and files below one directory, which is made if it is not there.
    ///
    /// # Errors
    /// The directory or the index cannot be made or opened.
    pub fn files(directory: &Path) -> Result<Self, StorageError> {
        std::fs::create_dir_all(directory).map_err(StorageError::io(directory))?;
        let objects = FileObjects::new(directory.to_owned());
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::of(directory.to_owned()));
        Ok(Self {
            index: Box::new(SqliteIndex::open(&directory.join("index.sqlite"), &objects)?),
            objects: Arc::new(objects),
            payloads: Arc::new(FilePayloads::new(directory.to_owned(), Arc::clone(&disk))),
            contents: Arc::new(FileContents::new(directory.to_owned(), Arc::clone(&disk))),
            disk,
        })
    }

    /// Forgets contents that are only arriving while the disk has less free than they leave: for whoever is about to write to a
    /// log, before its index is opened, since that writes, too. A ledger that was filled up comes back so.
    ///
    /// # Errors
    /// The store refused.
    pub fn make_room(directory: &Path) -> Result<(), StorageError> {
        let disk = Arc::new(FileDisk::of(directory.to_owned()));
        FileContents::new(directory.to_owned(), disk).make_room()
    }
}
