//! PS/1 over GATT: a frame in as many characteristic values as the MTU asks for, each led by one byte.
//!
//! ```text
//! | header 1 | piece 1.. |        header: bit 7 first, bit 6 last, bits 5 to 0 number, rising by one modulo 64
//! ```
//!
//! The link layer neither loses nor swaps values; a host that is slow may drop some. Then the number does not fit, the frame
//! is lost, and the device sends it again, as it does whenever no receipt comes.

use alloc::vec::Vec;

use crate::frame::FRAME_BYTES_MAX;

#[cfg(test)]
mod tests;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 1;
/// The shortest value a device may be asked to use: the default ATT MTU of 23 less 3 (Core 5.4, vol. 3 part G, 5.2.1).
pub const VALUE_BYTES_MIN: usize = 20;
/// The longest value of an attribute (Core 5.4, vol. 3 part F, 3.2.9).
pub const VALUE_BYTES_MAX: usize = 512;
/// The GATT service of PS/1.
pub const SERVICE: u128 = 0x7073_0001_2f31_4b8e_9c6a_3d0f_5e1a_7c42;
/// Characteristic from the device (notify).
pub const UP: u128 = 0x7073_0002_2f31_4b8e_9c6a_3d0f_5e1a_7c42;
/// Characteristic to the device (write without response).
pub const DOWN: u128 = 0x7073_0003_2f31_4b8e_9c6a_3d0f_5e1a_7c42;

const FIRST: u8 = 0x80;
const LAST: u8 = 0x40;
const NUMBER: u8 = 0x3F;

/// Why nothing came of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// No header, or nothing behind it.
    #[error("a value without a piece of a frame")]
    Empty,
    /// A piece of a frame whose beginning was lost, or whose number does not follow.
    #[error("a piece is missing: the frame is lost")]
    Missing,
    /// A frame began before the one before it ended.
    #[error("a frame was cut short by the next one")]
    Cut,
    /// Longer than a frame can be.
    #[error("longer than a frame can be")]
    Oversized,
}

/// Cuts frames into values.
#[derive(Debug, Clone, Default)]
pub struct Splitter {
    number: u8,
}

impl Splitter {
    /// Hands over each value that carries the frame, in order, none longer than `value_bytes_max`, which is taken as at least
    /// [`VALUE_BYTES_MIN`]. An empty frame has no values.
    pub fn split(&mut self, frame: &[u8], value_bytes_max: usize, mut each: impl FnMut(&[u8])) {
        let piece_max = value_bytes_max.clamp(VALUE_BYTES_MIN, VALUE_BYTES_MAX) - HEADER_BYTES;
        let mut pieces = frame.chunks(piece_max).peekable();
        let mut first = FIRST;
        let mut value = Vec::with_capacity(piece_max.min(frame.len()) + HEADER_BYTES);
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { LAST } else { 0 };
            value.clear();
            value.push(first | last | self.number);
            value.extend_from_slice(piece);
            each(&value);
            self.number = (self.number + 1) & NUMBER;
            first = 0;
        }
    }
}

/// Frames from values. Holds at most one frame, whatever comes.
#[derive(Debug, Clone, Default)]
pub struct Joiner {
    frame: Vec<u8>,
    /// Number of the next piece of the frame in progress.
    next: Option<u8>,
}

impl Joiner {
    /// Takes the next value; a frame if it ends in it. A frame may be complete although the one before it was lost: that
    /// loss is told when the frame begins, by [`FragmentError::Cut`], and the frame goes on.
    pub fn push(&mut self, value: &[u8]) -> (Option<Vec<u8>>, Result<(), FragmentError>) {
        let Some((header, piece)) = value.split_first().filter(|(_, piece)| !piece.is_empty()) else {
            return (None, Err(FragmentError::Empty));
        };
        let number = header & NUMBER;
        let mut loss = Ok(());
        if header & FIRST != 0 {
            if self.next.is_some() {
                loss = Err(FragmentError::Cut);
            }
            self.frame.clear();
        } else if self.next != Some(number) {
            self.reset();
            return (None, Err(FragmentError::Missing));
        }
        if self.frame.len() + piece.len() > FRAME_BYTES_MAX {
            self.reset();
            return (None, Err(FragmentError::Oversized));
        }
        self.frame.extend_from_slice(piece);
        if header & LAST != 0 {
            self.next = None;
            return (Some(core::mem::take(&mut self.frame)), loss);
        }
        self.next = Some((number + 1) & NUMBER);
        (None, loss)
    }

    /// Forgets a frame in progress: values were dropped, or the link is new.
    pub fn reset(&mut self) {
        self.frame.clear();
        self.next = None;
    }
}
