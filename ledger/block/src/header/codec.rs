//! The header as deterministic CBOR: a map with keys 1 to 13, and 14 if a checkpoint was seen.

use minicbor::Decoder;
use minicbor::decode::Error;
use pitchside_model::Timestamp;

use super::{BLOCK_VERSION, BlockIndex, ClockState, GatewayId, Header, Incarnation, SeenCheckpoint};
use crate::cbor::{Deterministic, Writer, array_of, fixed, key, map};

impl Deterministic for Header {
    fn write(&self, out: &mut Writer) {
        out.map(if self.checkpoint.is_some() { 14 } else { 13 });
        out.uint(1).uint(BLOCK_VERSION);
        out.uint(2).bytes(&self.gateway.0);
        out.uint(3).uint(self.incarnation.0);
        out.uint(4).uint(self.index.0);
        out.uint(5).bytes(&self.previous);
        out.uint(6).int(self.sealed_at.0);
        out.uint(7).uint(self.clock as u64);
        out.uint(8).bytes(&self.segment_root);
        out.uint(9).uint(self.payload_length);
        out.uint(10).bytes(&self.payload_digest);
        out.uint(11).bytes(&self.rules);
        out.uint(12).bytes(&self.plugins);
        out.uint(13).bytes(&self.firmware);
        if let Some(seen) = &self.checkpoint {
            out.uint(14).array(2).uint(seen.size).bytes(&seen.root);
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        let pairs = map(input)?;
        if pairs != 13 && pairs != 14 {
            return Err(Error::message("wrong number of fields"));
        }
        key(input, 1)?;
        if input.u64()? != BLOCK_VERSION {
            return Err(Error::message("unknown version"));
        }
        key(input, 2)?;
        let gateway = GatewayId(fixed(input)?);
        key(input, 3)?;
        let incarnation = Incarnation(input.u64()?);
        key(input, 4)?;
        let index = BlockIndex(input.u64()?);
        key(input, 5)?;
        let previous = fixed(input)?;
        key(input, 6)?;
        let sealed_at = Timestamp(input.i64()?);
        key(input, 7)?;
        let clock = ClockState::from_code(input.u8()?).ok_or_else(|| Error::message("unknown clock state"))?;
        key(input, 8)?;
        let segment_root = fixed(input)?;
        key(input, 9)?;
        let payload_length = input.u64()?;
        key(input, 10)?;
        let payload_digest = fixed(input)?;
        key(input, 11)?;
        let rules = fixed(input)?;
        key(input, 12)?;
        let plugins = fixed(input)?;
        key(input, 13)?;
        let firmware = fixed(input)?;
        let checkpoint = if pairs == 14 {
            key(input, 14)?;
            array_of(input, 2)?;
            Some(SeenCheckpoint { size: input.u64()?, root: fixed(input)? })
        } else {
            None
        };
        Ok(Self {
            gateway,
            incarnation,
            index,
            previous,
            sealed_at,
            clock,
            segment_root,
            payload_length,
            payload_digest,
            rules,
            plugins,
            firmware,
            checkpoint,
        })
    }
}
