//! One content: arriving, or whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use ledger_block::content::{ContentId, Decoder, GROUP_BYTES, GroupIndex, Groups, Item, Shape, Span};

use super::Standing;
use super::error::StoreError;
use super::folder::{About, check_sha256, io_at, measure, sync_directory};
use crate::content::Content;
use crate::content::medium::Disk;
use crate::content::partial::{Partial, slice_of};

#[derive(Debug)]
enum State {
    Arriving(Partial<Disk>),
    Whole { data: Disk, outboard: Disk },
}

/// One content.
#[derive(Debug)]
pub struct Entry {
    about: About,
    path: std::path::PathBuf,
    state: State,
}

fn open(path: &Path, write: bool) -> Result<Disk, StoreError> {
    OpenOptions::new().read(true).write(write).open(path).map(Disk).map_err(io_at(path))
}

fn length(path: &Path) -> Result<Option<u64>, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at(path)(error)),
    }
}

impl Entry {
    pub fn open(folder: &Path, content: ContentId) -> Result<Self, StoreError> {
        let about = About::read(folder, content)?;
        let shape = about.content.shape;
        let state = if let Some(bytes) = length(&folder.join("data"))? {
            if bytes != shape.size() {
                return Err(StoreError::Rotten(content));
            }
            State::Whole { data: open(&folder.join("data"), false)?, outboard: open(&folder.join("outboard"), false)? }
        } else {
            let [data, outboard, bitmap] = ["part", "outboard", "held"].map(|name| open(&folder.join(name), true));
            let (data, outboard, bitmap) = (data?, outboard?, bitmap?);
            let partial = Partial::open(content, shape, data, outboard, bitmap).map_err(io_at(folder))?;
            State::Arriving(partial)
        };
        Ok(Self { about, path: folder.to_owned(), state })
    }

    /// What is durably held of a content, by somebody who only looks: another process may be fetching it.
    pub fn look(folder: &Path, content: ContentId) -> Result<Standing, StoreError> {
        let content = About::read(folder, content)?.content;
        if length(&folder.join("data"))? == Some(content.shape.size()) {
            return Ok(Standing { groups: content.shape.groups(), content, whole: true });
        }
        let held = fs::read(folder.join("held")).ok().and_then(|bytes| Groups::decode(content.shape, &bytes).ok());
        Ok(Standing { groups: held.map_or(0, |held| held.count()), content, whole: false })
    }

    pub const fn about(&self) -> &About {
        &self.about
    }

    pub const fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole { .. })
    }

    pub fn held(&self) -> Groups {
        match &self.state {
            State::Arriving(partial) => partial.held(),
            State::Whole { .. } => Groups::all(self.about.content.shape),
        }
    }

    pub fn standing(&self) -> Standing {
        Standing { content: self.about.content.clone(), groups: self.held().count(), whole: self.is_whole() }
    }

    pub fn keep(&self, items: &[Item]) -> Result<(), StoreError> {
        match &self.state {
            State::Arriving(partial) => partial.keep(items).map_err(io_at(&self.path.join("part"))),
            State::Whole { .. } => Ok(()),
        }
    }

    pub fn flush(&self) -> Result<(), StoreError> {
        match &self.state {
            State::Arriving(partial) => partial.flush().map_err(io_at(&self.path.join("held"))),
            State::Whole { .. } => Ok(()),
        }
    }

    pub fn slice(&self, span: Span) -> Result<Option<Vec<u8>>, StoreError> {
        let Standing { content, .. } = self.standing();
        if !content.shape.holds(span) {
            return Ok(None);
        }
        let read = match &self.state {
            State::Arriving(partial) => partial.slice(span),
            State::Whole { data, outboard } => slice_of(content.id, content.shape, span, data, outboard).map(Some),
        };
        read.map_err(|error| rotten_or_io(content.id, &self.path, error))
    }

    /// Bytes from `offset` on, fewer at the end; none if they are not all here or there are none.
    pub fn read(&self, offset: u64, length: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let Content { id, shape, .. } = self.about.content;
        let Some(span) = span_of(shape, offset, length) else { return Ok(None) };
        let end = offset.saturating_add(length as u64).min(shape.size());
        let Some(slice) = self.slice(span)? else { return Ok(None) };
        let mut decoder = Decoder::new(id, shape, span).ok_or(StoreError::Unknown(id))?;
        let (mut rest, mut bytes) = (slice.as_slice(), Vec::with_capacity(length));
        while let Some(item) = decoder.push(&mut rest).map_err(|_| StoreError::Rotten(id))? {
            if let Item::Group { index, bytes: group } = item {
                let begin = shape.offset(index);
                let within = |at: u64| usize::try_from(at.saturating_sub(begin)).unwrap_or(usize::MAX).min(group.len());
                bytes.extend_from_slice(group.get(within(offset)..within(end)).unwrap_or_default());
            }
        }
        decoder.finish().map_err(|_| StoreError::Rotten(id))?;
        Ok(Some(bytes))
    }

    /// The whole entry, if it was not whole before.
    pub fn complete(&self, folder: &Path) -> Result<Option<Self>, StoreError> {
        let State::Arriving(partial) = &self.state else { return Ok(None) };
        let content = &self.about.content;
        let incomplete = |missing| StoreError::Incomplete { content: content.id, missing };
        let held = partial.held();
        if !held.is_all() {
            return Err(incomplete(content.shape.groups() - held.count()));
        }
        partial.flush().map_err(io_at(folder))?;
        let (part, data) = (folder.join("part"), folder.join("data"));
        let (found, sha256, outboard) = measure(&part, content.shape).map_err(io_at(&part))?;
        let kept = fs::read(folder.join("outboard")).map_err(io_at(folder))?;
        if found != content.id || outboard != kept {
            let lost = partial.rescan().map_err(io_at(folder))?;
            tracing::error!(content = %content.id, groups = lost.len(), "bytes rotted on disk while the rest arrived");
            return Err(incomplete(u32::try_from(lost.len()).unwrap_or(u32::MAX)));
        }
        check_sha256(content, &sha256)?;
        // Everything was synced by `flush`; the name is what makes it whole.
        fs::rename(&part, &data).map_err(io_at(&data))?;
        sync_directory(folder)?;
        // Of no use any more; if a crash keeps it, `open` does not look at it.
        let _left = fs::remove_file(folder.join("held"));
        Self::open(folder, content.id).map(Some)
    }

    /// The same content, of which bytes rotted, as one that arrives: what is sound stays, whoever reads it checks it anyway.
    ///
    /// Looked at are the groups of a span, which takes no time, and the rest when it is whole again; or all of them. The bitmap is
    /// there, durably, before the name goes that made it whole: a crash in between leaves it whole, and rotten.
    pub fn reopen(&self, among: Option<Span>) -> Result<Self, StoreError> {
        let State::Whole { data, outboard } = &self.state else {
            return Self::open(&self.path, self.about.content.id);
        };
        let Content { id, shape, .. } = self.about.content;
        let bitmap = among.map_or_else(Vec::new, |span| {
            let sound = |group: GroupIndex| {
                Span::new(group.0, group.0).is_some_and(|one| slice_of(id, shape, one, data, outboard).is_ok())
            };
            let mut held = Groups::all(shape);
            span.groups().filter(|group| !sound(*group)).for_each(|group| held.remove(group));
            if held.is_all() {
                // Sound when looked at again: such a disk is not believed either.
                span.groups().for_each(|group| held.remove(group));
            }
            held.encode()
        });
        let held = self.path.join("held");
        let write = || {
            let mut file = File::create(&held)?;
            file.write_all(&bitmap)?;
            file.sync_all()
        };
        write().map_err(io_at(&held))?;
        sync_directory(&self.path)?;
        let part = self.path.join("part");
        fs::rename(self.path.join("data"), &part).map_err(io_at(&part))?;
        sync_directory(&self.path)?;
        // Without a bitmap every group is looked at there.
        Self::open(&self.path, id)
    }

    pub fn verify(&self, folder: &Path) -> Result<(), StoreError> {
        let content = &self.about.content;
        if !self.is_whole() {
            let missing = content.shape.groups() - self.held().count();
            return Err(StoreError::Incomplete { content: content.id, missing });
        }
        let data = folder.join("data");
        File::open(&data).map_err(io_at(&data))?;
        let (found, sha256, _) =
            measure(&data, content.shape).map_err(|error| rotten_or_io(content.id, &data, error))?;
        if found != content.id {
            return Err(StoreError::Rotten(content.id));
        }
        check_sha256(content, &sha256)
    }
}

/// The groups that hold these bytes; none if there are no such bytes, or too many.
pub fn span_of(shape: Shape, offset: u64, length: usize) -> Option<Span> {
    let end = offset.saturating_add(length as u64).min(shape.size());
    if offset >= end {
        return None;
    }
    let group = |at: u64| u32::try_from(at / GROUP_BYTES).ok();
    Span::new(group(offset)?, group(end - 1)?)
}

/// Other bytes than were verified, fewer, or a sector that can't be read: the bytes are lost, the disk is not.
fn rotten_or_io(content: ContentId, path: &Path, error: io::Error) -> StoreError {
    let unreadable = error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => StoreError::Rotten(content),
        _ if unreadable => StoreError::Rotten(content),
        _ => io_at(path)(error),
    }
}
