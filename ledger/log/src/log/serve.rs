//! Questions to an open log: by the ingest, and by readers.

use std::sync::Arc;

use ledger_block::ingest::{CHUNK_BYTES_MAX, Code, Head, Proven, Refusal};
use ledger_block::ingest::{DeviceId, Timestamp};
use ledger_block::receipt::{Included, Receipt, Sequenced};
use ledger_block::{Hash, merkle};

use super::{CHECKPOINT, Log, Outcome, Placed, Published, Submission};
use crate::index::{End, Evidence, Reads};
use crate::machine::{self, Leaf, Verdict};
use crate::objects::StorageError;
use crate::payloads::Payloads;
use crate::state::Member;
use crate::tile::Tile;
use crate::tree::{TileTree, read_tile};

/// How many blocks beyond the last sequenced one may be uploaded ahead.
const AHEAD_MAX: u64 = 64;

/// What the log makes of an offered block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// It stands already.
    Placed(Placed),
    /// Its payload is here; it can be sequenced.
    Ready,
    /// Its payload is wanted.
    Wanted {
        /// BLAKE3.
        payload: Hash,
        /// Length of the whole.
        length: u64,
        /// Bytes held.
        held: u64,
    },
    /// It cannot enter.
    Refused(Refusal),
}

impl Log {
    /// Looks at a header before its payload comes, so that no payload is uploaded in vain. A conflicting header is kept
    /// as evidence here already.
    ///
    /// # Errors
    /// A store cannot be read or written.
    pub fn offer(&self, gateway: &DeviceId, leaf: &[u8], now: Timestamp) -> Result<Offer, StorageError> {
        let hash = merkle::leaf_hash(leaf);
        let read = match Leaf::read(leaf) {
            Ok(read @ Leaf::Block(_)) => read,
            Ok(Leaf::Transaction(_)) => return Ok(Offer::Refused(Refusal::because(Code::Malformed, "not a header"))),
            Err(refusal) => return Ok(Offer::Refused(refusal)),
        };
        let Leaf::Block(header) = &read else { return Ok(Offer::Refused(Refusal::plain(Code::Malformed))) };
        let header = header.header();
        let mut verdict = None;
        let mut placed = None;
        self.read(|reads| {
            placed = reads.place_of(&hash)?;
            if placed.is_some() {
                let own = reads.block(gateway, header.index.0)?.is_some_and(|block| block.head.hash == hash);
                let other = || Verdict::Refuse(Refusal::plain(Code::WrongGateway));
                verdict = if own { None } else { Some(other()) };
                return Ok(());
            }
            let judged = machine::admit(reads, self.origin(), Some(gateway), &read)?;
            let next = reads.head(gateway)?.map_or(0, |head| head.index + 1);
            // A block whose forerunner is still on its way is no gap yet.
            let early = header.index.0 > next && header.index.0 - next <= AHEAD_MAX;
            let gap = matches!(&judged, Verdict::Refuse(refusal) if refusal.code == Code::Gap);
            verdict = if gap && early { None } else { Some(judged) };
            Ok(())
        })?;
        match verdict {
            Some(Verdict::Refuse(refusal)) => return Ok(Offer::Refused(refusal)),
            Some(Verdict::Evidence { refusal, gateway, stands }) => {
                let (entry, code) = (leaf.to_vec(), refusal.code as u16);
                let evidence = Evidence { hash, gateway, entry, code, stands, kept_at: now };
                self.storage.index.write(&mut |draft| draft.keep(&evidence).map(|()| End::Commit))?;
                return Ok(Offer::Refused(refusal));
            }
            Some(Verdict::Admit(_)) | None => {}
        }
        if let Some(place) = placed {
            return Ok(Offer::Placed(Placed { leaf: hash, place }));
        }
        let (payload, length) = (header.payload_digest, header.payload_length);
        if self.storage.payloads.whole(&payload)? == Some(length) {
            return Ok(Offer::Ready);
        }
        Ok(Offer::Wanted { payload, length, held: self.storage.payloads.held(gateway, &payload)? })
    }

    /// The payload store.
    pub fn payloads(&self) -> Arc<dyn Payloads> {
        Arc::clone(&self.storage.payloads)
    }

    /// Bytes of a payload of one of the gateway's own blocks, and the whole's length.
    ///
    /// # Errors
    /// A store cannot be read.
    pub fn own_payload(
        &self,
        gateway: &DeviceId,
        payload: &Hash,
        offset: u64,
    ) -> Result<Option<(Vec<u8>, u64)>, StorageError> {
        let block = self.read(|reads| reads.block_by_payload(gateway, payload))?;
        let Some(block) = block else { return Ok(None) };
        let bytes = self.storage.payloads.read(payload, offset, CHUNK_BYTES_MAX)?;
        Ok(bytes.map(|bytes| (bytes, block.payload_bytes)))
    }

    /// Enters one leaf at once, and publishes: for the operator at the console.
    ///
    /// # Errors
    /// See [`Log::sequence`] and [`Log::publish`].
    pub fn enter_now(&self, leaf: Vec<u8>, now: Timestamp) -> Result<Outcome, super::SequenceError> {
        let outcome = self.sequence(&[Submission { by: None, leaf }], now)?.pop();
        self.publish()?;
        Ok(outcome.unwrap_or_else(|| Err(Refusal::plain(Code::Storage))))
    }

    /// What the world sees, as this process last knew.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.read())
    }

    /// The published note as it stands in the store, which another process may have replaced.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn note(&self) -> Result<Option<Vec<u8>>, StorageError> {
        let note = self.storage.objects.get(CHECKPOINT)?;
        if let Some(note) = &note
            && let Some(size) = self.signed_size(note)
            && size > self.published.read().size
        {
            *self.published.write() = Arc::new(Published { size, note: note.clone() });
        }
        Ok(note)
    }

    /// A tile or bundle of the published tree; none beyond it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, StorageError> {
        if !tile.is_within(self.published.read().size) {
            // Another process may have published since.
            self.note()?;
        }
        if !tile.is_within(self.published.read().size) {
            return Ok(None);
        }
        read_tile(self.storage.objects.as_ref(), tile)
    }

    /// The receipt R1 of a leaf, as bytes.
    pub fn sequenced(&self, placed: Placed) -> Vec<u8> {
        Receipt::R1(Sequenced { leaf: placed.leaf, leaf_index: placed.place }).to_bytes()
    }

    /// The receipt R2 of a leaf in a published checkpoint, as bytes; none if the checkpoint does not reach it yet.
    ///
    /// # Errors
    /// A tile cannot be read.
    pub fn included(&self, placed: Placed, in_: &Published) -> Result<Option<Vec<u8>>, StorageError> {
        if placed.place >= in_.size {
            return Ok(None);
        }
        let mut tree = TileTree::new(self.storage.objects.as_ref(), in_.size);
        let path = tree.inclusion(placed.place, in_.size)?;
        let sequenced = Sequenced { leaf: placed.leaf, leaf_index: placed.place };
        Ok(Some(Receipt::R2(Included { sequenced, checkpoint: in_.note.clone(), path }).to_bytes()))
    }

    /// A published checkpoint with the proof that it continues the tree of `from` leaves. Without proof if `from` is no
    /// earlier size of this log: then it is for the asker to draw the conclusion.
    ///
    /// # Errors
    /// A tile cannot be read.
    pub fn proven(&self, published: &Published, from: u64) -> Result<Proven, StorageError> {
        let mut tree = TileTree::new(self.storage.objects.as_ref(), published.size);
        let proof = tree.consistency(from, published.size)?;
        Ok(Proven { note: published.note.clone(), from, proof })
    }

    /// Who has this channel key.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn member_by_channel(&self, key: &[u8; 32]) -> Result<Option<Member>, StorageError> {
        self.read(|reads| reads.member_by_channel(key))
    }

    /// Who has this name.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn member(&self, name: &DeviceId) -> Result<Option<Member>, StorageError> {
        self.read(|reads| reads.member(name))
    }

    /// The last block of a gateway.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn head(&self, gateway: &DeviceId) -> Result<Option<Head>, StorageError> {
        self.read(|reads| reads.head(gateway))
    }

    /// Evidence kept against a gateway, at most `limit`.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn evidence(&self, gateway: &DeviceId, limit: u32) -> Result<Vec<Evidence>, StorageError> {
        self.read(|reads| reads.evidence(gateway, limit))
    }

    pub(super) fn read<T>(
        &self,
        mut work: impl FnMut(&dyn Reads) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut found = None;
        self.storage.index.read(&mut |reads| {
            found = Some(work(reads)?);
            Ok(())
        })?;
        found.ok_or(StorageError::Impossible("read that ran no work"))
    }
}
