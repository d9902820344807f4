//! A gateway's chain of blocks, checked from any starting point: which block was changed, dropped, swapped or rolled back.

use ledger_block::header::{GENESIS, HeaderError};
use ledger_block::payload::{self, PayloadError};
use ledger_block::{BlockIndex, GatewayId, Hash, Incarnation, SignedHeader};

/// What is known of a chain from elsewhere: an anchor in the past, receipts of the ledger.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Whose chain it must be; otherwise the first block says.
    pub gateway: Option<GatewayId>,
    /// The block before the first one to be checked; none if that is the gateway's very first.
    pub after: Option<(BlockIndex, Hash)>,
    /// Blocks known to exist, from receipts or from the ledger's log. The chain must pass through those it reaches, and
    /// reach them all.
    pub known: Vec<(BlockIndex, Hash)>,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {index}: {what}")]
pub struct ChainFault {
    /// The block that is wrong, or that should have come.
    pub index: u64,
    /// What is wrong with it.
    pub what: ChainBreak,
}

/// What is wrong with a block in its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// Its header was changed, or signed with another key.
    #[error("its header was changed or is not signed by its gateway ({0})")]
    Header(HeaderError),
    /// Its payload was changed.
    #[error("its payload was changed or swapped ({0})")]
    Payload(PayloadError),
    /// Another gateway's block.
    #[error("it is a block of gateway {0}, not of this chain")]
    OtherGateway(GatewayId),
    /// It is missing, the next one present is later.
    #[error("it was dropped: the next block present is number {found}")]
    Dropped {
        /// The index found instead.
        found: u64,
    },
    /// It comes out of turn.
    #[error("it was swapped or repeated: block number {expected} should stand here")]
    OutOfTurn {
        /// The index that should stand here.
        expected: u64,
    },
    /// It does not follow the block before it.
    #[error("it does not follow the block before it: that one, or this one, was replaced")]
    Link,
    /// The incarnation fell: a snapshot from before a restore went on sealing.
    #[error("its incarnation {found} is lower than {before} before it: an old snapshot went on sealing")]
    IncarnationFell {
        /// Of the block before.
        before: u64,
        /// Of this block.
        found: u64,
    },
    /// It is known to have been another block.
    #[error("it was replaced: the ledger knows another block of this number")]
    Replaced,
    /// It is known to exist, but the chain ends before it.
    #[error("it is known to exist, but the chain ends before it: the history was rolled back")]
    RolledBack,
}

/// What a good chain comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many blocks were checked.
    pub blocks: u64,
    /// How many payloads among them.
    pub payloads: u64,
    /// Bytes of payload checked.
    pub payload_bytes: u64,
    /// The last block; none if there was none.
    pub head: Option<(BlockIndex, Hash)>,
}

/// Checks a chain block by block, holding none of them.
#[derive(Debug)]
pub struct ChainVerifier {
    expected: Expected,
    next: u64,
    previous: Hash,
    incarnation: Incarnation,
    verified: Verified,
}

impl ChainVerifier {
    /// Begins after the anchor, or with a gateway's first block.
    pub fn new(mut expected: Expected) -> Self {
        expected.known.sort_unstable();
        let (next, previous) = expected.after.map_or((0, GENESIS), |(index, hash)| (index.0 + 1, hash));
        let verified = Verified { blocks: 0, payloads: 0, payload_bytes: 0, head: None };
        Self { expected, next, previous, incarnation: Incarnation(0), verified }
    }

    fn fault(&self, what: ChainBreak) -> ChainFault {
        ChainFault { index: self.next, what }
    }

    /// Checks the next block, and its payload if it is at hand (an old one may lie in the ledger only).
    pub fn push(&mut self, signed: &[u8], payload: Option<&[u8]>) -> Result<SignedHeader, ChainFault> {
        let block = SignedHeader::verify(signed).map_err(|e| self.fault(ChainBreak::Header(e)))?;
        let header = block.header();
        let gateway = *self.expected.gateway.get_or_insert(header.gateway);
        if header.gateway != gateway {
            return Err(self.fault(ChainBreak::OtherGateway(header.gateway)));
        }
        let index = header.index.0;
        if index > self.next {
            return Err(self.fault(ChainBreak::Dropped { found: index }));
        }
        if index < self.next {
            return Err(ChainFault { index, what: ChainBreak::OutOfTurn { expected: self.next } });
        }
        let hash = block.hash();
        if self.expected.known.iter().any(|(known, its)| known.0 == index && *its != hash) {
            return Err(self.fault(ChainBreak::Replaced));
        }
        if header.previous != self.previous {
            return Err(self.fault(ChainBreak::Link));
        }
        if header.incarnation < self.incarnation {
            let (before, found) = (self.incarnation.0, header.incarnation.0);
            return Err(self.fault(ChainBreak::IncarnationFell { before, found }));
        }
        if let Some(payload) = payload {
            payload::verify(header, payload).map_err(|e| self.fault(ChainBreak::Payload(e)))?;
            self.verified.payloads += 1;
            self.verified.payload_bytes += payload.len() as u64;
        }
        self.incarnation = header.incarnation;
        self.previous = hash;
        self.next = index + 1;
        self.verified.blocks += 1;
        self.verified.head = Some((header.index, hash));
        Ok(block)
    }

    /// Ends the chain: it must have reached every block known to exist.
    pub fn finish(self) -> Result<Verified, ChainFault> {
        match self.expected.known.iter().find(|(index, _)| index.0 >= self.next) {
            Some((index, _)) => Err(ChainFault { index: index.0, what: ChainBreak::RolledBack }),
            None => Ok(self.verified),
        }
    }
}

/// Checks a whole chain: signed headers, each with its payload if it is at hand.
pub fn verify_chain<'a>(
    blocks: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    expected: Expected,
) -> Result<Verified, ChainFault> {
    let mut verifier = ChainVerifier::new(expected);
    for (header, payload) in blocks {
        verifier.push(header, payload)?;
    }
    verifier.finish()
}

#[cfg(test)]
mod tests;
