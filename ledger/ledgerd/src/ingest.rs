//! Gateways: who may come in, how many, and what they may ask.
//!
//! | module | holds |
//! | --- | --- |
//! | [`crowd`] | strangers of one address |
//! | [`door`] | the handshake |
//! | [`hails`] | handshake messages seen before |
//! | [`session`] | one connected gateway |

pub mod crowd;
pub mod door;
pub mod hails;
mod requests;
pub mod session;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ledger_block::channel::Keypair;
use ledger_block::ingest::DeviceId;
use ledger_log::Log;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::sequencer::Sequencer;

/// What part of all strangers may come from one address.
const OF_ONE_ADDRESS: usize = 8;
/// And how few of one address are let in all the same.
const STRANGERS_OF_ONE_MIN: usize = 4;

/// What all connections share.
pub struct Ingest {
    directory: PathBuf,
    log: Arc<Log>,
    channel: Keypair,
    sequencer: Sequencer,
    config: Config,
    hails: hails::Hails,
    present: Mutex<HashMap<DeviceId, usize>>,
}

impl Ingest {
    /// Over an open log.
    pub fn new(directory: &Path, log: Arc<Log>, channel: Keypair, sequencer: Sequencer, config: Config) -> Self {
        let (hails, present) = (hails::Hails::default(), Mutex::new(HashMap::new()));
        Self { directory: directory.to_owned(), log, channel, sequencer, config, hails, present }
    }

    /// Takes one of a gateway's places; none if it has all of them.
    fn enter(self: &Arc<Self>, gateway: &DeviceId) -> Option<Present> {
        let mut present = self.present.lock();
        let count = present.entry(gateway.clone()).or_default();
        if *count >= self.config.connections_per_gateway_max {
            return None;
        }
        *count += 1;
        Some(Present { ingest: Arc::clone(self), gateway: gateway.clone() })
    }
}

/// A place taken by a connected gateway; given back when dropped.
struct Present {
    ingest: Arc<Ingest>,
    gateway: DeviceId,
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut present = self.ingest.present.lock();
        if let Some(count) = present.get_mut(&self.gateway) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                present.remove(&self.gateway);
            }
        }
    }
}

/// Lets gateways in until told to stop.
pub async fn run(listener: TcpListener, ingest: Arc<Ingest>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(ingest.config.connections_max));
    let strangers = Arc::new(Semaphore::new(ingest.config.strangers_max));
    // A clinic's gateways may all come from one address, but they prove themselves within a round trip.
    let crowd = crowd::Crowd::new((ingest.config.strangers_max / OF_ONE_ADDRESS).max(STRANGERS_OF_ONE_MIN));
    let connections = TaskTracker::new();
    loop {
        let both = async {
            let place = Arc::clone(&places).acquire_owned().await;
            let stranger = Arc::clone(&strangers).acquire_owned().await;
            place.ok().zip(stranger.ok())
        };
        let held = tokio::select! {
            held = both => held,
            () = stop.cancelled() => break,
        };
        let Some((place, stranger)) = held else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(guest) = crowd.enter(peer.ip()) else {
                    tracing::debug!(%peer, "too many of this address have not proven who they are");
                    continue;
                };
                let stranger = session::Stranger { _permit: stranger, _guest: guest };
                let (ingest, stop) = (Arc::clone(&ingest), stop.clone());
                connections.spawn(async move {
                    tokio::select! {
                        ended = session::run(stream, &ingest, stranger) => match ended {
                            Ok(()) => tracing::debug!(%peer, "a gateway left"),
                            Err(error) => tracing::warn!(%peer, %error, "a connection was ended"),
                        },
                        () = stop.cancelled() => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}
