//! [`Device`]: from link to session to receipts, and back again when any of them is lost.
//!
//! ```text
//!            connect: no session                    connect: a session
//!                  |                                       |
//!                  v        REPLY            READY         v
//!   +---------> attempt ------------> pending ------> live, announced by CONFIRM until READY
//!   |              | no REPLY in 5 s     | no READY after 5 CONFIRMs       |
//!   +--------------+---------------------+-------------- REFUSED, CLOSE, expired, no READY after 5
//! ```
//!
//! A REFUSED frame is signed by nobody: it can make a device say HELLO again, seldom, and nothing else.

mod inbound;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use pitchside_wire::control::Close;
use pitchside_wire::handshake::StartError;
use pitchside_wire::receipt::{Range, Reason};
use pitchside_wire::{Content, Epoch, Initiator, Kind, Millis, Random, Seq, Session, Stamp, Topic};

use crate::config::{Config, ConfigError};
use crate::outbox::{Outbox, PushError};

/// A HELLO without a REPLY is given up after this long.
pub const REPLY_WITHIN_MS: u64 = 5_000;
/// A CONFIRM without a READY is sent again after this long.
pub const READY_WITHIN_MS: u64 = 1_000;
/// CONFIRMs sent before the session is given up.
pub const CONFIRMS_MAX: u32 = 5;
/// Pause after the first failed handshake; each further one doubles it.
pub const RETRY_AFTER_MS: u64 = 1_000;
/// A REFUSED frame for the live session brings a HELLO no sooner than this after the last.
pub const HINT_AFTER_MS: u64 = 5_000;
/// The longest pause, also after a revocation.
pub const RETRY_AFTER_MAX_MS: u64 = 60_000;

/// A frame to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// On MQTT: the last level of its topic.
    pub topic: Topic,
    /// Its bytes.
    pub frame: Vec<u8>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The gateway knows us: a new session, or the old one on a new link.
    Connected {
        /// The gateway's clock, microseconds since 1970: for devices without one.
        gateway_time_us: i64,
    },
    /// Messages are durable on the gateway.
    Receipted(Range),
    /// A message was refused for good.
    Refused {
        /// Its number.
        seq: Seq,
        /// Why.
        reason: Reason,
        /// Why, in words.
        text: String,
    },
    /// The gateway ended the session.
    Closed(Close),
    /// A word about firmware, for [`Updater::hear`](crate::update::Updater::hear).
    Firmware(Vec<u8>),
}

struct Attempt {
    initiator: Initiator,
    until: Millis,
}

/// A CONFIRM that waits for its READY.
#[derive(Clone, Copy)]
struct Announcing {
    due: Millis,
    sent: u32,
}

impl Announcing {
    const NOW: Self = Self { due: Millis(0), sent: 0 };
}

/// A device.
pub struct Device {
    config: Config,
    outbox: Outbox,
    linked: bool,
    attempt: Option<Attempt>,
    pending: Option<(Session, Announcing)>,
    live: Option<Session>,
    /// The live session must be announced on this link before anything is sent in it.
    announcing: Option<Announcing>,
    /// The gateway may have forgotten the live session: nothing is sent in it until that is settled.
    doubted: bool,
    next_stamp: Stamp,
    /// No HELLO before this.
    retry_at: Millis,
    hello_at: Option<Millis>,
    failures: u32,
}

impl core::fmt::Debug for Device {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Device").field("id", &self.config.id).field("live", &self.live).finish_non_exhaustive()
    }
}

impl Device {
    /// A device that counts its messages from `next_seq` of `epoch`. One that remembers both across reboots passes the
    /// same epoch and a number above all it used; one that does not passes a random epoch and 0.
    pub fn new(config: Config, epoch: Epoch, next_seq: Seq) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            outbox: Outbox::new(epoch, next_seq, config.outbox_messages_max, config.outbox_bytes_max),
            next_stamp: config.first_stamp,
            config,
            linked: false,
            attempt: None,
            pending: None,
            live: None,
            announcing: None,
            doubted: false,
            retry_at: Millis(0),
            hello_at: None,
            failures: 0,
        })
    }

    /// The link is up, perhaps again: the frames that begin on it.
    pub fn connect(&mut self, now: Millis, random: &mut dyn Random) -> Result<Vec<Outgoing>, StartError> {
        self.linked = true;
        (self.attempt, self.pending, self.retry_at) = (None, None, now);
        self.announcing = self.live.as_ref().map(|_| Announcing::NOW);
        self.poll(now, random)
    }

    /// The link is down: nothing is sent until the next [`Device::connect`]. Messages are kept.
    pub fn disconnected(&mut self) {
        self.linked = false;
        (self.attempt, self.pending) = (None, None);
    }

    /// Takes a message: its number. It is kept until a receipt or a refusal comes.
    pub fn push(&mut self, content: Content, body: Vec<u8>) -> Result<Seq, PushError> {
        self.outbox.push(content, body)
    }

    /// Seals a word about firmware that [`Updater::poll`](crate::update::Updater::poll) gave; none without a session, and the
    /// updater says it again.
    pub fn say_firmware(&mut self, word: &[u8], now: Millis) -> Option<Outgoing> {
        if !self.is_connected() {
            return None;
        }
        let frame = self.live.as_mut()?.seal(Kind::Firmware, word, now).ok()?;
        Some(Outgoing { topic: Kind::Firmware.topic(), frame })
    }

    /// Ends the session: the last frame to send, if there is one to end.
    pub fn close(&mut self, now: Millis) -> Option<Outgoing> {
        let frame = self.live.take()?.seal(Kind::Close, &Close::Done.encode(), now).ok()?;
        self.disconnected();
        Some(Outgoing { topic: Kind::Close.topic(), frame })
    }

    /// The number the next message gets; to be stored by a device that remembers it.
    pub fn next_seq(&self) -> Seq {
        self.outbox.next_seq()
    }

    /// Above every stamp used; to be stored by a P2 device without a clock, before it sends what `poll` gave.
    pub const fn next_stamp(&self) -> Stamp {
        self.next_stamp
    }

    /// Messages without a receipt.
    pub fn unreceipted(&self) -> usize {
        self.outbox.len()
    }

    /// Whether messages are sent at once.
    pub const fn is_connected(&self) -> bool {
        self.linked && self.live.is_some() && self.announcing.is_none() && !self.doubted
    }

    /// When to poll next, if nothing happens before.
    pub fn next_poll_at(&self, now: Millis) -> Option<Millis> {
        if !self.linked {
            return None;
        }
        let attempt = self.attempt.as_ref().map(|attempt| attempt.until);
        let pending = self.pending.as_ref().map(|(_, announcing)| announcing.due);
        let hello = (attempt.is_none() && pending.is_none() && self.wants_session(now)).then_some(self.retry_at);
        let announcing = self.announcing.map(|announcing| announcing.due);
        let data = self.outbox.next_due().filter(|_| self.is_connected());
        // A session that is not used must still be renewed in time.
        let renewal = self.live.as_ref().map(|_| now.plus(RETRY_AFTER_MAX_MS));
        [attempt, pending, hello, announcing, data, renewal].into_iter().flatten().min().map(|at| at.max(now))
    }

    fn wants_session(&self, now: Millis) -> bool {
        self.doubted || self.live.as_ref().is_none_or(|session| session.wants_renewal(now))
    }

    /// The frames to send now.
    pub fn poll(&mut self, now: Millis, random: &mut dyn Random) -> Result<Vec<Outgoing>, StartError> {
        let mut out = Vec::new();
        if !self.linked {
            return Ok(out);
        }
        if self.live.as_ref().is_some_and(|session| session.is_expired(now)) {
            self.lose_session();
        }
        self.announce(now, &mut out);
        if self.attempt.as_ref().is_some_and(|attempt| now >= attempt.until) {
            self.attempt = None;
            self.failed(now, random);
        }
        if self.attempt.is_none() && self.pending.is_none() && now >= self.retry_at && self.wants_session(now) {
            out.push(self.hello(now, random)?);
        }
        self.send_data(now, &mut out);
        Ok(out)
    }

    fn hello(&mut self, now: Millis, random: &mut dyn Random) -> Result<Outgoing, StartError> {
        let stamp = self.next_stamp;
        let initiator = Initiator::start(&self.config.id, &self.config.credential, stamp, random)?;
        self.next_stamp = Stamp(stamp.0.saturating_add(1));
        self.hello_at = Some(now);
        let frame = initiator.hello().to_vec();
        self.attempt = Some(Attempt { initiator, until: now.plus(REPLY_WITHIN_MS) });
        Ok(Outgoing { topic: Kind::Hello.topic(), frame })
    }

    /// Sends the CONFIRMs that are due, and gives up a session whose CONFIRMs found no READY.
    fn announce(&mut self, now: Millis, out: &mut Vec<Outgoing>) {
        if let Some((session, announcing)) = &mut self.pending
            && !confirm(session, announcing, now, out)
        {
            self.pending = None;
            self.retry_at = now;
        }
        if let (Some(session), Some(announcing)) = (&mut self.live, &mut self.announcing)
            && !confirm(session, announcing, now, out)
        {
            self.lose_session();
        }
    }

    fn lose_session(&mut self) {
        (self.live, self.announcing, self.doubted) = (None, None, false);
    }

    /// A handshake failed: the next is later, by twice the last pause and up to as much again at random.
    fn failed(&mut self, now: Millis, random: &mut dyn Random) {
        let pause = (RETRY_AFTER_MS << self.failures.min(6)).min(RETRY_AFTER_MAX_MS / 2);
        self.failures = self.failures.saturating_add(1);
        let mut jitter = [0; 2];
        // Without randomness there is no handshake either; that is reported by the next HELLO.
        let _ = random.fill(&mut jitter);
        let jitter = pause * u64::from(u16::from_le_bytes(jitter)) / u64::from(u16::MAX);
        self.retry_at = self.retry_at.max(now.plus(pause + jitter));
    }

    fn send_data(&mut self, now: Millis, out: &mut Vec<Outgoing>) {
        if !self.is_connected() {
            return;
        }
        let Some(session) = &mut self.live else { return };
        self.outbox.send_due(now, self.config.burst_max, |header, body| {
            let sealed = session.seal_parts(Kind::Data, &[&header.encode(), body], now);
            // Used up: the next poll begins anew.
            let Ok(frame) = sealed else { return false };
            out.push(Outgoing { topic: Kind::Data.topic(), frame });
            true
        });
    }
}

/// False when enough CONFIRMs went unanswered.
fn confirm(session: &mut Session, announcing: &mut Announcing, now: Millis, out: &mut Vec<Outgoing>) -> bool {
    if now < announcing.due {
        return true;
    }
    if announcing.sent >= CONFIRMS_MAX {
        return false;
    }
    let Ok(frame) = session.seal(Kind::Confirm, &[], now) else { return false };
    out.push(Outgoing { topic: Kind::Confirm.topic(), frame });
    *announcing = Announcing { due: now.plus(READY_WITHIN_MS), sent: announcing.sent + 1 };
    true
}
