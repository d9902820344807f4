//! One connection, from the attempt to the end: values up, frames down, and what became of each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use pitchside_model::{Bond, DeviceId};
use pitchside_wire::fragment::{Joiner, Splitter};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::core::{AdapterName, End, Event};
use super::profile;
use super::queue::{Queue, Source, Value};
use super::radio::{Peer, Radio, RadioError, Subscribed, Target};
use crate::intake::{Channel, Inbound, Intake, Settled, Ticket};
use crate::link::{CloseReason, Link, Outbound, Outlet};

/// The core hears of a device that speaks no more often than this.
const HEARD_EVERY: Duration = Duration::from_secs(1);
/// How long the device may take none of our bytes.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// How long a device may take until all of its values are subscribed to: so long nobody else connects over its adapter.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(60);
/// How soon after an error a link is down that ended by it.
const HUNG_UP_WITHIN: Duration = Duration::from_millis(250);
/// How long a PS/1 device may take to prove who it is.
const PROVE_WITHIN: Duration = Duration::from_secs(20);
/// Values whose fate is awaited; of what is beyond nobody tells the latency.
const PENDING_MAX: usize = 1_024;

/// What a connection is made of.
pub(super) struct Connection {
    pub radio: Arc<dyn Radio>,
    pub intake: Arc<dyn Intake>,
    pub adapter: AdapterName,
    pub target: Target,
    pub events: mpsc::Sender<Event>,
    /// The core takes it down.
    pub stop: CancellationToken,
}

/// A value whose fate is awaited.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    ticket: Ticket,
    source: Source,
    at: Option<Instant>,
    /// Values in it: none if it stands for a loss alone.
    values: u64,
    /// The loss that it tells.
    told: u64,
}

/// How long values took from their arrival to the disk.
#[derive(Debug, Default)]
struct Fates {
    pending: VecDeque<Awaited>,
    stored: u32,
    refused: u32,
    sum: Duration,
    longest: Duration,
}

impl Connection {
    /// Serves the connection to its end; why it ended.
    pub(super) async fn serve(self) -> End {
        let (id, adapter) = (&self.target.id, &*self.adapter);
        let begun = Instant::now();
        tracing::debug!(device = %id, adapter, address = %self.target.address, "BLE: connecting");
        let peer = tokio::select! {
            biased;
            () = self.stop.cancelled() => return End::Asked,
            peer = self.radio.connect(&self.adapter, &self.target) => match peer {
                Ok(peer) => peer,
                Err(error) => return told(id, adapter, "connect", &error),
            },
        };
        let bond = peer.bond().filter(|_| self.target.bonding.is_some());
        tracing::info!(device = %id, adapter, address = %self.target.address, ms = millis(begun), bonded = bond.is_some(), "BLE: connected");
        let queue = Arc::new(Queue::default());
        let subscribed = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(None),
            why = peer.ended() => Err(Some(RadioError::Failed(why))),
            subscribed = timeout(SUBSCRIBE_WITHIN, peer.subscribe(Arc::clone(&queue))) => match subscribed {
                Ok(subscribed) => subscribed.map_err(Some),
                Err(_late) => Err(Some(RadioError::Failed("it did not let itself be subscribed to in time".to_owned()))),
            },
        };
        let end = match subscribed {
            Ok(subscribed) => {
                tracing::info!(device = %id, adapter, ms = millis(begun), to = %shown(&subscribed), "BLE: subscribed");
                self.linked(&*peer, &queue, &subscribed, bond).await
            }
            // It was confirmed, and does not come again.
            Err(Some(error)) if peer.said_before(&queue) => {
                tracing::info!(device = %id, adapter, %error, "BLE: it could not be subscribed to; what it said by itself is taken");
                match self.taken(&queue, bond).await {
                    // It is still there, and cannot be subscribed to: whatever it says, it is left alone ever longer.
                    End::LinkLost if timeout(HUNG_UP_WITHIN, peer.ended()).await.is_err() => End::Failed,
                    end => end,
                }
            }
            Err(Some(error)) => told(id, adapter, "subscribe", &error),
            Err(None) => {
                if peer.said_before(&queue) {
                    self.taken(&queue, bond).await;
                }
                End::Asked
            }
        };
        queue.close();
        peer.disconnect().await;
        end
    }

    async fn linked(&self, peer: &dyn Peer, queue: &Queue, subscribed: &Subscribed, bond: Option<Bond>) -> End {
        let id = &self.target.id;
        let (link, outlet) = Link::open_ble(&self.target.address.to_string(), id.clone(), bond);
        self.intake.opened(link.clone()).await;
        let end = if self.target.bonding.is_some() && !link.is_authenticated() {
            // The intake has said why.
            tracing::warn!(device = %id, adapter = %self.adapter, "BLE: refused at the door: nothing it says is taken");
            link.close_now(CloseReason::NotAuthenticated);
            End::Refused
        } else {
            let ready = Event::Ready { device: id.clone(), streams: subscribed.streams };
            if self.events.send(ready).await.is_err() {
                link.close_now(CloseReason::ShuttingDown);
            }
            self.carry(peer, queue, subscribed, &link, outlet).await
        };
        self.intake.closed(link.id).await;
        link.over();
        end
    }

    /// Takes the values of a link that is over, or as good as that.
    async fn taken(&self, queue: &Queue, bond: Option<Bond>) -> End {
        let id = &self.target.id;
        // Nobody sends what the intake answers; what a bonded device says has no answer.
        let (link, _outlet) = Link::open_ble(&self.target.address.to_string(), id.clone(), bond);
        self.intake.opened(link.clone()).await;
        let end = if link.is_authenticated() {
            let _ = self.events.send(Event::Ready { device: id.clone(), streams: false }).await;
            queue.close();
            self.up(queue, &link, &Mutex::default()).await;
            link.close_now(CloseReason::Gone);
            End::LinkLost
        } else {
            link.close_now(CloseReason::NotAuthenticated);
            End::Refused
        };
        self.intake.closed(link.id).await;
        link.over();
        end
    }

    async fn carry(&self, peer: &dyn Peer, queue: &Queue, subscribed: &Subscribed, link: &Link, outlet: Outlet) -> End {
        let fates = Mutex::new(Fates::default());
        let over = async {
            let end = tokio::select! {
                biased;
                () = self.stop.cancelled() => (End::Asked, CloseReason::Finished, "asked to".to_owned()),
                reason = self.down(peer, queue, subscribed, link, outlet, &fates) => {
                    let end = match reason {
                        CloseReason::Revoked | CloseReason::NotAuthenticated => End::Refused,
                        CloseReason::Gone => End::LinkLost,
                        _ => End::Failed,
                    };
                    (end, reason, reason.to_string())
                }
                why = peer.ended() => (End::LinkLost, CloseReason::Gone, why),
                () = self.unproven(link) => {
                    let reason = CloseReason::AuthenticationTimeout;
                    (End::Failed, reason, reason.to_string())
                }
            };
            // What came is still taken; then the link ends.
            queue.close();
            end
        };
        let ((end, reason, why), ()) = tokio::join!(over, self.up(queue, link, &fates));
        link.close_now(reason);
        let fates = fates.into_inner();
        let mean = fates.sum.checked_div(fates.stored).unwrap_or_default();
        tracing::info!(
            device = %self.target.id, adapter = %self.adapter, %why, stored = fates.stored, refused = fates.refused,
            lost = queue.lost_in_all(), stored_after_us = mean.as_micros(), stored_after_us_max = fates.longest.as_micros(),
            "BLE: disconnected"
        );
        end
    }

    /// Waits for ever if the device is bonded, or proves itself in time.
    async fn unproven(&self, link: &Link) {
        sleep(PROVE_WITHIN).await;
        if link.is_authenticated() {
            std::future::pending::<()>().await;
        }
    }

    /// Values to the intake, until the queue is closed and empty.
    async fn up(&self, queue: &Queue, link: &Link, fates: &Mutex<Fates>) {
        let mut joiner = Joiner::default();
        let (mut counter, mut told) = (0, None::<Instant>);
        while let Some(values) = queue.take().await {
            let spoke = values.iter().any(|value| !value.asked);
            // Whoever plays a PS/1 device's address can say something, too: that is no word of the device.
            let is_proven = link.is_authenticated();
            if spoke && is_proven {
                self.heard(&mut told);
            }
            let mut batch = Vec::with_capacity(values.len());
            for value in values {
                let Value { source, bytes, dropped, at, .. } = value;
                if dropped > 0 {
                    tracing::warn!(device = %self.target.id, ?source, dropped, "BLE: values found no room and are lost");
                }
                let (channel, bytes) = match source {
                    Source::Gatt(characteristic) => (Channel::Gatt { characteristic, dropped }, bytes),
                    Source::Ps1 => match self.frame(&mut joiner, &bytes, dropped) {
                        Some(frame) => (Channel::Up, frame),
                        None => continue,
                    },
                };
                counter += 1;
                let ticket = Ticket(counter);
                let mut fates = fates.lock();
                if fates.pending.len() < PENDING_MAX {
                    let values = u64::from(!bytes.is_empty());
                    fates.pending.push_back(Awaited { ticket, source, at, values, told: dropped });
                }
                let waited = at.map(|at| at.elapsed()).unwrap_or_default();
                batch.push(Inbound { ticket, channel, bytes, waited });
            }
            if !batch.is_empty() {
                self.intake.take(link, batch).await;
            }
            if spoke && !is_proven && link.is_authenticated() {
                self.heard(&mut told);
            }
        }
    }

    /// Tells the core now and then that the device speaks.
    fn heard(&self, told: &mut Option<Instant>) {
        if told.is_none_or(|told| told.elapsed() >= HEARD_EVERY) {
            *told = Some(Instant::now());
            // A full channel means that the core is late, not that the device is silent: the next value tells it.
            let _ = self.events.try_send(Event::Heard { device: self.target.id.clone() });
        }
    }

    /// The frame that ends in this value. What was lost the device sends again.
    fn frame(&self, joiner: &mut Joiner, value: &[u8], dropped: u64) -> Option<Bytes> {
        if dropped > 0 {
            joiner.reset();
        }
        if value.is_empty() {
            return None;
        }
        let (frame, loss) = joiner.push(value);
        if let Err(error) = loss {
            tracing::debug!(device = %self.target.id, %error, "BLE: a frame was lost on the way");
        }
        frame.map(Bytes::from)
    }

    /// What the gateway says, until the link ends.
    async fn down(
        &self,
        peer: &dyn Peer,
        queue: &Queue,
        subscribed: &Subscribed,
        link: &Link,
        mut outlet: Outlet,
        fates: &Mutex<Fates>,
    ) -> CloseReason {
        let mut splitter = Splitter::default();
        loop {
            match outlet.next().await {
                None => return link.reason(),
                Some(Outbound::Close(reason)) => return reason,
                Some(Outbound::Settled(settled)) => {
                    for (ticket, settled) in settled {
                        self.settled(ticket, &settled, queue, fates);
                    }
                }
                Some(Outbound::Frame(_)) if self.target.bonding.is_some() => {
                    tracing::warn!(device = %self.target.id, "a frame for a device that does not speak PS/1 is dropped");
                }
                Some(Outbound::Frame(frame)) => {
                    let mut values: Vec<Vec<u8>> = Vec::new();
                    splitter.split(&frame, subscribed.value_bytes_max, |value| values.push(value.to_vec()));
                    for value in values {
                        match timeout(WRITE_WITHIN, peer.write(&value)).await {
                            Ok(Ok(())) => {}
                            Ok(Err(_)) => return CloseReason::Gone,
                            Err(_) => return CloseReason::SlowConsumer,
                        }
                    }
                }
            }
        }
    }

    fn settled(&self, ticket: Ticket, settled: &Settled, queue: &Queue, fates: &Mutex<Fates>) {
        let mut fates = fates.lock();
        // In the order of arrival; what settles elsewhere was never awaited.
        while fates.pending.front().is_some_and(|first| first.ticket.0 < ticket.0) {
            fates.pending.pop_front();
        }
        let Some(awaited) = fates.pending.pop_front_if(|first| first.ticket == ticket) else { return };
        match settled {
            Settled::Stored => {
                let Some(took) = awaited.at.map(|at| at.elapsed()) else { return };
                fates.stored = fates.stored.saturating_add(1);
                fates.sum += took;
                fates.longest = fates.longest.max(took);
                tracing::trace!(device = %self.target.id, stored_after_us = took.as_micros(), "BLE: stored");
                if fates.stored == 1 {
                    tracing::info!(device = %self.target.id, adapter = %self.adapter, stored_after_us = took.as_micros(), "BLE: first reading stored");
                }
            }
            Settled::Refused { .. } => fates.refused = fates.refused.saturating_add(1),
            // A sensor does not send again: what could not be stored is a gap, told with the next value that can.
            Settled::Unavailable => queue.not_kept(awaited.source, awaited.values, awaited.told),
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn shown(subscribed: &Subscribed) -> String {
    if subscribed.characteristics.is_empty() {
        return "PS/1".to_owned();
    }
    let all: Vec<String> = subscribed.characteristics.iter().map(|uuid| format!("{uuid:04x}")).collect();
    all.join(",")
}

fn told(id: &DeviceId, adapter: &str, step: &str, error: &RadioError) -> End {
    match error {
        RadioError::Unreachable(_) => {
            tracing::debug!(device = %id, adapter, step, %error, "BLE: not reached");
            End::Unreachable
        }
        RadioError::Failed(_) => {
            tracing::info!(device = %id, adapter, step, %error, "BLE: failed; it is tried again");
            End::Failed
        }
        RadioError::Refused(_) => {
            tracing::warn!(device = %id, adapter, step, %error, "BLE: refused");
            End::Refused
        }
        RadioError::BondLost(_) => {
            tracing::warn!(device = %id, adapter, step, %error, "BLE: refused");
            End::BondLost
        }
    }
}

/// The words of what a target is asked for, for the log.
pub(super) fn asked(target: &Target) -> String {
    target.bonding.map_or_else(|| "PS/1".to_owned(), |bonding| profile::words(bonding.profiles).join(","))
}
