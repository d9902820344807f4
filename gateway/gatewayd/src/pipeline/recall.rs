//! The journal's last minutes, read back at a start: who lived, who trained.

use pitchside_model::{Entry, Timestamp};
use pitchside_store::{RowId, Store, StoreError};

/// Bytes of journal read at a time.
const BITE: usize = 1 << 20;

/// Hands over what was journaled since then, in its order, past rows that do not open. Blocks.
///
/// # Errors
/// The store refused.
pub fn recall_since(store: &Store, from: Timestamp, mut take: impl FnMut(&[Entry])) -> Result<(), StoreError> {
    let mut after = RowId(0);
    loop {
        let replayed = store.replay(from, after, BITE)?;
        replayed.rows.iter().for_each(|row| take(&row.entries));
        let Some(last) = replayed.last else { return Ok(()) };
        after = last;
    }
}
