//! Work that waits for the disk, on a thread of the runtime.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does `work` here, while another thread takes over what else this one would run. For a few milliseconds of disk that a
/// synchronous caller can't hand over; outside a runtime it is an ordinary call.
pub fn here<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
