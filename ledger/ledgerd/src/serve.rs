//! The running server: two listeners over one log.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::ingest::{self, Ingest};
use crate::sequencer::Sequencer;
use crate::setup::{self, SetupError};

/// How long connections may take to finish when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The ledger does not open.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// An address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Opening the log was interrupted.
    #[error("opening the log was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A server that runs until it is told to stop, or dropped.
pub struct Running {
    /// Where gateways connect.
    pub ingest: SocketAddr,
    /// Where readers connect.
    pub http: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    /// Stops listening, ends connections, finishes the running batch.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!("connections were cut after {GRACE:?}");
        }
    }

    /// Resolves when the server was told to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

/// Starts serving the ledger in `directory`.
///
/// # Errors
/// The ledger does not open, or an address cannot be listened on.
pub async fn serve(directory: &Path, config: Config) -> Result<Running, ServeError> {
    let place = directory.to_owned();
    let (log, channel) = tokio::task::spawn_blocking(move || {
        Ok::<_, SetupError>((setup::open_log(&place)?, setup::channel_key(&place)?))
    })
    .await??;
    let log = Arc::new(log);
    let (ingest_listener, ingest) = listen(config.ingest).await?;
    let (http_listener, http) = listen(config.http).await?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (sequencer, batching) = Sequencer::start(Arc::clone(&log), Duration::from_millis(config.batch_ms));
    tasks.spawn(async {
        let _finished = batching.await;
    });
    let face = crate::http::Face::read(directory);
    tasks.spawn(crate::http::run(http_listener, Arc::clone(&log), face, config.readers_max, stop.clone()));
    let door = Ingest::new(directory, log, channel, sequencer, config);
    tasks.spawn(ingest::run(ingest_listener, Arc::new(door), stop.clone()));
    tracing::info!(%ingest, %http, "the ledger is open");
    Ok(Running { ingest, http, stop, tasks })
}
