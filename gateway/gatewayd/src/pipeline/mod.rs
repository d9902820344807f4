//! The pipeline: every room wired to the next, started in order and stopped in reverse. Start reading here.
//!
//! ```text
//!     gate, ports --> front --> rules --> alerts --> page, MQTT, store
//!                       |
//!                       +--> journal --> sealing --> blocks --> sync --> ledger
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`front`] | what comes in: authenticated, decoded, journaled, answered |
//! | [`batch`] | one read's entries and answers |
//! | [`roster`] | who wears what |
//! | [`streams`] | silence, disconnects, clock offsets |
//! | [`rules`] | the way to the rules worker, and replay |
//! | `derived` | streams of plugins, for the rules |
//! | [`shadow`] | rules that are only watched |
//! | `live` | live values for MQTT subscribers |
//! | [`alerts`] | out first, recorded after |
//! | [`erased`] | athletes who are erased meanwhile |
//! | [`telling`] | to the page again, from the record |
//! | [`delivery`] | alerts that nobody acknowledges, and drills of the alert path |
//! | [`sealing`] | the open batch becomes a block |
//! | [`bluetooth`] | whom to look for by Bluetooth, and what doctor reads of it |
//! | [`firmware`] | releases and their contents: what stands ready, for whom |
//! | [`health`] | is it making progress: what `doctor --health` asks |
//! | [`watch`] | what changes while running: devices, assignments, silence, old rows |
//! | [`plugins`] | the plugins that run, changed while running |
//! | [`outputs`] | plugins that make requests of alerts, and who carries them out |
//! | [`undecoded`] | payloads that wait for their plugin, and how plugins are |
//! | `recall` | the journal's last minutes, read back at a start |
//! | [`start`] | putting it all together |

pub mod alerts;
pub mod batch;
pub mod bluetooth;
pub mod delivery;
mod derived;
pub mod erased;
pub mod firmware;
pub mod front;
pub mod health;
mod live;
pub mod outputs;
pub mod plugins;
mod recall;
pub mod roster;
pub mod rules;
pub mod sealing;
pub mod shadow;
mod start;
pub mod streams;
pub mod telling;
pub mod undecoded;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pitchside_admin::{Metrics, Server};
use pitchside_collect::ble::Ble;
use pitchside_collect::mqtt::Gate;
use pitchside_collect::serial::Port;
use pitchside_decode::Decoders;
use pitchside_store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use start::{Startup, sync_config};

/// Label of the key that wraps devices' secrets.
pub const AUTH_KEK: &str = "pitchside/1/devices";
/// How long open event streams may take to end.
const PAGE_STOP_MAX: Duration = Duration::from_secs(2);

/// A running gateway.
pub struct Gateway {
    gate: Arc<Gate>,
    ports: Vec<Port>,
    ble: Option<Ble>,
    page: Server,
    page_address: SocketAddr,
    store: Store,
    decoders: Arc<Decoders>,
    sealing: Arc<sealing::Sealing>,
    metrics: Arc<Metrics>,
    /// Releases and their contents; none while firmware is off.
    shelf: Option<Arc<firmware::Shelf>>,
    /// Everything that answers senders.
    front_tasks: TaskTracker,
    /// Rules, sealing, sync, watching.
    back_tasks: TaskTracker,
    stop_ports: CancellationToken,
    stop_back: CancellationToken,
    stop_sync: CancellationToken,
}

impl Gateway {
    /// Where the page listens.
    pub const fn http_address(&self) -> SocketAddr {
        self.page_address
    }

    /// Where the MQTT gate listens.
    pub fn mqtt_addresses(&self) -> &pitchside_collect::mqtt::LocalAddrs {
        self.gate.local_addrs()
    }

    /// The store, for whoever watches a running gateway from the same process.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The decoders, likewise.
    pub const fn decoders(&self) -> &Arc<Decoders> {
        &self.decoders
    }

    /// The counters.
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Firmware that stands ready; none while it is off.
    pub const fn shelf(&self) -> Option<&Arc<firmware::Shelf>> {
        self.shelf.as_ref()
    }

    /// Seals what is open, without waiting for the interval.
    pub async fn seal_now(&self) {
        self.sealing.seal_all().await;
    }

    /// Stops from the front to the back: nothing new comes in, what came in is answered and sealed.
    pub async fn stop(self) {
        self.stop_ports.cancel();
        self.gate.shutdown().await;
        for port in self.ports {
            port.stopped().await;
        }
        if let Some(ble) = self.ble {
            ble.stopped().await;
        }
        self.front_tasks.close();
        self.front_tasks.wait().await;
        self.stop_back.cancel();
        self.page.shutdown(PAGE_STOP_MAX).await;
        self.stop_sync.cancel();
        self.back_tasks.close();
        self.back_tasks.wait().await;
        let store = self.store.clone();
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::error!("the store did not close cleanly; nothing acknowledged is lost");
        }
    }
}
