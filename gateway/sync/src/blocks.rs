//! Bringing back blocks that the ledger holds of this gateway, for a box that was restored: their signed headers, receipts and payloads. Each
//! is asked for by the hash that the block after it names, so the ledger can give no other.

use ledger_block::ingest::{Reply, Request};
use ledger_block::merkle::leaf_hash;
use ledger_block::receipt::Level;
use ledger_block::{Hash, Header, SignedHeader, payload};
use tokio::sync::mpsc;

use crate::config::SyncConfig;
use crate::connection::{Connection, Replies, connect};
use crate::fault::Fault;
use crate::outbox::Edge;
use crate::trust::Trust;

/// A connection on which blocks are asked for, one at a time. Its keys are used up after 1 GiB: then another one is opened.
pub struct HeldBlocks {
    requests: mpsc::Sender<Request>,
    replies: Replies,
    trust: Trust,
    config: SyncConfig,
}

impl HeldBlocks {
    /// Connects. What the ledger shows must continue the checkpoint `kept` from before.
    ///
    /// # Errors
    /// Not reachable, or not to be believed.
    pub async fn open(config: SyncConfig, edge: &dyn Edge, kept: Option<&[u8]>) -> Result<Self, Fault> {
        let trust = Trust::new(config.policy.clone(), kept)?;
        let Connection { requests, replies, .. } = connect(&config, edge).await?;
        let mut held = Self { requests, replies, trust, config };
        let seen = held.trust.size();
        match held.ask(Request::Hello { seen }).await? {
            Reply::Welcome { checkpoint: Some(proven), .. } => {
                held.trust.advance(&proven)?;
            }
            Reply::Welcome { .. } if seen > 0 => return Err(Fault::RolledBack { shown: 0, seen }),
            Reply::Welcome { .. } => {}
            Reply::Refused { refusal, .. } => return Err(Fault::Refused(refusal)),
            _ => return Err(Fault::OutOfPlace("something before its welcome")),
        }
        Ok(held)
    }

    async fn ask(&mut self, request: Request) -> Result<Reply, Fault> {
        self.requests.send(request).await.map_err(|_| Fault::Closed)?;
        tokio::time::timeout(self.config.connect, self.replies.next()).await.map_err(|_| Fault::Slow)?
    }

    /// The header of block `index`, whose hash is known, and its receipt R2.
    ///
    /// # Errors
    /// The ledger does not hold it, gives another one, or has not published it yet.
    pub async fn header(&mut self, index: u64, hash: &Hash) -> Result<(SignedHeader, Vec<u8>), Fault> {
        let bad = |why: &dyn std::fmt::Display| Fault::BadBlock { index, why: why.to_string() };
        let (header, bytes) = match self.ask(Request::Recall { index }).await? {
            Reply::Recalled { header, receipt } => (header, receipt),
            Reply::Refused { refusal, .. } => return Err(Fault::Refused(refusal)),
            _ => return Err(Fault::OutOfPlace("something before the header that was asked for")),
        };
        let signed = SignedHeader::verify(&header).map_err(|error| bad(&error))?;
        if (signed.header().index.0, signed.hash()) != (index, *hash) {
            return Err(bad(&"it is another block than the one after it names"));
        }
        let receipt = self.trust.receipt(&leaf_hash(&header), &bytes)?;
        if receipt.level() != Level::R2 {
            return Err(Fault::Unpublished(index));
        }
        Ok((signed, bytes))
    }

    /// The payload of a block, checked against its header.
    ///
    /// # Errors
    /// The ledger does not hold it, or gives other bytes.
    pub async fn payload(&mut self, header: &Header) -> Result<Vec<u8>, Fault> {
        let (name, length) = (header.payload_digest, header.payload_length);
        let mut bytes: Vec<u8> = Vec::new();
        while (bytes.len() as u64) < length {
            let offset = bytes.len() as u64;
            let part = match self.ask(Request::Fetch { payload: name, offset }).await? {
                Reply::Part { payload, offset: from, bytes, .. } if (payload, from) == (name, offset) => bytes,
                Reply::Refused { refusal, .. } => return Err(Fault::Refused(refusal)),
                _ => return Err(Fault::OutOfPlace("something before the bytes that were asked for")),
            };
            if part.is_empty() || part.len() as u64 > length - offset {
                return Err(Fault::OutOfPlace("more or fewer bytes of a payload than its header says"));
            }
            bytes.extend(part);
        }
        let bad = |error: payload::PayloadError| Fault::BadBlock { index: header.index.0, why: error.to_string() };
        payload::verify(header, &bytes).map_err(bad)?;
        Ok(bytes)
    }
}
