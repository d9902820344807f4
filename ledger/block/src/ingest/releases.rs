//! What a gateway asks to learn of releases, and what it is told: the leaves about firmware from a place on, each with its
//! inclusion proof in one checkpoint.

use minicbor::Decoder;
use minicbor::decode::Error;

use super::LEAF_BYTES_MAX;
use super::bounded::bytes;
use super::message::{PROOF_HASHES_MAX, Proven};
use crate::cbor::{Writer, array, array_of, fixed, hashes, put_hashes};
use crate::release::{ReleaseId, Sum, Tally};

/// The most leaves of one reply.
pub const RELEASE_LEAVES_MAX: usize = 16;
/// The most bytes of leaves and proofs in one reply; the first leaf is sent whatever it has. With it and the longest note
/// a reply still fits a frame.
pub const RELEASE_LEAVES_BYTES_MAX: usize = 32 * 1_024;

/// One leaf about firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenLeaf {
    /// Its place in the log.
    pub place: u64,
    /// The signed transaction.
    pub leaf: Vec<u8>,
    /// RFC 6962 inclusion proof in the reply's checkpoint.
    pub path: Vec<[u8; 32]>,
}

/// Leaves about firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    /// The checkpoint the proofs lead to, with the proof that it continues the one the gateway has seen.
    pub checkpoint: Proven,
    /// In the order of the log.
    pub leaves: Vec<ProvenLeaf>,
    /// Where to ask on from; the checkpoint's size if there are no more.
    pub next: u64,
}

impl Releases {
    pub(super) fn write<'w>(&self, out: &'w mut Writer) -> &'w mut Writer {
        self.checkpoint.write(out.array(3));
        out.array(self.leaves.len() as u64);
        for leaf in &self.leaves {
            out.array(3).uint(leaf.place).bytes(&leaf.leaf);
            put_hashes(out, &leaf.path);
        }
        out.uint(self.next)
    }

    pub(super) fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        array_of(input, 3)?;
        let checkpoint = Proven::read(input)?;
        let count = array(input)?;
        if count > RELEASE_LEAVES_MAX as u64 {
            return Err(Error::message("too many leaves"));
        }
        let mut leaves: Vec<ProvenLeaf> = Vec::new();
        for _ in 0..count {
            array_of(input, 3)?;
            let place = input.u64()?;
            if leaves.last().is_some_and(|last| last.place >= place) {
                return Err(Error::message("leaves out of order"));
            }
            let leaf = bytes(input, LEAF_BYTES_MAX)?;
            leaves.push(ProvenLeaf { place, leaf, path: hashes(input, PROOF_HASHES_MAX)? });
        }
        Ok(Self { checkpoint, leaves, next: input.u64()? })
    }
}

/// What the ledger has added up of one release. Its word: every tally stands in the log, signed, for whoever adds up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summed {
    /// Which release.
    pub release: ReleaseId,
    /// What all gateways have counted of it.
    pub sum: Sum,
}

impl Summed {
    pub(super) fn write<'w>(&self, out: &'w mut Writer) -> &'w mut Writer {
        let Sum { tally, gateways, failing } = self.sum;
        out.bytes(&self.release.0).uint(tally.confirmed.into()).uint(tally.failed.into());
        out.uint(gateways.into()).uint(failing.into())
    }

    pub(super) fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        let release = ReleaseId(fixed(input)?);
        let tally = Tally { confirmed: input.u32()?, failed: input.u32()? };
        Ok(Self { release, sum: Sum { tally, gateways: input.u32()?, failing: input.u32()? } })
    }
}
