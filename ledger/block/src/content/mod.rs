//! Content: bytes named by their BLAKE3, and the one form in which they are asked for and answered, by gateways and the
//! ledger alike. Whoever asks knows name and size from a signed manifest, so every answer is checked as it arrives and
//! nobody who answers needs to be trusted. Drawn in this crate's README, "Content".
//!
//! | module | holds |
//! | --- | --- |
//! | [`ask`] | the paths one may ask for |
//! | [`groups`] | which groups somebody has: a bitmap |
//! | [`slice`] | a run of groups with the hashes that prove them: writing, and checking while reading |

pub mod ask;
pub mod groups;
pub mod slice;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};
use data_encoding::HEXLOWER;

pub use ask::{Ask, AskError};
pub use groups::{Groups, GroupsError};
pub use slice::{Decoder, Item, ReadAt, SliceError};

/// Bytes of a group: what is verified, stored and named as one. The last may be shorter.
pub const GROUP_BYTES: u64 = 16 * 1_024;
/// Groups of one answer at most: 1 MiB.
pub const SPAN_GROUPS_MAX: u32 = 64;
/// Bytes of a content at most: 1 GiB, eight times the largest bundle.
pub const SIZE_MAX: u64 = 1 << 30;

/// Sixteen chunks of 1,024 bytes.
const BLOCK: BlockSize = BlockSize::from_chunk_log(4);
const GROUP_CHUNKS: u64 = 16;

/// A content's name: BLAKE3 of its bytes. Written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub [u8; 32]);

/// Not a name of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a content's name is 64 lower-case hexadecimal digits")]
pub struct NotAContentId;

impl FromStr for ContentId {
    type Err = NotAContentId;

    fn from_str(text: &str) -> Result<Self, NotAContentId> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| NotAContentId)?;
        bytes.try_into().map(Self).map_err(|_| NotAContentId)
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({self})")
    }
}

/// The place of a group in its content, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(pub u32);

/// A run of groups, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    first: u32,
    last: u32,
}

impl Span {
    /// From first to last, at most [`SPAN_GROUPS_MAX`]; none otherwise.
    pub const fn new(first: u32, last: u32) -> Option<Self> {
        if first <= last && last - first < SPAN_GROUPS_MAX { Some(Self { first, last }) } else { None }
    }

    /// The first group.
    pub const fn first(self) -> GroupIndex {
        GroupIndex(self.first)
    }

    /// The last group.
    pub const fn last(self) -> GroupIndex {
        GroupIndex(self.last)
    }

    /// Its groups in order.
    pub fn groups(self) -> impl Iterator<Item = GroupIndex> {
        (self.first..=self.last).map(GroupIndex)
    }
}

/// The shape of a content's tree: all that follows from its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    size: u64,
}

impl Shape {
    /// Of a content of 1 to [`SIZE_MAX`] bytes; none otherwise.
    pub const fn new(size: u64) -> Option<Self> {
        if size >= 1 && size <= SIZE_MAX { Some(Self { size }) } else { None }
    }

    /// Bytes in all.
    pub const fn size(self) -> u64 {
        self.size
    }

    /// Groups in all, at least 1.
    #[allow(clippy::cast_possible_truncation, reason = "SIZE_MAX / GROUP_BYTES is 65,536")]
    pub const fn groups(self) -> u32 {
        self.size.div_ceil(GROUP_BYTES) as u32
    }

    /// Where a group begins, in bytes.
    pub const fn offset(self, group: GroupIndex) -> u64 {
        group.0 as u64 * GROUP_BYTES
    }

    /// Bytes of a group; 0 beyond the end.
    pub fn group_bytes(self, group: GroupIndex) -> u64 {
        self.size.saturating_sub(self.offset(group)).min(GROUP_BYTES)
    }

    /// Whether all groups of a span exist.
    pub const fn holds(self, span: Span) -> bool {
        span.last < self.groups()
    }

    /// Bytes of the content in a span.
    pub fn span_bytes(self, span: Span) -> u64 {
        span.groups().map(|group| self.group_bytes(group)).sum()
    }

    /// Bytes of the outboard: 64 for each inner node above the groups.
    pub const fn outboard_bytes(self) -> u64 {
        (self.groups() as u64 - 1) * 64
    }

    pub(crate) fn tree(self) -> BaoTree {
        BaoTree::new(self.size, BLOCK)
    }

    /// The chunks of a span, open at the end where the content ends: the only form in which both sides ask the tree.
    pub(crate) fn chunks(self, span: Span) -> ChunkRanges {
        let from = ChunkNum(u64::from(span.first) * GROUP_CHUNKS);
        if span.last + 1 >= self.groups() {
            ChunkRanges::from(from..)
        } else {
            ChunkRanges::from(from..ChunkNum((u64::from(span.last) + 1) * GROUP_CHUNKS))
        }
    }
}
