//! Boxes and contents to test with.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pitchside_release::content::client::Patience;
use pitchside_release::content::fetch::{FetchError, FetchSettings, Progress};
use pitchside_release::content::plan::PlanLimits;
use pitchside_release::content::serve::ServeLimits;
use pitchside_release::content::{Allowed, Content, ContentId, Service, Settings, Shape, Store, StoreLimits};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::sync::watch;

/// Nothing here takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn bytes(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&size.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub fn content(bytes: &[u8]) -> Content {
    let shape = Shape::new(bytes.len() as u64).unwrap();
    Content { id: ContentId(*blake3::hash(bytes).as_bytes()), sha256: Sha256::digest(bytes).into(), shape }
}

/// The ledger knows exactly these.
pub struct Ledger(pub Vec<ContentId>);

impl Allowed for Ledger {
    fn is_in_ledger(&self, content: ContentId) -> bool {
        self.0.contains(&content)
    }
}

pub struct House {
    pub dir: TempDir,
    pub service: Service,
}

pub fn store(dir: &TempDir) -> Arc<Store> {
    let limits = StoreLimits { disk_reserve_bytes: 0, ..StoreLimits::default() };
    Arc::new(Store::open(&dir.path().join("content"), limits).unwrap())
}

/// How soon a peer is too slow for those who try that, and no sooner than a busy machine makes one that is sound.
pub const SHORT: Patience = Patience { stall: Duration::from_secs(4), bytes_per_s_min: 1 << 20 };

pub fn settings(boxes: impl IntoIterator<Item = SocketAddr>, ledger: Option<SocketAddr>) -> Settings {
    Settings {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        serve: ServeLimits { connections_per_address_max: 64, bytes_per_s: 1 << 30, ..ServeLimits::default() },
        fetch: FetchSettings {
            plan: PlanLimits { ask_ms: 100, back_off_ms: (50, 500), ..PlanLimits::default() },
            ledger: ledger.map(|address| address.to_string()),
            ledger_jitter_max: Duration::ZERO,
            ..FetchSettings::default()
        },
        fetch_bytes_per_s: 1 << 30,
        discover: false,
        boxes: boxes.into_iter().collect::<BTreeSet<_>>(),
    }
}

impl House {
    pub async fn new(known: &[&Content], boxes: &[SocketAddr], ledger: Option<SocketAddr>) -> Self {
        Self::of(known, settings(boxes.iter().copied(), ledger)).await
    }

    pub async fn of(known: &[&Content], settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        let ledger_of = Ledger(known.iter().map(|content| content.id).collect());
        let service = Service::start(settings, store(&dir), Arc::new(ledger_of)).await.unwrap();
        Self { dir, service }
    }

    /// A box that has a content whole.
    pub async fn with(bytes: &[u8]) -> Self {
        let content = content(bytes);
        let house = Self::new(&[&content], &[], None).await;
        let file = house.dir.path().join("bundle");
        std::fs::write(&file, bytes).unwrap();
        house.service.import(&file, &content).await.unwrap();
        house
    }

    pub async fn fetched(&self, content: &Content) -> (Result<Vec<u8>, FetchError>, Progress) {
        let (say, heard) = watch::channel(Progress::default());
        let path = tokio::time::timeout(PATIENCE, self.service.fetch(content, &[], &say)).await.unwrap();
        let progress = heard.borrow().clone();
        (path.map(|path| std::fs::read(path).unwrap()), progress)
    }

    pub fn address(&self) -> SocketAddr {
        self.service.address().unwrap()
    }
}
