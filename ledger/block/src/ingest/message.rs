//! Requests and replies: one message is one CBOR array `[kind, field, ..]` in one channel frame.

mod codec;

use pitchside_model::DeviceId;

use super::refusal::Refusal;
use super::releases::{Releases, Summed};
use crate::cbor::{CborError, Deterministic as _, exact};
use crate::release::ReleaseId;

use codec::bounded;

/// The most payload bytes one chunk carries.
pub const CHUNK_BYTES_MAX: usize = 60 * 1024;
/// The most hashes in a proof: a consistency proof in a tree of 2^64 leaves.
pub const PROOF_HASHES_MAX: usize = 65;
/// The longest signed checkpoint.
pub const NOTE_BYTES_MAX: usize = 16_384;
/// The longest receipt.
pub const RECEIPT_BYTES_MAX: usize = 24_576;
/// The longest deletable object: a copy of an athlete's key has 80 bytes.
pub const COPY_BYTES_MAX: usize = 1_024;
/// What stands in a reply for the body of a copy that the ledger has and cannot read. A sealed key is longer.
pub const UNREADABLE: &[u8] = b"unreadable";
/// The most copies in one reply.
pub const COPIES_MAX: usize = 32;
/// The longest origin line.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// What a gateway says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// First on every connection; opening it proves that the gateway holds its pre-shared key and is alive.
    Hello {
        /// Size of the last checkpoint the gateway has verified; 0 for none.
        seen: u64,
    },
    /// Offers a block; its payload follows in chunks from where the ledger says.
    Begin {
        /// The signed header.
        header: Vec<u8>,
    },
    /// The next bytes of an offered payload.
    Chunk {
        /// BLAKE3 of the whole payload.
        payload: [u8; 32],
        /// Where these bytes begin.
        offset: u64,
        /// 1 to [`CHUNK_BYTES_MAX`] bytes.
        bytes: Vec<u8>,
    },
    /// Offers a transaction.
    Transact {
        /// The signed transaction.
        transaction: Vec<u8>,
    },
    /// Asks for bytes of a payload of one of this gateway's own blocks.
    Fetch {
        /// BLAKE3 of the whole payload.
        payload: [u8; 32],
        /// Where to begin.
        offset: u64,
    },
    /// Asks for a sign of life.
    Ping {
        /// Comes back in the answer.
        number: u64,
    },
    /// Asks for the signed header of one of this gateway's own blocks: after a restore the chain continues from it.
    Recall {
        /// Its index.
        index: u64,
    },
    /// Hands in a deletable object, beside the log and never in it: a sealed copy of an athlete's key.
    Keep {
        /// Its name; what it means only the gateway knows.
        name: [u8; 32],
        /// 1 to [`COPY_BYTES_MAX`] bytes.
        body: Vec<u8>,
    },
    /// Deletes such an object.
    Drop {
        /// Its name.
        name: [u8; 32],
    },
    /// Asks for this gateway's objects, in the order of their names.
    Copies {
        /// Those after this one; none for the first.
        after: Option<[u8; 32]>,
    },
    /// Offers the content of a release: its publisher hands it in, piece by piece from where the ledger says.
    Content {
        /// BLAKE3 of the content, as the release names it.
        content: [u8; 32],
    },
    /// The next bytes of an offered content.
    Piece {
        /// BLAKE3 of the content.
        content: [u8; 32],
        /// Where these bytes begin.
        offset: u64,
        /// 1 to [`CHUNK_BYTES_MAX`] bytes.
        bytes: Vec<u8>,
    },
    /// Asks for what the log says about firmware.
    Releases {
        /// From this place on.
        since: u64,
        /// Size of the last checkpoint the asker has verified; 0 for none.
        seen: u64,
    },
    /// Asks how updates to a release ended, over all gateways. A ledger from before there were tallies ends the connection.
    Sum {
        /// Which release.
        release: ReleaseId,
    },
}

/// What a ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Answers [`Request::Hello`].
    Welcome {
        /// The log's origin line.
        origin: String,
        /// The name under which the caller is enrolled.
        gateway: DeviceId,
        /// The last block of this gateway in the log.
        head: Option<Head>,
        /// The published checkpoint, with a proof that it continues the one the gateway has seen.
        checkpoint: Option<Proven>,
    },
    /// The payload of an offered block is wanted from here on.
    Resume {
        /// BLAKE3 of the whole payload.
        payload: [u8; 32],
        /// How many bytes the ledger holds.
        offset: u64,
    },
    /// A receipt for a leaf: R1, then R2.
    Receipt {
        /// RFC 6962 hash of the leaf.
        leaf: [u8; 32],
        /// The receipt, as `block::receipt` writes it.
        receipt: Vec<u8>,
    },
    /// A newer checkpoint was published. Always sent before the R2 receipts that rest on it.
    Checkpoint(Proven),
    /// Something was refused.
    Refused {
        /// The leaf hash, or for chunks and fetches the payload's BLAKE3; none if it concerns the connection.
        about: Option<[u8; 32]>,
        /// For [`Code::WrongOffset`](super::Code) and [`Code::PayloadMismatch`](super::Code): where to go on.
        expected: Option<u64>,
        /// Why.
        refusal: Refusal,
    },
    /// Answers [`Request::Fetch`].
    Part {
        /// BLAKE3 of the whole payload.
        payload: [u8; 32],
        /// Where these bytes begin.
        offset: u64,
        /// Length of the whole payload.
        total: u64,
        /// At most [`CHUNK_BYTES_MAX`] bytes; none past the end.
        bytes: Vec<u8>,
    },
    /// Answers [`Request::Ping`].
    Pong {
        /// The number asked with.
        number: u64,
    },
    /// Answers [`Request::Recall`].
    Recalled {
        /// The signed header, as it stands in the log.
        header: Vec<u8>,
        /// Its receipt: R2 if the checkpoint shown last reaches it, else R1.
        receipt: Vec<u8>,
    },
    /// Answers [`Request::Keep`] and [`Request::Drop`], once that is durable.
    Kept {
        /// The object.
        name: [u8; 32],
        /// Whether the ledger holds it now.
        held: bool,
    },
    /// Answers [`Request::Copies`]; empty after the last.
    Copies(Vec<Copy>),
    /// Answers [`Request::Releases`].
    Releases(Releases),
    /// Answers [`Request::Content`] and each [`Request::Piece`].
    Stored {
        /// BLAKE3 of the content.
        content: [u8; 32],
        /// Bytes the ledger holds: the next piece begins there.
        held: u64,
        /// Whether it is whole: read back, checked by both hashes, and safe from a power cut.
        whole: bool,
    },
    /// Answers [`Request::Sum`].
    Sum(Summed),
}

/// A deletable object of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Its name.
    pub name: [u8; 32],
    /// What it holds.
    pub body: Vec<u8>,
}

impl Copy {
    /// One that the ledger has and cannot read: its name stands, so that it can be deleted.
    pub fn unreadable(name: [u8; 32]) -> Self {
        Self { name, body: UNREADABLE.to_vec() }
    }

    /// Whether the ledger could read it.
    pub fn is_readable(&self) -> bool {
        is_readable(&self.body)
    }
}

/// Whether this is a copy's body, and not what stands for one that the ledger cannot read. Older ledgers say a file that lost its bytes
/// without a byte.
pub fn is_readable(body: &[u8]) -> bool {
    !body.is_empty() && body != UNREADABLE
}

/// The last block of a gateway that the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its incarnation.
    pub incarnation: u64,
    /// Its index.
    pub index: u64,
    /// Its header hash.
    pub hash: [u8; 32],
    /// Its place in the log.
    pub leaf: u64,
}

/// A signed checkpoint and an RFC 6962 consistency proof from an earlier size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The C2SP signed note.
    pub note: Vec<u8>,
    /// The earlier size; 0 needs no proof.
    pub from: u64,
    /// The proof.
    pub proof: Vec<[u8; 32]>,
}

impl Request {
    /// As CBOR.
    pub fn encode(&self) -> Vec<u8> {
        self.to_cbor()
    }

    /// From CBOR.
    ///
    /// # Errors
    /// Another shape, another form than the deterministic one, or out of bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        bounded(bytes).and_then(exact)
    }
}

impl Reply {
    /// As CBOR.
    pub fn encode(&self) -> Vec<u8> {
        self.to_cbor()
    }

    /// From CBOR.
    ///
    /// # Errors
    /// Another shape, another form than the deterministic one, or out of bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        bounded(bytes).and_then(exact)
    }
}
