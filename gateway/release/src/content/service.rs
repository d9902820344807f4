//! The content service of a box: serves what it has, fetches what it is told to, finds the others.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fetch::{Bans, FetchError, FetchSettings, Progress, Shared, fetch};
use super::pace::Pace;
use super::serve::{self, ServeLimits, Served};
use super::{Allowed, Content, ContentId, Store, discover};

/// Settings of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where other boxes connect: port 0 takes any; none to serve nobody.
    pub listen: Option<SocketAddr>,
    /// Bounds of serving.
    pub serve: ServeLimits,
    /// How to fetch.
    pub fetch: FetchSettings,
    /// Bytes a second fetched, over all sources.
    pub fetch_bytes_per_s: u64,
    /// Whether to announce and look for boxes by mDNS; only together with `listen`: who takes also gives.
    pub discover: bool,
    /// Boxes known without mDNS.
    pub boxes: BTreeSet<SocketAddr>,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen for other boxes on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes: {0}")]
    Random(getrandom::Error),
}

/// The running service. Stops when dropped.
pub struct Service {
    shared: Arc<Shared>,
    address: Option<SocketAddr>,
    served: Arc<Served>,
    /// Contents that must not give way: what is fetched, and what the caller said.
    kept: Mutex<Vec<ContentId>>,
    boxes: watch::Sender<BTreeSet<SocketAddr>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

fn random() -> Result<u64, getrandom::Error> {
    getrandom::u64()
}

impl Service {
    /// Starts it over a store.
    ///
    /// # Errors
    /// The address cannot be listened on. Without mDNS it goes on, and says so in the log.
    pub async fn start(settings: Settings, store: Arc<Store>, allowed: Arc<dyn Allowed>) -> Result<Self, StartError> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let served = Arc::new(Served::default());
        let (boxes, found) = watch::channel(settings.boxes);
        let mut address = None;
        if let Some(wanted) = settings.listen {
            let failed = |source| StartError::Listen { address: wanted, source };
            let listener = TcpListener::bind(wanted).await.map_err(failed)?;
            let local = listener.local_addr().map_err(failed)?;
            address = Some(local);
            let shop = (Arc::clone(&store), allowed, settings.serve, Arc::clone(&served), stop.clone());
            tasks.spawn(serve::run(listener, shop.0, shop.1, shop.2, shop.3, shop.4));
            if settings.discover {
                let instance = format!("box-{:016x}", random().map_err(StartError::Random)?);
                match discover::start(instance, local, boxes.clone(), stop.clone()) {
                    Ok(searching) => drop(tasks.spawn(searching)),
                    Err(error) => tracing::error!(%error, "other boxes"),
                }
            }
        }
        let (pace, bans) = (Pace::new(settings.fetch_bytes_per_s), Bans::default());
        let shared = Arc::new(Shared { store, settings: settings.fetch, pace, bans, boxes: found });
        Ok(Self { shared, address, served, kept: Mutex::default(), boxes, stop, tasks })
    }

    /// Where other boxes connect; none if nobody is served.
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What was served so far.
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// The store; its calls block.
    pub fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    /// Boxes known now, replaced as mDNS finds them.
    pub const fn boxes(&self) -> &watch::Sender<BTreeSet<SocketAddr>> {
        &self.boxes
    }

    /// These contents never give way to newer ones; in place of those named before.
    pub fn keep(&self, contents: Vec<ContentId>) {
        *self.kept.lock() = contents;
    }

    fn kept_with(&self, content: ContentId) -> Vec<ContentId> {
        let mut kept = self.kept.lock().clone();
        kept.push(content);
        kept
    }

    /// Takes a whole content from a file: what a publisher's box does.
    ///
    /// # Errors
    /// The file is not that content, or there is no room.
    pub async fn import(&self, file: &Path, content: &Content) -> Result<(), FetchError> {
        let (store, file, content) = (Arc::clone(&self.shared.store), file.to_owned(), content.clone());
        let kept = self.kept_with(content.id);
        Ok(tokio::task::spawn_blocking(move || store.import(&file, &content, &kept)).await??)
    }

    /// Fetches a content, or goes on where an earlier fetch stopped; gives the file of the whole. What is `older` gives way to it if
    /// there is no room otherwise, though it is kept; oldest first. Ask for one content once at a time. Dropping the future stops
    /// it; nothing durable is lost.
    ///
    /// # Errors
    /// There is no room, the manifest's hashes disagree, or the service stops. That nobody has it is no error: it waits.
    pub async fn fetch(
        &self,
        content: &Content,
        older: &[ContentId],
        progress: &watch::Sender<Progress>,
    ) -> Result<PathBuf, FetchError> {
        if let Some(path) = self.shared.store.path(content.id) {
            return Ok(path);
        }
        let (store, wanted, kept) = (Arc::clone(&self.shared.store), content.clone(), self.kept_with(content.id));
        let older = older.to_vec();
        tokio::task::spawn_blocking(move || store.admit(&wanted, &kept, &older)).await??;
        // Poor randomness costs only a poorer spread of load.
        let seed = random().unwrap_or(u64::from(std::process::id()));
        fetch(&self.shared, content, seed, progress, &self.stop).await
    }

    /// Stops serving, fetching and announcing.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
