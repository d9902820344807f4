//! Load: many P1 devices over MQTT, QoS 1, as fast as receipts allow or at a set rate. Every message is sealed in a real
//! session; what counts is receipts, and PUBACKs beside them.
//!
//! One thread carries many connections: it shares two cores with what it measures. Bodies are templates in which only
//! time and value change.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use pitchside_device_sdk::{Config, Device, Event};
use pitchside_wire::{Credential, Epoch, Millis, Random, RandomFailed, Seq, Topic};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use crate::mqtt::codec::{self, Connect, Ids, Inbox, Packet};
use crate::mqtt::stream::{self, Address, Connection};
use crate::template::{Shape, Template};
use crate::wall::wall_us;

/// What to do.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the gateway is.
    pub to: Address,
    /// What a message holds.
    pub shape: Shape,
    /// Messages of a device without a receipt.
    pub window: usize,
    /// Messages a second and device; as many as receipts allow if left out.
    pub rate: Option<f64>,
    /// How long messages are made; then receipts are waited for.
    pub length: Duration,
    /// How many a device makes at most within that; as many as it can if left out.
    pub at_most: Option<u64>,
    /// How long to wait for the last receipts.
    pub linger: Duration,
}

/// What came of it, of one device or all.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// Devices.
    pub devices: u64,
    /// Messages made.
    pub messages: u64,
    /// Readings in them; a waveform is one.
    pub readings: u64,
    /// Waveform samples in them.
    pub samples: u64,
    /// Messages receipted.
    pub receipted: u64,
    /// Messages refused.
    pub refused: u64,
    /// PUBACKs.
    pub pubacks: u64,
    /// From the first message to the last receipt.
    pub seconds: f64,
    /// From message to receipt, microseconds; a sample of them.
    #[serde(skip)]
    pub latencies_us: Vec<u64>,
}

impl Outcome {
    /// Adds another device's.
    pub fn add(&mut self, other: Self) {
        self.devices += other.devices;
        self.messages += other.messages;
        self.readings += other.readings;
        self.samples += other.samples;
        self.receipted += other.receipted;
        self.refused += other.refused;
        self.pubacks += other.pubacks;
        self.seconds = self.seconds.max(other.seconds);
        self.latencies_us.extend(other.latencies_us);
    }

    /// The latency below which this share of messages lies.
    pub fn latency_us(&mut self, share: f64) -> Option<u64> {
        self.latencies_us.sort_unstable();
        let last = self.latencies_us.len().checked_sub(1)?;
        self.latencies_us.get((last as f64 * share) as usize).copied()
    }
}

/// A silent device says that it is there.
const KEEP_ALIVE_S: u16 = 60;
/// Every so many messages the latency is taken.
const LATENCY_EVERY: u64 = 16;
fn random() -> impl Random {
    |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|_| RandomFailed)
}

/// One device and its connection.
struct Client {
    connection: Connection,
    inbox: Inbox,
    ids: Ids,
    topics: [String; 2],
    device: Device,
    born: Instant,
    pinged: Instant,
    out: Vec<u8>,
    live: bool,
    /// The next message's number.
    next: u64,
    outstanding: u64,
    sent_at: std::collections::BTreeMap<u64, Instant>,
    outcome: Outcome,
}

/// Runs one device: connects, waits until `go` is true, makes messages, waits for its receipts. `ready` is counted up when
/// its session is there.
pub async fn run(
    load: &Load,
    id: &str,
    credential: Credential,
    ready: &watch::Sender<usize>,
    mut go: watch::Receiver<bool>,
) -> anyhow::Result<Outcome> {
    let mut client = Client::connect(load, id, credential).await?;
    while !client.live {
        client.turn(Some(Duration::from_secs(10))).await?;
    }
    ready.send_modify(|count| *count += 1);
    go.wait_for(|go| *go).await.context("nobody starts the load")?;
    let template = Template::new(load.shape)?;
    let (start, mut last, mut made) = (Instant::now(), Instant::now(), None);
    loop {
        let since = start.elapsed();
        if since < load.length && client.next < load.at_most.unwrap_or(u64::MAX) {
            client.make(load, &template, since)?;
        } else if client.outstanding == 0 || since > *made.get_or_insert(since) + load.linger {
            break;
        }
        let wait = load.rate.map(|rate| start + Duration::from_secs_f64((client.next + 1) as f64 / rate));
        let wait = wait.map(|due| due.saturating_duration_since(Instant::now()));
        let before = client.outcome.receipted;
        client.turn(Some(wait.unwrap_or(Duration::from_millis(200)).min(Duration::from_millis(200)))).await?;
        if client.outcome.receipted != before {
            last = Instant::now();
        }
    }
    client.outcome.seconds = last.duration_since(start).as_secs_f64();
    codec::disconnect(&mut client.out);
    // All is receipted or given up: nobody waits for the goodbye.
    let _ = client.connection.write_all(&client.out).await;
    let _ = client.connection.shutdown().await;
    Ok(client.outcome)
}

impl Client {
    async fn connect(load: &Load, id: &str, credential: Credential) -> anyhow::Result<Self> {
        let mut epoch = [0; 8];
        getrandom::fill(&mut epoch).context("no randomness")?;
        let device = Device::new(Config::new(id, credential), Epoch(u64::from_le_bytes(epoch)), Seq(0))?;
        let topic = |topic: Topic| format!("ps/1/{id}/{}", topic.name());
        let mut client = Self {
            connection: stream::connect(&load.to).await?,
            inbox: Inbox::default(),
            ids: Ids::default(),
            topics: [topic(Topic::Handshake), topic(Topic::Up)],
            device,
            born: Instant::now(),
            pinged: Instant::now(),
            out: Vec::with_capacity(64 * 1024),
            live: false,
            next: 0,
            outstanding: 0,
            sent_at: std::collections::BTreeMap::new(),
            outcome: Outcome { devices: 1, ..Outcome::default() },
        };
        codec::connect(&mut client.out, &Connect { client: id, login: None, keep_alive_s: KEEP_ALIVE_S });
        let subscription = client.ids.next_id();
        codec::subscribe(&mut client.out, subscription, &topic(Topic::Down));
        let frames = client.device.connect(client.now(), &mut random())?;
        client.publish(&frames);
        Ok(client)
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn publish(&mut self, frames: &[pitchside_device_sdk::Outgoing]) {
        for frame in frames {
            let [handshake, up] = &self.topics;
            let topic = if frame.topic == Topic::Handshake { handshake } else { up };
            codec::publish(&mut self.out, topic, self.ids.next_id(), &frame.frame);
        }
    }

    /// Makes what the window and the rate allow.
    fn make(&mut self, load: &Load, template: &Template, since: Duration) -> anyhow::Result<()> {
        let due = load.rate.map_or(u64::MAX, |rate| (since.as_secs_f64() * rate) as u64 + 1);
        let due = due.min(load.at_most.unwrap_or(u64::MAX));
        let room = (load.window as u64).saturating_sub(self.outstanding).min(due.saturating_sub(self.next));
        if room == 0 {
            return Ok(());
        }
        let time_us = wall_us();
        for _ in 0..room {
            if self.device.push(template.content(), template.body(time_us, self.next)).is_err() {
                break;
            }
            if self.next.is_multiple_of(LATENCY_EVERY) {
                self.sent_at.insert(self.next, Instant::now());
            }
            self.next += 1;
            self.outstanding += 1;
            self.outcome.messages += 1;
            self.outcome.readings += template.readings();
            self.outcome.samples += template.samples();
        }
        Ok(())
    }

    /// Sends what is to be sent, then takes what comes within `wait`.
    async fn turn(&mut self, wait: Option<Duration>) -> anyhow::Result<()> {
        loop {
            let frames = self.device.poll(self.now(), &mut random())?;
            self.publish(&frames);
            if frames.is_empty() {
                break;
            }
        }
        if self.pinged.elapsed().as_secs() >= u64::from(KEEP_ALIVE_S) / 2 {
            codec::ping(&mut self.out);
            self.pinged = Instant::now();
        }
        if !self.out.is_empty() {
            self.connection.write_all(&self.out).await?;
            self.connection.flush().await?;
            self.out.clear();
        }
        let mut buffer = [0; 16 * 1024];
        let read = match wait {
            Some(wait) => match tokio::time::timeout(wait, self.connection.read(&mut buffer)).await {
                Ok(read) => read?,
                Err(_) => return Ok(()),
            },
            None => self.connection.read(&mut buffer).await?,
        };
        if read == 0 {
            bail!("the gateway closed the connection of {}", self.topics[1]);
        }
        self.inbox.fill(buffer.get(..read).unwrap_or_default());
        while let Some(packet) = self.inbox.next_packet()? {
            match packet {
                Packet::PubAck(_) => self.outcome.pubacks += 1,
                Packet::Publish(_, id, frame) => {
                    if let Some(id) = id {
                        codec::puback(&mut self.out, id);
                    }
                    self.take(&frame);
                }
                Packet::ConnAck(0) | Packet::PingResp => {}
                Packet::SubAck(_, granted) if granted != 0x80 => {}
                other => bail!("the gateway sent {other:?}"),
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: &[u8]) {
        let now = self.now();
        for event in self.device.on_frame(frame, now) {
            match event {
                Event::Connected { .. } => self.live = true,
                Event::Receipted(range) => {
                    let count = u64::from(range.count);
                    self.outcome.receipted += count;
                    self.outstanding = self.outstanding.saturating_sub(count);
                    let (first, arrived) = (range.first.0, Instant::now());
                    while let Some(entry) = self.sent_at.first_entry().filter(|e| *e.key() < first + count) {
                        let (number, sent) = entry.remove_entry();
                        if number >= first {
                            self.outcome.latencies_us.push(arrived.duration_since(sent).as_micros() as u64);
                        }
                    }
                }
                Event::Refused { .. } => {
                    self.outcome.refused += 1;
                    self.outstanding = self.outstanding.saturating_sub(1);
                }
                Event::Firmware(_) => {}
                Event::Closed(_) => self.live = false,
            }
        }
    }
}
