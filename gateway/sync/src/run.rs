//! Connect, talk, wait, again: until told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::SyncConfig;
use crate::connection::connect;
use crate::conversation::{End, Listing, talk};
use crate::fault::Fault;
use crate::outbox::{Edge, Outbox};
use crate::status::{Link, Status};

/// A connection that lasted so long counts as a success, even if there was nothing to send.
const STEADY: Duration = Duration::from_secs(60);

/// Syncs until told to stop. Never gives up, never deletes.
pub async fn run(
    config: SyncConfig,
    outbox: Arc<dyn Outbox>,
    edge: Arc<dyn Edge>,
    status: watch::Sender<Status>,
    stop: CancellationToken,
) {
    let mut listing = Listing::default();
    while !stop.is_cancelled() {
        status.send_modify(|status| status.link = Link::Connecting);
        let began = Instant::now();
        let ended = tokio::select! {
            ended = once(&config, &outbox, &edge, &status, &mut listing, &stop) => ended,
            () = stop.cancelled() => Ok(End::Stop),
        };
        match ended {
            Ok(End::Stop) => break,
            Ok(End::Renew) => continue,
            Err(fault) => {
                let connected = matches!(status.borrow().link, Link::Connected { .. });
                if connected && began.elapsed() >= STEADY {
                    status.send_modify(|status| status.failures = 0);
                }
                if let Ok(backlog) = outbox.backlog().await {
                    status.send_modify(|status| status.backlog = backlog);
                }
                wait(&config, edge.as_ref(), &status, fault, &stop).await;
            }
        }
    }
    status.send_modify(|status| {
        status.link = Link::Stopped;
        status.reachable_since = None;
    });
}

async fn once(
    config: &SyncConfig,
    outbox: &Arc<dyn Outbox>,
    edge: &Arc<dyn Edge>,
    status: &watch::Sender<Status>,
    listing: &mut Listing,
    stop: &CancellationToken,
) -> Result<End, Fault> {
    let connection = connect(config, edge.as_ref()).await?;
    talk(config, outbox, edge, status, listing, connection, stop).await
}

async fn wait(
    config: &SyncConfig,
    edge: &dyn Edge,
    status: &watch::Sender<Status>,
    fault: Fault,
    stop: &CancellationToken,
) {
    let mut random = [0u8; 8];
    // Without randomness all gateways wait equally long; that is no reason to stop.
    let _maybe = edge.fill(&mut random);
    let failures = status.borrow().failures;
    let delay = config.backoff.delay(failures, u64::from_le_bytes(random));
    if fault.is_suspicious() {
        tracing::error!(%fault, "the ledger is not to be believed; nothing it said was taken");
    } else {
        tracing::warn!(%fault, wait_ms = delay.as_millis(), "not in sync with the ledger");
    }
    let now = edge.now();
    let micros = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
    status.send_modify(|status| {
        status.link = Link::Waiting { until: now.plus_micros(micros) };
        status.reachable_since = None;
        status.failures = failures.saturating_add(1);
        status.fault = Some((now, fault));
    });
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = stop.cancelled() => {}
    }
}
