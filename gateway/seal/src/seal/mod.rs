//! Batch to block: sort into segments, compress, draw the block's salt, encrypt, hash, sign.

mod sort;

use ledger_block::payload::{self, PayloadError};
use ledger_block::segment::{
    self, BlockPlace, Content, HourKey, SALT_BYTES, Salt, SegmentError, SegmentKeys, SegmentTag,
};
use ledger_block::{
    BlockIndex, ClockState, GatewayKey, Hash, Header, Incarnation, SeenCheckpoint, SignedHeader, header::HeaderError,
};
use pitchside_model::{AlertEvent, Entry, Timestamp};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::ring::{AthleteKeys, NoKey, Whose};

const SALT_LABEL: &[u8] = b"pitchside/salt/1";

/// How often this box has started. Mixed into every salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootCounter(pub u64);

/// Everything a block is made from.
pub struct SealInput<'a> {
    /// The gateway's signing key.
    pub key: &'a GatewayKey,
    /// Restores so far.
    pub incarnation: Incarnation,
    /// Position in the chain.
    pub index: BlockIndex,
    /// Hash of the block before, [`ledger_block::header::GENESIS`] for the first.
    pub previous: Hash,
    /// The gateway's clock.
    pub sealed_at: Timestamp,
    /// How good it is.
    pub clock: ClockState,
    /// Hash of the rules in force, 0 if none.
    pub rules: Hash,
    /// Hash of the decoders in force, with versions, scripts and params in effect; 0 if none.
    pub plugins: Hash,
    /// Hash of the gateway's firmware, 0 if not known.
    pub firmware: Hash,
    /// The last ledger checkpoint seen.
    pub checkpoint: Option<SeenCheckpoint>,
    /// The readings. Entries without readings leave no trace.
    pub entries: &'a [Entry],
    /// The alerts raised and cleared since the block before.
    pub alerts: &'a [AlertEvent],
    /// Whose keys the box holds.
    pub keys: &'a dyn AthleteKeys,
    /// Fresh randomness of the operating system.
    pub entropy: [u8; 32],
    /// Starts so far.
    pub boot: BootCounter,
}

/// A sealed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBlock {
    /// The signed header.
    pub header: SignedHeader,
    /// The padded payload.
    pub payload: Vec<u8>,
    /// What went where, for the box's own books; not part of the block.
    pub segments: Vec<SegmentSummary>,
}

/// One segment, as its sealer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Whose it is.
    pub whose: Whose,
    /// What it holds.
    pub tag: SegmentTag,
    /// Readings or alerts.
    pub records: usize,
    /// Bytes in the payload, its row in the table included.
    pub bytes: usize,
}

/// Why a batch can't be sealed. Nothing is half done: the batch stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Somebody's key is missing.
    #[error("{0}")]
    NoKey(#[from] NoKey),
    /// A reading or alert exceeds what a segment can hold.
    #[error("a segment of {whose} can't be written: {why}")]
    Segment {
        /// Whose it is.
        whose: Whose,
        /// What is wrong.
        why: SegmentError,
    },
    /// Too much for one block: seal fewer entries at a time.
    #[error("{0}; seal fewer entries at a time")]
    Payload(#[from] PayloadError),
    /// The header can't be signed.
    #[error("{0}")]
    Header(#[from] HeaderError),
}

/// A segment between sorting and encrypting.
struct Prepared<'a> {
    whose: Whose,
    tag: SegmentTag,
    content: Content<'a>,
    plaintext: Zeroizing<Vec<u8>>,
    hour: HourKey,
}

/// Seals a batch.
pub fn seal(input: &SealInput<'_>) -> Result<SealedBlock, SealError> {
    let prepared = prepare(input)?;
    let place = BlockPlace {
        gateway: input.key.id(),
        incarnation: input.incarnation,
        index: input.index,
        salt: salt(input, &prepared),
    };
    let (mut sealed, mut segments) = (Vec::with_capacity(prepared.len()), Vec::with_capacity(prepared.len()));
    for part in prepared {
        let Prepared { whose, tag, content, plaintext, hour } = part;
        let keys = SegmentKeys::derive(&hour, &place, tag);
        let segment = segment::seal(tag, &content, plaintext, &keys)
            .map_err(|why| SealError::Segment { whose: whose.clone(), why })?;
        let bytes = segment.ciphertext.len() + payload::ENTRY_BYTES;
        segments.push(SegmentSummary { whose, tag, records: content.len(), bytes });
        sealed.push(segment);
    }
    let built = payload::build(&place.salt, sealed)?;
    let header = Header {
        gateway: input.key.id(),
        incarnation: input.incarnation,
        index: input.index,
        previous: input.previous,
        sealed_at: input.sealed_at,
        clock: input.clock,
        segment_root: built.segment_root,
        payload_length: built.bytes.len() as u64,
        payload_digest: built.digest,
        rules: input.rules,
        plugins: input.plugins,
        firmware: input.firmware,
        checkpoint: input.checkpoint,
    };
    Ok(SealedBlock { header: SignedHeader::sign(header, input.key)?, payload: built.bytes, segments })
}

fn prepare<'a>(input: &SealInput<'a>) -> Result<Vec<Prepared<'a>>, SealError> {
    let mut prepared = Vec::new();
    for group in sort::segments(input.entries, input.alerts, input.keys) {
        let sort::Group { whose, tag, content } = group;
        let (generation, key) = input.keys.sealing(&whose)?;
        let hour = key.hour(tag.subject, generation, tag.hour);
        let plaintext =
            segment::plaintext(tag, &content).map_err(|why| SealError::Segment { whose: whose.clone(), why })?;
        prepared.push(Prepared { whose, tag, content, plaintext, hour });
    }
    Ok(prepared)
}

/// The block's salt: the first 24 bytes of SHA-256 over label, entropy, boot counter, place and a keyed mark of every
/// plaintext. Were a restored snapshot to repeat entropy, counter and place, other contents would still give another salt;
/// the same contents give the same block. The marks are keyed, so a guessed plaintext can't be confirmed from the salt.
fn salt(input: &SealInput<'_>, prepared: &[Prepared<'_>]) -> Salt {
    let mut hasher = Sha256::new();
    hasher.update(SALT_LABEL);
    hasher.update(input.entropy);
    hasher.update(input.boot.0.to_be_bytes());
    hasher.update(input.key.id().0);
    hasher.update(input.incarnation.0.to_be_bytes());
    hasher.update(input.index.0.to_be_bytes());
    hasher.update((prepared.len() as u64).to_be_bytes());
    for part in prepared {
        hasher.update(part.hour.plaintext_mark(&part.plaintext));
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&hash[..SALT_BYTES]);
    salt
}

#[cfg(test)]
pub(crate) mod tests;
