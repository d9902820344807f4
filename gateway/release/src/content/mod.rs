//! Content: a file named by its BLAKE3, carried from box to box. Where it comes from does not matter, because every 16 KiB
//! group is verified against the name while it arrives, and the whole against the manifest's SHA-256 at the end. So any box on
//! the LAN may serve it, a box that has only part of it too, and the ledger's store comes last.
//!
//! | module | holds |
//! | --- | --- |
//! | [`service`] | all of it together: start here |
//! | [`discover`] | boxes on the LAN, by mDNS |
//! | [`store`] | contents on disk: bounded, crash-safe, whole or arriving |
//! | [`partial`] | a content that is arriving: the order of its fsyncs |
//! | [`serve`] | hands out slices, bounded |
//! | [`client`] | one question to one peer |
//! | [`fetch`](mod@fetch) | carries a plan out |
//! | [`pace`] | bytes a second |
//! | [`plan`] | whom to ask for which groups next: pure |
//! | [`medium`] | where its bytes lie |

pub mod client;
pub mod discover;
pub mod fetch;
pub mod medium;
pub mod pace;
pub mod partial;
pub mod plan;
pub mod serve;
pub mod service;
pub mod store;

use data_encoding::HEXLOWER;
pub use ledger_block::content::{ContentId, GROUP_BYTES, Groups, Shape, Span};
pub use service::{Service, Settings, StartError};
pub use store::{Standing, Store, StoreError, StoreLimits};

/// A content as a signed manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// BLAKE3: its name, and what groups are verified against.
    pub id: ContentId,
    /// SHA-256 of the same bytes, checked once it is whole.
    pub sha256: [u8; 32],
    /// Its size and what follows from that.
    pub shape: Shape,
}

/// Says which contents may be served: those a manifest in the ledger names. Implemented by `gatewayd`.
pub trait Allowed: Send + Sync {
    /// Whether a manifest with a proven place in the ledger names this content.
    fn is_in_ledger(&self, content: ContentId) -> bool;
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}
