//! What gateways ask to learn of firmware, and what may be kept and served of its content.

use ledger_block::Hash;
use ledger_block::ingest::{
    Cohort, DeviceId, ProvenLeaf, RELEASE_LEAVES_BYTES_MAX, RELEASE_LEAVES_MAX, Releases, Summed,
};
use ledger_block::release::{HardwareId, Manifest, ReleaseId, Sum};

use super::{Log, Published};
use crate::contents::FileContents;
use crate::machine::{step_key, tally};
use crate::objects::StorageError;
use crate::state::FactKind;
use crate::tree::{TileTree, read_entry};

/// What the ledger knows about a content that some release names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownContent {
    /// Bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Hash,
}

/// Why a content is not taken from somebody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWanted {
    /// No release names it.
    #[error("no release in the log names this content; publish the release first")]
    Unnamed,
    /// Others released it; the last of them.
    #[error("only who released this content uploads it, and that was {0}")]
    Another(DeviceId),
}

impl KnownContent {
    /// From the value of a fact.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let (size, sha256) = value.split_first_chunk::<8>()?;
        Some(Self { size: u64::from_be_bytes(*size), sha256: sha256.try_into().ok()? })
    }
}

/// Whether this manifest is of this content.
fn names(manifest: &[u8], blake3: &Hash) -> bool {
    Manifest::parse(manifest).is_ok_and(|manifest| manifest.blake3 == *blake3)
}

impl Log {
    /// The leaves about firmware from a place on that the checkpoint covers, with their proofs, as many as one reply holds.
    ///
    /// # Errors
    /// A store cannot be read, or lacks what it must hold.
    pub fn releases(&self, since: u64, seen: u64, published: &Published) -> Result<Releases, StorageError> {
        let size = published.size;
        // One more than is sent: it says where to ask on.
        let limit = u32::try_from(RELEASE_LEAVES_MAX + 1).unwrap_or(u32::MAX);
        let places = self.read(|reads| reads.firmware(since, limit))?;
        let mut tree = TileTree::new(self.storage.objects.as_ref(), size);
        let (mut leaves, mut bytes, mut next) = (Vec::new(), 0, size);
        for place in places.into_iter().take_while(|place| *place < size) {
            let (leaf, path) = (self.entry(place, size)?, tree.inclusion(place, size)?);
            bytes += leaf.len() + 34 * path.len();
            if leaves.len() == RELEASE_LEAVES_MAX || (!leaves.is_empty() && bytes > RELEASE_LEAVES_BYTES_MAX) {
                next = place;
                break;
            }
            leaves.push(ProvenLeaf { place, leaf, path });
        }
        Ok(Releases { checkpoint: self.proven(published, seen)?, leaves, next })
    }

    /// The releases in the log whose names, written down, begin so.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn releases_named(&self, beginning: &str) -> Result<Vec<ReleaseId>, StorageError> {
        let keys = self.read(|reads| reads.keys(FactKind::Manifest))?;
        let ids = keys.into_iter().map(|key| key.try_into().map(ReleaseId));
        let ids: Vec<ReleaseId> = ids.collect::<Result<_, _>>().map_err(|_| StorageError::Impossible("release"))?;
        Ok(ids.into_iter().filter(|id| id.to_string().starts_with(beginning)).collect())
    }

    /// How far a release is rolled out, on each hardware on which that was begun.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn rollouts(&self, release: &ReleaseId) -> Result<Vec<(HardwareId, Cohort)>, StorageError> {
        self.read(|reads| {
            let Some(fact) = reads.fact(FactKind::Manifest, &release.0)? else { return Ok(Vec::new()) };
            let manifest = Manifest::parse(&fact.value).map_err(|_| StorageError::Impossible("manifest"))?;
            let mut rollouts = Vec::new();
            for hardware in manifest.hardware {
                let Some(step) = reads.fact(FactKind::Step, &step_key(release, &hardware))? else { continue };
                let now = step.value.first().copied().and_then(Cohort::from_percent);
                rollouts.push((hardware, now.ok_or(StorageError::Impossible("step of a rollout"))?));
            }
            Ok(rollouts)
        })
    }

    /// How updates to a release ended, over all gateways.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn sum(&self, release: ReleaseId) -> Result<Summed, StorageError> {
        let fact = self.read(|reads| reads.fact(FactKind::Sum, &release.0))?;
        let sum = match fact {
            Some(fact) => tally::parse(&fact.value).ok_or(StorageError::Impossible("sum of tallies"))?,
            None => Sum::default(),
        };
        Ok(Summed { release, sum })
    }

    /// The content of this BLAKE3, if a release in the log names it. Nothing else is kept or served.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn content(&self, blake3: &Hash) -> Result<Option<KnownContent>, StorageError> {
        let fact = self.read(|reads| reads.fact(FactKind::Content, blake3))?;
        fact.map(|fact| KnownContent::parse(&fact.value).ok_or(StorageError::Impossible("content"))).transpose()
    }

    /// The same, for a member that wants to upload it: whoever published a release of it may, also if others released the same
    /// bytes since.
    ///
    /// # Errors
    /// The index cannot be read. The inner one: it is not wanted.
    pub fn wanted(&self, from: &DeviceId, blake3: &Hash) -> Result<Result<KnownContent, NotWanted>, StorageError> {
        let found = self.read(|reads| {
            let Some(fact) = reads.fact(FactKind::Content, blake3)? else { return Ok(None) };
            // The fact says who released it last.
            let own =
                fact.signer == *from || reads.manifests(from, blake3)?.iter().any(|manifest| names(manifest, blake3));
            Ok(Some((fact, own)))
        })?;
        let Some((fact, own)) = found else { return Ok(Err(NotWanted::Unnamed)) };
        if !own {
            return Ok(Err(NotWanted::Another(fact.signer)));
        }
        KnownContent::parse(&fact.value).map(Ok).ok_or(StorageError::Impossible("content"))
    }

    /// Contents of releases.
    pub fn contents(&self) -> &FileContents {
        &self.storage.contents
    }

    /// The leaf at a place of the tree of this size.
    pub(super) fn entry(&self, place: u64, size: u64) -> Result<Vec<u8>, StorageError> {
        let entry = read_entry(self.storage.objects.as_ref(), place, size)?;
        entry.ok_or_else(|| StorageError::Missing(format!("the entry of leaf {place}")))
    }
}
