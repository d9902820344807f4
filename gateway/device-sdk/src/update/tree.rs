//! BLAKE3 over groups of 16 KiB: one group can be held against the digest of the whole.

use blake3::hazmat::{HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};
use pitchside_wire::firmware::GROUP_BYTES;

/// The hash of one group of an image, fed in pieces.
pub(super) struct Group {
    hasher: blake3::Hasher,
    offset: u64,
    size: u64,
}

/// What a proof shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proven {
    /// The group is part of the image.
    Yes,
    /// It is not, or the proof has another length than the tree.
    No,
    /// The gateway sent no proof.
    Unsaid,
}

impl Group {
    /// Of the group that begins at `offset` of an image of `size` bytes.
    pub fn new(offset: u32, size: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        if size > GROUP_BYTES {
            hasher.set_input_offset(u64::from(offset));
        }
        Self { hasher, offset: u64::from(offset), size: u64::from(size) }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Holds the group against the digest of the whole, by the hashes beside its way up, the nearest first.
    pub fn check(self, proof: &[[u8; 32]], digest: &[u8; 32]) -> Proven {
        if self.size <= u64::from(GROUP_BYTES) {
            let right = proof.is_empty() && self.hasher.finalize().as_bytes() == digest;
            return if right { Proven::Yes } else { Proven::No };
        }
        if proof.is_empty() {
            return Proven::Unsaid;
        }
        // The way down: at each node whether the group lies to the left. 2^32 bytes have at most 18 levels of groups.
        let (mut is_left, mut levels) = ([false; 18], 0);
        let (mut start, mut length) = (0, self.size);
        while length > u64::from(GROUP_BYTES) {
            let left = left_subtree_len(length);
            let goes_left = self.offset < start + left;
            let Some(level) = is_left.get_mut(levels) else { return Proven::No };
            *level = goes_left;
            levels += 1;
            if goes_left { length = left } else { (start, length) = (start + left, length - left) }
        }
        if proof.len() != levels {
            return Proven::No;
        }
        let mut value = self.hasher.finalize_non_root();
        for (at, (beside, left)) in proof.iter().zip(is_left.iter().take(levels).rev()).enumerate() {
            let (a, b) = if *left { (&value, beside) } else { (beside, &value) };
            if at + 1 == levels {
                let root = merge_subtrees_root(a, b, Mode::Hash);
                return if root.as_bytes() == digest { Proven::Yes } else { Proven::No };
            }
            value = merge_subtrees_non_root(a, b, Mode::Hash);
        }
        Proven::No
    }
}
