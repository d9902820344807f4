//! Contents of releases by BLAKE3: uploaded in pieces that resume, read back and checked by both hashes, kept for as long as
//! the log is. Nothing here is ever cleared away: an old release stays retrievable after its publisher is gone.
//!
//! ```text
//! contents/<2 hex>/<64 hex>/data        the bytes, once whole
//! contents/<2 hex>/<64 hex>/outboard    the tree's inner nodes (ledger/block/README.md, "Content")
//! arriving/<64 hex>-<size>              bytes so far; nothing of it is fsynced, the hashes find what a power cut did
//! arriving/<64 hex>.whole/              being made, or left so by a crash
//! ```
//!
//! None takes the room on the disk that is kept for the log and the blocks of gateways (`room.rs`); what cannot become whole for
//! want of room is given up, so that it is not in their way.
//!
//! A content is fsynced with its outboard in a folder of another name, which is then renamed: it is here as a whole or not
//! at all.

mod files;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger_block::content::{ContentId, Shape, Span, slice};
use parking_lot::Mutex;

use crate::log::KnownContent;
use crate::objects::{StorageError, create_parents, sync_directory, write_synced};
use crate::room::{Bulk, Disk, NoRoom};

use files::{At, entries, length, measure, open, remove, size_of};

/// Contents that may be arriving at once; beyond it the one untouched for longest is forgotten (it can begin again).
pub const ARRIVING_MAX: usize = 8;

/// Why a content or a piece of it was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The store's own bound.
    #[error(
        "{needed} bytes more do not fit: contents take {used} of {bytes_max}; the operator raises content_bytes_max"
    )]
    Full {
        /// Bytes of this one.
        needed: u64,
        /// Bytes of the others.
        used: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// The disk has no room but the log's.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The disk, or a quota on it, took no more.
    #[error("the ledger's disk is full, and what came of this content is given up; the operator makes room")]
    DiskFull,
    /// All came, and it is not what the release names; it begins again.
    #[error("the bytes are not those the release names; upload them again")]
    Mismatch,
    /// More than the release says.
    #[error("more bytes than the release names")]
    TooLong,
    /// Not offered, or forgotten since.
    #[error("offer the content before its bytes")]
    NotOffered,
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Contents as files below one directory.
#[derive(Debug)]
pub struct FileContents {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    // Pieces are checked and written, and contents completed, one at a time.
    writing: Mutex<()>,
}

impl FileContents {
    /// Below this directory, on this disk.
    pub const fn new(root: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { root, disk, writing: Mutex::new(()) }
    }

    /// The folder of a whole content.
    pub fn folder(&self, content: ContentId) -> PathBuf {
        let name = content.to_string();
        self.root.join("contents").join(name.get(..2).unwrap_or_default()).join(name)
    }

    fn arriving(&self) -> PathBuf {
        self.root.join("arriving")
    }

    fn part(&self, content: ContentId, size: u64) -> PathBuf {
        self.arriving().join(format!("{content}-{size}"))
    }

    /// Whether a content is here as a whole.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn is_whole(&self, content: ContentId) -> Result<bool, StorageError> {
        Ok(length(&self.folder(content).join("data"))?.is_some())
    }

    /// Every whole content, in order. For `fsck`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self) -> Result<Vec<ContentId>, StorageError> {
        let mut found = Vec::new();
        for shelf in entries(&self.root.join("contents"))? {
            let names = entries(&shelf)?;
            found.extend(names.iter().filter_map(|path| path.file_name()?.to_str()?.parse::<ContentId>().ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Bytes of whole contents, and of those arriving at their full size.
    fn used(&self, except: &Path) -> Result<u64, StorageError> {
        let mut used = 0;
        for content in self.list()? {
            used += length(&self.folder(content).join("data"))?.unwrap_or(0);
        }
        for part in entries(&self.arriving())?.iter().filter(|part| *part != except) {
            used += size_of(part).unwrap_or(0);
        }
        Ok(used)
    }

    /// Makes ready for a content; gives the bytes held, all of them if it is whole. One that rotted here is taken anew: whoever offers
    /// it has it.
    ///
    /// # Errors
    /// It does not fit beside the others or on the disk, or the store refused.
    pub fn offer(&self, content: ContentId, known: &KnownContent, bytes_max: u64) -> Result<u64, ContentError> {
        let size = known.size;
        // A large one takes seconds to hash: nobody who writes waits for that.
        if self.is_sound(content, known)? {
            return Ok(size);
        }
        let _one_writer = self.writing.lock();
        if self.folder(content).exists() {
            // Another who offered it may have mended it meanwhile.
            if self.is_sound(content, known)? {
                return Ok(size);
            }
            // Rotten, or half of it is gone: what is left would be in the way of the new one.
            self.discard(content)?;
        }
        let part = self.part(content, size);
        let used = self.used(&part)?;
        if used.saturating_add(size) > bytes_max {
            return Err(ContentError::Full { needed: size, used, bytes_max });
        }
        let held = length(&part)?;
        let outboard = Shape::new(size).map_or(0, Shape::outboard_bytes);
        let missing = size.saturating_sub(held.unwrap_or(0)).saturating_add(outboard);
        if let Err(no_room) = self.disk.space()?.fits(missing, Bulk::Content) {
            self.give_way()?;
            return Err(no_room.into());
        }
        if let Some(held) = held {
            return Ok(held);
        }
        self.forget_oldest()?;
        File::create(&part).map_err(StorageError::io(&part))?;
        Ok(0)
    }

    /// Takes a whole content out of the store: renamed first, so that no half of it is ever found.
    fn discard(&self, content: ContentId) -> Result<(), StorageError> {
        let (whole, aside) = (self.folder(content), self.making(content));
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(StorageError::io(&aside))?;
        }
        create_parents(&aside, &self.root, &mut BTreeSet::new())?;
        fs::rename(&whole, &aside).map_err(StorageError::io(&whole))?;
        whole.parent().map_or(Ok(()), sync_directory)?;
        fs::remove_dir_all(&aside).map_err(StorageError::io(&aside))
    }

    fn making(&self, content: ContentId) -> PathBuf {
        self.arriving().join(format!("{content}.whole"))
    }

    fn forget_oldest(&self) -> Result<(), StorageError> {
        let directory = self.arriving();
        fs::create_dir_all(&directory).map_err(StorageError::io(&directory))?;
        self.left_over()?.iter().try_for_each(|left| remove(left))?;
        let parts = self.oldest_first()?;
        let excess = (parts.len() + 1).saturating_sub(ARRIVING_MAX);
        parts.iter().take(excess).try_for_each(|part| remove(part))
    }

    /// Left by a crash between the two renames of `finish`: nobody else makes one while we write.
    fn left_over(&self) -> Result<Vec<PathBuf>, StorageError> {
        let all = entries(&self.arriving())?.into_iter();
        Ok(all.filter(|path| path.extension().is_some_and(|end| end == "whole")).collect())
    }

    /// What is arriving, the one untouched for longest first.
    fn oldest_first(&self) -> Result<Vec<PathBuf>, StorageError> {
        let mut parts = Vec::new();
        for part in entries(&self.arriving())?.into_iter().filter(|part| size_of(part).is_some()) {
            let changed = fs::metadata(&part).and_then(|about| about.modified()).map_err(StorageError::io(&part))?;
            parts.push((changed, part));
        }
        parts.sort();
        Ok(parts.into_iter().map(|(_, part)| part).collect())
    }

    /// Forgets what is arriving until the disk has what contents leave free, or there is no more of it.
    fn give_way(&self) -> Result<(), StorageError> {
        for path in self.left_over()?.into_iter().chain(self.oldest_first()?) {
            if self.disk.space()?.fits(0, Bulk::Content).is_ok() {
                break;
            }
            remove(&path)?;
        }
        Ok(())
    }

    /// Forgets contents that are only arriving while the disk has less free than they leave: some of them filled it up.
    ///
    /// # Errors
    /// The store refused.
    pub fn make_room(&self) -> Result<(), StorageError> {
        let _one_writer = self.writing.lock();
        self.give_way()
    }

    /// Adds a piece; gives the bytes held. One that does not begin where they end changes nothing: the number says where to
    /// go on. If there is no room for it, what came before is given up, too.
    ///
    /// # Errors
    /// Not offered, too long, no room, or the store refused.
    pub fn append(&self, content: ContentId, size: u64, offset: u64, piece: &[u8]) -> Result<u64, ContentError> {
        let _one_writer = self.writing.lock();
        let part = self.part(content, size);
        let Some(held) = length(&part)? else {
            // Another who uploads it, too, may have brought the rest.
            return if self.is_whole(content)? { Ok(size) } else { Err(ContentError::NotOffered) };
        };
        if held != offset {
            return Ok(held);
        }
        let end = offset.saturating_add(piece.len() as u64);
        if end > size {
            return Err(ContentError::TooLong);
        }
        if let Err(no_room) = self.disk.space()?.fits(piece.len() as u64, Bulk::Content) {
            remove(&part)?;
            return Err(no_room.into());
        }
        match OpenOptions::new().append(true).open(&part).and_then(|mut file| file.write_all(piece)) {
            Ok(()) => Ok(end),
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                remove(&part)?;
                Err(ContentError::DiskFull)
            }
            // A short write leaves a length that is a truth: the next piece begins there.
            Err(error) => Err(StorageError::io(&part)(error).into()),
        }
    }

    /// Reads all of it back and checks both hashes; when this returns, the content is whole and survives a power cut.
    ///
    /// # Errors
    /// It is another content: what came is forgotten. Or the store refused.
    pub fn finish(&self, content: ContentId, known: &KnownContent) -> Result<(), ContentError> {
        let _one_writer = self.writing.lock();
        if self.is_whole(content)? {
            return Ok(());
        }
        let part = self.part(content, known.size);
        // Another who uploads it, too, may have brought wrong bytes, or had no room for more.
        let held = length(&part)?.ok_or(ContentError::NotOffered)?;
        let shape = Shape::new(known.size).ok_or(ContentError::Mismatch)?;
        let file = File::open(&part).map_err(StorageError::io(&part))?;
        file.sync_all().map_err(StorageError::io(&part))?;
        let measured = if held == known.size { measure(&part, shape)? } else { None };
        let Some((_, _, outboard)) = measured.filter(|(id, sha256, _)| *id == content && *sha256 == known.sha256)
        else {
            remove(&part)?;
            return Err(ContentError::Mismatch);
        };
        let making = self.making(content);
        if making.exists() {
            fs::remove_dir_all(&making).map_err(StorageError::io(&making))?;
        }
        fs::create_dir(&making).map_err(StorageError::io(&making))?;
        write_synced(&making.join("outboard"), &outboard)?;
        fs::rename(&part, making.join("data")).map_err(StorageError::io(&part))?;
        sync_directory(&making)?;
        let (whole, mut touched) = (self.folder(content), BTreeSet::new());
        create_parents(&whole, &self.root, &mut touched)?;
        fs::rename(&making, &whole).map_err(StorageError::io(&whole))?;
        Ok(touched.iter().try_for_each(|directory| sync_directory(directory))?)
    }

    /// A slice of a whole content, checked on the way out; none if it is not here or has no such groups.
    ///
    /// # Errors
    /// The store cannot be read, or its bytes are no longer what they were.
    pub fn slice(&self, content: ContentId, size: u64, span: Span) -> Result<Option<Vec<u8>>, StorageError> {
        let (folder, shape) = (self.folder(content), Shape::new(size));
        let Some(shape) = shape.filter(|shape| shape.holds(span)) else { return Ok(None) };
        let Some((data, outboard)) = open(&folder.join("data"))?.zip(open(&folder.join("outboard"))?) else {
            return Ok(None);
        };
        let sliced = slice::encode(content, shape, span, data, outboard);
        sliced.map(Some).map_err(StorageError::io(&folder.join("data")))
    }

    /// Bytes of a whole content from an offset, at most `max`; none if it is not here.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(&self, content: ContentId, offset: u64, max: usize) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.folder(content).join("data");
        let Some(At(mut file)) = open(&path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(max as u64).read_to_end(&mut bytes))
            .map_err(StorageError::io(&path))?;
        Ok(Some(bytes))
    }

    /// Reads a whole content and says whether it is still what its name says.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn is_sound(&self, content: ContentId, known: &KnownContent) -> Result<bool, StorageError> {
        let folder = self.folder(content);
        let Some(shape) = Shape::new(known.size) else { return Ok(false) };
        let path = folder.join("outboard");
        let kept = match fs::read(&path) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(StorageError::io(&path)(error)),
        };
        let sound = (content, known.sha256, kept);
        Ok(length(&folder.join("data"))? == Some(known.size) && measure(&folder.join("data"), shape)? == Some(sound))
    }
}

#[cfg(test)]
mod tests;
