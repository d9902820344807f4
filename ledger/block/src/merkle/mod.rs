//! Merkle trees as in RFC 6962, section 2.1, over SHA-256; the log, the segments of a block and the readings of a
//! segment all use them.
//!
//! The empty tree is pinned: its root is SHA-256 of nothing, `e3b0c442…b855`.

mod frontier;
mod proof;
mod ranges;

use sha2::{Digest, Sha256};

pub use frontier::{Frontier, FrontierError};
pub use proof::{
    ProofError, consistency_proof, inclusion_proof, root_from_inclusion, verify_consistency, verify_inclusion,
};
pub use ranges::{Subtree, consistency_ranges, fold, inclusion_ranges, subtrees};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The most hashes a proof may carry: a tree of 2^63 leaves has paths this long.
pub const PATH_HASHES_MAX: usize = 63;

/// Hash of a leaf: SHA-256(0x00 || leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0u8]);
    hasher.update(leaf);
    hasher.finalize().into()
}

/// Hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // One contiguous message: a single call into the compression function's buffering.
    let mut message = [1u8; 65];
    message[1..33].copy_from_slice(left);
    message[33..].copy_from_slice(right);
    Sha256::digest(message).into()
}

/// Root of the empty tree: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Root of the tree over these leaf hashes (already hashed by [`leaf_hash`]).
pub fn root(leaves: &[Hash]) -> Hash {
    let Some(first) = leaves.first() else { return empty_root() };
    if leaves.len() == 1 {
        return *first;
    }
    // Joining neighbours level by level, and carrying an odd last one up, gives the tree of RFC 6962: its left part is
    // always the largest power of two.
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = join(&level);
    }
    level.first().copied().unwrap_or_else(empty_root)
}

/// The next level up: neighbours joined, an odd last one carried.
fn join(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node_hash(left, right),
            [single, ..] => *single,
            [] => empty_root(),
        })
        .collect()
}

/// Root that also commits to the number of leaves: SHA-256(0x02 || count as u32 big-endian || root).
///
/// A bare RFC 6962 root does not say how many leaves it has, so an inclusion proof could be re-told with another index or
/// size. The log's checkpoint states its size; the two levels inside a block use this instead.
pub fn counted_root(count: u32, root: &Hash) -> Hash {
    let mut message = [2u8; 37];
    message[1..5].copy_from_slice(&count.to_be_bytes());
    message[5..].copy_from_slice(root);
    Sha256::digest(message).into()
}

#[cfg(test)]
mod tests;
