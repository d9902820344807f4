//! The Merkle tree (RFC 6962) over tiles: roots and proofs for any size up to the committed one, and growth by new leaves
//! without holding the old ones.

use std::collections::HashMap;

use ledger_block::merkle::{self, Hash, Subtree};

use crate::objects::{Objects, StorageError};
use crate::tile::{Kind, TILE_HEIGHT, TILE_WIDTH, Tile};

/// Full tiles kept in memory while one proof or one batch is worked on.
const CACHED_TILES_MAX: usize = 64;

/// Reads complete subtrees of a committed tree out of its tiles.
pub struct TileTree<'a> {
    objects: &'a dyn Objects,
    size: u64,
    cache: HashMap<(u8, u64), Vec<Hash>>,
}

impl<'a> TileTree<'a> {
    /// The tree of `size` leaves; its tiles must exist.
    pub fn new(objects: &'a dyn Objects, size: u64) -> Self {
        Self { objects, size, cache: HashMap::new() }
    }

    /// Leaves in it.
    pub const fn size(&self) -> u64 {
        self.size
    }

    fn tile(&mut self, level: u8, index: u64) -> Result<&[Hash], StorageError> {
        if !self.cache.contains_key(&(level, index)) {
            let hashes = self.read(level, index)?;
            if self.cache.len() >= CACHED_TILES_MAX {
                self.cache.clear();
            }
            self.cache.insert((level, index), hashes);
        }
        Ok(self.cache.get(&(level, index)).map(Vec::as_slice).unwrap_or_default())
    }

    fn read(&self, level: u8, index: u64) -> Result<Vec<Hash>, StorageError> {
        let missing = || StorageError::Missing(format!("tile {index} of level {level} in a tree of {}", self.size));
        let tile = Tile::of_tree(Kind::Hashes(level), index, self.size).ok_or_else(missing)?;
        let bytes = read_tile(self.objects, tile)?.ok_or_else(missing)?;
        Ok(bytes.as_chunks::<32>().0.to_vec())
    }

    /// Root of one complete subtree.
    ///
    /// # Errors
    /// A tile is missing or cannot be read.
    pub fn node(&mut self, node: Subtree) -> Result<Hash, StorageError> {
        let (level, height) = (node.level / TILE_HEIGHT, node.level % TILE_HEIGHT);
        let first = node.index << height;
        let tile = self.tile(level, first / TILE_WIDTH)?;
        let start = usize::try_from(first % TILE_WIDTH).unwrap_or(usize::MAX);
        let hashes = start.checked_add(1 << height).and_then(|end| tile.get(start..end));
        hashes.map(merkle::root).ok_or_else(|| StorageError::Missing(format!("hashes below {node:?}")))
    }

    fn range(&mut self, range: std::ops::Range<u64>) -> Result<Hash, StorageError> {
        let parts: Result<Vec<Hash>, _> = merkle::subtrees(range).into_iter().map(|node| self.node(node)).collect();
        Ok(merkle::fold(&parts?))
    }

    /// Root of the first `size` leaves.
    ///
    /// # Errors
    /// A tile is missing or cannot be read.
    pub fn root(&mut self, size: u64) -> Result<Hash, StorageError> {
        self.range(0..size)
    }

    /// Proof that leaf `index` is in the first `size` leaves. Empty if it is not.
    ///
    /// # Errors
    /// A tile is missing or cannot be read.
    pub fn inclusion(&mut self, index: u64, size: u64) -> Result<Vec<Hash>, StorageError> {
        merkle::inclusion_ranges(index, size).into_iter().map(|range| self.range(range)).collect()
    }

    /// Proof that the first `new` leaves begin with the first `old` ones.
    ///
    /// # Errors
    /// A tile is missing or cannot be read.
    pub fn consistency(&mut self, old: u64, new: u64) -> Result<Vec<Hash>, StorageError> {
        merkle::consistency_ranges(old, new).into_iter().map(|range| self.range(range)).collect()
    }
}

/// The bytes of a tile; the first part of the full one if the partial one was tidied away.
///
/// # Errors
/// The store cannot be read.
pub fn read_tile(objects: &dyn Objects, tile: Tile) -> Result<Option<Vec<u8>>, StorageError> {
    if let Some(bytes) = objects.get(&tile.to_string())? {
        return Ok(Some(bytes));
    }
    if tile.is_full() {
        return Ok(None);
    }
    let Some(full) = objects.get(&tile.full().to_string())? else { return Ok(None) };
    let width = usize::from(tile.width);
    let end = match tile.kind {
        Kind::Hashes(_) => Some(width * 32),
        Kind::Entries => crate::bundle::entries(&full)
            .and_then(|entries| entries.get(..width).map(|first| first.iter().map(|e| e.len() + 2).sum())),
    };
    Ok(end.and_then(|end| full.get(..end)).map(<[u8]>::to_vec))
}

/// The leaf at a place of the tree of this size; none if that is beyond it, or its bundle is gone or broken.
///
/// # Errors
/// The store cannot be read.
pub fn read_entry(objects: &dyn Objects, place: u64, size: u64) -> Result<Option<Vec<u8>>, StorageError> {
    let Some(tile) = Tile::of_tree(Kind::Entries, place / TILE_WIDTH, size) else { return Ok(None) };
    let (Some(held), Ok(within)) = (read_tile(objects, tile)?, usize::try_from(place % TILE_WIDTH)) else {
        return Ok(None);
    };
    Ok(crate::bundle::entries(&held).and_then(|entries| entries.get(within).map(|entry| entry.to_vec())))
}

/// New leaves on top of a committed tree, and the tiles they make.
pub struct Growth<'a> {
    base: TileTree<'a>,
    fresh: HashMap<Subtree, Hash>,
    entries: Vec<Vec<u8>>,
    size: u64,
}

impl<'a> Growth<'a> {
    /// Nothing new yet.
    pub fn new(objects: &'a dyn Objects, size: u64) -> Self {
        Self { base: TileTree::new(objects, size), fresh: HashMap::new(), entries: Vec::new(), size }
    }

    /// Leaves with the new ones.
    pub const fn size(&self) -> u64 {
        self.size
    }

    fn node(&mut self, node: Subtree) -> Result<Hash, StorageError> {
        match self.fresh.get(&node) {
            Some(hash) => Ok(*hash),
            None => self.base.node(node),
        }
    }

    /// Appends a leaf.
    ///
    /// # Errors
    /// A tile of the committed tree is missing or cannot be read.
    pub fn push(&mut self, entry: Vec<u8>, leaf: Hash) -> Result<(), StorageError> {
        let mut node = Subtree { level: 0, index: self.size };
        let mut hash = leaf;
        self.fresh.insert(node, hash);
        while node.index % 2 == 1 {
            let left = self.node(Subtree { level: node.level, index: node.index - 1 })?;
            hash = merkle::node_hash(&left, &hash);
            node = Subtree { level: node.level + 1, index: node.index / 2 };
            self.fresh.insert(node, hash);
        }
        self.entries.push(entry);
        self.size += 1;
        Ok(())
    }

    /// Root with the new leaves.
    ///
    /// # Errors
    /// A tile of the committed tree is missing or cannot be read.
    pub fn root(&mut self) -> Result<Hash, StorageError> {
        let nodes = merkle::subtrees(0..self.size);
        let parts: Result<Vec<Hash>, _> = nodes.into_iter().map(|node| self.node(node)).collect();
        Ok(merkle::fold(&parts?))
    }

    /// Every tile and bundle the new leaves make or widen, by path.
    ///
    /// # Errors
    /// A tile of the committed tree is missing or cannot be read, or an entry is too long for a bundle.
    pub fn objects(&mut self) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        let since = self.base.size();
        Tile::grown(since, self.size)
            .into_iter()
            .map(|tile| {
                let bytes = match tile.kind {
                    Kind::Entries => self.bundle(tile, since)?,
                    Kind::Hashes(level) => self.hashes(tile, level)?,
                };
                Ok((tile.to_string(), bytes))
            })
            .collect()
    }

    fn hashes(&mut self, tile: Tile, level: u8) -> Result<Vec<u8>, StorageError> {
        let first = tile.index * TILE_WIDTH;
        let mut bytes = Vec::with_capacity(usize::from(tile.width) * 32);
        for index in first..first + u64::from(tile.width) {
            bytes.extend_from_slice(&self.node(Subtree { level: level * TILE_HEIGHT, index })?);
        }
        Ok(bytes)
    }

    fn bundle(&self, tile: Tile, since: u64) -> Result<Vec<u8>, StorageError> {
        let first = tile.index * TILE_WIDTH;
        let mut bytes = Vec::new();
        if since > first {
            let held = Tile::of_tree(Kind::Entries, tile.index, since)
                .ok_or_else(|| StorageError::Missing(format!("bundle {}", tile.index)))?;
            bytes = read_tile(self.base.objects, held)?.ok_or_else(|| StorageError::Missing(held.to_string()))?;
        }
        for place in first.max(since)..first + u64::from(tile.width) {
            let entry = usize::try_from(place - since).ok().and_then(|at| self.entries.get(at));
            let entry = entry.ok_or_else(|| StorageError::Missing(format!("entry {place}")))?;
            if !crate::bundle::push(&mut bytes, entry) {
                return Err(StorageError::TooLong(entry.len()));
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
