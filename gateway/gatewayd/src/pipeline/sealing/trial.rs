//! Whether the next block could be made. Asked by health, for which "there is nothing to seal" proves nothing.

use std::sync::Arc;

use super::Sealing;
use super::bite::Unsealed;
use super::named::InForce;

impl Sealing {
    /// Makes a block without readings where the chain goes on, and lets go of it: it never leaves this function, so nobody can hold it
    /// against the one that will stand there.
    ///
    /// # Errors
    /// What the last attempt failed on, or what this one does.
    pub async fn try_out(self: &Arc<Self>) -> Result<(), String> {
        if let Some(trouble) = self.trouble.lock().clone() {
            return Err(trouble);
        }
        let sealing = Arc::clone(self);
        let tried = tokio::task::spawn_blocking(move || match sealing.link()? {
            Some(mut link) => match sealing.seal_block(&sealing.ring.load(), &mut link, InForce::default(), &[], &[]) {
                Ok(_) => Ok(()),
                Err(Unsealed::Failed(error)) => Err(error),
                Err(Unsealed::TooMuch(why)) => Err(why.into()),
            },
            // Only the ledger knows where it goes on: readings wait for that.
            None => Ok(()),
        });
        match tried.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(error) => Err(error.to_string()),
        }
    }
}
