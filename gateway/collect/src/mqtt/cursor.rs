//! Reading an MQTT packet's body: integers, strings and properties (MQTT 5, section 1.5), with every length checked.

use bytes::Bytes;

use crate::link::CloseReason;

const SHORT: CloseReason = CloseReason::Malformed("a packet ends before its fields do");

/// Walks a body from front to back.
pub(crate) struct Cursor {
    rest: Bytes,
}

impl Cursor {
    pub(crate) fn new(body: Bytes) -> Self {
        Self { rest: body }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left.
    pub(crate) fn rest(self) -> Bytes {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<Bytes, CloseReason> {
        if self.rest.len() < len {
            return Err(SHORT);
        }
        Ok(self.rest.split_to(len))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CloseReason> {
        let value = *self.rest.first().ok_or(SHORT)?;
        self.skip(1)?;
        Ok(value)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, CloseReason> {
        let &[high, low, ..] = self.rest.as_ref() else { return Err(SHORT) };
        self.skip(2)?;
        Ok(u16::from_be_bytes([high, low]))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CloseReason> {
        let &[a, b, c, d, ..] = self.rest.as_ref() else { return Err(SHORT) };
        self.skip(4)?;
        Ok(u32::from_be_bytes([a, b, c, d]))
    }

    /// A packet identifier, never 0 (2.2.1).
    pub(crate) fn packet_id(&mut self) -> Result<u16, CloseReason> {
        match self.u16()? {
            0 => Err(CloseReason::Malformed("packet identifier 0")),
            id => Ok(id),
        }
    }

    /// Bytes with a length of two bytes before them.
    pub(crate) fn binary(&mut self) -> Result<Bytes, CloseReason> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A variable byte integer (1.5.5): at most four bytes, and no more than it needs.
    pub(crate) fn length(&mut self) -> Result<usize, CloseReason> {
        let mut value = 0;
        for at in 0..4 {
            let byte = self.u8()?;
            value |= usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                if byte == 0 && at > 0 {
                    return Err(CloseReason::Malformed("a variable byte integer uses more bytes than it needs"));
                }
                return Ok(value);
            }
        }
        Err(CloseReason::Malformed("a variable byte integer has more than four bytes"))
    }

    pub(crate) fn skip(&mut self, len: usize) -> Result<(), CloseReason> {
        if self.rest.len() < len {
            return Err(SHORT);
        }
        bytes::Buf::advance(&mut self.rest, len);
        Ok(())
    }
}
