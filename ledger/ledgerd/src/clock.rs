//! The edge where time and randomness enter.

use ledger_block::ingest::Timestamp;
use zeroize::Zeroizing;

/// The machine's clock. One before 1970 reads as 1970; the log's order never rests on it.
#[allow(clippy::disallowed_methods, reason = "the edge")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes ({0}); no key can be made without them")]
pub struct RandomError(String);

/// 32 fresh random bytes.
///
/// # Errors
/// The operating system has none to give.
pub fn random() -> Result<Zeroizing<[u8; 32]>, RandomError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| RandomError(error.to_string()))?;
    Ok(bytes)
}
