//! A device built on `device-sdk`, over real TCP or a real pseudo-terminal. What it says returns when the gateway has
//! answered for it.

mod updates;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use pitchside_device_sdk::update::Happened;
use pitchside_device_sdk::{Config, Device, Event, Outgoing, Updater};
use pitchside_wire::{Content, Credential, Epoch, Kind, Random, RandomFailed, Reason, Seq, Stamp, Topic, cobs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until};

use crate::board::Board;
use crate::client::{Client, Gone};
use crate::frames;
use crate::mqtt::codec::{self, Packet};
use crate::patience::PATIENCE;
use crate::pty::Plug;
use crate::site::Site;

/// What the gateway said of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is durable.
    Stored,
    /// It never will be, and why.
    Refused(Reason, String),
}

/// The way to the gateway.
enum Way {
    Mqtt(Box<Client>),
    Serial { plug: Plug, decoder: Box<cobs::Decoder>, frames: VecDeque<Vec<u8>> },
}

/// A device.
pub struct Sensor {
    id: String,
    site: Arc<Site>,
    device: Device,
    epoch: Epoch,
    cable: bool,
    way: Option<Way>,
    told: BTreeMap<Seq, Told>,
    /// Sessions begun or resumed.
    pub connections: u32,
    /// Frames heard, by kind.
    pub heard: Vec<Kind>,
    /// Packet ids of PUBACKs.
    pub acknowledged: Vec<u16>,
    /// Its side of updates, if it takes any.
    pub updater: Option<Updater<Board>>,
    /// What became of them.
    pub happened: Vec<Happened>,
}

/// The operating system's randomness.
pub fn random() -> impl Random {
    |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|_| RandomFailed)
}

impl Sensor {
    /// A device that counts from 0 in a new epoch.
    pub fn new(site: Arc<Site>, id: &str, credential: Credential, cable: bool) -> Self {
        let mut epoch = [0; 8];
        getrandom::fill(&mut epoch).expect("randomness");
        let epoch = Epoch(u64::from_le_bytes(epoch));
        let stamp = Stamp(u64::try_from(site.now_ms()).expect("after 1970") * 1_000 + site.instant().0);
        let config = Config { first_stamp: stamp, ..Config::new(id, credential) };
        let device = Device::new(config, epoch, Seq(0)).expect("a right configuration");
        Self {
            id: id.to_owned(),
            site,
            device,
            epoch,
            cable,
            way: None,
            told: BTreeMap::new(),
            connections: 0,
            heard: Vec::new(),
            acknowledged: Vec::new(),
            updater: None,
            happened: Vec::new(),
        }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The count its numbers belong to.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Messages without an answer.
    pub fn unanswered(&self) -> usize {
        self.device.unreceipted()
    }

    /// What was said of a message, if anything was.
    pub fn told(&self, seq: Seq) -> Option<&Told> {
        self.told.get(&seq)
    }

    /// Takes what was said since the last time.
    pub fn take_told(&mut self) -> BTreeMap<Seq, Told> {
        std::mem::take(&mut self.told)
    }

    fn topic(&self, topic: Topic) -> String {
        format!("ps/1/{}/{}", self.id, topic.name())
    }

    /// Gets a link and a session on it.
    pub async fn connect(&mut self) {
        let connected = self.try_connect().await;
        assert_eq!(connected, Ok(()), "{} gets no session; it heard {:?}", self.id, self.heard);
    }

    /// As [`Sensor::connect`]; an error if the link ends before there is a session.
    pub async fn try_connect(&mut self) -> Result<(), Gone> {
        self.link().await?;
        let before = self.connections;
        self.run_until(|sensor| (sensor.connections > before).then_some(())).await
    }

    /// Gets a link and says the first words on it, without waiting for an answer.
    pub async fn link(&mut self) -> Result<(), Gone> {
        self.open().await?;
        let words = self.first_words();
        self.transmit(words).await
    }

    /// Gets a link and says nothing on it.
    pub async fn open(&mut self) -> Result<(), Gone> {
        self.unlink();
        let way = if self.cable {
            let plug = Plug::plug_in(&self.site.cable(&self.id)).expect("a pseudo-terminal");
            Way::Serial { plug, decoder: Box::default(), frames: VecDeque::new() }
        } else {
            let mut client = Client::plain(self.site.mqtt()).await?;
            if client.hello(&self.id, None).await? != 0 {
                return Err(Gone);
            }
            let granted = client.subscribe(&self.topic(Topic::Down)).await?;
            assert!(granted < 0x80, "{} may hear its answers", self.id);
            Way::Mqtt(Box::new(client))
        };
        self.way = Some(way);
        Ok(())
    }

    /// What it says first on a new link.
    pub fn first_words(&mut self) -> Vec<Outgoing> {
        self.device.connect(self.site.instant(), &mut random()).expect("randomness")
    }

    /// Pulls the plug: the link ends without a word.
    pub fn unlink(&mut self) {
        if self.way.take().is_some() {
            self.device.disconnected();
        }
        if let Some(updater) = &mut self.updater {
            updater.disconnected();
        }
    }

    /// Forgets its session, as a device does that loses power, but not its count.
    pub fn forget_session(&mut self) {
        // The goodbye is not sent.
        drop(self.device.close(self.site.instant()));
        self.unlink();
    }

    /// Ends the session in good order.
    pub async fn say_goodbye(&mut self) {
        let Outgoing { topic, frame } = self.device.close(self.site.instant()).expect("a session to end");
        self.throw(topic, &frame).await.expect("a link to say it on");
    }

    async fn transmit(&mut self, frames: Vec<Outgoing>) -> Result<(), Gone> {
        for Outgoing { topic, frame } in frames {
            self.throw(topic, &frame).await?;
        }
        Ok(())
    }

    /// Sends a frame as it is: the packet id on MQTT, 0 on a cable.
    pub async fn throw(&mut self, topic: Topic, frame: &[u8]) -> Result<u16, Gone> {
        let topic = self.topic(topic);
        match self.way.as_mut().ok_or(Gone)? {
            Way::Mqtt(client) => client.publish(&topic, frame).await,
            Way::Serial { plug, .. } => {
                let mut out = Vec::new();
                cobs::encode(frame, &mut out);
                plug.write_all(&out).await.map_err(|_| Gone)?;
                Ok(0)
            }
        }
    }

    /// The next frame, however long it takes.
    async fn hear(&mut self) -> Result<Vec<u8>, Gone> {
        match self.way.as_mut().ok_or(Gone)? {
            Way::Mqtt(client) => loop {
                match client.receive().await? {
                    Packet::Publish(_, None, frame) => return Ok(frame),
                    Packet::Publish(_, Some(id), frame) => {
                        let mut out = Vec::new();
                        codec::puback(&mut out, id);
                        client.send(&out).await?;
                        return Ok(frame);
                    }
                    Packet::PubAck(id) => self.acknowledged.push(id),
                    other => panic!("the gate says {other:?} to {}", self.id),
                }
            },
            Way::Serial { plug, decoder, frames } => loop {
                if let Some(frame) = frames.pop_front() {
                    return Ok(frame);
                }
                let mut buffer = [0; 1_024];
                let read = plug.read(&mut buffer).await.map_err(|_| Gone)?;
                decoder.push(&buffer[..read], |frame| frames.extend(frame.ok().map(<[u8]>::to_vec)));
            },
        }
    }

    /// Bytes on the cable as they are.
    pub async fn noise(&mut self, bytes: &[u8]) {
        match self.way.as_mut().expect("a link") {
            Way::Serial { plug, .. } => plug.write_all(bytes).await.expect("the cable is there"),
            Way::Mqtt(_) => panic!("{} is not on a cable", self.id),
        }
    }

    /// Sends what is due.
    pub async fn send_due(&mut self) -> Result<(), Gone> {
        loop {
            let frames = self.due();
            if frames.is_empty() {
                return Ok(());
            }
            self.transmit(frames).await?;
        }
    }

    /// Takes what is due without sending it: for those who want to alter it on the way.
    pub fn due(&mut self) -> Vec<Outgoing> {
        let now = self.site.instant();
        let mut due = self.device.poll(now, &mut random()).expect("randomness");
        let words = self.updater.as_mut().map(|updater| updater.poll(now)).unwrap_or_default();
        due.extend(words.iter().filter_map(|word| self.device.say_firmware(word, now)));
        due
    }

    /// Says MQTT's PING and takes everything that comes before its answer.
    pub async fn listen_until_ping(&mut self) -> Result<(), Gone> {
        let Some(Way::Mqtt(client)) = &mut self.way else { return Err(Gone) };
        let mut frames = Vec::new();
        for packet in client.ping().await? {
            match packet {
                Packet::Publish(_, _, frame) => frames.push(frame),
                Packet::PubAck(id) => self.acknowledged.push(id),
                other => panic!("the gate says {other:?} to {}", self.id),
            }
        }
        frames.iter().for_each(|frame| self.take(frame));
        Ok(())
    }

    /// Does what a device does until `done` gives something; an error if the link ends before.
    pub async fn run_until<T>(&mut self, mut done: impl FnMut(&Self) -> Option<T>) -> Result<T, Gone> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            self.send_due().await?;
            if let Some(done) = done(self) {
                return Ok(done);
            }
            assert!(Instant::now() < give_up, "{} waited {PATIENCE:?} in vain; it heard {:?}", self.id, self.heard);
            let now = self.site.instant();
            let firmware = self.updater.as_ref().and_then(|updater| updater.next_poll_at(now));
            let next = [self.device.next_poll_at(now), firmware].into_iter().flatten().min();
            let wait = next.map_or(PATIENCE, |at| Duration::from_millis(at.since(now) + 1));
            tokio::select! {
                frame = self.hear() => {
                    let frame = frame?;
                    self.take(&frame);
                }
                () = sleep_until((Instant::now() + wait).min(give_up)) => {}
            }
        }
    }

    fn take(&mut self, frame: &[u8]) {
        self.heard.extend(Kind::of(frame));
        for event in self.device.on_frame(frame, self.site.instant()) {
            match event {
                Event::Connected { .. } => {
                    self.connections += 1;
                    let now = self.site.instant();
                    self.updater.iter_mut().for_each(|updater| updater.connected(now));
                }
                Event::Firmware(word) => {
                    let (now, clock_us) = (self.site.instant(), self.site.now_ms() * 1_000);
                    if let Some(updater) = &mut self.updater {
                        self.happened.extend(updater.hear(&word, Some(clock_us), now));
                    }
                }
                Event::Receipted(range) => {
                    for seq in range.first.0..range.first.0 + u64::from(range.count) {
                        self.told.insert(Seq(seq), Told::Stored);
                    }
                }
                Event::Refused { seq, reason, text } => {
                    self.told.insert(seq, Told::Refused(reason, text));
                }
                Event::Closed(_) => {}
            }
        }
    }

    /// Puts a message into the outbox.
    pub fn push(&mut self, content: Content, body: Vec<u8>) -> Seq {
        self.device.push(content, body).expect("room in the outbox")
    }

    /// Puts a heart rate into the outbox.
    pub fn push_heart_rate(&mut self, per_minute: i64) -> Seq {
        self.push(Content::SenmlJson, frames::heart_rate(self.site.now_ms(), per_minute))
    }

    /// Waits for the answer to a message.
    pub async fn answer(&mut self, seq: Seq) -> Told {
        let told = self.run_until(|sensor| sensor.told.get(&seq).cloned()).await;
        told.unwrap_or_else(|Gone| panic!("{} lost its link while message {seq} had no answer", self.id))
    }

    /// Says something: the answer.
    pub async fn says(&mut self, content: Content, body: impl Into<Vec<u8>>) -> Told {
        let seq = self.push(content, body.into());
        self.answer(seq).await
    }

    /// Says something in SenML-JSON: why it was refused.
    pub async fn is_refused(&mut self, content: Content, body: impl Into<Vec<u8>>) -> (Reason, String) {
        match self.says(content, body).await {
            Told::Refused(reason, text) => (reason, text),
            Told::Stored => panic!("what {} said was taken", self.id),
        }
    }

    /// Measures a heart rate; returns when its receipt is seen.
    pub async fn heart_rate(&mut self, per_minute: i64) -> Seq {
        let seq = self.push_heart_rate(per_minute);
        assert_eq!(self.answer(seq).await, Told::Stored, "{} measured {per_minute}", self.id);
        seq
    }
}
