//! How sync stands: for the page, for `doctor`, for metrics.

use ledger_block::ingest::Head;
use pitchside_model::Timestamp;

use crate::fault::Fault;

/// The way to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// Connecting.
    #[default]
    Connecting,
    /// Connected, and the ledger's checkpoint was verified.
    Connected {
        /// Since when.
        since: Timestamp,
    },
    /// Waiting after a failure.
    Waiting {
        /// Until when.
        until: Timestamp,
    },
    /// Told to stop.
    Stopped,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The way to the ledger.
    pub link: Link,
    /// Since when the ledger has been reachable without a break; none while it is not.
    pub reachable_since: Option<Timestamp>,
    /// Parcels without R2.
    pub backlog: u64,
    /// Leaves in the last verified checkpoint.
    pub checkpoint_size: u64,
    /// The last block of this gateway the ledger says it holds.
    pub head: Option<Head>,
    /// Receipts R1 stored since the start.
    pub sequenced: u64,
    /// Receipts R2 stored since the start.
    pub included: u64,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure, and when it was. Stays until a connection succeeds; a suspicious one stays until a checkpoint was
    /// verified again.
    pub fault: Option<(Timestamp, Fault)>,
}
