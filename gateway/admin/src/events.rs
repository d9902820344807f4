//! The broadcast behind `/api/v1/events`. An event carries the whole new state of what it is about, so that applying it
//! twice does no harm and missing some is repaired by fetching `/api/v1/live` again.

use std::sync::Arc;

use data_encoding::HEXLOWER;
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
        /// The alert as it stands now: when this is told again, it may be over.
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
    /// Whether it tells of a step in an alert's life, and so comes again from the record.
    const fn is_step(&self) -> bool {
        matches!(
            self,
            Self::AlertRaised { .. }
                | Self::AlertEscalated { .. }
                | Self::AlertAcknowledged { .. }
                | Self::AlertCleared { .. }
        )
    }

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
    /// The number of the recorded step it tells of, if it does.
    pub step: Option<u64>,
    /// It tells of a step that is not on the record yet, and is told again when it is.
    pub early: bool,
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
    sender: broadcast::Sender<Sent>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("run", &self.0.run).finish_non_exhaustive()
    }
}

impl Events {
    /// A broadcast for one run of the gateway; `random` tells runs apart.
    pub fn new(random: [u8; 8]) -> Self {
        let (sender, _) = broadcast::channel(EVENTS_BEHIND_MAX);
        Self(Arc::new(Inner { run: HEXLOWER.encode(&random), sender }))
    }

    /// Tells everybody. Make the change visible through [`crate::view::View`] first, unless it is an alert's that must not
    /// wait for the disk: that is told again by [`Self::publish_step`].
    pub fn publish(&self, event: &Event) {
        self.send(event, None);
    }

    /// Tells everybody of a step in an alert's life that is on the record, under its number there. Call it in the order of
    /// the numbers, and leave none out while anybody listens.
    pub fn publish_step(&self, step: u64, event: &Event) {
        self.send(event, Some(step));
    }

    fn send(&self, event: &Event, step: Option<u64>) {
        if self.0.sender.receiver_count() == 0 {
            return;
        }
        match serde_json::to_string(event) {
            Ok(json) => {
                let early = step.is_none() && event.is_step();
                let sent = Sent { step, early, name: event.name(), json: Arc::from(json) };
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
    fn only_what_is_on_the_record_has_a_number_and_only_steps_come_early() {
        let events = Events::new([7; 8]);
        let mut listener = events.subscribe();
        let cleared = Event::AlertCleared { id: AlertId([1; 16]), at: At(Timestamp(0)), by: None };
        events.publish(&Event::Receipt { index: 3, receipt: Receipt::R2 });
        events.publish(&cleared);
        events.publish_step(9, &cleared);
        let sent: Vec<Sent> = std::iter::from_fn(|| listener.try_recv().ok()).collect();
        let marks: Vec<_> = sent.iter().map(|sent| (sent.name, sent.step, sent.early)).collect();
        assert_eq!(marks, [("receipt", None, false), ("alert_cleared", None, true), ("alert_cleared", Some(9), false)]);
        assert_eq!(&*sent[0].json, r#"{"type":"receipt","index":3,"receipt":"R2"}"#);
    }
}
