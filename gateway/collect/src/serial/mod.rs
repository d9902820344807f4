//! Serial lines: PS/1 frames in COBS, or plain lines or packets from a device that can do no better.
//!
//! A port is opened when it is there and opened again whenever it comes back; each time it is a new [`crate::Link`]. Noise
//! costs the frames it falls into and no more.
//!
//! | module | holds |
//! | --- | --- |
//! | `port` | one port: open, serve, wait, again |
//! | `owed` | lines that could not be stored, until they are told |
//! | `splitter` | bytes to frames, lines or packets, bounded |
//! | [`packets`] | packets of one length, found again after noise |

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pitchside_model::{DeviceId, LinkId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::intake::Intake;

mod owed;
pub mod packets;
mod port;
mod splitter;

pub use packets::PacketForm;
pub use splitter::LINE_BYTES_MAX;
#[doc(hidden)]
pub use splitter::split_all;

/// What is spoken on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speaks {
    /// PS/1 frames, each in COBS and ended by a zero byte. Who sends is proven by the handshake.
    Ps1,
    /// One SenML-JSON pack a line, from this device: whoever holds the cable (assurance `wired`).
    Lines {
        /// Whose readings they are.
        device: DeviceId,
    },
    /// Packets of one length, several a message, from this device in the same way.
    Packets {
        /// Whose readings they are.
        device: DeviceId,
        /// What they look like.
        form: PacketForm,
    },
}

impl Speaks {
    /// Whose it is that proves nothing: whoever holds the cable.
    pub(crate) const fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Ps1 => None,
            Self::Lines { device } | Self::Packets { device, .. } => Some(device),
        }
    }
}

/// One serial port.
#[derive(Debug, Clone)]
pub struct PortConfig {
    /// e.g. `/dev/serial/by-id/usb-...`; may appear later and vanish.
    pub path: PathBuf,
    /// Bits a second.
    pub baud: u32,
    /// What is spoken.
    pub speaks: Speaks,
    /// Written when the port was opened: what makes a device begin.
    pub hello: Vec<u8>,
    /// Pause before the first new attempt to open; doubles up to `reopen_after_max`.
    pub reopen_after_min: Duration,
    /// The longest pause.
    pub reopen_after_max: Duration,
}

impl PortConfig {
    /// A port with the usual pauses: 100 ms to 5 s.
    pub fn new(path: impl Into<PathBuf>, baud: u32, speaks: Speaks) -> Self {
        Self {
            path: path.into(),
            baud,
            speaks,
            hello: Vec::new(),
            reopen_after_min: Duration::from_millis(100),
            reopen_after_max: Duration::from_secs(5),
        }
    }
}

/// How a port is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortState {
    /// Not there, or not to be opened; why.
    Waiting(String),
    /// Open under this link.
    Open(LinkId),
    /// Shut down.
    Stopped,
}

/// A port that is being served.
#[derive(Debug)]
pub struct Port {
    state: watch::Receiver<PortState>,
    task: JoinHandle<()>,
}

impl Port {
    /// How it is doing, and news of it.
    pub fn state(&self) -> watch::Receiver<PortState> {
        self.state.clone()
    }

    /// Waits until the port is closed, after its shutdown token fired.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a serial port ended badly");
        }
    }
}

/// Serves a port until `shutdown` fires. To be called inside a tokio runtime.
pub fn start(config: PortConfig, intake: Arc<dyn Intake>, shutdown: CancellationToken) -> Port {
    let (sender, state) = watch::channel(PortState::Waiting("not opened yet".to_owned()));
    let task = tokio::spawn(port::serve(config, intake, shutdown, sender));
    Port { state, task }
}
