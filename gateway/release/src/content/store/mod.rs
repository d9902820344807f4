//! Contents on disk: whole ones, and ones that are still arriving.
//!
//! ```text
//! content/
//!   <64 hex>/          one content; the name is its BLAKE3
//!     about            size, SHA-256, order of admission
//!     outboard         the tree's inner nodes, pre-order, 64 bytes each
//!     part, held       bytes so far, and the bitmap of verified groups (ledger/block/README.md, "Content")
//!     data             the bytes, once whole: `part` renamed
//!   .new-<64 hex>/     being made, or left so by a crash: removed
//!   .gone-<64 hex>/    being removed
//! ```
//!
//! A folder is filled and synced under its `.new-` name and then renamed, so a content is here with all its files or not at
//! all. Space is taken when it is admitted: a full disk is found before the first byte is fetched.
//!
//! A disk that loses a byte of a whole content is found by whoever reads it. The content is one that arrives again: what is
//! sound stays, the rest is missing, and whoever fetches is woken ([`Store::losses`]).

mod entry;
mod error;
mod folder;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger_block::content::{ContentId, GROUP_BYTES, Groups, Item, SPAN_GROUPS_MAX, Span};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::Content;
use entry::{Entry, span_of};
pub use error::StoreError;
use folder::{About, io_at};

/// Bytes one reading gives at most: a slice, wherever it begins within a group.
pub const READ_BYTES_MAX: usize = (SPAN_GROUPS_MAX as usize - 1) * GROUP_BYTES as usize;

/// How much may lie here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of all contents, outboards left out (they add a 256th).
    pub bytes_max: u64,
    /// Contents.
    pub contents_max: usize,
    /// Bytes of the disk that are left to others: the journal comes first.
    pub disk_reserve_bytes: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { bytes_max: 1 << 30, contents_max: 64, disk_reserve_bytes: 256 << 20 }
    }
}

/// What is held of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Size and hashes.
    pub content: Content,
    /// Groups here.
    pub groups: u32,
    /// Whether it was checked as a whole, SHA-256 included.
    pub whole: bool,
}

/// The contents of one gateway. Blocking: call from a thread that may block.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    limits: StoreLimits,
    entries: RwLock<BTreeMap<ContentId, Arc<Entry>>>,
    /// One admission, completion, loss or removal at a time.
    changing: Mutex<()>,
    /// Rises when a whole content is whole no more.
    losses: watch::Sender<u64>,
}

impl Store {
    /// Opens the store in a folder, making it if need be; removes what a crash left half made.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn open(root: &Path, limits: StoreLimits) -> Result<Self, StoreError> {
        std::fs::create_dir_all(root).map_err(io_at(root))?;
        let mut entries = BTreeMap::new();
        for found in std::fs::read_dir(root).map_err(io_at(root))? {
            let path = found.map_err(io_at(root))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(".new-") || name.starts_with(".gone-") {
                std::fs::remove_dir_all(&path).map_err(io_at(&path))?;
            } else if let Ok(content) = name.parse::<ContentId>() {
                match Entry::open(&path, content) {
                    Ok(entry) => drop(entries.insert(content, Arc::new(entry))),
                    // One damaged folder must not take the others away.
                    Err(error) => tracing::error!(%error, %content, "a stored content cannot be opened"),
                }
            }
        }
        let (entries, changing, losses) = (RwLock::new(entries), Mutex::new(()), watch::Sender::new(0));
        Ok(Self { root: root.to_owned(), limits, entries, changing, losses })
    }

    /// Changes when bytes of a whole content rotted: it has to be fetched again.
    pub fn losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }

    /// What lies durably in a folder, without touching it: for `status`, beside a running gateway. Empty if there is no store.
    pub fn look(root: &Path) -> Vec<Standing> {
        let folders = std::fs::read_dir(root).into_iter().flatten().flatten();
        let named = folders.filter_map(|found| Some((found.path(), found.file_name().to_str()?.parse().ok()?)));
        named.filter_map(|(path, content)| Entry::look(&path, content).ok()).collect()
    }

    fn entry(&self, content: ContentId) -> Option<Arc<Entry>> {
        self.entries.read().get(&content).cloned()
    }

    /// Everything that is here, whole or not.
    pub fn list(&self) -> Vec<Standing> {
        self.entries.read().values().map(|entry| entry.standing()).collect()
    }

    /// What is held of a content.
    pub fn standing(&self, content: ContentId) -> Option<Standing> {
        self.entry(content).map(|entry| entry.standing())
    }

    /// The groups held; none if nothing was ever admitted under that name.
    pub fn held(&self, content: ContentId) -> Option<Groups> {
        self.entry(content).map(|entry| entry.held())
    }

    /// The file of a whole content. It must not be written; a removal leaves open files readable.
    pub fn path(&self, content: ContentId) -> Option<PathBuf> {
        self.entry(content).filter(|entry| entry.is_whole()).map(|_| self.folder(content).join("data"))
    }

    fn folder(&self, content: ContentId) -> PathBuf {
        self.root.join(content.to_string())
    }

    /// Makes room for a content and takes its space, so that it can arrive. What is here already stays as it is.
    ///
    /// The oldest contents give way when there is no room, except those in `keep`; of these, if that does not do, the `older` ones, in
    /// their order.
    ///
    /// # Errors
    /// It is larger than may lie here beside what is kept, the disk is full, or refuses.
    pub fn admit(&self, content: &Content, keep: &[ContentId], older: &[ContentId]) -> Result<(), StoreError> {
        let _changing = self.changing.lock();
        if let Some(entry) = self.entry(content.id) {
            return if entry.about().content == *content { Ok(()) } else { Err(StoreError::OtherSha(content.id)) };
        }
        self.make_room(content, keep, older)?;
        let entry = folder::make(&self.root, content, self.next_order(), None)?;
        self.entries.write().insert(content.id, Arc::new(entry));
        Ok(())
    }

    /// Takes a whole content from a file, as the publisher's box does. It is copied, hashed, and held to `expected`.
    ///
    /// # Errors
    /// The file is not that content, there is no room, or the disk refuses.
    pub fn import(&self, file: &Path, expected: &Content, keep: &[ContentId]) -> Result<(), StoreError> {
        let _changing = self.changing.lock();
        if self.entry(expected.id).is_some_and(|entry| entry.is_whole()) {
            return Ok(());
        }
        if self.entry(expected.id).is_some() {
            self.forget(expected.id)?;
        }
        self.make_room(expected, keep, &[])?;
        let entry = folder::make(&self.root, expected, self.next_order(), Some(file))?;
        self.entries.write().insert(expected.id, Arc::new(entry));
        Ok(())
    }

    fn next_order(&self) -> u64 {
        self.entries.read().values().map(|entry| entry.about().order).max().map_or(1, |order| order + 1)
    }

    fn make_room(&self, content: &Content, keep: &[ContentId], older: &[ContentId]) -> Result<(), StoreError> {
        let needed = content.shape.size();
        // Whose turn it is to give way: what nobody wants, by its age, then what is wanted and older.
        let turn = |about: &About| {
            let id = about.content.id;
            if !keep.contains(&id) {
                return Some((false, about.order));
            }
            let place = older.iter().position(|old| *old == id)?;
            Some((true, u64::try_from(place).ok()?))
        };
        loop {
            let about: Vec<_> = self.entries.read().values().map(|entry| entry.about().clone()).collect();
            let bytes = |about: &[About]| about.iter().map(|about| about.content.shape.size()).sum::<u64>();
            let (fixed, movable): (Vec<_>, Vec<_>) = about.iter().cloned().partition(|about| turn(about).is_none());
            let room =
                |used: u64, count: usize| used + needed <= self.limits.bytes_max && count < self.limits.contents_max;
            let free = folder::free_bytes(&self.root)?.saturating_sub(self.limits.disk_reserve_bytes);
            let wanted = needed + content.shape.outboard_bytes();
            if room(bytes(&about), about.len()) && free >= wanted {
                return Ok(());
            }
            // Nothing is cleared away for a content that would not fit even then.
            if !room(bytes(&fixed), fixed.len()) {
                let (used, bytes_max) = (bytes(&fixed), self.limits.bytes_max);
                return Err(StoreError::NoRoom { needed, used, bytes_max });
            }
            let oldest = movable.iter().min_by_key(|about| turn(about)).map(|about| about.content.id);
            let Some(oldest) = oldest.filter(|_| free + bytes(&movable) >= wanted) else {
                return Err(StoreError::DiskFull { path: self.root.clone(), needed, free });
            };
            tracing::info!(content = %oldest, "the oldest content gives way");
            self.forget(oldest)?;
        }
    }

    /// Removes a content, whole or not.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn remove(&self, content: ContentId) -> Result<(), StoreError> {
        let _changing = self.changing.lock();
        self.forget(content)
    }

    fn forget(&self, content: ContentId) -> Result<(), StoreError> {
        if self.entries.write().remove(&content).is_some() {
            folder::remove(&self.root, content)?;
        }
        Ok(())
    }

    /// Keeps verified groups of a content that is arriving.
    ///
    /// # Errors
    /// It was never admitted, or the disk refuses: then [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn keep(&self, content: ContentId, items: &[Item]) -> Result<(), StoreError> {
        self.entry(content).ok_or(StoreError::Unknown(content))?.keep(items)
    }

    /// Makes the groups held survive a power cut.
    ///
    /// # Errors
    /// As [`Store::keep`].
    pub fn flush(&self, content: ContentId) -> Result<(), StoreError> {
        self.entry(content).ok_or(StoreError::Unknown(content))?.flush()
    }

    /// A slice to hand out; none if not all of it is here. Checked on the way: what rotted in a whole content is here no more.
    ///
    /// # Errors
    /// The disk cannot be read, or bytes rotted of a content that still arrives.
    pub fn slice(&self, content: ContentId, span: Span) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(entry) = self.entry(content) else { return Ok(None) };
        self.or_lost(&entry, Some(span), entry.slice(span))
    }

    /// What was read of an entry; none of a whole one that rotted.
    fn or_lost(
        &self,
        entry: &Arc<Entry>,
        among: Option<Span>,
        read: Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        match read {
            Err(StoreError::Rotten(_)) if entry.is_whole() => self.reopen(entry, among).map(|()| None),
            read => read,
        }
    }

    /// A whole content rotted: it arrives again.
    fn reopen(&self, entry: &Arc<Entry>, among: Option<Span>) -> Result<(), StoreError> {
        let _changing = self.changing.lock();
        let content = entry.about().content.id;
        // Somebody else may have found it first.
        if !self.entry(content).is_some_and(|now| Arc::ptr_eq(&now, entry)) {
            return Ok(());
        }
        let again = entry.reopen(among)?;
        let lost = again.standing();
        let groups = lost.content.shape.groups() - lost.groups;
        tracing::error!(%content, groups, "bytes of a stored content rotted on the disk: it is fetched again");
        self.entries.write().insert(content, Arc::new(again));
        self.losses.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Bytes of a content, fewer at its end, each verified against its name on the way; none if not all of them are here, or
    /// it has no such bytes. At most [`READ_BYTES_MAX`] at a time.
    ///
    /// # Errors
    /// As [`Store::slice`].
    pub fn read(&self, content: ContentId, offset: u64, length: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(entry) = self.entry(content).filter(|_| length <= READ_BYTES_MAX) else { return Ok(None) };
        self.or_lost(&entry, span_of(entry.about().content.shape, offset, length), entry.read(offset, length))
    }

    /// Checks a content all of whose groups are here as a whole, BLAKE3 and SHA-256, and makes it whole.
    ///
    /// # Errors
    /// Groups are missing ([`StoreError::Incomplete`], also when the check found rotten ones: they are fetched again), the
    /// SHA-256 is another (the content is removed), or the disk refuses.
    pub fn complete(&self, content: ContentId) -> Result<PathBuf, StoreError> {
        let _changing = self.changing.lock();
        let entry = self.entry(content).ok_or(StoreError::Unknown(content))?;
        let folder = self.folder(content);
        match entry.complete(&folder) {
            Ok(None) => {}
            Ok(Some(whole)) => drop(self.entries.write().insert(content, Arc::new(whole))),
            Err(error @ StoreError::Sha256 { .. }) => {
                self.forget(content)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        Ok(folder.join("data"))
    }

    /// Reads a whole content again, both hashes: before its file is handed to somebody who reads it without them. One that rotted
    /// arrives again.
    ///
    /// # Errors
    /// It is not whole, rotted, or cannot be read.
    pub fn verify(&self, content: ContentId) -> Result<(), StoreError> {
        let entry = self.entry(content).ok_or(StoreError::Unknown(content))?;
        let verified = entry.verify(&self.folder(content));
        if matches!(verified, Err(StoreError::Rotten(_))) {
            self.reopen(&entry, None)?;
        }
        verified
    }
}
