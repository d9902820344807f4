//! What an image knows of itself, and what its board can do.

use alloc::string::String;

use pitchside_wire::firmware::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, GROUP_BYTES, NAME_BYTES_MAX, Version};

use crate::update::flash::{Flash, FlashFault};
use crate::update::manifest::Keys;

/// Compiled into an image.
#[derive(Debug, Clone)]
pub struct UpdaterConfig {
    /// The board, as manifests name it.
    pub hardware: String,
    /// What is updated, as manifests name it.
    pub component: String,
    /// The version of this image.
    pub version: Version,
    /// Its security counter.
    pub counter: u32,
    /// The keys that must sign the next one. An image may bring other keys than the one before it.
    pub keys: Keys,
    /// Image bytes taken at a time: 64 to 4096, a multiple of 64.
    pub chunk_bytes_max: u16,
    /// Chunks asked for ahead: 1 to 8.
    pub window: u8,
}

/// Why there is no updater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// A name that cannot be one.
    #[error("hardware and component have 1 to {NAME_BYTES_MAX} bytes")]
    Name,
    /// Chunks of another size.
    #[error("chunks have 64 to 4096 bytes, in multiples of 64, and 1 to 8 are asked for ahead")]
    Chunk,
    /// Pages that groups cannot be made of.
    #[error("the flash erases {0} bytes at a time; 64 to 16384 in powers of two can be used")]
    Page(u32),
    /// The flash failed.
    #[error(transparent)]
    Flash(#[from] FlashFault),
}

impl UpdaterConfig {
    pub(super) fn check<F: Flash>(&self, flash: &F) -> Result<(), ConfigFault> {
        let is_name = |text: &str| (1..=NAME_BYTES_MAX).contains(&text.len());
        if !is_name(&self.hardware) || !is_name(&self.component) {
            return Err(ConfigFault::Name);
        }
        let chunk = usize::from(self.chunk_bytes_max);
        let fits = (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&chunk) && chunk.is_multiple_of(CHUNK_BYTES_MIN);
        if !fits || !(1..=8).contains(&self.window) {
            return Err(ConfigFault::Chunk);
        }
        let page = flash.page_bytes();
        if !page.is_power_of_two() || !(64..=GROUP_BYTES).contains(&page) {
            return Err(ConfigFault::Page(page));
        }
        Ok(())
    }
}
