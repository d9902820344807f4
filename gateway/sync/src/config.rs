//! Where the ledger is, and how it is known.

use std::time::Duration;

use ledger_block::channel::{Keypair, Psk, PublicKey};
use ledger_block::note::VerifierKey;
use ledger_block::policy::Policy;

use crate::backoff::Backoff;

/// What sync must know about its ledger.
#[derive(Debug, Clone)]
pub struct SyncConfig {
    /// `host:port` of the ledger's ingest.
    pub address: String,
    /// The ledger's X25519 key (`channel.pub`).
    pub ledger: PublicKey,
    /// Shared with the ledger at enrolment.
    pub psk: Psk,
    /// The gateway's X25519 key pair, as enrolled.
    pub identity: Keypair,
    /// What makes a checkpoint believable: the log's key, pinned.
    pub policy: Policy,
    /// Parcels on their way at once, 1 to 12.
    pub window: usize,
    /// How long to wait after a failure.
    pub backoff: Backoff,
    /// How long connecting and the handshake may take together.
    pub connect: Duration,
    /// After so much silence the ledger is asked for a sign of life; after as much again it is given up.
    pub silence: Duration,
    /// How often the ledger is asked what is new about firmware.
    pub releases_every: Duration,
}

impl SyncConfig {
    /// The usual settings for a ledger and its pinned key.
    pub fn new(address: String, ledger: PublicKey, psk: Psk, identity: Keypair, vkey: VerifierKey) -> Self {
        Self {
            address,
            ledger,
            psk,
            identity,
            policy: Policy::of_logs([vkey]),
            window: 8,
            backoff: Backoff::default(),
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            releases_every: Duration::from_secs(60),
        }
    }
}
