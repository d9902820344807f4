//! Builders: a ledger, a gateway with an outbox in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ledger_block::channel::{Keypair, Psk, PublicKey};
use ledger_block::header::GENESIS;
use ledger_block::ingest::{DeviceId, Refusal, Summed, Timestamp};
use ledger_block::merkle::leaf_hash;
use ledger_block::note::VerifierKey;
use ledger_block::receipt::Level;
use ledger_block::{BlockIndex, ClockState, GatewayKey, Hash, Header, Incarnation, SignedHeader};
use ledgerd::{Config, Enrolment, Running};
use parking_lot::Mutex;
use pitchside_sync::{Backoff, CopyTask, Edge, Outbox, OutboxError, Parcel, Status, SyncConfig};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub const ORIGIN: &str = "ledger.example/test";
/// Long enough for a loaded machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Ledger {
    pub dir: tempfile::TempDir,
    pub config: Config,
    pub running: Option<Running>,
}

impl Ledger {
    /// A fresh ledger, not running; its port is kept free for it.
    pub fn new() -> Self {
        Self::below(tempfile::tempdir().unwrap())
    }

    /// The same, in this folder.
    pub fn below(dir: tempfile::TempDir) -> Self {
        ledgerd::init(&dir.path().join("ledger"), ORIGIN).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { ingest: free_port(), http: any, batch_ms: 10, ..Config::default() };
        Self { dir, config, running: None }
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("ledger")
    }

    pub async fn start(&mut self) {
        self.running = Some(ledgerd::serve(&self.path(), self.config.clone()).await.unwrap());
    }

    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }

    pub fn vkey(&self) -> VerifierKey {
        VerifierKey::parse(std::fs::read_to_string(self.path().join("vkey")).unwrap().trim()).unwrap()
    }

    pub fn channel(&self) -> PublicKey {
        std::fs::read_to_string(self.path().join("channel.pub")).unwrap().parse().unwrap()
    }

    pub fn enrol(&self, gateway: &Gateway) {
        ledgerd::enrol_gateway(&self.path(), &self.enrolment(gateway)).unwrap();
    }

    pub fn enrol_publisher(&self, publisher: &Gateway) {
        ledgerd::enrol_publisher(&self.path(), &self.enrolment(publisher)).unwrap();
    }

    fn enrolment(&self, gateway: &Gateway) -> Enrolment {
        let psk_file = self.dir.path().join(format!("{}.psk", gateway.name));
        if !psk_file.exists() {
            ledgerd::keys::write_key(&psk_file, &gateway.psk).unwrap();
        }
        Enrolment {
            gateway: gateway.name.to_string(),
            signing: gateway.key.id().to_string(),
            channel: gateway.identity.public().to_string(),
            psk_file,
        }
    }

    pub fn assert_sound(&self) -> ledger_log::Report {
        assert_sound(&self.path())
    }
}

pub fn assert_sound(ledger: &Path) -> ledger_log::Report {
    let report = ledgerd::fsck(ledger, None).unwrap();
    assert!(report.is_sound(), "{:#?}", report.faults);
    report
}

/// An address nobody listens on now.
pub fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub struct World;

impl Edge for World {
    fn now(&self) -> Timestamp {
        ledgerd::clock::now()
    }
    fn fill(&self, buffer: &mut [u8]) -> bool {
        buffer
            .chunks_mut(32)
            .all(|part| ledgerd::clock::random().map(|random| part.copy_from_slice(&random[..part.len()])).is_ok())
    }
}

#[derive(Default)]
pub struct Held {
    pub parcels: BTreeMap<u64, (Vec<u8>, Vec<u8>)>,
    pub receipts: BTreeMap<(u64, Level), Vec<u8>>,
    pub refused: BTreeMap<u64, Refusal>,
    pub checkpoint: Option<Vec<u8>>,
    /// Every checkpoint kept, in order.
    pub checkpoints: Vec<Vec<u8>>,
    /// Transactions beside the chain that wait.
    pub acts: Vec<Vec<u8>>,
    /// What the ledger had added up, in order.
    pub sums: Vec<Summed>,
    /// What the ledger's list of copies is wanted for, and the names it had, each time.
    pub sought: Option<u64>,
    pub listed: Vec<(u64, Vec<Hash>)>,
    /// Those of the last list that the ledger could not read.
    pub unreadable: Vec<Hash>,
    /// Copies to be kept or deleted.
    pub copies: Vec<CopyTask>,
}

/// An outbox in memory.
#[derive(Default)]
pub struct MemoryOutbox {
    pub held: Mutex<Held>,
    pub news: Notify,
    /// A transaction beside the chain or a copy is done with, or the list of copies was read.
    pub settled: Notify,
    /// Payload bytes handed out, to see what was sent twice.
    pub handed_out: AtomicU64,
}

#[async_trait]
impl Outbox for MemoryOutbox {
    async fn pending(&self, after: Option<u64>, limit: usize) -> Result<Vec<Parcel>, OutboxError> {
        let held = self.held.lock();
        let is_open = |number: &u64| {
            !held.receipts.contains_key(&(*number, Level::R2)) && after.is_none_or(|after| *number > after)
        };
        let open = held.parcels.iter().filter(|(number, _)| is_open(number));
        Ok(open.take(limit).map(|(number, (leaf, _))| Parcel { number: *number, leaf: leaf.clone() }).collect())
    }
    async fn payload(&self, number: u64, offset: u64, length: usize) -> Result<Vec<u8>, OutboxError> {
        self.handed_out.fetch_add(length as u64, Ordering::SeqCst);
        let held = self.held.lock();
        let start = usize::try_from(offset).unwrap();
        Ok(held.parcels[&number].1[start..start + length].to_vec())
    }
    async fn receipt(&self, number: u64, level: Level, receipt: &[u8]) -> Result<(), OutboxError> {
        self.held.lock().receipts.insert((number, level), receipt.to_vec());
        Ok(())
    }
    async fn refused(&self, number: u64, refusal: &Refusal) -> Result<(), OutboxError> {
        self.held.lock().refused.insert(number, refusal.clone());
        Ok(())
    }
    async fn checkpoint(&self) -> Result<Option<Vec<u8>>, OutboxError> {
        Ok(self.held.lock().checkpoint.clone())
    }
    async fn set_checkpoint(&self, note: &[u8]) -> Result<(), OutboxError> {
        let mut held = self.held.lock();
        held.checkpoint = Some(note.to_vec());
        held.checkpoints.push(note.to_vec());
        Ok(())
    }
    async fn backlog(&self) -> Result<u64, OutboxError> {
        let held = self.held.lock();
        let included = held.receipts.keys().filter(|(_, level)| *level == Level::R2).count();
        Ok((held.parcels.len() - included) as u64)
    }
    async fn acts(&self, limit: usize) -> Result<Vec<Vec<u8>>, OutboxError> {
        Ok(self.held.lock().acts.iter().take(limit).cloned().collect())
    }
    async fn summed(&self, summed: &Summed) -> Result<(), OutboxError> {
        self.held.lock().sums.push(*summed);
        Ok(())
    }
    async fn copies_sought(&self) -> Result<Option<u64>, OutboxError> {
        Ok(self.held.lock().sought)
    }
    async fn copies(&self, limit: usize) -> Result<Vec<CopyTask>, OutboxError> {
        Ok(self.held.lock().copies.iter().take(limit).cloned().collect())
    }
    async fn copied(&self, name: &Hash, _held: bool) -> Result<(), OutboxError> {
        self.held.lock().copies.retain(|copy| copy.name != *name);
        self.settled.notify_one();
        Ok(())
    }
    async fn copies_listed(&self, sought: u64, names: &[Hash], unreadable: &[Hash]) -> Result<(), OutboxError> {
        let mut held = self.held.lock();
        held.listed.push((sought, names.to_vec()));
        held.unreadable = unreadable.to_vec();
        drop(held);
        self.settled.notify_one();
        Ok(())
    }
    async fn acted(&self, leaf: &Hash, _taken: Result<(), &Refusal>) -> Result<(), OutboxError> {
        self.held.lock().acts.retain(|act| leaf_hash(act) != *leaf);
        self.settled.notify_one();
        Ok(())
    }
    async fn changed(&self) {
        self.news.notified().await;
    }
}

pub struct Gateway {
    pub name: DeviceId,
    pub key: GatewayKey,
    pub identity: Keypair,
    pub psk: [u8; 32],
    pub outbox: Arc<MemoryOutbox>,
    pub next: u64,
    pub previous: Hash,
}

impl Gateway {
    pub fn new(name: &str, seed: u8) -> Self {
        Self {
            name: DeviceId::parse(name).unwrap(),
            key: GatewayKey::new(&[seed; 32]),
            identity: Keypair::from_secret(Zeroizing::new([seed + 1; 32])).unwrap(),
            psk: [seed + 2; 32],
            outbox: Arc::default(),
            next: 0,
            previous: GENESIS,
        }
    }

    pub fn draw(&self, payload: &[u8]) -> SignedHeader {
        let header = Header {
            gateway: self.key.id(),
            incarnation: Incarnation(0),
            index: BlockIndex(self.next),
            previous: self.previous,
            sealed_at: Timestamp(0),
            clock: ClockState::Unset,
            segment_root: [0; 32],
            payload_length: payload.len() as u64,
            payload_digest: *blake3::hash(payload).as_bytes(),
            rules: [0; 32],
            plugins: [0; 32],
            firmware: [0; 32],
            checkpoint: None,
        };
        SignedHeader::sign(header, &self.key).unwrap()
    }

    /// Seals a block of so many bytes into the outbox.
    pub fn seal(&mut self, bytes: usize) -> SignedHeader {
        let salt = self.next.to_le_bytes();
        let payload: Vec<u8> = (0..bytes).map(|at| salt[at % 8] ^ u8::try_from(at % 251).unwrap()).collect();
        let header = self.draw(&payload);
        self.put(header.bytes().to_vec(), payload);
        self.previous = header.hash();
        self.next += 1;
        header
    }

    /// Puts a parcel into the outbox; gives its number.
    pub fn put(&self, leaf: Vec<u8>, payload: Vec<u8>) -> u64 {
        let mut held = self.outbox.held.lock();
        let number = held.parcels.len() as u64;
        held.parcels.insert(number, (leaf, payload));
        self.outbox.news.notify_one();
        number
    }

    pub fn config(&self, ledger: &Ledger) -> SyncConfig {
        let psk = Psk::new(Zeroizing::new(self.psk));
        let address = ledger.config.ingest.to_string();
        let mut config = SyncConfig::new(address, ledger.channel(), psk, self.identity.clone(), ledger.vkey());
        config.backoff = Backoff { first: Duration::from_millis(20), most: Duration::from_millis(100) };
        config
    }

    pub fn sync(&self, config: SyncConfig) -> Sync {
        let (status, watched) = watch::channel(Status::default());
        let stop = CancellationToken::new();
        let outbox: Arc<dyn Outbox> = self.outbox.clone();
        let task = tokio::spawn(pitchside_sync::run(config, outbox, Arc::new(World), status, stop.clone()));
        Sync { status: watched, stop, task }
    }

    pub fn level(&self, level: Level) -> usize {
        self.outbox.held.lock().receipts.keys().filter(|(_, held)| *held == level).count()
    }
}

pub struct Sync {
    pub status: watch::Receiver<Status>,
    pub stop: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Sync {
    /// Waits until the status is so.
    pub async fn until(&mut self, what: &str, is_so: impl FnMut(&Status) -> bool) -> Status {
        let reached = tokio::time::timeout(PATIENCE, self.status.wait_for(is_so)).await.map(|s| s.unwrap().clone());
        match reached {
            Ok(status) => status,
            Err(_) => panic!("waited in vain until {what}: {:?}", self.status.borrow()),
        }
    }

    /// Waits until nothing is pending.
    pub async fn drained(&mut self, included: u64) {
        self.until("all is included", |status| status.included >= included).await;
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}
