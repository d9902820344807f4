//! The tree over hours: a binary tree of depth 32 (Goldreich, Goldwasser, Micali, 1986). A node opens the hours below it
//! and tells nothing of the others, so a grant for a span of time is a handful of nodes.

use std::fmt;
use std::ops::Range;

use ledger_block::segment::HourKey;
use pitchside_model::HourIndex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

const LABEL: &[u8; 16] = b"pitchside/tree/1";
const DEPTH: u32 = 32;

/// A node: the key of the hours whose index begins with its `depth` bits.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Node {
    depth: u32,
    /// The first hour below it.
    first: u32,
    key: [u8; 32],
}

impl Node {
    pub(super) const fn root(key: [u8; 32]) -> Self {
        Self { depth: 0, first: 0, key }
    }

    /// A node from its parts, as a grant carries it. None if `first` is not the first hour of a node of that depth.
    pub fn from_parts(depth: u32, first: HourIndex, key: [u8; 32]) -> Option<Self> {
        let node = Self { depth, first: first.0, key };
        (depth <= DEPTH && u64::from(first.0).is_multiple_of(node.width())).then_some(node)
    }

    /// How many bits of the hour it fixes: 0 for the root, 32 for a single hour.
    pub const fn depth(&self) -> u32 {
        self.depth
    }

    /// The first hour below it.
    pub const fn first(&self) -> HourIndex {
        HourIndex(self.first)
    }

    /// The key, for a grant to carry.
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    fn width(&self) -> u64 {
        1 << (DEPTH - self.depth)
    }

    fn covers(&self, hour: HourIndex) -> bool {
        let first = u64::from(self.first);
        (first..first + self.width()).contains(&u64::from(hour.0))
    }

    /// The left (0) or right (1) half: SHA-256(label || bit || key), one compression.
    fn step(&mut self, right: bool) {
        let mut message = [0u8; 49];
        message[..16].copy_from_slice(LABEL);
        message[16] = u8::from(right);
        message[17..].copy_from_slice(&self.key);
        self.key = Sha256::digest(message).into();
        message.zeroize();
        self.depth += 1;
        if right {
            self.first += u32::try_from(self.width()).unwrap_or(0);
        }
    }

    /// The node of `depth` above `hour`, if it lies at or below this one.
    pub fn descend(&self, depth: u32, hour: HourIndex) -> Option<Self> {
        if !self.covers(hour) || depth < self.depth || depth > DEPTH {
            return None;
        }
        let mut node = self.clone();
        while node.depth < depth {
            node.step(hour.0 >> (DEPTH - 1 - node.depth) & 1 == 1);
        }
        Some(node)
    }

    /// The key of an hour, if this node covers it.
    pub fn hour(&self, hour: HourIndex) -> Option<HourKey> {
        self.descend(DEPTH, hour).map(|node| HourKey::new(node.key))
    }

    /// The root covers every hour.
    pub(super) fn hour_within(mut self, hour: HourIndex) -> HourKey {
        while self.depth < DEPTH {
            self.step(hour.0 >> (DEPTH - 1 - self.depth) & 1 == 1);
        }
        HourKey::new(self.key)
    }
}

impl PartialEq for Node {
    /// The keys in constant time.
    fn eq(&self, other: &Self) -> bool {
        (self.depth, self.first) == (other.depth, other.first) && self.key.ct_eq(&other.key).into()
    }
}
impl Eq for Node {}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} hours from {})", self.width(), self.first)
    }
}

/// The fewest nodes that cover exactly the hours `from..to`, as depth and first hour, in order. At most 62.
pub fn cover(hours: Range<HourIndex>) -> Vec<(u32, HourIndex)> {
    let (mut at, end) = (u64::from(hours.start.0), u64::from(hours.end.0));
    let mut nodes = Vec::new();
    while at < end {
        let fit = 63 - (end - at).leading_zeros();
        let level = at.trailing_zeros().min(fit).min(DEPTH);
        nodes.push((DEPTH - level, HourIndex(u32::try_from(at).unwrap_or(u32::MAX))));
        at += 1 << level;
    }
    nodes
}
