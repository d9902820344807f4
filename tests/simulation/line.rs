//! The way of frames: MQTT topics or a COBS-delimited serial line.

use std::collections::VecDeque;

use anyhow::{Context as _, bail};
use pitchside_wire::{Topic, cobs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::mqtt::codec::{self, Connect, Ids, Inbox, Packet};
use crate::mqtt::stream::{self, Address, Connection};

/// Seconds between pings; the gateway closes a connection that is silent for half as long again.
pub const KEEP_ALIVE_S: u16 = 30;

/// A line that is up.
pub enum Line {
    /// MQTT, with the topics of one device.
    Mqtt(Box<MqttLine>),
    /// COBS.
    Serial {
        /// Both ways.
        port: Connection,
        /// Frames in progress.
        decoder: cobs::Decoder,
        /// Frames not yet handed on.
        frames: VecDeque<Vec<u8>>,
    },
}

/// See [`Line::Mqtt`].
pub struct MqttLine {
    connection: Connection,
    inbox: Inbox,
    ids: Ids,
    /// `ps/1/{device}/hs`, `ps/1/{device}/up`.
    topics: [String; 2],
}

impl Line {
    /// A serial line over an open port.
    pub fn serial(port: Connection) -> Self {
        Self::Serial { port, decoder: cobs::Decoder::default(), frames: VecDeque::new() }
    }

    /// Connects as a PS/1 device and subscribes to what the gateway says to it.
    pub async fn mqtt(to: &Address, device: &str) -> anyhow::Result<Self> {
        let mut session = Session::open(to, device, None).await?;
        session.subscribe(&format!("ps/1/{device}/{}", Topic::Down.name())).await?;
        let topic = |topic: Topic| format!("ps/1/{device}/{}", topic.name());
        let topics = [topic(Topic::Handshake), topic(Topic::Up)];
        let Session { connection, inbox, ids } = session;
        Ok(Self::Mqtt(Box::new(MqttLine { connection, inbox, ids, topics })))
    }

    /// Sends frames.
    pub async fn send(&mut self, frames: &[(Topic, Vec<u8>)]) -> anyhow::Result<()> {
        let mut out = Vec::new();
        match self {
            Self::Mqtt(line) => {
                let [handshake, up] = &line.topics;
                for (topic, frame) in frames {
                    let topic = if *topic == Topic::Handshake { handshake } else { up };
                    codec::publish(&mut out, topic, line.ids.next_id(), frame);
                }
                line.connection.write_all(&out).await?;
                line.connection.flush().await?;
            }
            Self::Serial { port, .. } => {
                frames.iter().for_each(|(_, frame)| cobs::encode(frame, &mut out));
                port.write_all(&out).await?;
                port.flush().await?;
            }
        }
        Ok(())
    }

    /// Keeps the line from being taken for dead.
    pub async fn ping(&mut self) -> anyhow::Result<()> {
        if let Self::Mqtt(line) = self {
            let mut out = Vec::new();
            codec::ping(&mut out);
            line.connection.write_all(&out).await?;
            line.connection.flush().await?;
        }
        Ok(())
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        if let Self::Mqtt(line) = &mut self {
            let mut out = Vec::new();
            codec::disconnect(&mut out);
            // The line may be down already; then there is nobody to say it to.
            let _ = line.connection.write_all(&out).await;
            let _ = line.connection.shutdown().await;
        }
    }

    /// The next frame from the gateway. May be dropped and called again: nothing is lost.
    pub async fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut buffer = [0; 4_096];
        match self {
            Self::Mqtt(line) => loop {
                while let Some(packet) = line.inbox.next_packet()? {
                    match packet {
                        Packet::Publish(_, None, frame) => return Ok(frame),
                        Packet::Publish(_, Some(id), frame) => {
                            let mut out = Vec::new();
                            codec::puback(&mut out, id);
                            line.connection.write_all(&out).await?;
                            return Ok(frame);
                        }
                        // What counts is the receipt inside the session.
                        Packet::PubAck(_) | Packet::PingResp => {}
                        other => bail!("the gateway sent {other:?} out of turn"),
                    }
                }
                let read = line.connection.read(&mut buffer).await?;
                if read == 0 {
                    bail!("the gateway closed the connection");
                }
                line.inbox.fill(buffer.get(..read).unwrap_or_default());
            },
            Self::Serial { port, decoder, frames } => loop {
                if let Some(frame) = frames.pop_front() {
                    return Ok(frame);
                }
                let read = port.read(&mut buffer).await?;
                if read == 0 {
                    bail!("the line is gone");
                }
                // A damaged frame is sent again by whoever misses its answer.
                decoder.push(buffer.get(..read).unwrap_or_default(), |frame| {
                    frames.extend(frame.ok().map(<[u8]>::to_vec))
                });
            },
        }
    }
}

/// An MQTT connection, welcomed.
pub struct Session {
    /// Both ways.
    pub connection: Connection,
    /// What was read and not yet looked at.
    pub inbox: Inbox,
    /// Packet ids.
    pub ids: Ids,
}

impl Session {
    /// Connects and waits for the welcome.
    pub async fn open(to: &Address, client: &str, login: Option<(&str, &str)>) -> anyhow::Result<Self> {
        let mut session = Self { connection: stream::connect(to).await?, inbox: Inbox::default(), ids: Ids::default() };
        let mut out = Vec::new();
        codec::connect(&mut out, &Connect { client, login, keep_alive_s: KEEP_ALIVE_S });
        session.connection.write_all(&out).await?;
        session.connection.flush().await?;
        match session.packet().await? {
            Packet::ConnAck(0) => Ok(session),
            Packet::ConnAck(code) => bail!("the gateway refused the connection: {}", refusal(code)),
            other => bail!("the gateway answered CONNECT with {other:?}"),
        }
    }

    /// Subscribes and waits until it counts.
    pub async fn subscribe(&mut self, filter: &str) -> anyhow::Result<()> {
        let (mut out, id) = (Vec::new(), self.ids.next_id());
        codec::subscribe(&mut out, id, filter);
        self.connection.write_all(&out).await?;
        self.connection.flush().await?;
        match self.packet().await? {
            Packet::SubAck(there, granted) if there == id && granted != 0x80 => Ok(()),
            other => bail!("the gateway answered SUBSCRIBE {filter} with {other:?}"),
        }
    }

    /// The next packet.
    pub async fn packet(&mut self) -> anyhow::Result<Packet> {
        let mut buffer = [0; 4_096];
        loop {
            if let Some(packet) = self.inbox.next_packet()? {
                return Ok(packet);
            }
            let read = self.connection.read(&mut buffer).await.context("reading from the gateway")?;
            if read == 0 {
                bail!("the gateway closed the connection");
            }
            self.inbox.fill(buffer.get(..read).unwrap_or_default());
        }
    }
}

fn refusal(code: u8) -> &'static str {
    match code {
        1 => "it does not speak MQTT 3.1.1",
        2 => "it does not like the client id",
        3 => "it is not available",
        4 => "user name or password is wrong",
        5 => "not authorised",
        _ => "it does not say why",
    }
}
