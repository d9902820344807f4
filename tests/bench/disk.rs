//! The physical limit: how many times a second the disk makes 4 KiB durable.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Appends 4 KiB and syncs, over and over; returns syncs a second.
pub fn syncs_per_second(folder: &Path, length: Duration) -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let page = [0x5au8; 4_096];
    let started = Instant::now();
    let mut syncs = 0u32;
    while started.elapsed() < length {
        file.write_all(&page)?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / started.elapsed().as_secs_f64())
}
