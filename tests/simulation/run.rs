//! A sensor's life: measure when it is due, send, wait for receipts, find the way back when the line is gone.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pitchside_device_sdk::{Config, Device, Event as DeviceEvent, Outgoing};
use pitchside_wire::{Epoch, Millis, Random, RandomFailed, Seq, Stamp};

use crate::card;
use crate::clock::Pace;
use crate::line::{KEEP_ALIVE_S, Line};
use crate::pty::Plug;
use crate::report::{Counts, Event, say};
use crate::source::{Measured, Source};
use crate::spec::{LinkSpec, Spec, Stretch};
use crate::wall::wall_us;

/// Between two attempts to get a line.
const RETRY: Duration = Duration::from_millis(250);
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(1);

fn random() -> impl Random {
    |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|_| RandomFailed)
}

/// The schedule of a replay, and where it stands.
pub struct Schedule {
    /// The clocks.
    pub pace: Pace,
    source: Source,
    next: Option<Measured>,
    began: Instant,
    /// Set when told to stop: nothing more is measured.
    stopped: bool,
}

impl Schedule {
    /// Opens the source and sets the clocks.
    pub fn start(spec: &Spec) -> anyhow::Result<Self> {
        let (mut source, left_s) = Source::open(spec)?;
        let (replay, now_us) = (&spec.replay, wall_us());
        let start_us = replay.start_unix_ms.map_or(now_us, |ms| ms.saturating_mul(1_000));
        let duration_s = replay.duration_s.unwrap_or(left_s / replay.speed);
        let pace = Pace { start_us, speed: replay.speed, duration_s, skew_us: replay.clock_skew_ms * 1_000 };
        source.start(pace);
        let next = source.next_message();
        // Time is told by the monotonic clock from here on, whatever happens to the wall's.
        let ahead = Duration::from_micros(u64::try_from(start_us - now_us).unwrap_or(0));
        let behind = Duration::from_micros(u64::try_from(now_us - start_us).unwrap_or(0));
        let began = Instant::now().checked_sub(behind).unwrap_or_else(Instant::now) + ahead;
        say(&spec.device, &Event::Started { first_us: pace.device_us(0), duration_s });
        Ok(Self { pace, source, next, began, stopped: false })
    }

    /// When the next message is due; none when all are taken.
    pub fn due(&self) -> Option<Instant> {
        let next = self.next.as_ref().filter(|_| !self.stopped)?;
        Some(self.began + Duration::from_micros(u64::try_from(self.pace.wall_us(next.played_us)).unwrap_or(0)))
    }

    /// The next message, if it is due.
    pub fn take(&mut self) -> Option<Measured> {
        if self.due()? > Instant::now() {
            return None;
        }
        let taken = self.next.take();
        self.next = self.source.next_message();
        taken
    }

    /// Whether something goes on now, by seconds of recording.
    pub fn holds(&self, stretch: Option<Stretch>) -> bool {
        let played_us = self.began.elapsed().as_micros() as f64 * self.pace.speed;
        Stretch::holds(stretch, played_us as i64)
    }

    /// Measures nothing more.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether everything was taken.
    pub fn is_over(&self) -> bool {
        self.stopped || self.next.is_none()
    }

    /// Whether nothing more happens, taken or not.
    pub fn has_ended(&self) -> bool {
        self.stopped || self.began.elapsed().as_secs_f64() >= self.pace.duration_s
    }
}

/// A PS/1 device and what it waits for.
struct Sensor<'a> {
    spec: &'a Spec,
    device: Device,
    schedule: Schedule,
    counts: Counts,
    /// Readings of each message without a receipt.
    waiting: BTreeMap<u64, u64>,
    /// Measured, but the outbox is full.
    held: Option<Measured>,
    born: Instant,
}

/// Runs a PS/1 sensor to its end; what became of its readings.
pub async fn run(spec: &Spec, stop: impl Future<Output = ()>) -> anyhow::Result<Counts> {
    let (LinkSpec::Mqtt { secret_file, .. } | LinkSpec::Serial { secret_file, .. }) = &spec.link else {
        anyhow::bail!("a hub has no PS/1 session");
    };
    let (device, credential) = card::read(secret_file)?;
    if device != spec.device {
        anyhow::bail!("{} is the enrolment of {device}, not of {}", secret_file.display(), spec.device);
    }
    let mut epoch = [0; 8];
    getrandom::fill(&mut epoch).context("no randomness")?;
    let stamp = Stamp(u64::try_from(wall_us() / 1_000).unwrap_or(1));
    let config = Config { first_stamp: stamp, ..Config::new(&spec.device, credential) };
    let device = Device::new(config, Epoch(u64::from_le_bytes(epoch)), Seq(0))?;
    let schedule = Schedule::start(spec)?;
    let mut sensor = Sensor {
        spec,
        device,
        schedule,
        counts: Counts::default(),
        waiting: BTreeMap::new(),
        held: None,
        born: Instant::now(),
    };
    sensor.live(stop).await?;
    Ok(sensor.counts)
}

impl Sensor<'_> {
    fn now(&self) -> Millis {
        Millis(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Lines come and go until everything is receipted or patience ends.
    async fn live(&mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut stop = std::pin::pin!(stop);
        let (mut give_up, mut progress, mut unplugged) = (None, Instant::now() + PROGRESS, false);
        let (mut line, mut next_try, mut next_ping) = (None::<Line>, Instant::now(), Instant::now());
        let linger = Duration::from_secs_f64(self.spec.replay.linger_s.max(0.0));
        loop {
            self.measure();
            if self.schedule.is_over() && self.held.is_none() && self.waiting.is_empty() {
                break;
            }
            if self.schedule.has_ended() && Instant::now() >= *give_up.get_or_insert_with(|| Instant::now() + linger) {
                break;
            }
            let pulled = self.schedule.holds(self.spec.faults.unplugged);
            if pulled && !unplugged {
                (line, next_try) = (None, Instant::now());
                self.device.disconnected();
                say(&self.spec.device, &Event::Unplugged);
            }
            unplugged = pulled;
            if line.is_none() && !unplugged && Instant::now() >= next_try {
                match self.connect().await {
                    Ok(up) => (line, next_ping) = (Some(up), Instant::now()),
                    Err(error) => {
                        say(&self.spec.device, &Event::Disconnected { reason: &format!("{error:#}") });
                        next_try = Instant::now() + RETRY;
                    }
                }
            }
            if let Some(up) = &mut line
                && let Err(error) = self.exchange(up, &mut next_ping).await
            {
                say(&self.spec.device, &Event::Disconnected { reason: &format!("{error:#}") });
                self.device.disconnected();
                (line, next_try) = (None, Instant::now() + RETRY);
            }
            if Instant::now() >= progress {
                say(&self.spec.device, &Event::Progress(self.counts));
                progress += PROGRESS;
            }
            let wake = self.wake(line.is_some(), next_try).min(progress);
            let received = async {
                match &mut line {
                    Some(up) => up.receive().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                frame = received => match frame {
                    Ok(frame) => self.take(&frame),
                    Err(error) => {
                        say(&self.spec.device, &Event::Disconnected { reason: &format!("{error:#}") });
                        self.device.disconnected();
                        (line, next_try) = (None, Instant::now() + RETRY);
                    }
                },
                () = tokio::time::sleep_until(wake.into()) => {}
                () = &mut stop, if !self.schedule.is_over() => self.schedule.stop(),
            }
        }
        // What found no room is lost, and counted.
        while let Some(measured) = self.held.take().or_else(|| self.schedule.take()) {
            self.counts.add(&measured);
        }
        if let Some(mut up) = line {
            if let Some(Outgoing { topic, frame }) = self.device.close(self.now()) {
                // All is receipted or given up: whether this arrives changes nothing.
                let _ = up.send(&[(topic, frame)]).await;
            }
            up.close().await;
        }
        Ok(())
    }

    /// Takes every message that is due, until the outbox is full.
    fn measure(&mut self) {
        while let Some(measured) = self.held.take().or_else(|| self.schedule.take()) {
            match self.device.push(measured.content, measured.body.clone()) {
                Ok(seq) => {
                    self.waiting.insert(seq.0, measured.readings);
                    self.counts.add(&measured);
                }
                Err(_full) => {
                    self.held = Some(measured);
                    return;
                }
            }
        }
    }

    async fn connect(&mut self) -> anyhow::Result<Line> {
        let mut line = match &self.spec.link {
            LinkSpec::Mqtt { to, .. } => Line::mqtt(to, &self.spec.device).await?,
            LinkSpec::Serial { path, .. } => Line::serial(Box::pin(Plug::plug_in(path)?)),
            LinkSpec::Password { .. } => anyhow::bail!("a hub has no PS/1 session"),
        };
        let frames = self.device.connect(self.now(), &mut random())?;
        line.send(&outgoing(frames)).await?;
        Ok(line)
    }

    async fn exchange(&mut self, line: &mut Line, next_ping: &mut Instant) -> anyhow::Result<()> {
        loop {
            let frames = self.device.poll(self.now(), &mut random())?;
            if frames.is_empty() {
                break;
            }
            line.send(&outgoing(frames)).await?;
        }
        if Instant::now() >= *next_ping {
            line.ping().await?;
            *next_ping = Instant::now() + Duration::from_secs(u64::from(KEEP_ALIVE_S) / 2);
        }
        Ok(())
    }

    fn wake(&self, connected: bool, next_try: Instant) -> Instant {
        let poll = self.device.next_poll_at(self.now()).map(|at| self.born + Duration::from_millis(at.0));
        let due = self.schedule.due().filter(|_| self.held.is_none());
        let retry = (!connected).then_some(next_try.max(Instant::now() + Duration::from_millis(10)));
        // A full outbox or an unplugged line is looked at again soon.
        let soon = Instant::now() + Duration::from_millis(100);
        [poll, due, retry].into_iter().flatten().min().unwrap_or(soon).min(soon)
    }

    /// Takes what the gateway said.
    fn take(&mut self, frame: &[u8]) {
        let device = &self.spec.device;
        let now = self.now();
        for event in self.device.on_frame(frame, now) {
            match event {
                DeviceEvent::Connected { .. } => {
                    self.counts.connected += 1;
                    say(device, &Event::Connected);
                }
                DeviceEvent::Receipted(range) => {
                    let end = range.first.0.saturating_add(u64::from(range.count));
                    let mut later = self.waiting.split_off(&range.first.0);
                    let after = later.split_off(&end);
                    self.counts.acknowledged += later.values().sum::<u64>();
                    self.waiting.extend(after);
                }
                DeviceEvent::Refused { seq, reason, text } => {
                    self.counts.refused += self.waiting.remove(&seq.0).unwrap_or(0);
                    say(device, &Event::Refused { seq: seq.0, reason: reason.0, text: &text });
                }
                // A simulated sensor has no flash, never speaks of firmware, and so never hears of it.
                DeviceEvent::Firmware(_) => {}
                DeviceEvent::Closed(why) => {
                    say(device, &Event::Disconnected { reason: &format!("the gateway closed the session: {why:?}") });
                }
            }
        }
    }
}

fn outgoing(frames: Vec<Outgoing>) -> Vec<(pitchside_wire::Topic, Vec<u8>)> {
    frames.into_iter().map(|Outgoing { topic, frame }| (topic, frame)).collect()
}

#[cfg(test)]
mod tests;
