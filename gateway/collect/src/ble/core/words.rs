//! What the core is told and what it says.

use std::sync::Arc;

use pitchside_model::{BleAddress, DeviceId};

/// Milliseconds of a clock that only moves forward.
pub type Ms = u64;
/// An adapter, e.g. `hci0`.
pub type AdapterName = Arc<str>;

/// How the core decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreConfig {
    /// A device keeps its slot so long before it may be asked to make room for one that waits.
    pub turn_ms: Ms,
    /// A connected stream that says nothing for so long is disconnected.
    pub stall_ms: Ms,
    /// Pause after the first failure; doubles with each.
    pub backoff_min_ms: Ms,
    /// The longest pause.
    pub backoff_max_ms: Ms,
    /// A connection that lasted so long was no failure, even if nothing was said.
    pub steady_ms: Ms,
    /// Pause between two attempts, on one adapter, to reach devices nobody has seen.
    pub probe_every_ms: Ms,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self {
            turn_ms: 60_000,
            stall_ms: 20_000,
            backoff_min_ms: 500,
            backoff_max_ms: 60_000,
            steady_ms: 10_000,
            probe_every_ms: 2_000,
        }
    }
}

/// A device to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub id: DeviceId,
    /// Changes with anything its connection was made by: it is then connected anew.
    pub version: u64,
    /// The adapter that its bond was made with, as far as that is remembered.
    pub home: Option<BleAddress>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These devices are enrolled, and no others.
    Enrolled(Vec<Known>),
    /// An adapter is there and powered.
    AdapterUp {
        /// Which.
        adapter: AdapterName,
        /// Its own address, which stays its own when names go round.
        address: BleAddress,
        /// Connections it may hold.
        slots: usize,
    },
    /// An adapter is gone.
    AdapterDown {
        /// Which.
        adapter: AdapterName,
    },
    /// A device advertises.
    Seen {
        /// Who heard it.
        adapter: AdapterName,
        /// Which.
        device: DeviceId,
        /// Received strength, dBm.
        rssi: i16,
        /// The adapter holds a bond with it.
        bonded: bool,
    },
    /// A device is no longer heard.
    Lost {
        /// By whom.
        adapter: AdapterName,
        /// Which.
        device: DeviceId,
    },
    /// A device is connected and subscribed to.
    Ready {
        /// Which.
        device: DeviceId,
        /// It notifies by itself, so silence means something is wrong. A thermometer does not.
        streams: bool,
    },
    /// A device said something by itself.
    Heard {
        /// Which.
        device: DeviceId,
    },
    /// A connection, or the attempt at one, is over.
    Ended {
        /// Whose.
        device: DeviceId,
        /// Why.
        end: End,
    },
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It did not answer: out of range or switched off.
    Unreachable,
    /// The link went down.
    LinkLost,
    /// Something failed on the way to the first reading.
    Failed,
    /// It is not let in: pairing failed, the bond is too weak, or it has none of its services. Tried again seldom.
    Refused,
    /// Its bond is lost, as it seems: it answers without its side of it, or the adapter that holds ours is gone. Tried again like any
    /// other failure: it may be a weak signal, or an adapter that comes back.
    BondLost,
    /// As [`Action::Disconnect`] asked.
    Asked,
}

/// Why a device is disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Connected, and silent for too long.
    Stalled,
    /// Its turn is over, others wait.
    TurnOver,
    /// An attempt at a device nobody has seen makes way for one that was.
    MakesWay,
    /// No longer enrolled, or enrolled otherwise.
    Unenrolled,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect, bond if need be, subscribe.
    Connect {
        /// Through which adapter.
        adapter: AdapterName,
        /// Whom.
        device: DeviceId,
    },
    /// Take a connection or an attempt down.
    Disconnect {
        /// Whose.
        device: DeviceId,
        /// Why.
        why: Why,
    },
    /// For the log: this device is in range and every slot is taken.
    Waits {
        /// Which.
        device: DeviceId,
        /// How many wait, itself included.
        waiting: usize,
    },
}

/// How a device is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Which.
    pub device: DeviceId,
    /// In one word.
    pub state: Condition,
    /// On which adapter, if on one.
    pub adapter: Option<AdapterName>,
    /// Failures in a row.
    pub failures: u32,
    /// When last tried its bond seemed to be lost, and it has not been connected since.
    pub bond_lost: bool,
}

/// How a device is doing, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Not in range.
    Absent,
    /// In range, left alone for a while after a failure, or about to be tried.
    Resting,
    /// In range, and every slot is taken.
    Waiting,
    /// On its way.
    Connecting,
    /// Connected and subscribed to.
    Connected,
    /// Being disconnected.
    Leaving,
}
