//! The broadcast behind `/api/v1/events`. An event carries the whole new state of what it is about, so that applying it
//! twice does no harm and missing some is repaired by fetching `/api/v1/live` again.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use pitchside_model::{AlertId, DeviceId, Timestamp};
use serde::Serialize;
use tokio::sync::broadcast;
use utoipa::ToSchema;

use crate::api::{AlertView, At, BlockView, Receipt, Status, Tile};
use crate::view::UserName;

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// First in every stream, and after events were missed (`event: resync`): fetch `/api/v1/live`.
    Hello {
        /// Number of this run of the gateway.
        run: String,
        /// The gateway's clock.
        now: At,
    },
    /// Some tiles changed. Published by the server itself, from the board, at most four times a second.
    Tiles {
        /// The gateway's clock.
        now: At,
        /// The tiles that changed.
        tiles: Vec<Tile>,
    },
    /// A device is gone (revoked, removed) and its tiles with it.
    Gone {
        /// Which.
        #[schema(value_type = String)]
        device: DeviceId,
    },
    /// An alert was raised.
    AlertRaised {
        /// The alert.
        alert: AlertView,
    },
    /// An alert escalated: nobody has acknowledged it for too long.
    AlertEscalated {
        /// The alert.
        alert: AlertView,
    },
    /// The alert path was proven, or not, by a drill.
    Drill {
        /// When the drill ended.
        at: At,
        /// Every leg was walked in time.
        proved: bool,
        /// What was not, a sentence each.
        problems: Vec<String>,
    },
    /// An alert was acknowledged.
    AlertAcknowledged {
        /// Which.
        #[schema(value_type = String)]
        id: AlertId,
        /// By whom.
        #[schema(value_type = String)]
        by: UserName,
        /// When.
        at: At,
    },
    /// An alert's condition no longer holds, or somebody reset it.
    AlertCleared {
        /// Which.
        #[schema(value_type = String)]
        id: AlertId,
        /// Device time of the reading that cleared it; if somebody reset it, when, by the gateway's clock.
        at: At,
        /// Who reset it; left out if nobody did.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        by: Option<UserName>,
    },
    /// A block was sealed.
    BlockSealed {
        /// The block.
        block: BlockView,
    },
    /// A receipt came for a block.
    Receipt {
        /// The block's index.
        index: u64,
        /// How far it has come.
        receipt: Receipt,
    },
    /// The gateway's status. Published by the server itself, from the view, every few seconds.
    Status {
        /// The status.
        status: Status,
    },
    /// Nothing but a sign of life, with the gateway's clock.
    Beat {
        /// The gateway's clock.
        now: At,
    },
}

impl Event {
    /// The SSE event name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Tiles { .. } => "tiles",
            Self::Gone { .. } => "gone",
            Self::AlertRaised { .. } => "alert_raised",
            Self::AlertEscalated { .. } => "alert_escalated",
            Self::Drill { .. } => "drill",
            Self::AlertAcknowledged { .. } => "alert_acknowledged",
            Self::AlertCleared { .. } => "alert_cleared",
            Self::BlockSealed { .. } => "block_sealed",
            Self::Receipt { .. } => "receipt",
            Self::Status { .. } => "status",
            Self::Beat { .. } => "beat",
        }
    }
}

/// An event as it goes out, written once for all browsers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its number in this run, from 1.
    pub id: u64,
    /// The SSE event name.
    pub name: &'static str,
    /// One line of JSON.
    pub json: Arc<str>,
}

/// How many events a slow browser may be behind before it is told to fetch everything anew.
pub const EVENTS_BEHIND_MAX: usize = 256;

/// The broadcast. Clones share it.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    run: String,
    /// Held while sending, so that ids go out in order.
    last_id: Mutex<u64>,
    sender: broadcast::Sender<Sent>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("run", &self.0.run).field("last_id", &self.last_id()).finish_non_exhaustive()
    }
}

impl Events {
    /// A broadcast for one run of the gateway; `random` tells runs apart.
    pub fn new(random: [u8; 8]) -> Self {
        let (sender, _) = broadcast::channel(EVENTS_BEHIND_MAX);
        Self(Arc::new(Inner { run: HEXLOWER.encode(&random), last_id: Mutex::new(0), sender }))
    }

    /// Tells everybody. Make the change visible through [`crate::view::View`] first.
    pub fn publish(&self, event: &Event) {
        let mut last_id = self.0.last_id.lock();
        *last_id += 1;
        if self.0.sender.receiver_count() == 0 {
            return;
        }
        match serde_json::to_string(event) {
            Ok(json) => {
                let sent = Sent { id: *last_id, name: event.name(), json: Arc::from(json) };
                // Fails only if the last browser has just left.
                let _ = self.0.sender.send(sent);
            }
            Err(error) => tracing::error!(%error, event = event.name(), "an event could not be written as JSON"),
        }
    }

    /// Everything published from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Sent> {
        self.0.sender.subscribe()
    }

    /// Browsers listening.
    pub fn listeners(&self) -> usize {
        self.0.sender.receiver_count()
    }

    /// The number of the last event.
    pub fn last_id(&self) -> u64 {
        *self.0.last_id.lock()
    }

    /// Which run of the gateway this is.
    pub fn run(&self) -> &str {
        &self.0.run
    }

    /// The first event of every stream.
    pub fn hello(&self, now: Timestamp) -> Event {
        Event::Hello { run: self.0.run.clone(), now: At(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_even_while_nobody_listens() {
        let events = Events::new([7; 8]);
        events.publish(&Event::Beat { now: At(Timestamp(0)) });
        let mut listener = events.subscribe();
        events.publish(&Event::Receipt { index: 3, receipt: Receipt::R2 });
        let sent = listener.try_recv().unwrap();
        assert_eq!((sent.id, sent.name, events.last_id()), (2, "receipt", 2));
        assert_eq!(&*sent.json, r#"{"type":"receipt","index":3,"receipt":"R2"}"#);
    }
}
