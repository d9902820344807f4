//! The folder of one content: made whole or not at all, and removed the same way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use ledger_block::content::{ContentId, Groups, Shape, slice};
use sha2::{Digest as _, Sha256};

use super::entry::Entry;
use super::error::StoreError;
use crate::content::{Content, hex};

const HEAD: &str = "pitchside content 1";

/// What `about` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Size and hashes.
    pub content: Content,
    /// Order of admission, from 1.
    pub order: u64,
}

/// Wraps an I/O error with its path; a full disk becomes [`StoreError::DiskFull`].
pub fn io_at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            let free = free_bytes(path.parent().unwrap_or(path)).unwrap_or(0);
            StoreError::DiskFull { path: path.to_owned(), needed: 0, free }
        }
        _ => StoreError::Io { path: path.to_owned(), source },
    }
}

/// Bytes of the disk a process like ours may still take.
pub fn free_bytes(path: &Path) -> Result<u64, StoreError> {
    let state = rustix::fs::statvfs(path).map_err(|error| io_at(path)(error.into()))?;
    Ok(state.f_bavail.saturating_mul(state.f_frsize))
}

pub fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_at(path))
}

impl About {
    pub fn text(&self) -> String {
        let Content { shape, sha256, .. } = &self.content;
        format!("{HEAD}\nsize {}\nsha256 {}\norder {}\n", shape.size(), hex(sha256), self.order)
    }

    pub fn read(folder: &Path, id: ContentId) -> Result<Self, StoreError> {
        let path = folder.join("about");
        let mut text = String::new();
        File::open(&path).and_then(|file| file.take(1_024).read_to_string(&mut text)).map_err(io_at(&path))?;
        Self::parse(&text, id).ok_or(StoreError::About(path))
    }

    fn parse(text: &str, id: ContentId) -> Option<Self> {
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        field(HEAD.rsplit_once(' ')?.0).filter(|version| version == "1")?;
        let shape = Shape::new(field("size")?.parse().ok()?)?;
        // The same spelling as a content's name.
        let sha256 = field("sha256")?.parse::<ContentId>().ok()?.0;
        let order = field("order")?.parse().ok()?;
        Some(Self { content: Content { id, sha256, shape }, order })
    }
}

/// Takes space for a file; where a file system cannot (NFS, some FUSE), a hole of the length.
fn reserve(path: &Path, length: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    if length > 0 {
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(length)?,
            Err(error) => return Err(error.into()),
        }
    }
    file.sync_all()?;
    Ok(file)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the folder of a content: to arrive, or whole from a file.
pub fn make(root: &Path, content: &Content, order: u64, from: Option<&Path>) -> Result<Entry, StoreError> {
    let (fresh, folder) = (root.join(format!(".new-{}", content.id)), root.join(content.id.to_string()));
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(io_at(&fresh))?;
    }
    if folder.exists() {
        // Here but not opened: damaged.
        remove(root, content.id)?;
    }
    let filled = fill(&fresh, content, order, from).and_then(|()| {
        sync_directory(&fresh)?;
        fs::rename(&fresh, &folder).map_err(io_at(&folder))?;
        sync_directory(root)?;
        Entry::open(&folder, content.id)
    });
    filled.map_err(|error| {
        // The space must not stay taken by what could not be made. A second failure changes nothing: `open` removes it.
        let _best_effort = fs::remove_dir_all(&fresh);
        match error {
            StoreError::DiskFull { path, free, .. } => {
                StoreError::DiskFull { path, needed: content.shape.size(), free }
            }
            other => other,
        }
    })
}

fn fill(folder: &Path, content: &Content, order: u64, from: Option<&Path>) -> Result<(), StoreError> {
    fs::create_dir(folder).map_err(io_at(folder))?;
    let file = |name: &str| folder.join(name);
    let about = About { content: content.clone(), order };
    write(&file("about"), about.text().as_bytes()).map_err(io_at(&file("about")))?;
    if let Some(from) = from {
        return copy(from, folder, content);
    }
    reserve(&file("part"), content.shape.size()).map_err(io_at(&file("part")))?;
    reserve(&file("outboard"), content.shape.outboard_bytes()).map_err(io_at(&file("outboard")))?;
    write(&file("held"), &Groups::none(content.shape).encode()).map_err(io_at(&file("held")))
}

fn copy(from: &Path, folder: &Path, content: &Content) -> Result<(), StoreError> {
    let data = folder.join("data");
    let mut source = File::open(from).map_err(io_at(from))?;
    let mut target = reserve(&data, content.shape.size()).map_err(io_at(&data))?;
    let copied =
        io::copy(&mut Read::by_ref(&mut source).take(content.shape.size()), &mut target).map_err(io_at(&data))?;
    let more = source.read(&mut [0]).map_err(io_at(from))?;
    target.sync_all().map_err(io_at(&data))?;
    let (found, sha256, outboard) = if copied == content.shape.size() && more == 0 {
        measure(&data, content.shape).map_err(io_at(&data))?
    } else {
        (blake3_of(from).map_err(io_at(from))?, [0; 32], Vec::new())
    };
    if found != content.id {
        return Err(StoreError::Mismatch { path: from.to_owned(), found, expected: content.id });
    }
    check_sha256(content, &sha256)?;
    let path = folder.join("outboard");
    write(&path, &outboard).map_err(io_at(&path))
}

fn blake3_of(path: &Path) -> io::Result<ContentId> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(ContentId(*hasher.finalize().as_bytes()))
}

/// The stated SHA-256 against the measured one.
pub fn check_sha256(content: &Content, found: &[u8; 32]) -> Result<(), StoreError> {
    if *found == content.sha256 {
        return Ok(());
    }
    Err(StoreError::Sha256 { content: content.id, found: hex(found), expected: hex(&content.sha256) })
}

/// Hashes what is read through it.
struct Tee<R> {
    source: R,
    sha256: Sha256,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(bytes)?;
        self.sha256.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Reads a file once: its name, its SHA-256, its outboard.
pub fn measure(path: &Path, shape: Shape) -> io::Result<(ContentId, [u8; 32], Vec<u8>)> {
    let source = io::BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut tee = Tee { source, sha256: Sha256::new() };
    let (content, outboard) = slice::outboard(shape, &mut tee)?;
    Ok((content, tee.sha256.finalize().into(), outboard))
}

/// Removes a content's folder: its name goes in one step, its files after that.
pub fn remove(root: &Path, content: ContentId) -> Result<(), StoreError> {
    let (folder, gone): (PathBuf, PathBuf) = (root.join(content.to_string()), root.join(format!(".gone-{content}")));
    if gone.exists() {
        fs::remove_dir_all(&gone).map_err(io_at(&gone))?;
    }
    fs::rename(&folder, &gone).map_err(io_at(&folder))?;
    sync_directory(root)?;
    fs::remove_dir_all(&gone).map_err(io_at(&gone))
}
