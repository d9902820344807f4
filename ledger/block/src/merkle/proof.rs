//! Inclusion and consistency proofs, made from leaf hashes and checked without them (RFC 6962, 2.1.1 and 2.1.2; checked
//! as in RFC 9162, 2.1.3.2 and 2.1.4.2).

use std::ops::Range;

use super::{Hash, consistency_ranges, empty_root, inclusion_ranges, node_hash, root};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf would lie outside the tree.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    OutOfTree {
        /// The leaf.
        index: u64,
        /// The tree.
        size: u64,
    },
    /// A consistency proof runs from the larger to the smaller tree.
    #[error("a tree of {old} leaves cannot precede one of {new}")]
    Shrunk {
        /// Size said to be older.
        old: u64,
        /// Size said to be newer.
        new: u64,
    },
    /// Too few or too many hashes for these sizes.
    #[error("the proof has {have} hashes, these sizes need {need}")]
    Length {
        /// Hashes given.
        have: usize,
        /// Hashes needed.
        need: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

fn range_root(leaves: &[Hash], range: Range<u64>) -> Hash {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    leaves.get(at(range.start)..at(range.end)).map_or_else(empty_root, root)
}

/// The inclusion proof of leaf `index`, its sibling first.
pub fn inclusion_proof(leaves: &[Hash], index: u64) -> Result<Vec<Hash>, ProofError> {
    let size = leaves.len() as u64;
    if index >= size {
        return Err(ProofError::OutOfTree { index, size });
    }
    Ok(inclusion_ranges(index, size).into_iter().map(|range| range_root(leaves, range)).collect())
}

/// The consistency proof from the first `old` leaves to all of them. Empty for `old` = 0 and `old` = all.
pub fn consistency_proof(leaves: &[Hash], old: u64) -> Result<Vec<Hash>, ProofError> {
    let new = leaves.len() as u64;
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    Ok(consistency_ranges(old, new).into_iter().map(|range| range_root(leaves, range)).collect())
}

/// The root that leaf hash, position and path lead to.
pub fn root_from_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Result<Hash, ProofError> {
    if index >= size {
        return Err(ProofError::OutOfTree { index, size });
    }
    let mut hash = *leaf;
    let ranges = inclusion_ranges(index, size);
    if ranges.len() != path.len() {
        return Err(ProofError::Length { have: path.len(), need: ranges.len() });
    }
    for (range, sibling) in ranges.iter().zip(path) {
        hash = if range.start > index { node_hash(&hash, sibling) } else { node_hash(sibling, &hash) };
    }
    Ok(hash)
}

/// Checks that `leaf` (a leaf hash) is number `index` of the tree of `size` leaves under `root`.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if root_from_inclusion(leaf, index, size, path)? == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `new` leaves begins with the tree of `old` leaves. Every tree begins with the empty one, whose
/// root must then be [`empty_root`].
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    let need = consistency_ranges(old, new).len();
    if path.len() != need {
        return Err(ProofError::Length { have: path.len(), need });
    }
    if old == new || old == 0 {
        let matches = if old == new { old_root == new_root } else { *old_root == empty_root() };
        let empty = new != 0 || *new_root == empty_root();
        return if matches && empty { Ok(()) } else { Err(ProofError::Root) };
    }
    // RFC 9162, 2.1.4.2: when the old tree is itself a complete subtree, its root is the proof's unspoken first hash.
    let mut hashes = path.iter();
    let seed = if old.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let Some(seed) = seed else { return Err(ProofError::Length { have: 0, need }) };
    let (mut first, mut second) = (*seed, *seed);
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    for hash in hashes {
        if last == 0 {
            return Err(ProofError::Root);
        }
        if at & 1 == 1 || at == last {
            first = node_hash(hash, &first);
            second = node_hash(hash, &second);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            second = node_hash(&second, hash);
        }
        at >>= 1;
        last >>= 1;
    }
    if last == 0 && first == *old_root && second == *new_root { Ok(()) } else { Err(ProofError::Root) }
}
