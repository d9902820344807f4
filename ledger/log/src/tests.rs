//! Tests of a whole log on real files.

mod copies;
mod crash;
mod fsck;
mod sequence;

use std::path::Path;

use ledger_block::header::GENESIS;
use ledger_block::ingest::{Act, OPERATOR, Role, Transaction};
use ledger_block::ingest::{DeviceId, Timestamp};
use ledger_block::note::{KeyKind, SignerKey};
use ledger_block::{BlockIndex, ClockState, GatewayKey, Hash, Header, Incarnation, SignedHeader};

use crate::log::{Log, Storage, Submission};

pub(crate) const ORIGIN: &str = "ledger.example/clinic";
pub(crate) const NOW: Timestamp = Timestamp(1_763_700_000_000_000);

pub(crate) fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

pub(crate) fn log_key() -> SignerKey {
    SignerKey::new(ORIGIN, KeyKind::Ed25519, &[1; 32]).unwrap()
}

pub(crate) fn operator() -> GatewayKey {
    GatewayKey::new(&[2; 32])
}

pub(crate) fn by_operator(act: Act) -> Vec<u8> {
    Transaction { signer: id(OPERATOR), time: NOW, act }.sign(ORIGIN, &operator()).unwrap()
}

pub(crate) fn enrol(name: &str, key: &GatewayKey, role: Role) -> Vec<u8> {
    let channel = if role == Role::Gateway { key.id().0 } else { [0; 32] };
    by_operator(Act::Enrol { name: id(name), role, signing: key.id().0, channel })
}

/// A gateway that seals blocks.
pub(crate) struct Box_ {
    pub name: DeviceId,
    pub key: GatewayKey,
    pub incarnation: u64,
    pub next: u64,
    pub previous: Hash,
}

impl Box_ {
    pub fn new(name: &str, seed: u8) -> Self {
        Self { name: id(name), key: GatewayKey::new(&[seed; 32]), incarnation: 0, next: 0, previous: GENESIS }
    }

    /// A header and its payload, without going on in the chain.
    pub fn draw(&self, fill: u8) -> (SignedHeader, Vec<u8>) {
        let payload = vec![fill; 256 + usize::try_from(self.next % 7).unwrap()];
        let header = Header {
            gateway: self.key.id(),
            incarnation: Incarnation(self.incarnation),
            index: BlockIndex(self.next),
            previous: self.previous,
            sealed_at: NOW,
            clock: ClockState::Synchronised,
            segment_root: [fill; 32],
            payload_length: payload.len() as u64,
            payload_digest: *blake3::hash(&payload).as_bytes(),
            rules: [0; 32],
            plugins: [0; 32],
            firmware: [0; 32],
            checkpoint: None,
        };
        (SignedHeader::sign(header, &self.key).unwrap(), payload)
    }

    /// The next block of the chain.
    pub fn seal(&mut self, fill: u8) -> (SignedHeader, Vec<u8>) {
        let drawn = self.draw(fill);
        self.previous = drawn.0.hash();
        self.next += 1;
        drawn
    }

    /// Seals a block, stores its payload, and gives the submission.
    pub fn submit(&mut self, log: &Log, fill: u8) -> Submission {
        let (header, payload) = self.seal(fill);
        store(log, &self.name, &payload);
        self.submission(&header)
    }

    pub fn submission(&self, header: &SignedHeader) -> Submission {
        Submission { by: Some(self.name.clone()), leaf: header.bytes().to_vec() }
    }
}

pub(crate) fn store(log: &Log, name: &DeviceId, payload: &[u8]) {
    let hash = *blake3::hash(payload).as_bytes();
    if log.payloads().whole(&hash).unwrap().is_none() {
        log.payloads().append(name, &hash, 0, payload).unwrap();
        log.payloads().finish(name, &hash, payload.len() as u64).unwrap();
    }
}

/// A new log with one gateway enrolled: two leaves.
pub(crate) fn start(dir: &Path) -> (Log, Box_) {
    let log = Log::create(Storage::files(dir).unwrap(), log_key(), &operator(), NOW).unwrap();
    let gateway = Box_::new("box-1", 9);
    log.enter_now(enrol("box-1", &gateway.key, Role::Gateway), NOW).unwrap().unwrap();
    (log, gateway)
}

pub(crate) fn reopen(dir: &Path) -> Log {
    Log::open(Storage::files(dir).unwrap(), log_key()).unwrap()
}

pub(crate) fn assert_sound(dir: &Path) -> crate::Report {
    let report = crate::fsck(&Storage::files(dir).unwrap(), log_key().verifier()).unwrap();
    assert!(report.is_sound(), "{:#?}", report.faults);
    report
}
