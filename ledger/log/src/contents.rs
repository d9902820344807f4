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
//! A content is fsynced with its outboard in a folder of another name, which is then renamed: it is here as a whole or not
//! at all.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use ledger_block::content::{ContentId, ReadAt, Shape, Span, slice};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::log::KnownContent;
use crate::objects::{StorageError, create_parents, sync_directory, write_synced};

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
    // Pieces are checked and written, and contents completed, one at a time.
    writing: Mutex<()>,
}

/// Reads anywhere in a file.
struct At(File);

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

fn length(path: &Path) -> Result<Option<u64>, StorageError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io(path)(error)),
    }
}

impl FileContents {
    /// Below this directory.
    pub const fn new(root: PathBuf) -> Self {
        Self { root, writing: Mutex::new(()) }
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
    /// It does not fit beside the others, or the store refused.
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
        if let Some(held) = length(&part)? {
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
        // Left by a crash between the two renames of `finish`: nobody else makes one while we write.
        for left in entries(&directory)?.into_iter().filter(|left| left.extension().is_some_and(|end| end == "whole")) {
            fs::remove_dir_all(&left).map_err(StorageError::io(&left))?;
        }
        let mut parts = Vec::new();
        for part in entries(&directory)?.into_iter().filter(|part| size_of(part).is_some()) {
            let changed = fs::metadata(&part).and_then(|about| about.modified()).map_err(StorageError::io(&part))?;
            parts.push((changed, part));
        }
        parts.sort();
        let excess = (parts.len() + 1).saturating_sub(ARRIVING_MAX);
        parts.iter().take(excess).try_for_each(|(_, part)| fs::remove_file(part).map_err(StorageError::io(part)))
    }

    /// Adds a piece; gives the bytes held. One that does not begin where they end changes nothing: the number says where to
    /// go on.
    ///
    /// # Errors
    /// Not offered, too long, or the store refused.
    pub fn append(&self, content: ContentId, size: u64, offset: u64, piece: &[u8]) -> Result<u64, ContentError> {
        let _one_writer = self.writing.lock();
        let part = self.part(content, size);
        let held = length(&part)?.ok_or(ContentError::NotOffered)?;
        if held != offset {
            return Ok(held);
        }
        let end = offset.saturating_add(piece.len() as u64);
        if end > size {
            return Err(ContentError::TooLong);
        }
        let mut file = OpenOptions::new().append(true).open(&part).map_err(StorageError::io(&part))?;
        // A short write (disk full) leaves a length that is a truth: the next piece begins there.
        file.write_all(piece).map_err(StorageError::io(&part))?;
        Ok(end)
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
        let shape = Shape::new(known.size).ok_or(ContentError::Mismatch)?;
        let file = File::open(&part).map_err(StorageError::io(&part))?;
        file.sync_all().map_err(StorageError::io(&part))?;
        let measured = if length(&part)? == Some(known.size) { measure(&part, shape)? } else { None };
        let Some((_, _, outboard)) = measured.filter(|(id, sha256, _)| *id == content && *sha256 == known.sha256)
        else {
            fs::remove_file(&part).map_err(StorageError::io(&part))?;
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

/// The declared size of a part, from its name.
fn size_of(part: &Path) -> Option<u64> {
    part.file_name()?.to_str()?.split_once('-')?.1.parse().ok()
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let read = match fs::read_dir(directory) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StorageError::io(directory)(error)),
    };
    read.map(|entry| entry.map(|entry| entry.path()).map_err(StorageError::io(directory))).collect()
}

fn open(path: &Path) -> Result<Option<At>, StorageError> {
    match File::open(path) {
        Ok(file) => Ok(Some(At(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io(path)(error)),
    }
}

/// Names, SHA-256 and outboard of a file; none if it is shorter than its shape.
fn measure(path: &Path, shape: Shape) -> Result<Option<(ContentId, [u8; 32], Vec<u8>)>, StorageError> {
    let file = File::open(path).map_err(StorageError::io(path))?;
    let mut tee = Tee(io::BufReader::with_capacity(1 << 18, file), Sha256::new());
    match slice::outboard(shape, &mut tee) {
        Ok((content, outboard)) => Ok(Some((content, tee.1.finalize().into(), outboard))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(StorageError::io(path)(error)),
    }
}

#[cfg(test)]
mod tests;
