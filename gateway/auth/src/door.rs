//! What comes out of the door: something accepted, or a refusal that says little to the outside and all to the log.

use std::fmt;

use pitchside_model::{Authentic, DeviceId, Epoch, LinkId, Payload, Seq};
use pitchside_wire::frame::FrameError;
use pitchside_wire::handshake::HelloError;
use pitchside_wire::message::MessageError;

use crate::auth::SessionKey;
use crate::kek::UnwrapError;
use crate::keystore::KeyStoreError;

/// What a frame came to.
#[derive(Debug)]
pub enum Accepted {
    /// A step of a handshake, or a word on how to go on: send this back.
    Reply(Vec<u8>),
    /// The device proved itself on this link: a new session, or its old one on a new link.
    Established {
        /// Who.
        device: DeviceId,
        /// Send this back.
        reply: Option<Vec<u8>>,
        /// The link it was on before: close it.
        supersedes: Option<LinkId>,
    },
    /// A message.
    Message {
        /// Where its receipt goes.
        session: SessionKey,
        /// The message.
        message: Authentic<Payload>,
        /// The device's message count.
        epoch: Epoch,
        /// The message's number.
        seq: Seq,
    },
    /// A word about firmware.
    Firmware {
        /// Where the answer goes.
        session: SessionKey,
        /// Who.
        device: DeviceId,
        /// The word (`wire::firmware::Up`), not read yet.
        word: Vec<u8>,
    },
    /// Taken, and nothing follows (a device's CLOSE).
    Nothing,
}

/// Why something was refused. Precise, so for the log alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Not a HELLO.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// Nobody of that name is enrolled.
    #[error("no device of that name is enrolled")]
    UnknownDevice,
    /// The device was revoked.
    #[error("the device is revoked")]
    Revoked,
    /// The device is enrolled in another class.
    #[error("the device is enrolled in another class")]
    WrongClass,
    /// Wrong key, or changed on the way.
    #[error("does not authenticate: wrong key, or changed on the way")]
    Forged,
    /// Class P2: not the enrolled key.
    #[error("the device's static key is not the enrolled one")]
    WrongStatic,
    /// Class P2: a HELLO no newer than one confirmed before.
    #[error("the hello is a replay: its stamp is not newer than the last")]
    StaleStamp,
    /// No session of that number, or it has ended.
    #[error("no such session")]
    NoSession,
    /// A frame of one device on a link that belongs to another.
    #[error("the frame is of another device than the link")]
    AnotherDevice,
    /// A frame on a link the session was not confirmed on.
    #[error("the session is on another link: confirm it here first")]
    AnotherLink,
    /// The counter was accepted before, or is too old to tell.
    #[error("a replay: {0}")]
    Replayed(pitchside_wire::window::Stale),
    /// A HELLO that was answered before.
    #[error("a replay: this hello was answered before")]
    RepeatedHello,
    /// Genuine, but from before a restart, perhaps seen: the device was told to move on.
    #[error("the counter may have been accepted before a restart")]
    BelowFloor,
    /// The counter leapt too far ahead, or too often.
    #[error("the device leaps through its counters")]
    Leap,
    /// Two hours or 1 GiB are over.
    #[error("the session is used up")]
    Expired,
    /// The message inside is not one.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The name and password do not fit, whichever it was.
    #[error("no such name, or a wrong password")]
    Password,
    /// Bonded, but not as its enrolment asks.
    #[error(
        "the bond is weaker than its enrolment asks: LE Secure Connections with 128 bits, and the agreed code; remove it and pair again"
    )]
    WeakBond,
    /// Too many attempts.
    #[error("too many attempts")]
    RateLimited,
    /// Too much at once.
    #[error("too many handshakes or verifications at once")]
    Busy,
    /// The stored keys cannot be used.
    #[error("stored keys: {0}")]
    Stored(#[from] UnwrapError),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] pitchside_wire::RandomFailed),
}

impl Cause {
    /// One word for counters and metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Frame(_) => "not_a_frame",
            Self::Hello(_) => "not_a_hello",
            Self::UnknownDevice => "unknown_device",
            Self::Revoked => "revoked",
            Self::WrongClass => "wrong_class",
            Self::Forged => "forged",
            Self::WrongStatic => "wrong_static",
            Self::StaleStamp => "stale_stamp",
            Self::NoSession => "no_session",
            Self::AnotherDevice => "another_device",
            Self::AnotherLink => "another_link",
            Self::Replayed(_) => "replayed",
            Self::RepeatedHello => "repeated_hello",
            Self::BelowFloor => "below_floor",
            Self::Leap => "leap",
            Self::Expired => "expired",
            Self::Message(_) => "not_a_message",
            Self::Password => "password",
            Self::WeakBond => "weak_bond",
            Self::RateLimited => "rate_limited",
            Self::Busy => "busy",
            Self::Stored(_) => "stored_keys",
            Self::Store(_) => "key_store",
            Self::Random(_) => "random",
        }
    }
}

/// A refusal: its cause for the log, the one answer for the outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) cause: Cause,
    pub(crate) answer: Option<Vec<u8>>,
    pub(crate) close: bool,
}

impl Refusal {
    /// Refused, with nothing to send back.
    pub(crate) const fn silent(cause: Cause) -> Self {
        Self { cause, answer: None, close: false }
    }

    /// Why; never to be sent.
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }

    /// One word for counters and metrics.
    pub const fn word(&self) -> &'static str {
        self.cause.word()
    }

    /// A frame to send back, the same whatever the cause; none for replays and beyond the rate.
    pub fn answer(&self) -> Option<Vec<u8>> {
        self.answer.clone()
    }

    /// The link has used up its credit: close it.
    pub const fn must_close(&self) -> bool {
        self.close
    }

    /// Trying again later may help.
    pub const fn is_busy(&self) -> bool {
        matches!(self.cause, Cause::Busy | Cause::RateLimited | Cause::Store(_) | Cause::Random(_))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusal({:?}, close: {})", self.cause, self.close)
    }
}
impl std::error::Error for Refusal {}
