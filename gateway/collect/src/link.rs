//! One physical path while it is up: the handle the gateway holds ([`Link`]) and the end the gate empties ([`Outlet`]).
//!
//! The queue between them is bounded in items and bytes. It never blocks the gateway: a peer that does not read until the
//! queue is full is closed, with that reason.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use pitchside_model::{Bond, DeviceId, LinkId, Medium};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::intake::{Settled, Ticket};

mod reason;
pub use reason::CloseReason;

/// Items that may wait towards one peer.
pub const QUEUE_ITEMS_MAX: usize = 1_024;
/// Bytes that may wait towards one peer.
pub const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// What the gateway says to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// A PS/1 frame for the device.
    Frame(Bytes),
    /// What became of things received on this link.
    Settled(Vec<(Ticket, Settled)>),
    /// Close after everything queued before this.
    Close(CloseReason),
}

/// The link is down or going down: nothing more can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the link is down")]
pub struct LinkGone;

/// What waits in the queue: the gateway's words and the gate's own.
#[derive(Debug)]
pub(crate) enum Out {
    /// From the gateway.
    Link(Outbound),
    /// An encoded MQTT packet.
    Packet(Bytes),
    /// A message from the router.
    Routed(Routed),
    /// The client acknowledged this packet id.
    Acked(u16),
    /// The client now listens to its own frames, or no more.
    Listening(bool),
}

/// A routed message on its way to one client.
#[derive(Debug, Clone)]
pub(crate) struct Routed {
    pub topic: Bytes,
    pub payload: Bytes,
    /// 0 or 1.
    pub qos: u8,
    pub retain: bool,
}

impl Out {
    fn bytes(&self) -> usize {
        match self {
            Self::Link(Outbound::Frame(frame)) => frame.len(),
            Self::Link(Outbound::Settled(settled)) => settled.len() * 8,
            Self::Packet(packet) => packet.len(),
            Self::Routed(routed) => routed.topic.len() + routed.payload.len(),
            Self::Link(Outbound::Close(_)) | Self::Acked(_) | Self::Listening(_) => 0,
        }
    }
}

struct Shared {
    queue: mpsc::Sender<Out>,
    queued_bytes: AtomicUsize,
    /// Set once, before `stop`.
    reason: OnceLock<CloseReason>,
    stop: CancellationToken,
    proven: AtomicBool,
    /// The place among the unauthenticated; given back when dropped.
    seat: Mutex<Option<Box<dyn Send>>>,
}

/// One physical path. Clones are the same path.
#[derive(Clone)]
pub struct Link {
    /// Its number.
    pub id: LinkId,
    /// What it is made of.
    pub medium: Medium,
    /// The peer's address, or the path of the serial port.
    pub peer: Arc<str>,
    /// Who the peer claims to be; `None` where only a handshake can tell (serial), or for an app.
    pub device: Option<DeviceId>,
    /// The bond the path is encrypted with, where the host says so (Bluetooth).
    pub bond: Option<Bond>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("id", &self.id)
            .field("medium", &self.medium)
            .field("peer", &self.peer)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// The gate's end of a [`Link`].
pub struct Outlet {
    queue: mpsc::Receiver<Out>,
    shared: Arc<Shared>,
}

/// A number for a new link, never given twice in a run.
pub(crate) fn next_id() -> LinkId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    LinkId(NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Link {
    /// Opens a link under a new number. For gates, and for tests of what stands behind one.
    pub fn open(medium: Medium, peer: &str, device: Option<DeviceId>) -> (Self, Outlet) {
        Self::open_as(next_id(), medium, Arc::from(peer), device, None)
    }

    /// Opens a Bluetooth link to an enrolled device, encrypted with this bond if it is bonded.
    pub fn open_ble(peer: &str, device: DeviceId, bond: Option<Bond>) -> (Self, Outlet) {
        let (link, outlet) = Self::open(Medium::Ble, peer, Some(device));
        (Self { bond, ..link }, outlet)
    }

    pub(crate) fn open_as(
        id: LinkId,
        medium: Medium,
        peer: Arc<str>,
        device: Option<DeviceId>,
        seat: Option<Box<dyn Send>>,
    ) -> (Self, Outlet) {
        let (queue, receiver) = mpsc::channel(QUEUE_ITEMS_MAX);
        let shared = Arc::new(Shared {
            queue,
            queued_bytes: AtomicUsize::new(0),
            reason: OnceLock::new(),
            stop: CancellationToken::new(),
            proven: AtomicBool::new(false),
            seat: Mutex::new(seat),
        });
        (Self { id, medium, peer, device, bond: None, shared: shared.clone() }, Outlet { queue: receiver, shared })
    }

    /// Bytes that wait for the peer: what can wait should, while there are many.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }

    /// Queues `out` for the peer. Never blocks: if the peer does not read and the queue is full, the link is closed as a
    /// slow consumer.
    pub fn send(&self, out: Outbound) -> Result<(), LinkGone> {
        self.push(Out::Link(out))
    }

    pub(crate) fn push(&self, out: Out) -> Result<(), LinkGone> {
        if self.shared.stop.is_cancelled() && !matches!(out, Out::Link(Outbound::Settled(_))) {
            return Err(LinkGone);
        }
        let bytes = out.bytes();
        let queued = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let pushed = if queued + bytes > QUEUE_BYTES_MAX {
            Err(CloseReason::SlowConsumer)
        } else {
            self.shared.queue.try_send(out).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CloseReason::SlowConsumer,
                mpsc::error::TrySendError::Closed(_) => CloseReason::Gone,
            })
        };
        pushed.map_err(|reason| {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.close_now(reason);
            LinkGone
        })
    }

    /// Queues a packet of the gate's own and waits for room; for answers to the peer, which may wait with it.
    pub(crate) async fn push_wait(&self, out: Out) -> Result<(), LinkGone> {
        let bytes = out.bytes();
        let permit = tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => return Err(LinkGone),
            permit = self.shared.queue.reserve() => permit.map_err(|_| LinkGone)?,
        };
        self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        permit.send(out);
        Ok(())
    }

    /// The peer proved who it is: it is no longer counted as unauthenticated, nor cut off for taking too long.
    pub fn authenticated(&self) {
        if !self.shared.proven.swap(true, Ordering::AcqRel) {
            self.shared.seat.lock().take();
        }
    }

    /// Whether [`Link::authenticated`] was called.
    pub fn is_authenticated(&self) -> bool {
        self.shared.proven.load(Ordering::Acquire)
    }

    /// Ends the link without emptying its queue. The first reason given is the one that counts.
    pub(crate) fn close_now(&self, reason: CloseReason) {
        if self.shared.reason.set(reason).is_ok() {
            tracing::debug!(link = self.id.0, peer = %self.peer, %reason, "closing");
        }
        self.shared.stop.cancel();
    }

    /// The connection is over: gives back its place even if somebody still holds a clone.
    pub(crate) fn over(&self) {
        self.close_now(CloseReason::Gone);
        self.shared.seat.lock().take();
    }

    /// Fires when the link is ending.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.shared.stop
    }

    /// Why it ends; [`CloseReason::Gone`] if nobody said.
    pub fn reason(&self) -> CloseReason {
        self.shared.reason.get().copied().unwrap_or(CloseReason::Gone)
    }
}

impl Outlet {
    /// The next thing for the peer; `None` once the link is ending.
    pub async fn next(&mut self) -> Option<Outbound> {
        loop {
            let out = tokio::select! {
                biased;
                out = self.queue.recv() => out?,
                () = self.shared.stop.cancelled() => return None,
            };
            self.shared.queued_bytes.fetch_sub(out.bytes(), Ordering::Relaxed);
            if let Out::Link(out) = out {
                return Some(out);
            }
        }
    }

    /// Moves up to `max` waiting things into `into`, waiting for the first. Cancelling loses nothing.
    pub(crate) async fn take_many(&mut self, into: &mut Vec<Out>, max: usize) {
        let before = into.len();
        self.queue.recv_many(into, max).await;
        let bytes = into.iter().skip(before).map(Out::bytes).sum();
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
