//! The hashes that lead from a group of 16 KiB to the digest of its image, for devices that check while they pull.

use std::collections::VecDeque;
use std::sync::Arc;

use blake3::hazmat::{HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root};
use pitchside_release::content::ContentId;
use pitchside_wire::firmware::GROUP_BYTES;

use super::shelf::{ReadError, Shelf};

/// Images whose groups are remembered.
const IMAGES_MAX: usize = 4;
/// The largest image that is proven group by group; of a larger one devices check the whole.
const IMAGE_BYTES_MAX: u64 = 64 << 20;
const GROUP: u64 = GROUP_BYTES as u64;

/// An image's groups: 32 bytes each, 128 KiB at most.
struct Groups {
    id: ContentId,
    hashes: Arc<Vec<[u8; 32]>>,
}

/// The groups of the images that are handed out.
#[derive(Default)]
pub(super) struct Proofs(VecDeque<Groups>);

impl Proofs {
    /// The hashes beside the way of the group that holds `offset`, the nearest first. Reads the image once. Blocks.
    ///
    /// # Errors
    /// The image cannot be read.
    pub fn of(&mut self, shelf: &Shelf, id: ContentId, size: u64, offset: u64) -> Result<Vec<[u8; 32]>, ReadError> {
        if size <= GROUP || size > IMAGE_BYTES_MAX {
            return Ok(Vec::new());
        }
        let hashes = match self.0.iter().find(|groups| groups.id == id) {
            Some(groups) => Arc::clone(&groups.hashes),
            None => {
                let hashes = Arc::new(hashes(size, |offset, length| shelf.read(id, offset, length))?);
                if self.0.len() >= IMAGES_MAX {
                    self.0.pop_front();
                }
                self.0.push_back(Groups { id, hashes: Arc::clone(&hashes) });
                hashes
            }
        };
        Ok(beside(&hashes, size, offset))
    }
}

fn hashes<E>(size: u64, read: impl Fn(u64, usize) -> Result<Vec<u8>, E>) -> Result<Vec<[u8; 32]>, E> {
    let starts = (0..size.div_ceil(GROUP)).map(|group| group * GROUP);
    let hash = |start: u64| {
        let length = usize::try_from((size - start).min(GROUP)).unwrap_or(0);
        let bytes = read(start, length)?;
        Ok(blake3::Hasher::new().set_input_offset(start).update(&bytes).finalize_non_root())
    };
    starts.map(hash).collect()
}

fn subtree(hashes: &[[u8; 32]], start: u64, length: u64) -> [u8; 32] {
    if length <= GROUP {
        let group = usize::try_from(start / GROUP).unwrap_or(usize::MAX);
        return hashes.get(group).copied().unwrap_or_default();
    }
    let left = left_subtree_len(length);
    merge_subtrees_non_root(&subtree(hashes, start, left), &subtree(hashes, start + left, length - left), Mode::Hash)
}

fn beside(hashes: &[[u8; 32]], size: u64, offset: u64) -> Vec<[u8; 32]> {
    let (mut start, mut length, mut found) = (0, size, Vec::new());
    while length > GROUP {
        let left = left_subtree_len(length);
        if offset < start + left {
            found.push(subtree(hashes, start + left, length - left));
            length = left;
        } else {
            found.push(subtree(hashes, start, left));
            (start, length) = (start + left, length - left);
        }
    }
    found.reverse();
    found
}
