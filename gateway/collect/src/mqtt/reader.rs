//! The one reader of a connection: reads up to 64 KiB, handles every packet in it, and hands all messages on at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

use super::answer::{self, PUBACK, PUBCOMP, PUBREC};
use super::filter;
use super::flight::{self, Exact, Flight};
use super::frame::{self, Head, Kind};
use super::packet::{self, GOODBYE, GOODBYE_WITH_WILL, Version, Will};
use super::publish::{self, Publish};
use super::pump::Command;
use super::rights::Topics;
use super::session::Session;
use crate::intake::{Channel, Inbound, Intake, RefusalCode};
use crate::link::{CloseReason, Link, Out};
use rumqttd::protocol::{SubscribeReasonCode, UnsubAckReason};

/// Bytes one read asks for, at least and at most; in between it follows what the client sends.
const READ_BYTES_MIN: usize = 2 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;

/// The reading half of a connection.
pub(crate) struct Reader<R> {
    pub half: R,
    /// Bytes of a packet that is not complete yet, among them what came behind CONNECT.
    pub stream: BytesMut,
    pub link: Link,
    pub session: Arc<Session>,
    pub topics: Topics,
    pub flight: Arc<Flight>,
    pub intake: Arc<dyn Intake>,
    /// The way to the router, for a client that may subscribe to it.
    pub pump: Option<mpsc::Sender<Command>>,
    /// Dropped on a plain goodbye.
    pub will: Option<Will>,
    /// Until when the client must have proven who it is.
    pub prove_until: Instant,
    pub pace: Pace,
}

/// How the client sends, learnt while reading.
pub(crate) struct Pace {
    /// Bytes the next read asks for.
    read_bytes: usize,
    /// Messages the last read brought.
    batch: usize,
    /// Messages so far.
    counter: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { read_bytes: READ_BYTES_MIN, batch: 1, counter: 0 }
    }
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads until the link ends. Only waiting for bytes or for room is ever cut short: what was handed to the intake is
    /// waited for.
    pub(crate) async fn run(&mut self) -> CloseReason {
        let stop = self.link.stop().clone();
        let mut stopped = pin!(stop.cancelled());
        let mut heard = Instant::now();
        let mut bell = pin!(sleep_until(self.bell(heard)));
        loop {
            if let Err(reason) = self.packets().await {
                return reason;
            }
            self.make_room();
            let read = loop {
                tokio::select! {
                    biased;
                    () = &mut stopped => return self.link.reason(),
                    read = self.half.read_buf(&mut self.stream) => break read,
                    () = &mut bell => if let Err(reason) = self.rang(heard, bell.as_mut()) { return reason },
                }
            };
            match read {
                Ok(read @ 1..) => self.adapt(read),
                _ => return CloseReason::Gone,
            }
            heard = Instant::now();
        }
    }

    /// When to look at the clock next: no timer is touched per read, only when this one rings.
    fn bell(&self, heard: Instant) -> Instant {
        let silent = self.session.silence_max.map(|silence| heard + silence);
        let proof = (!self.link.is_authenticated()).then_some(self.prove_until);
        silent.into_iter().chain(proof).min().unwrap_or_else(|| heard + Duration::from_secs(86_400))
    }

    fn rang(&self, heard: Instant, mut bell: std::pin::Pin<&mut Sleep>) -> Result<(), CloseReason> {
        let now = Instant::now();
        if !self.link.is_authenticated() && now >= self.prove_until {
            return Err(CloseReason::AuthenticationTimeout);
        }
        if self.session.silence_max.is_some_and(|silence| now >= heard + silence) {
            return Err(CloseReason::KeepAlive);
        }
        bell.as_mut().reset(self.bell(heard));
        Ok(())
    }

    fn make_room(&mut self) {
        if self.stream.capacity() - self.stream.len() < READ_BYTES_MIN / 2 {
            self.stream.reserve(self.pace.read_bytes);
        }
    }

    fn adapt(&mut self, read: usize) {
        let asked = self.pace.read_bytes;
        if read >= asked / 2 {
            self.pace.read_bytes = (asked * 2).min(READ_BYTES_MAX);
        } else if read < asked / 8 {
            self.pace.read_bytes = (asked / 2).max(READ_BYTES_MIN);
        }
    }

    /// Handles all packets that are complete. What came before an error counts.
    async fn packets(&mut self) -> Result<(), CloseReason> {
        let max = self.session.limits.packet_bytes_max;
        let (mut packets, mut error) = frame::cut(&mut self.stream, max);
        if packets.is_empty() {
            return error.map_or(Ok(()), Err);
        }
        let mut batch = Vec::with_capacity(self.pace.batch);
        while let Some((head, packet)) = frame::next(&mut packets, max) {
            let handled = if head.kind == Kind::Publish {
                self.publish(head, packet, &mut batch).await
            } else {
                self.control(head, &packet).await
            };
            if let Err(reason) = handled {
                error = Some(reason);
                break;
            }
        }
        self.pace.batch = batch.len().max(1);
        self.deliver(&mut batch).await;
        error.map_or(Ok(()), Err)
    }

    async fn deliver(&mut self, batch: &mut Vec<Inbound>) {
        if !batch.is_empty() {
            self.intake.take(&self.link, std::mem::take(batch)).await;
        }
    }

    async fn publish(&mut self, head: Head, mut packet: Bytes, batch: &mut Vec<Inbound>) -> Result<(), CloseReason> {
        let message = publish::read(self.session.version, head, packet.split_off(head.header))?;
        if message.retain && !self.topics.may_ask_to_retain(self.session.version) {
            return Err(CloseReason::Retain);
        }
        let channel = match self.topics.channel(&message.topic) {
            Ok(channel) => channel,
            Err(reason) => return self.refuse(&message, reason).await,
        };
        if message.qos > 0 {
            self.room(batch).await?;
            if message.qos == 2 && !self.begin(message.packet_id).await? {
                return Ok(());
            }
            self.flight.add(message.payload.len());
        }
        batch.push(self.inbound(channel, message));
        Ok(())
    }

    fn inbound(&mut self, channel: Channel, message: Publish) -> Inbound {
        self.pace.counter = self.pace.counter.wrapping_add(1);
        let ticket = flight::ticket(self.pace.counter, message.qos, message.packet_id, message.payload.len());
        Inbound { ticket, channel, bytes: message.payload, waited: Duration::ZERO }
    }

    /// Waits until one more message may be in flight. An MQTT 5 client knows how many may be and is closed instead.
    async fn room(&mut self, batch: &mut Vec<Inbound>) -> Result<(), CloseReason> {
        let limits = self.session.limits.clone();
        let max = usize::from(limits.in_flight_max);
        if self.flight.count() >= max && self.session.version == Version::V5 {
            return Err(CloseReason::TooManyInFlight);
        }
        while self.flight.count() >= max || !self.flight.has_bytes(limits.in_flight_bytes_max) {
            self.deliver(batch).await;
            tokio::select! {
                biased;
                () = self.link.stop().cancelled() => return Err(self.link.reason()),
                () = self.flight.freed() => {}
            }
        }
        Ok(())
    }

    /// Begins a QoS 2 exchange; whether its message is new.
    async fn begin(&mut self, packet_id: u16) -> Result<bool, CloseReason> {
        match self.flight.begin(packet_id) {
            Ok(()) if self.flight.exact() > usize::from(self.session.limits.in_flight_max) => {
                Err(CloseReason::TooManyInFlight)
            }
            Ok(()) => Ok(true),
            Err(Exact::Taken) => Ok(false),
            Err(Exact::Received) => {
                let mut again = BytesMut::with_capacity(4);
                answer::acknowledge(&mut again, PUBREC, packet_id);
                self.say(again.freeze()).await?;
                Ok(false)
            }
        }
    }

    /// Answers a message this client has no right to send: in its acknowledgement where MQTT 5 has one, by closing else.
    async fn refuse(&mut self, message: &Publish, reason: CloseReason) -> Result<(), CloseReason> {
        let code = match reason {
            CloseReason::NotAuthorized(_) => RefusalCode::NotAuthorized,
            CloseReason::Quota(_) => RefusalCode::Quota,
            _ => return Err(reason),
        };
        if self.session.version == Version::V4 || message.qos == 0 {
            return Err(reason);
        }
        tracing::warn!(link = self.link.id.0, peer = %self.link.peer, %reason, "message refused");
        let text = reason.to_string();
        let text = self.session.spoken(&text);
        let first = if message.qos == 1 { PUBACK } else { PUBREC };
        let mut packet = BytesMut::with_capacity(128);
        answer::refuse(&mut packet, self.session.version, first, message.packet_id, code, text);
        self.say(packet.freeze()).await
    }

    async fn say(&self, packet: Bytes) -> Result<(), CloseReason> {
        self.link.push_wait(Out::Packet(packet)).await.map_err(|_| self.link.reason())
    }

    async fn control(&mut self, head: Head, packet: &Bytes) -> Result<(), CloseReason> {
        let version = self.session.version;
        let body = packet.slice(head.header..);
        match head.kind {
            Kind::PingReq if body.is_empty() => self.say(Bytes::from_static(&[0xd0, 0])).await,
            Kind::PingReq => Err(CloseReason::Malformed("a PINGREQ with content")),
            Kind::PubAck => {
                let (id, _) = packet::acknowledgement(version, body)?;
                self.link.push_wait(Out::Acked(id)).await.map_err(|_| self.link.reason())
            }
            Kind::PubRel => {
                let (id, _) = packet::acknowledgement(version, body)?;
                let mut packet = BytesMut::with_capacity(5);
                if self.flight.end(id) {
                    answer::acknowledge(&mut packet, PUBCOMP, id);
                } else {
                    answer::unknown_release(&mut packet, version, id);
                }
                self.say(packet.freeze()).await
            }
            Kind::Subscribe => self.subscribe(packet::subscribe(version, packet, head.header)?).await,
            Kind::Unsubscribe => self.unsubscribe(packet::unsubscribe(version, packet, head.header)?).await,
            Kind::Disconnect => Err(self.goodbye(packet::disconnect(version, body, self.session.wants_session)?)),
            Kind::Connect => Err(CloseReason::Protocol("a second CONNECT")),
            Kind::PubRec | Kind::PubComp => Err(CloseReason::Protocol("the gate sends nothing with QoS 2")),
            Kind::Publish => Err(CloseReason::Protocol("PUBLISH is handled elsewhere")),
        }
    }

    /// The client is leaving, and says why: nothing but a plain goodbye takes its will back (MQTT 5, 3.14.4-3).
    fn goodbye(&mut self, reason: u8) -> CloseReason {
        match reason {
            GOODBYE => {
                self.will = None;
                CloseReason::Finished
            }
            GOODBYE_WITH_WILL => CloseReason::Finished,
            error => {
                let reason = format!("{error:#04x}");
                tracing::info!(link = self.link.id.0, peer = %self.link.peer, reason, "the client leaves over an error");
                CloseReason::Gone
            }
        }
    }

    async fn subscribe(&mut self, subscribe: packet::Subscribe) -> Result<(), CloseReason> {
        if let Some(pump) = &self.pump {
            return pump.send(Command::Subscribe(subscribe)).await.map_err(|_| self.link.reason());
        }
        let mut listening = false;
        let codes = subscribe.filters.iter().map(|asked| {
            if Some(&asked.path) == self.session.down_topic.as_ref() {
                listening = true;
                return SubscribeReasonCode::QoS0;
            }
            denied_filter(&asked.path)
        });
        let codes = codes.collect();
        self.say(answer::suback(self.session.version, subscribe.packet_id, codes)).await?;
        if listening {
            self.link.push_wait(Out::Listening(true)).await.map_err(|_| self.link.reason())?;
        }
        Ok(())
    }

    async fn unsubscribe(&mut self, unsubscribe: packet::Unsubscribe) -> Result<(), CloseReason> {
        if let Some(pump) = &self.pump {
            return pump.send(Command::Unsubscribe(unsubscribe)).await.map_err(|_| self.link.reason());
        }
        let own = |filter: &String| Some(filter) == self.session.down_topic.as_ref();
        if unsubscribe.filters.iter().any(own) {
            self.link.push_wait(Out::Listening(false)).await.map_err(|_| self.link.reason())?;
        }
        let reasons = unsubscribe
            .filters
            .iter()
            .map(|filter| if own(filter) { UnsubAckReason::Success } else { UnsubAckReason::NoSubscriptionExisted });
        self.say(answer::unsuback(self.session.version, unsubscribe.packet_id, reasons.collect())).await
    }
}

/// Why a filter that is not granted is refused.
pub(crate) fn denied_filter(path: &str) -> SubscribeReasonCode {
    if filter::is_filter(path) { SubscribeReasonCode::NotAuthorized } else { SubscribeReasonCode::TopicFilterInvalid }
}
