//! Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): frames on a serial line, each followed by one 0x00.
//!
//! The decoder takes whatever pieces the line delivers, holds at most one frame, and finds its feet again at the next
//! 0x00 after garbage.

use alloc::vec::Vec;

use crate::frame::FRAME_BYTES_MAX;

#[cfg(test)]
mod tests;

/// Bytes of a block's data when no zero ends it.
const BLOCK_MAX: usize = 254;

/// The most bytes a frame takes on the line, with its 0x00.
pub const LINE_BYTES_MAX: usize = FRAME_BYTES_MAX + FRAME_BYTES_MAX / BLOCK_MAX + 2;

/// Appends the frame as it goes on the line, with the 0x00 that ends it.
pub fn encode(frame: &[u8], line: &mut Vec<u8>) {
    line.reserve(frame.len() + frame.len() / BLOCK_MAX + 2);
    let mut pieces = frame.split(|byte| *byte == 0).peekable();
    while let Some(mut piece) = pieces.next() {
        let last = pieces.peek().is_none();
        while piece.len() >= BLOCK_MAX {
            let (block, rest) = piece.split_at(BLOCK_MAX);
            line.push(0xFF);
            line.extend_from_slice(block);
            piece = rest;
            // A full block implies no zero; at the very end nothing need follow it.
            if piece.is_empty() && last {
                line.push(0);
                return;
            }
        }
        line.push(piece.len() as u8 + 1);
        line.extend_from_slice(piece);
    }
    line.push(0);
}

/// What was lost on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CobsError {
    /// A 0x00 came where data was due: bytes were lost or changed.
    #[error("a frame was cut short")]
    Cut,
    /// No 0x00 for longer than a frame can be: noise, or another protocol.
    #[error("more bytes without an end than a frame can have")]
    Oversized,
}

/// Frames from a byte stream.
#[derive(Debug, Clone)]
pub struct Decoder {
    frame: Vec<u8>,
    bytes_max: usize,
    /// Data bytes still to come in this block.
    left: u8,
    /// The block is followed by a zero, unless the frame ends there.
    zero: bool,
    /// Something came since the last 0x00.
    begun: bool,
    /// Everything up to the next 0x00 is lost.
    lost: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(FRAME_BYTES_MAX)
    }
}

impl Decoder {
    /// A decoder for frames of at most `bytes_max` bytes.
    pub const fn new(bytes_max: usize) -> Self {
        Self { frame: Vec::new(), bytes_max, left: 0, zero: false, begun: false, lost: false }
    }

    /// Takes the next bytes and hands over every frame that ends in them, and every loss, in order.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Result<&[u8], CobsError>)) {
        for &byte in bytes {
            if byte == 0 {
                if self.begun && !self.lost {
                    each(if self.left == 0 { Ok(&self.frame) } else { Err(CobsError::Cut) });
                }
                self.reset();
            } else if !self.lost && !self.take(byte) {
                self.lost = true;
                self.frame.clear();
                each(Err(CobsError::Oversized));
            }
        }
    }

    /// Forgets a frame in progress: the line was opened anew.
    pub fn reset(&mut self) {
        self.frame.clear();
        (self.left, self.zero, self.begun, self.lost) = (0, false, false, false);
    }

    /// False if the frame has grown too long.
    fn take(&mut self, byte: u8) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return self.put(byte);
        }
        let room = !(self.begun && self.zero) || self.put(0);
        self.begun = true;
        self.left = byte - 1;
        self.zero = byte != 0xFF;
        room
    }

    fn put(&mut self, byte: u8) -> bool {
        if self.frame.len() >= self.bytes_max {
            return false;
        }
        self.frame.push(byte);
        true
    }
}
