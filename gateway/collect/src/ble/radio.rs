//! What a radio must do: look for devices, connect and bond, hand over values.

use std::sync::Arc;

use async_trait::async_trait;
use pitchside_model::{BleAddress, Bond, Bonding, DeviceId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::core::AdapterName;
use super::queue::Queue;

/// A device to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub id: DeviceId,
    /// Where it is.
    pub address: BleAddress,
    /// Where it is besides: the identity address that a device told when it bonded, if it was enrolled by one that it changes.
    pub identity: Option<BleAddress>,
    /// How it is bonded and what it is asked for; none: it speaks PS/1.
    pub bonding: Option<Bonding>,
    /// The adapter that its bond was made with, if this gateway remembers one.
    pub home: Option<BleAddress>,
}

impl Target {
    /// Where it may be, the likelier first: a host that was restarted knows a bonded device by its identity alone.
    pub fn addresses(&self) -> impl Iterator<Item = BleAddress> {
        self.identity.into_iter().chain([self.address])
    }

    /// Whether it may be there.
    pub fn is_at(&self, address: BleAddress) -> bool {
        self.addresses().any(|at| at == address)
    }
}

/// All devices to look for.
pub type Targets = watch::Receiver<Arc<[Target]>>;

/// What a radio reports by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RadioEvent {
    /// An adapter is there, powered, and listening.
    AdapterUp {
        /// Which.
        adapter: AdapterName,
        /// Its own address: names go round when adapters are plugged in another order.
        address: BleAddress,
        /// Connections it may hold.
        slots: usize,
    },
    /// An adapter is gone, and every connection with it.
    AdapterDown {
        /// Which.
        adapter: AdapterName,
    },
    /// A device that is looked for advertises.
    Seen {
        /// Who heard it.
        adapter: AdapterName,
        /// Which.
        address: BleAddress,
        /// Received strength, dBm.
        rssi: i16,
        /// The adapter holds a bond with it.
        bonded: bool,
    },
    /// It is no longer heard.
    Lost {
        /// By whom.
        adapter: AdapterName,
        /// Which.
        address: BleAddress,
    },
}

/// Why a radio could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RadioError {
    /// Nobody answers.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// Something failed that may work the next time.
    #[error("{0}")]
    Failed(String),
    /// It will not work until somebody changes something.
    #[error("{0}")]
    Refused(String),
    /// Its bond is lost, on its side as it seems or with the adapter that is gone: never paired anew by itself.
    #[error("{0}")]
    BondLost(String),
}

/// What was subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// Characteristics whose values will come; none for a PS/1 device.
    pub characteristics: Vec<u16>,
    /// It speaks by itself, so silence means something is wrong.
    pub streams: bool,
    /// Bytes of the longest value the device takes (PS/1).
    pub value_bytes_max: usize,
}

/// A radio: one or more adapters.
#[async_trait]
pub trait Radio: Send + Sync + 'static {
    /// Reports adapters and devices until `stop`.
    async fn watch(&self, targets: Targets, events: mpsc::Sender<RadioEvent>, stop: CancellationToken);

    /// Connects to a device, and bonds with it if it is to be bonded and is not. Bounded in time; dropping the future
    /// takes the attempt down.
    async fn connect(&self, adapter: &AdapterName, target: &Target) -> Result<Box<dyn Peer>, RadioError>;
}

/// A connected device. Dropping it stops its subscriptions.
#[async_trait]
pub trait Peer: Send + Sync {
    /// The bond the link is encrypted with; none if it is not bonded.
    fn bond(&self) -> Option<Bond>;

    /// Subscribes to what the device was enrolled for; values go into `into` from now on. Bounded in time.
    async fn subscribe(&self, into: Arc<Queue>) -> Result<Subscribed, RadioError>;

    /// After it could not be subscribed to: whether `into` holds what nobody tells again. What the device said by itself until then is
    /// in it if the device has answered, and it is known what that means.
    fn said_before(&self, into: &Arc<Queue>) -> bool;

    /// Sends one value to a PS/1 device.
    async fn write(&self, value: &[u8]) -> Result<(), RadioError>;

    /// Returns, with the reason, once the link is down or no longer bonded.
    async fn ended(&self) -> String;

    /// Takes the link down.
    async fn disconnect(&self);
}
