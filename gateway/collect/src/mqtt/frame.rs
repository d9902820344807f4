//! The fixed header of an MQTT packet (3.1.1 and 5, section 2.1) and the cut of a byte stream into packets.
//!
//! ```text
//! byte 1          7..4 packet type   3..0 flags
//! bytes 2..=5     remaining length, 7 bits a byte, low first, high bit: more follows
//! then            that many bytes
//! ```
//! Nothing is allocated or copied here: packets are slices of the read buffer.

use bytes::{Bytes, BytesMut};

use crate::link::CloseReason;

/// Packet types a client may send (section 2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    Unsubscribe,
    PingReq,
    Disconnect,
}

/// A fixed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub kind: Kind,
    /// The low four bits of byte 1.
    pub flags: u8,
    /// Bytes of the header itself, 2 to 5.
    pub header: usize,
    /// Bytes after it.
    pub body: usize,
}

impl Head {
    pub(crate) fn total(&self) -> usize {
        self.header + self.body
    }
}

/// Reads the fixed header at the start of `bytes`; `None` if it is not complete yet. Refuses what no client may send,
/// and a length over `max`, before the packet is there.
pub(crate) fn head(bytes: &[u8], max: usize) -> Result<Option<Head>, CloseReason> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let kind = kind(first >> 4)?;
    let flags = first & 0x0f;
    let expected = match kind {
        Kind::Publish => flags,
        Kind::PubRel | Kind::Subscribe | Kind::Unsubscribe => 0b0010,
        _ => 0,
    };
    if flags != expected {
        return Err(CloseReason::Malformed("reserved flags of the fixed header are set wrongly"));
    }
    let mut body = 0;
    for (at, byte) in rest.iter().take(4).enumerate() {
        body |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if *byte == 0 && at > 0 {
                return Err(CloseReason::Malformed("the remaining length uses more bytes than it needs"));
            }
            let head = Head { kind, flags, header: at + 2, body };
            return if head.total() > max { Err(CloseReason::TooLarge) } else { Ok(Some(head)) };
        }
    }
    if rest.len() >= 4 {
        Err(CloseReason::Malformed("the remaining length has more than four bytes"))
    } else {
        Ok(None)
    }
}

fn kind(number: u8) -> Result<Kind, CloseReason> {
    Ok(match number {
        1 => Kind::Connect,
        3 => Kind::Publish,
        4 => Kind::PubAck,
        5 => Kind::PubRec,
        6 => Kind::PubRel,
        7 => Kind::PubComp,
        8 => Kind::Subscribe,
        10 => Kind::Unsubscribe,
        12 => Kind::PingReq,
        14 => Kind::Disconnect,
        15 => return Err(CloseReason::Protocol("extended authentication is not offered")),
        2 | 9 | 11 | 13 => return Err(CloseReason::Protocol("a packet only a server sends")),
        _ => return Err(CloseReason::Malformed("packet type 0 is reserved")),
    })
}

/// Cuts all complete packets off the front of `stream`, as one shared slice. An error found behind them is returned
/// beside them: what came before it counts.
pub(crate) fn cut(stream: &mut BytesMut, max: usize) -> (Bytes, Option<CloseReason>) {
    let mut end = 0;
    let error = loop {
        let Some(rest) = stream.get(end..) else { break None };
        match head(rest, max) {
            Ok(Some(head)) if rest.len() >= head.total() => end += head.total(),
            Ok(_) => break None,
            Err(reason) => break Some(reason),
        }
    };
    (if end == 0 { Bytes::new() } else { stream.split_to(end).freeze() }, error)
}

/// Takes the first packet off `packets`, which [`cut`] made: its header, and all of it.
pub(crate) fn next(packets: &mut Bytes, max: usize) -> Option<(Head, Bytes)> {
    let head = head(packets, max).ok().flatten()?;
    if packets.len() < head.total() {
        return None;
    }
    Some((head, packets.split_to(head.total())))
}

#[cfg(test)]
mod tests;
