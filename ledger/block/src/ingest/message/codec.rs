//! Messages as CBOR arrays, each field bounded.

use minicbor::Decoder;
use minicbor::decode::Error;

use super::{
    CHUNK_BYTES_MAX, COPIES_MAX, COPY_BYTES_MAX, Copy, Head, NOTE_BYTES_MAX, ORIGIN_BYTES_MAX, PROOF_HASHES_MAX,
    Proven, RECEIPT_BYTES_MAX, Reply, Request,
};
use crate::cbor::{CborError, Deterministic, Writer, array, array_of, fixed, hashes, put_hashes};
use crate::channel::MESSAGE_BYTES_MAX;
use crate::content::SIZE_MAX;
use crate::ingest::bounded::{at_most, bytes, name, optional, text};
use crate::ingest::refusal::{Code, Refusal, TEXT_BYTES_MAX};
use crate::ingest::releases::{Releases, Summed};
use crate::ingest::{LEAF_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::release::ReleaseId;

pub(super) fn bounded(bytes: &[u8]) -> Result<&[u8], CborError> {
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
            Self::Content { content } => out.array(2).uint(11).bytes(content),
            Self::Piece { content, offset, bytes } => out.array(4).uint(12).bytes(content).uint(*offset).bytes(bytes),
            Self::Sum { release } => out.array(2).uint(13).bytes(&release.0),
        };
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        Ok(match (array(input)?, input.u64()?) {
            (2, 0) => Self::Hello { seen: input.u64()? },
            (2, 1) => Self::Begin { header: bytes(input, LEAF_BYTES_MAX)? },
            (4, 2) => {
                let (payload, offset) = (fixed(input)?, at_most(input, PAYLOAD_BYTES_MAX)?);
                Self::Chunk { payload, offset, bytes: chunk(input)? }
            }
            (2, 3) => Self::Transact { transaction: bytes(input, LEAF_BYTES_MAX)? },
            (3, 4) => Self::Fetch { payload: fixed(input)?, offset: at_most(input, PAYLOAD_BYTES_MAX)? },
            (2, 5) => Self::Ping { number: input.u64()? },
            (2, 6) => Self::Recall { index: input.u64()? },
            (3, 7) => Self::Keep { name: fixed(input)?, body: copy(input)? },
            (2, 8) => Self::Drop { name: fixed(input)? },
            (2, 9) => Self::Copies { after: optional(input, fixed)? },
            (3, 10) => Self::Releases { since: input.u64()?, seen: input.u64()? },
            (2, 11) => Self::Content { content: fixed(input)? },
            (4, 12) => {
                let (content, offset) = (fixed(input)?, at_most(input, SIZE_MAX)?);
                Self::Piece { content, offset, bytes: chunk(input)? }
            }
            (2, 13) => Self::Sum { release: ReleaseId(fixed(input)?) },
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
            Self::Stored { content, held, whole } => {
                out.array(4).uint(27).bytes(content).uint(*held).uint(u64::from(*whole))
            }
            Self::Sum(summed) => summed.write(out.array(6).uint(28)),
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
                    Ok(Copy { name: fixed(input)?, body: bytes(input, COPY_BYTES_MAX)? })
                };
                Self::Copies((0..count).map(|_| one(input)).collect::<Result<_, Error>>()?)
            }
            (2, 26) => Self::Releases(Releases::read(input)?),
            (4, 27) => {
                Self::Stored { content: fixed(input)?, held: at_most(input, SIZE_MAX)?, whole: at_most(input, 1)? == 1 }
            }
            (6, 28) => Self::Sum(Summed::read(input)?),
            _ => return Err(Error::message("unknown reply")),
        })
    }
}

fn chunk(input: &mut Decoder<'_>) -> Result<Vec<u8>, Error> {
    let bytes = bytes(input, CHUNK_BYTES_MAX)?;
    if bytes.is_empty() { Err(Error::message("empty chunk")) } else { Ok(bytes) }
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
    pub(in crate::ingest) fn write<'w>(&self, out: &'w mut Writer) -> &'w mut Writer {
        out.bytes(&self.note).uint(self.from);
        put_hashes(out, &self.proof);
        out
    }

    pub(in crate::ingest) fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        let note = bytes(input, NOTE_BYTES_MAX)?;
        Ok(Self { note, from: input.u64()?, proof: hashes(input, PROOF_HASHES_MAX)? })
    }
}
