//! The kind of hub that only has a password: MQTT user name and password, one topic, and the PUBACK as its only receipt.
//!
//! Such a hub has no message numbers: what it sends again after a lost connection the gateway may take twice.

use std::collections::VecDeque;
use std::future::pending;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;

use crate::line::{KEEP_ALIVE_S, Session};
use crate::mqtt::codec::{self, Packet};
use crate::report::{Counts, Event, say};
use crate::run::Schedule;
use crate::source::Measured;
use crate::spec::{LinkSpec, Spec};

/// Messages without a PUBACK; further ones wait.
const IN_FLIGHT_MAX: usize = 64;
/// Messages the hub remembers.
const MEMORY_MAX: usize = 1_024;
const RETRY: Duration = Duration::from_millis(250);
const PROGRESS: Duration = Duration::from_secs(1);

struct Hub<'a> {
    spec: &'a Spec,
    password: String,
    topic: String,
    schedule: Schedule,
    counts: Counts,
    /// Measured and not acknowledged, oldest first; those published have the packet id of this connection.
    waiting: VecDeque<(Option<u16>, Measured)>,
    session: Option<Session>,
    next_try: Instant,
    next_ping: Instant,
}

/// Runs a hub to its end; what became of its readings.
pub async fn run(spec: &Spec, stop: impl Future<Output = ()>) -> anyhow::Result<Counts> {
    let LinkSpec::Password { password_file, to } = &spec.link else { bail!("not a hub") };
    let password = std::fs::read_to_string(password_file)
        .with_context(|| format!("cannot read {}", password_file.display()))?
        .trim_end()
        .to_owned();
    if to.ca_file.is_none() {
        bail!("a password is sent over TLS only: name the gateway's ca_file");
    }
    let mut hub = Hub {
        spec,
        password,
        topic: format!("in/{}/live", spec.device),
        schedule: Schedule::start(spec)?,
        counts: Counts::default(),
        waiting: VecDeque::new(),
        session: None,
        next_try: Instant::now(),
        next_ping: Instant::now(),
    };
    hub.live(stop).await;
    Ok(hub.counts)
}

impl Hub<'_> {
    async fn live(&mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let linger = Duration::from_secs_f64(self.spec.replay.linger_s.max(0.0));
        let (mut give_up, mut progress) = (None, Instant::now() + PROGRESS);
        loop {
            while self.waiting.len() < MEMORY_MAX
                && let Some(measured) = self.schedule.take()
            {
                self.counts.add(&measured);
                self.waiting.push_back((None, measured));
            }
            if self.schedule.is_over() && self.waiting.is_empty() {
                break;
            }
            if self.schedule.has_ended() && Instant::now() >= *give_up.get_or_insert_with(|| Instant::now() + linger) {
                break;
            }
            if let Err(error) = self.send().await {
                self.down(&format!("{error:#}"));
            }
            if Instant::now() >= progress {
                say(&self.spec.device, &Event::Progress(self.counts));
                progress += PROGRESS;
            }
            let soon = Instant::now() + Duration::from_millis(100);
            let wake = self.schedule.due().filter(|_| self.waiting.len() < MEMORY_MAX).unwrap_or(soon).min(soon);
            let packet = async {
                match &mut self.session {
                    Some(session) => session.packet().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                packet = packet => {
                    if let Err(error) = packet.and_then(|packet| self.take(&packet)) {
                        self.down(&format!("{error:#}"));
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
                () = &mut stop, if !self.schedule.is_over() => self.schedule.stop(),
            }
        }
        // What found no room is lost, and counted.
        while let Some(measured) = self.schedule.take() {
            self.counts.add(&measured);
        }
        if let Some(mut session) = self.session.take() {
            let mut out = Vec::new();
            codec::disconnect(&mut out);
            // Everything is acknowledged or given up by now.
            let _ = session.connection.write_all(&out).await;
            let _ = session.connection.shutdown().await;
        }
    }

    /// Connects if need be, and publishes what is due.
    async fn send(&mut self) -> anyhow::Result<()> {
        if self.schedule.holds(self.spec.faults.unplugged) {
            if self.session.is_some() {
                say(&self.spec.device, &Event::Unplugged);
                self.forget();
            }
            return Ok(());
        }
        if self.session.is_none() {
            if Instant::now() < self.next_try {
                return Ok(());
            }
            self.next_try = Instant::now() + RETRY;
            let LinkSpec::Password { to, .. } = &self.spec.link else { bail!("not a hub") };
            let login = Some((self.spec.device.as_str(), self.password.as_str()));
            self.session = Some(Session::open(to, &self.spec.device, login).await?);
            self.counts.connected += 1;
            say(&self.spec.device, &Event::Connected);
        }
        let Some(session) = &mut self.session else { return Ok(()) };
        let mut out = Vec::new();
        for (id, measured) in self.waiting.iter_mut().take(IN_FLIGHT_MAX).filter(|(id, _)| id.is_none()) {
            let number = session.ids.next_id();
            *id = Some(number);
            codec::publish(&mut out, &self.topic, number, &measured.body);
        }
        if Instant::now() >= self.next_ping {
            codec::ping(&mut out);
            self.next_ping = Instant::now() + Duration::from_secs(u64::from(KEEP_ALIVE_S) / 2);
        }
        session.connection.write_all(&out).await?;
        session.connection.flush().await?;
        Ok(())
    }

    fn take(&mut self, packet: &Packet) -> anyhow::Result<()> {
        match packet {
            Packet::PubAck(id) => {
                let at = self.waiting.iter().position(|(waits, _)| *waits == Some(*id));
                let at = at.with_context(|| format!("the gateway acknowledged {id}, which waits for nothing"))?;
                self.counts.acknowledged += self.waiting.remove(at).map_or(0, |(_, measured)| measured.readings);
                Ok(())
            }
            Packet::PingResp => Ok(()),
            other => bail!("the gateway sent {other:?} out of turn"),
        }
    }

    fn down(&mut self, reason: &str) {
        say(&self.spec.device, &Event::Disconnected { reason });
        self.forget();
        self.next_try = Instant::now() + RETRY;
    }

    /// What had no PUBACK on this connection may or may not have arrived: it is sent again on the next.
    fn forget(&mut self) {
        self.session = None;
        self.waiting.iter_mut().for_each(|(id, _)| *id = None);
    }
}
