//! Which subtrees a proof is made of: for logs that keep tiles and do not hold every leaf in memory.

use std::ops::Range;

use super::{Hash, empty_root, node_hash};

/// A complete subtree: the leaves `index * 2^level .. (index + 1) * 2^level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subtree {
    /// Height above the leaves.
    pub level: u8,
    /// Position among the subtrees of that height.
    pub index: u64,
}

/// The largest power of two below `size` (RFC 6962's k); `size` is at least 2.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The leaf ranges whose roots form the inclusion proof of leaf `index` in a tree of `size` leaves, leaf's sibling first.
/// Empty if the leaf is not in the tree.
pub fn inclusion_ranges(index: u64, size: u64) -> Vec<Range<u64>> {
    if index >= size {
        return Vec::new();
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(middle..end);
            end = middle;
        } else {
            path.push(start..middle);
            start = middle;
        }
    }
    path.reverse();
    path
}

/// The leaf ranges whose roots form the consistency proof between trees of `old` and `new` leaves (RFC 6962, 2.1.2).
/// Empty if `old` is 0 or `new`, or beyond `new`.
pub fn consistency_ranges(old: u64, new: u64) -> Vec<Range<u64>> {
    if old == 0 || old >= new {
        return Vec::new();
    }
    let (mut start, mut end) = (0, new);
    let mut path = Vec::new();
    // RFC 6962's SUBPROOF(m, D[n], b): b stays true while the old tree is the left edge seen so far.
    let mut known = true;
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(middle..end);
            end = middle;
        } else {
            path.push(start..middle);
            start = middle;
            known = false;
        }
    }
    if !known {
        path.push(start..end);
    }
    path.reverse();
    path
}

/// The complete subtrees a leaf range consists of, left to right. The range must be one of a proof's or `0..size`.
pub fn subtrees(range: Range<u64>) -> Vec<Subtree> {
    let (mut start, end) = (range.start, range.end);
    let mut parts = Vec::new();
    while start < end {
        let fit = 63 - (end - start).leading_zeros();
        let level = if start == 0 { fit } else { fit.min(start.trailing_zeros()) };
        parts.push(Subtree { level: u8::try_from(level).unwrap_or(63), index: start >> level });
        start += 1 << level;
    }
    parts
}

/// Root of a range from the roots of its [`subtrees`], left to right.
pub fn fold(parts: &[Hash]) -> Hash {
    parts.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}
