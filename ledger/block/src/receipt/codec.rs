//! Receipts as deterministic CBOR arrays: `[1, leaf, index]`, `[2, leaf, index, checkpoint, [path]]` and
//! `[3, leaf, index, checkpoint, [path], statement]`.

use minicbor::Decoder;
use minicbor::decode::Error;

use super::{Included, Receipt, Sequenced, Witnessed};
use crate::cbor::{CborError, Deterministic, Writer, array, exact, fixed, hashes, put_hashes};
use crate::merkle::PATH_HASHES_MAX;
use crate::note::NOTE_BYTES_MAX;

/// The largest receipt, in bytes.
pub const RECEIPT_BYTES_MAX: usize = 2 * NOTE_BYTES_MAX + 4_096;

impl Deterministic for Receipt {
    fn write(&self, out: &mut Writer) {
        let put_sequenced = |out: &mut Writer, items: u64, level: u64, sequenced: &Sequenced| {
            out.array(items).uint(level).bytes(&sequenced.leaf).uint(sequenced.leaf_index);
        };
        match self {
            Self::R1(sequenced) => put_sequenced(out, 3, 1, sequenced),
            Self::R2(included) => {
                put_sequenced(out, 5, 2, &included.sequenced);
                out.bytes(&included.checkpoint);
                put_hashes(out, &included.path);
            }
            Self::R3(witnessed) => {
                put_sequenced(out, 6, 3, &witnessed.included.sequenced);
                out.bytes(&witnessed.included.checkpoint);
                put_hashes(out, &witnessed.included.path);
                out.bytes(&witnessed.payload_read);
            }
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        let items = array(input)?;
        let level = input.u64()?;
        let sequenced = Sequenced { leaf: fixed(input)?, leaf_index: input.u64()? };
        if (items, level) == (3, 1) {
            return Ok(Self::R1(sequenced));
        }
        let checkpoint = input.bytes()?.to_vec();
        let included = Included { sequenced, checkpoint, path: hashes(input, PATH_HASHES_MAX)? };
        match (items, level) {
            (5, 2) => Ok(Self::R2(included)),
            (6, 3) => Ok(Self::R3(Witnessed { included, payload_read: input.bytes()?.to_vec() })),
            _ => Err(Error::message("unknown receipt level")),
        }
    }
}

impl Receipt {
    /// The bytes that are sent and stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_cbor()
    }

    /// Reads what [`Receipt::to_bytes`] wrote. Says nothing about whether it holds: see [`Receipt::verify`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(CborError::Shape { at: RECEIPT_BYTES_MAX });
        }
        exact(bytes)
    }
}
