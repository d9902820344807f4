//! What a board must offer: two slots for images, and two small places for the record.

use super::record::RECORD_BYTES;

/// One of the two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The first; it runs when nothing was ever recorded.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The one that is not this.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// One of the two places of the record. They must not share an erase page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The one.
    First,
    /// The other.
    Second,
}

/// The flash did not do what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the flash failed")]
pub struct FlashFault;

/// The flash of a board. Calls return when the work is done; a power cut may leave any of them half done.
pub trait Flash {
    /// Bytes of a slot.
    fn slot_bytes(&self) -> u32;

    /// Bytes erased at a time: at least 64, and a divisor of 16,384.
    fn page_bytes(&self) -> u32;

    /// The slot the boot loader has started.
    fn running(&self) -> Slot;

    /// Erases the page that begins at this offset of a slot.
    ///
    /// # Errors
    /// The flash failed.
    fn erase(&mut self, slot: Slot, offset: u32) -> Result<(), FlashFault>;

    /// Writes into erased bytes of a slot. The offset is a multiple of 64; so is the length, but at the end of an image.
    ///
    /// # Errors
    /// The flash failed.
    fn write(&mut self, slot: Slot, offset: u32, bytes: &[u8]) -> Result<(), FlashFault>;

    /// Reads bytes of a slot.
    ///
    /// # Errors
    /// The flash failed.
    fn read(&mut self, slot: Slot, offset: u32, into: &mut [u8]) -> Result<(), FlashFault>;

    /// Reads what one of the two places holds, whatever that is.
    ///
    /// # Errors
    /// The flash failed.
    fn read_record(&mut self, place: Place) -> Result<[u8; RECORD_BYTES], FlashFault>;

    /// Erases one of the two places and writes it. The other must not change, even if the power goes.
    ///
    /// # Errors
    /// The flash failed.
    fn write_record(&mut self, place: Place, record: &[u8; RECORD_BYTES]) -> Result<(), FlashFault>;
}
