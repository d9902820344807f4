//! The one writer of a connection: everything queued for the peer becomes bytes here, many at a time.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::answer::{self, PUBACK, PUBREC};
use super::flight::{self, Flight};
use super::packet::Version;
use super::session::Session;
use super::window::Window;
use crate::intake::{Settled, Ticket};
use crate::link::{CloseReason, Link, Out, Outbound, Outlet, Routed};

/// Items encoded before the next write.
const BATCH_MAX: usize = 256;
/// Frames kept for a device that has not subscribed to its answers yet.
const HELD_MAX: usize = 16;
/// A buffer that grew beyond this is given back when empty.
const BUFFER_KEPT_BYTES: usize = 64 * 1024;
/// How long the last packet may take.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// The writing half of a connection. Its state survives a cancelled [`Writer::run`]: no byte is lost or sent twice.
pub(crate) struct Writer<W> {
    half: W,
    link: Link,
    outlet: Outlet,
    session: Arc<Session>,
    flight: Arc<Flight>,
    batch: Vec<Out>,
    buffer: BytesMut,
    /// The device subscribed to its answers.
    listening: bool,
    held: VecDeque<Bytes>,
    window: Window,
    /// Frames that were left out because the device takes none as large.
    left_out: u64,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// A writer whose first bytes are `welcome`.
    pub(crate) fn new(
        half: W,
        link: Link,
        outlet: Outlet,
        session: Arc<Session>,
        flight: Arc<Flight>,
        welcome: &[u8],
    ) -> Self {
        let window = Window::new(&session);
        Self {
            half,
            link,
            outlet,
            session,
            flight,
            batch: Vec::new(),
            buffer: BytesMut::from(welcome),
            listening: false,
            held: VecDeque::new(),
            window,
            left_out: 0,
        }
    }

    /// Writes until the link ends.
    pub(crate) async fn run(&mut self) -> CloseReason {
        let stop = self.link.stop().clone();
        let mut stopped = pin!(stop.cancelled());
        loop {
            let reason = tokio::select! {
                biased;
                () = &mut stopped => self.link.reason(),
                step = self.step() => match step { Ok(()) => continue, Err(reason) => reason },
            };
            return reason;
        }
    }

    /// Writes what is buffered, then buffers what is queued. An error is found after everything before it was buffered.
    async fn step(&mut self) -> Result<(), CloseReason> {
        self.flush().await?;
        if self.batch.is_empty() {
            self.outlet.take_many(&mut self.batch, BATCH_MAX).await;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let encoded = batch.drain(..).try_for_each(|out| self.encode(out));
        self.batch = batch;
        encoded
    }

    async fn flush(&mut self) -> Result<(), CloseReason> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let within = self.session.limits.write_within;
        while !self.buffer.is_empty() {
            match timeout(within, self.half.write_buf(&mut self.buffer)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err(CloseReason::Gone),
                Err(_) => return Err(CloseReason::SlowConsumer),
            }
        }
        if self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer = BytesMut::new();
        }
        match timeout(within, self.half.flush()).await {
            Ok(flushed) => flushed.map_err(|_| CloseReason::Gone),
            Err(_) => Err(CloseReason::SlowConsumer),
        }
    }

    fn encode(&mut self, out: Out) -> Result<(), CloseReason> {
        match out {
            Out::Link(Outbound::Settled(settled)) => return self.settle(settled),
            Out::Link(Outbound::Frame(frame)) => self.frame(frame),
            Out::Link(Outbound::Close(reason)) => return Err(reason),
            // A SUBACK of many filters: the client would wait for ever for one that is left out (3.1.2.11.4).
            Out::Packet(packet) if packet.len() > self.session.packet_bytes_max => return Err(CloseReason::TooLarge),
            Out::Packet(packet) => self.buffer.extend_from_slice(&packet),
            Out::Listening(listening) => {
                self.listening = listening;
                while let Some(frame) = self.held.pop_front() {
                    self.frame(frame);
                }
            }
            Out::Routed(message) => {
                if let Some((message, id)) = self.window.offer(message)? {
                    self.publish(&message, id);
                }
            }
            Out::Acked(id) => {
                if let Some((message, id)) = self.window.acknowledged(id) {
                    self.publish(&message, id);
                }
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: Bytes) {
        let Some(topic) = &self.session.down_topic else {
            tracing::warn!(link = self.link.id.0, "a frame for a client that has no topic for frames is dropped");
            return;
        };
        let bytes = answer::publish_len(self.session.version, topic.len(), frame.len(), 0);
        if bytes > self.session.packet_bytes_max {
            if self.left_out == 0 {
                tracing::warn!(link = self.link.id.0, bytes, "a frame is larger than its device takes; left out");
            } else {
                tracing::debug!(
                    link = self.link.id.0,
                    bytes,
                    "another frame is larger than its device takes; left out"
                );
            }
            self.left_out += 1;
            return;
        }
        if self.listening {
            answer::publish(&mut self.buffer, self.session.version, topic.as_bytes(), &frame, 0, false, 0);
            return;
        }
        if self.held.len() >= HELD_MAX {
            self.held.pop_front();
            tracing::debug!(
                link = self.link.id.0,
                "the device does not subscribe to its answers; the oldest is dropped"
            );
        }
        self.held.push_back(frame);
    }

    fn publish(&mut self, message: &Routed, id: u16) {
        let Routed { topic, payload, qos, retain } = message;
        answer::publish(&mut self.buffer, self.session.version, topic, payload, *qos, *retain, id);
    }

    fn settle(&mut self, settled: Vec<(Ticket, Settled)>) -> Result<(), CloseReason> {
        let (mut count, mut units) = (0, 0);
        let mut unavailable = false;
        for (ticket, settled) in settled {
            let stub = flight::stub(ticket);
            if stub.qos == 0 {
                continue;
            }
            count += 1;
            units += stub.units;
            let first = if stub.qos == 1 { PUBACK } else { PUBREC };
            match settled {
                Settled::Stored => {
                    if stub.qos == 2 {
                        self.flight.received(stub.packet_id);
                    }
                    answer::acknowledge(&mut self.buffer, first, stub.packet_id);
                }
                Settled::Refused { code, text } => {
                    if stub.qos == 2 && self.session.version == Version::V5 {
                        self.flight.end(stub.packet_id);
                    } else if stub.qos == 2 {
                        self.flight.received(stub.packet_id);
                    }
                    let text = self.session.spoken(&text);
                    answer::refuse(&mut self.buffer, self.session.version, first, stub.packet_id, code, text);
                }
                Settled::Unavailable => unavailable = true,
            }
        }
        if count > 0 {
            self.flight.settle(count, units);
        }
        if unavailable { Err(CloseReason::Busy) } else { Ok(()) }
    }

    /// After the reader has ended: keeps acknowledging what it took, until nothing is in flight or `within` has passed.
    pub(crate) async fn drain(&mut self, within: Duration) {
        let drained = timeout(within, async {
            while self.flight.count() > 0 {
                self.step().await?;
            }
            Ok::<_, CloseReason>(())
        });
        if drained.await.is_err() {
            tracing::info!(
                link = self.link.id.0,
                "messages in flight stay unacknowledged; the client will send them again"
            );
        }
    }

    /// Writes the last packet and closes the writing side, as far as the peer lets it.
    pub(crate) async fn finish(mut self, reason: CloseReason) -> W {
        // The first was said when it came.
        let count = self.left_out + self.window.left_out();
        if count > 1 {
            tracing::warn!(
                link = self.link.id.0,
                count,
                "so much was left out because it is larger than the client takes"
            );
        }
        if let Some(goodbye) = answer::goodbye(self.session.version, reason, self.session.packet_bytes_max) {
            self.buffer.extend_from_slice(&goodbye);
        }
        let last = timeout(GOODBYE_WITHIN, async {
            self.flush().await.ok();
            self.half.shutdown().await.ok();
        });
        last.await.ok();
        self.half
    }
}
