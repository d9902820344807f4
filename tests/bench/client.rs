//! A P1 device on a TCP connection, as cheap as can be, for it shares the cores with what it loads: one buffer out, one
//! in, no outbox and no resending. Frames are sealed while the clock runs, as a device would.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use pitchside_wire::message::MessageHeader;
use pitchside_wire::{
    Content, Credential, Epoch, Initiator, Kind, Millis, RandomFailed, Receipt, Seq, Session, Stamp, Topic,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::codec::{self, Connect, Ids, Inbox, Packet};

/// How long the gateway may take to answer a handshake step.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const READ_BYTES: usize = 32 * 1024;

/// A device in session.
pub struct Device {
    /// Its name.
    pub id: String,
    line: Line,
    session: Session,
    up: String,
    epoch: Epoch,
    next: u64,
    born: Instant,
    /// Messages with a receipt R0.
    pub receipted: u64,
    /// Messages the gateway refused.
    pub refused: u64,
    /// Messages with a PUBACK.
    pub pubacks: u64,
}

/// An MQTT connection.
pub struct Line {
    stream: TcpStream,
    inbox: Inbox,
    ids: Ids,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

fn random(bytes: &mut [u8]) -> Result<(), RandomFailed> {
    getrandom::fill(bytes).map_err(|_| RandomFailed)
}

impl Line {
    /// Connects, signs in, subscribes to one filter.
    pub async fn open(to: SocketAddr, client: &str, login: Option<(&str, &str)>, filter: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
        stream.set_nodelay(true)?;
        let mut line = Self {
            stream,
            inbox: Inbox::default(),
            ids: Ids::default(),
            out: Vec::with_capacity(64 * 1024),
            buffer: vec![0; READ_BYTES],
        };
        codec::connect(&mut line.out, &Connect { client, login, keep_alive_s: 0 });
        let id = line.ids.next_id();
        codec::subscribe(&mut line.out, id, filter);
        line.send().await?;
        loop {
            match line.wait().await? {
                Packet::ConnAck(0) => {}
                Packet::SubAck(_, granted) if granted != 0x80 => return Ok(line),
                other => bail!("{client} is not let in: {other:?}"),
            }
        }
    }

    /// Sends what was written.
    pub async fn send(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// Reads once. May be dropped while it waits.
    pub async fn read(&mut self) -> anyhow::Result<()> {
        let count = self.stream.read(&mut self.buffer).await?;
        ensure!(count > 0, "the gateway closed the connection");
        self.inbox.fill(self.buffer.get(..count).unwrap_or_default());
        Ok(())
    }

    /// The next packet that was read whole.
    pub fn packet(&mut self) -> anyhow::Result<Option<Packet>> {
        Ok(self.inbox.next_packet()?)
    }

    /// Acknowledges a message with the next [`Line::send`].
    pub fn acknowledge(&mut self, id: u16) {
        codec::puback(&mut self.out, id);
    }

    async fn wait(&mut self) -> anyhow::Result<Packet> {
        loop {
            if let Some(packet) = self.packet()? {
                return Ok(packet);
            }
            timeout(ANSWER_WITHIN, self.read()).await.context("the gateway does not answer")??;
        }
    }

    /// Sends a handshake frame, and waits for one back.
    async fn ask(&mut self, topic: &str, frame: &[u8]) -> anyhow::Result<Vec<u8>> {
        let id = self.ids.next_id();
        codec::publish(&mut self.out, topic, id, frame);
        self.send().await?;
        loop {
            match self.wait().await? {
                Packet::Publish(_, _, frame) => return Ok(frame),
                Packet::PubAck(_) => {}
                other => bail!("the gateway sent {other:?} in a handshake"),
            }
        }
    }
}

impl Device {
    /// Connects, and makes a session.
    pub async fn connect(to: SocketAddr, id: &str, credential: &Credential) -> anyhow::Result<Self> {
        let topic = |topic: Topic| format!("ps/1/{id}/{}", topic.name());
        let mut line = Line::open(to, id, None, &topic(Topic::Down)).await?;
        let born = Instant::now();
        let mut initiator = Initiator::start(id, credential, Stamp(1), &mut random)?;
        let reply = line.ask(&topic(Topic::Handshake), initiator.hello()).await?;
        let mut session = initiator.finish(&reply, Millis(0))?;
        let confirm = session.seal(Kind::Confirm, &[], Millis(0))?;
        let ready = line.ask(&topic(Topic::Handshake), &confirm).await?;
        let (header, _) = session.open(&ready, Millis(0))?;
        ensure!(header.kind == Kind::Ready, "{id}: the gateway answered CONFIRM with {:?}", header.kind);
        let mut epoch = [0; 8];
        getrandom::fill(&mut epoch).context("no randomness")?;
        let (epoch, up) = (Epoch(u64::from_le_bytes(epoch)), topic(Topic::Up));
        Ok(Self { id: id.to_owned(), line, session, up, epoch, next: 0, born, receipted: 0, refused: 0, pubacks: 0 })
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Messages made so far.
    pub const fn made(&self) -> u64 {
        self.next
    }

    /// Messages without an answer.
    pub const fn outstanding(&self) -> u64 {
        self.next - self.receipted - self.refused
    }

    /// Seals a message and writes it to the buffer.
    pub fn write(&mut self, content: Content, body: &[u8]) -> anyhow::Result<()> {
        let header = MessageHeader { epoch: self.epoch, seq: Seq(self.next), content };
        let now = self.now();
        let frame = self.session.seal_parts(Kind::Data, &[&header.encode(), body], now)?;
        self.next += 1;
        codec::publish(&mut self.line.out, &self.up, self.line.ids.next_id(), &frame);
        Ok(())
    }

    /// Sends what was written.
    pub async fn send(&mut self) -> anyhow::Result<()> {
        self.line.send().await
    }

    /// Reads once and counts what came. May be dropped while it waits.
    pub async fn receive(&mut self) -> anyhow::Result<()> {
        self.line.read().await?;
        while let Some(packet) = self.line.packet()? {
            match packet {
                Packet::PubAck(_) => self.pubacks += 1,
                Packet::Publish(_, _, frame) => self.take(&frame)?,
                other => bail!("the gateway sent {other:?}"),
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let (header, body) = self.session.open(frame, self.now())?;
        ensure!(header.kind == Kind::Receipt, "the gateway sent {:?}", header.kind);
        let receipt = Receipt::parse(&body)?;
        self.receipted += receipt.ranges.iter().map(|range| u64::from(range.count)).sum::<u64>();
        self.refused += receipt.refused.len() as u64;
        Ok(())
    }
}
