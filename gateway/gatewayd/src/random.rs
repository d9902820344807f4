//! The edge where randomness enters: the operating system's, and nothing else.

/// The operating system's random generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl OsRandom {
    /// Fills the buffer. A system without randomness cannot run safely, so its absence is an error to report, not to hide.
    pub fn try_fill(self, buffer: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(buffer).map_err(|error| RandomError(error.to_string()))
    }

    /// So many fresh bytes.
    pub fn bytes<const N: usize>(self) -> Result<[u8; N], RandomError> {
        let mut bytes = [0; N];
        self.try_fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes ({0}); nothing can be encrypted without them")]
pub struct RandomError(String);

impl pitchside_auth::Random for OsRandom {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), pitchside_auth::RandomFailed> {
        self.try_fill(bytes).map_err(|_| pitchside_auth::RandomFailed)
    }
}
