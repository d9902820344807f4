//! Requests and replies: one message is one CBOR array `[kind, field, ..]` in one channel frame.

use minicbor::Decoder;
use minicbor::decode::Error;
use pitchside_model::DeviceId;

use super::bounded::{at_most, bytes, name, optional, text};
use super::refusal::{Code, Refusal, TEXT_BYTES_MAX};
use super::releases::Releases;
use super::{LEAF_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::cbor::{CborError, Deterministic, Writer, array, array_of, exact, fixed, hashes, put_hashes};
use crate::channel::MESSAGE_BYTES_MAX;

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
    /// Asks for what the log says about firmware.
    Releases {
        /// From this place on.
        since: u64,
        /// Size of the last checkpoint the asker has verified; 0 for none.
        seen: u64,
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
        /// For [`Code::WrongOffset`] and [`Code::PayloadMismatch`]: where to go on.
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
}

/// A deletable object of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Its name.
    pub name: [u8; 32],
    /// What it holds.
    pub body: Vec<u8>,
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

fn bounded(bytes: &[u8]) -> Result<&[u8], CborError> {
    if bytes.len() > MESSAGE_BYTES_MAX { Err(CborError::Shape { at: MESSAGE_BYTES_MAX }) } else { Ok(bytes) }
}

impl Deterministic for Request {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Hello { seen } => out.array(2).uint(0).uint(*seen),
            Self::Begin { header } => out.array(2).uint(1).bytes(header),
            Self::Chunk { payload, offset, bytes } => out.array(4).uint(2).bytes(payload).uint(*offset).bytes(bytes),
            Self::Transact { transaction } => out.array(2).uint(3).bytes(transaction),
            Self::Fetch { payload, offset } => out.array(3).uint(4).bytes(payload).uint(*offset),
            Self::Ping { number } => out.array(2).uint(5).uint(*number),
            Self::Recall { index } => out.array(2).uint(6).uint(*index),
            Self::Keep { name, body } => out.array(3).uint(7).bytes(name).bytes(body),
            Self::Drop { name } => out.array(2).uint(8).bytes(name),
            Self::Copies { after: Some(name) } => out.array(2).uint(9).bytes(name),
            Self::Copies { after: None } => out.array(2).uint(9).null(),
            Self::Releases { since, seen } => out.array(3).uint(10).uint(*since).uint(*seen),
        };
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        Ok(match (array(input)?, input.u64()?) {
            (2, 0) => Self::Hello { seen: input.u64()? },
            (2, 1) => Self::Begin { header: bytes(input, LEAF_BYTES_MAX)? },
            (4, 2) => {
                let (payload, offset) = (fixed(input)?, at_most(input, PAYLOAD_BYTES_MAX)?);
                let bytes = bytes(input, CHUNK_BYTES_MAX)?;
                if bytes.is_empty() {
                    return Err(Error::message("empty chunk"));
                }
                Self::Chunk { payload, offset, bytes }
            }
            (2, 3) => Self::Transact { transaction: bytes(input, LEAF_BYTES_MAX)? },
            (3, 4) => Self::Fetch { payload: fixed(input)?, offset: at_most(input, PAYLOAD_BYTES_MAX)? },
            (2, 5) => Self::Ping { number: input.u64()? },
            (2, 6) => Self::Recall { index: input.u64()? },
            (3, 7) => Self::Keep { name: fixed(input)?, body: copy(input)? },
            (2, 8) => Self::Drop { name: fixed(input)? },
            (2, 9) => Self::Copies { after: optional(input, fixed)? },
            (3, 10) => Self::Releases { since: input.u64()?, seen: input.u64()? },
            _ => return Err(Error::message("unknown request")),
        })
    }
}

impl Deterministic for Reply {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Welcome { origin, gateway, head, checkpoint } => {
                out.array(5).uint(16).text(origin).text(gateway.as_str());
                match head {
                    Some(h) => out.array(4).uint(h.incarnation).uint(h.index).bytes(&h.hash).uint(h.leaf),
                    None => out.null(),
                };
                match checkpoint {
                    Some(proven) => proven.write(out.array(3)),
                    None => out.null(),
                }
            }
            Self::Resume { payload, offset } => out.array(3).uint(17).bytes(payload).uint(*offset),
            Self::Receipt { leaf, receipt } => out.array(3).uint(18).bytes(leaf).bytes(receipt),
            Self::Checkpoint(proven) => proven.write(out.array(4).uint(19)),
            Self::Refused { about, expected, refusal } => {
                out.array(5).uint(20);
                match about {
                    Some(hash) => out.bytes(hash),
                    None => out.null(),
                };
                match expected {
                    Some(offset) => out.uint(*offset),
                    None => out.null(),
                };
                out.uint(u64::from(refusal.code as u16)).text(&refusal.text)
            }
            Self::Part { payload, offset, total, bytes } => {
                out.array(5).uint(21).bytes(payload).uint(*offset).uint(*total).bytes(bytes)
            }
            Self::Pong { number } => out.array(2).uint(22).uint(*number),
            Self::Recalled { header, receipt } => out.array(3).uint(23).bytes(header).bytes(receipt),
            Self::Kept { name, held } => out.array(3).uint(24).bytes(name).uint(u64::from(*held)),
            Self::Copies(copies) => {
                out.array(2).uint(25).array(copies.len() as u64);
                for Copy { name, body } in copies {
                    out.array(2).bytes(name).bytes(body);
                }
                out
            }
            Self::Releases(releases) => releases.write(out.array(2).uint(26)),
        };
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        Ok(match (array(input)?, input.u64()?) {
            (5, 16) => Self::Welcome {
                origin: text(input, ORIGIN_BYTES_MAX)?,
                gateway: name(input)?,
                head: optional(input, Head::read)?,
                checkpoint: optional(input, |input| array_of(input, 3).and_then(|()| Proven::read(input)))?,
            },
            (3, 17) => Self::Resume { payload: fixed(input)?, offset: at_most(input, PAYLOAD_BYTES_MAX)? },
            (3, 18) => Self::Receipt { leaf: fixed(input)?, receipt: bytes(input, RECEIPT_BYTES_MAX)? },
            (4, 19) => Self::Checkpoint(Proven::read(input)?),
            (5, 20) => Self::Refused {
                about: optional(input, fixed)?,
                expected: optional(input, |input| at_most(input, PAYLOAD_BYTES_MAX))?,
                refusal: Refusal {
                    code: Code::from_number(input.u16()?).ok_or_else(|| Error::message("unknown code"))?,
                    text: text(input, TEXT_BYTES_MAX)?,
                },
            },
            (5, 21) => Self::Part {
                payload: fixed(input)?,
                offset: at_most(input, PAYLOAD_BYTES_MAX)?,
                total: at_most(input, PAYLOAD_BYTES_MAX)?,
                bytes: bytes(input, CHUNK_BYTES_MAX)?,
            },
            (2, 22) => Self::Pong { number: input.u64()? },
            (3, 23) => {
                Self::Recalled { header: bytes(input, LEAF_BYTES_MAX)?, receipt: bytes(input, RECEIPT_BYTES_MAX)? }
            }
            (3, 24) => Self::Kept { name: fixed(input)?, held: at_most(input, 1)? == 1 },
            (2, 25) => {
                let count = array(input)?;
                if count > COPIES_MAX as u64 {
                    return Err(Error::message("too many copies"));
                }
                let one = |input: &mut Decoder<'_>| {
                    array_of(input, 2)?;
                    Ok(Copy { name: fixed(input)?, body: copy(input)? })
                };
                Self::Copies((0..count).map(|_| one(input)).collect::<Result<_, Error>>()?)
            }
            (2, 26) => Self::Releases(Releases::read(input)?),
            _ => return Err(Error::message("unknown reply")),
        })
    }
}

fn copy(input: &mut Decoder<'_>) -> Result<Vec<u8>, Error> {
    let body = bytes(input, COPY_BYTES_MAX)?;
    if body.is_empty() { Err(Error::message("empty object")) } else { Ok(body) }
}

impl Head {
    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        array_of(input, 4)?;
        Ok(Self { incarnation: input.u64()?, index: input.u64()?, hash: fixed(input)?, leaf: input.u64()? })
    }
}

impl Proven {
    pub(super) fn write<'w>(&self, out: &'w mut Writer) -> &'w mut Writer {
        out.bytes(&self.note).uint(self.from);
        put_hashes(out, &self.proof);
        out
    }

    pub(super) fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        let note = bytes(input, NOTE_BYTES_MAX)?;
        Ok(Self { note, from: input.u64()?, proof: hashes(input, PROOF_HASHES_MAX)? })
    }
}
