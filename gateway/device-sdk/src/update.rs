//! Firmware over the device's own session, on two slots. What runs is never touched: an image goes to the spare slot, is
//! checked there against its signed manifest, is started on trial, and stays only if it confirms itself.
//!
//! ```text
//!          offer taken           all bytes there, both hashes right      the gateway says go
//!   Idle -------------> Pulling -----------------------------> Verified ------------------> Trial
//!    ^   ^                 | wrong bytes                           |   another offer           |  |
//!    |   +-----------------+---------------------------------------+                           |  | confirm()
//!    |      failed, did not start three times over, power lost in each: the old image is back  |  v
//!    +-----------------------------------------------------------------------------------------+ Idle, on the new image
//! ```
//!
//! Whatever is written when the power goes, the next start finds a whole image: the record that names it is written to one
//! of two places in turn, and only after what it names is there.
//!
//! | module | holds |
//! | --- | --- |
//! | [`flash`] | [`Flash`]: what a board must offer |
//! | [`record`] | what survives a power cut |
//! | [`boot`] | which slot to start: for the boot loader |
//! | [`manifest`] | a signed manifest, checked against burnt-in keys |
//! | `cbor` | the little of CBOR that takes |
//! | `tree` | BLAKE3 of 16 KiB groups |
//! | [`updater`] | [`Updater`]: words in, words out |

pub mod boot;
mod cbor;
pub mod flash;
pub mod manifest;
pub mod record;
#[cfg(test)]
mod tests;
mod tree;
pub mod updater;

pub use boot::choose;
pub use flash::{Flash, FlashFault, Place, Slot};
pub use manifest::{Keys, KeysError, Manifest};
pub use record::{RECORD_BYTES, Record};
pub use updater::{ConfigFault, Happened, Updater, UpdaterConfig};
