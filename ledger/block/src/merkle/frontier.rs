//! A tree that only remembers its right edge: enough to append and to know the root.

use super::{Hash, fold, node_hash, subtrees};

/// The roots of the complete subtrees of a tree of `size` leaves, left to right: one a set bit of `size`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    edge: Vec<Hash>,
}

/// Why a stored frontier is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree of {size} leaves has {need} complete subtrees, not {have}")]
pub struct FrontierError {
    /// Leaves.
    pub size: u64,
    /// Hashes given.
    pub have: usize,
    /// Hashes needed.
    pub need: usize,
}

impl Frontier {
    /// The empty tree.
    pub const fn new() -> Self {
        Self { size: 0, edge: Vec::new() }
    }

    /// From a size and the roots of its complete subtrees, left to right (see [`subtrees`] of `0..size`).
    pub fn from_parts(size: u64, edge: Vec<Hash>) -> Result<Self, FrontierError> {
        let need = subtrees(0..size).len();
        if edge.len() == need { Ok(Self { size, edge }) } else { Err(FrontierError { size, have: edge.len(), need }) }
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.edge.pop() else { break };
            hash = node_hash(&left, &hash);
        }
        self.edge.push(hash);
        self.size += 1;
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, left to right.
    pub fn edge(&self) -> &[Hash] {
        &self.edge
    }

    /// The root.
    pub fn root(&self) -> Hash {
        fold(&self.edge)
    }
}
