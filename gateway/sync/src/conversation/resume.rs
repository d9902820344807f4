//! After a restore: the ledger says where the chain goes on, and proves it with a header this gateway once signed.

use ledger_block::SignedHeader;
use ledger_block::ingest::{Head, Reply, Request};
use ledger_block::merkle::leaf_hash;

use super::Conversation;
use crate::connection::Replies;
use crate::fault::Fault;

impl Conversation<'_> {
    /// If the chain waits for it: asks for the ledger's last block of this gateway, and hands it to the outbox.
    ///
    /// What the ledger names must be a header that verifies, stand where it says, and lie in the checkpoint it showed (or
    /// be sequenced after it). That the header is this box's own is for the outbox to check: it has the key.
    pub(super) async fn go_on(&mut self, head: Option<Head>, replies: &mut Replies) -> Result<(), Fault> {
        if !self.outbox.resuming().await? {
            return Ok(());
        }
        let Some(head) = head else { return Ok(self.outbox.resume(None).await?) };
        self.say(Request::Recall { index: head.index }).await?;
        let reply = tokio::time::timeout(self.config.connect, replies.next()).await.map_err(|_| Fault::Slow)??;
        let (header, receipt) = match reply {
            Reply::Recalled { header, receipt } => (header, receipt),
            Reply::Refused { refusal, .. } => return Err(Fault::Refused(refusal)),
            _ => return Err(Fault::OutOfPlace("something before the header that was asked for")),
        };
        let bad = |why: &str| Fault::BadHead(why.to_owned());
        let signed = SignedHeader::verify(&header).map_err(|error| Fault::BadHead(error.to_string()))?;
        let place = (signed.header().incarnation.0, signed.header().index.0, signed.hash());
        if place != (head.incarnation, head.index, head.hash) {
            return Err(bad("its header is another one than its welcome named"));
        }
        let receipt = self.trust.receipt(&leaf_hash(&header), &receipt)?;
        if receipt.sequenced().leaf_index != head.leaf {
            return Err(bad("it stands at another place in the log than its welcome named"));
        }
        Ok(self.outbox.resume(Some(&signed)).await?)
    }
}
