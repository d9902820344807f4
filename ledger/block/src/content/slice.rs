//! A run of groups with the hashes that prove them: the tree in pre-order, left out where it does not lead to a wanted
//! group. An inner node is the BLAKE3 chaining values of its two children, 64 bytes; a leaf is a group's bytes. The
//! encoding is bao's (without its size prefix, over groups of 16 chunks); it has one length, known to who asks.

use std::io;

use bao_tree::io::outboard::PreOrderOutboard;
pub use bao_tree::io::sync::ReadAt;
use bao_tree::io::sync::{CreateOutboard as _, encode_ranges_validated};
use bao_tree::iter::{BaoChunk, ResponseIter};
use blake3::hazmat::{self, HasherExt as _, Mode};

use super::{BLOCK, ContentId, GROUP_BYTES, GroupIndex, Shape, Span};

const NODE_BYTES: usize = 64;

/// Why a slice is not what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SliceError {
    /// Hashes that are not those of the content.
    #[error("wrong hashes on the way to group {0}")]
    WrongHashes(u32),
    /// Bytes that are not those of the content.
    #[error("wrong bytes in group {0}")]
    WrongBytes(u32),
    /// It ended early.
    #[error("the slice ended {0} bytes early")]
    Truncated(u64),
    /// It went on after its end.
    #[error("the slice goes on after its end")]
    Endless,
    /// Nothing is taken after an error.
    #[error("the slice was refused before")]
    Refused,
}

/// A piece that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An inner node, with its place in the outboard.
    Node {
        /// Bytes from the outboard's beginning.
        offset: u64,
        /// Left and right.
        pair: [u8; NODE_BYTES],
    },
    /// A group.
    Group {
        /// Which.
        index: GroupIndex,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

fn items(shape: Shape, span: Span) -> ResponseIter {
    ResponseIter::new(shape.tree(), shape.chunks(span))
}

/// Bytes of the slice of a span; none if the content has no such groups.
pub fn encoded_bytes(shape: Shape, span: Span) -> Option<u64> {
    shape.holds(span).then(|| items(shape, span).map(|item| item.size() as u64).sum())
}

/// Writes a slice, checking what is read on the way: a store whose bytes rotted gives an error, never wrong bytes.
///
/// # Errors
/// The store cannot be read, lacks some of it, or holds other bytes.
pub fn encode(
    content: ContentId,
    shape: Shape,
    span: Span,
    data: impl ReadAt,
    outboard: impl ReadAt,
) -> io::Result<Vec<u8>> {
    let length = encoded_bytes(shape, span).ok_or(io::ErrorKind::InvalidInput)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    let outboard = PreOrderOutboard { root: content.0.into(), tree: shape.tree(), data: outboard };
    encode_ranges_validated(data, outboard, &shape.chunks(span), &mut bytes)?;
    Ok(bytes)
}

/// Reads a whole content; gives its name and its outboard: the inner nodes above the groups in pre-order.
///
/// # Errors
/// It cannot be read, or is shorter than its shape.
pub fn outboard(shape: Shape, data: impl io::Read) -> io::Result<(ContentId, Vec<u8>)> {
    let made = PreOrderOutboard::<Vec<u8>>::create_sized(data, shape.size(), BLOCK)?;
    Ok((ContentId(made.root.into()), made.data))
}

/// Checks a slice while it arrives. Holds one group at most; gives each node and group as soon as it is verified.
#[derive(Debug)]
pub struct Decoder {
    shape: Shape,
    items: ResponseIter,
    wanted: Option<BaoChunk>,
    /// Hashes of the subtrees still to come, the next on top.
    stack: Vec<[u8; 32]>,
    buffer: Vec<u8>,
    /// Bytes still to come, those in `buffer` included.
    left: u64,
    /// Where we are, for errors.
    group: u32,
    refused: bool,
}

impl Decoder {
    /// For a span of a content; none if it has no such groups.
    pub fn new(content: ContentId, shape: Shape, span: Span) -> Option<Self> {
        let left = encoded_bytes(shape, span)?;
        let mut items = items(shape, span);
        let wanted = items.next();
        let (stack, group) = (vec![content.0], span.first().0);
        Some(Self { shape, items, wanted, stack, buffer: Vec::new(), left, group, refused: false })
    }

    /// Takes bytes from the front of `bytes` until something is verified; none when all are taken and more are needed.
    ///
    /// # Errors
    /// The bytes are not the content's, or go on after the end. Nothing is taken after that.
    pub fn push(&mut self, bytes: &mut &[u8]) -> Result<Option<Item>, SliceError> {
        if self.refused {
            return Err(SliceError::Refused);
        }
        let pushed = self.take(bytes);
        self.refused = pushed.is_err();
        pushed
    }

    /// Says whether all has come.
    ///
    /// # Errors
    /// It has not.
    pub const fn finish(&self) -> Result<(), SliceError> {
        if self.refused {
            return Err(SliceError::Refused);
        }
        let missing = self.left - self.buffer.len() as u64;
        if missing == 0 { Ok(()) } else { Err(SliceError::Truncated(missing)) }
    }

    fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Item>, SliceError> {
        let Some(wanted) = self.wanted else {
            return if bytes.is_empty() { Ok(None) } else { Err(SliceError::Endless) };
        };
        let missing = wanted.size() - self.buffer.len();
        let (head, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.buffer.extend_from_slice(head);
        *bytes = rest;
        if self.buffer.len() < wanted.size() {
            return Ok(None);
        }
        let item = self.verify(wanted)?;
        self.left -= wanted.size() as u64;
        self.wanted = self.items.next();
        Ok(Some(item))
    }

    fn verify(&mut self, wanted: BaoChunk) -> Result<Item, SliceError> {
        let expected = self.stack.pop().ok_or(SliceError::WrongHashes(self.group))?;
        match wanted {
            BaoChunk::Parent { node, is_root, left, right, .. } => {
                let wrong = SliceError::WrongHashes(self.group);
                let pair: [u8; NODE_BYTES] = self.buffer.as_slice().try_into().map_err(|_| wrong)?;
                self.buffer.clear();
                let (l, r) = halves(&pair);
                let found = if is_root {
                    *hazmat::merge_subtrees_root(&l, &r, Mode::Hash).as_bytes()
                } else {
                    hazmat::merge_subtrees_non_root(&l, &r, Mode::Hash)
                };
                if found != expected {
                    return Err(wrong);
                }
                if right {
                    self.stack.push(r);
                }
                if left {
                    self.stack.push(l);
                }
                let offset = self.shape.tree().pre_order_offset(node).ok_or(wrong)? * NODE_BYTES as u64;
                Ok(Item::Node { offset, pair })
            }
            BaoChunk::Leaf { start_chunk, is_root, .. } => {
                let bytes = std::mem::take(&mut self.buffer);
                let index = u32::try_from(start_chunk.to_bytes() / GROUP_BYTES).unwrap_or(u32::MAX);
                let found = if is_root {
                    *blake3::hash(&bytes).as_bytes()
                } else {
                    let mut hasher = blake3::Hasher::new();
                    hasher.set_input_offset(start_chunk.to_bytes());
                    hasher.update(&bytes).finalize_non_root()
                };
                if found != expected {
                    return Err(SliceError::WrongBytes(index));
                }
                self.group = index.saturating_add(1);
                Ok(Item::Group { index: GroupIndex(index), bytes })
            }
        }
    }
}

fn halves(pair: &[u8; NODE_BYTES]) -> ([u8; 32], [u8; 32]) {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(&pair[..32]);
    right.copy_from_slice(&pair[32..]);
    (left, right)
}
