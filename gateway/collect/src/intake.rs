//! What the gateway must offer a gate: a place to admit clients and to put what they send.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pitchside_model::{DeviceId, LinkId, Medium};
use zeroize::Zeroizing;

use crate::link::Link;

/// Number a gate gives to something it received, handed back in [`crate::Outbound::Settled`] once its fate is known.
/// Opaque: the gate keeps in it what it needs for the acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// Where on a link something arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// PS/1 handshake frames: `ps/1/{device}/hs`.
    Handshake,
    /// PS/1 frames: `ps/1/{device}/up`, and everything on a serial line that speaks PS/1.
    Up,
    /// A password hub's topic below `in/{device}/`, not empty.
    Topic(Arc<str>),
    /// One line of SenML-JSON from a wired serial device, without its line end, or one message of packets.
    Line {
        /// Lines, just before this one, that were too long or not stored and are lost. With no bytes there is nothing but that
        /// loss.
        dropped: u64,
    },
    /// The value of a GATT characteristic of a bonded device.
    Gatt {
        /// Its 16-bit UUID.
        characteristic: u16,
        /// Values of this characteristic, just before this one, that found no room here, or were not stored, and are lost. With no bytes
        /// there is nothing but that loss.
        dropped: u64,
    },
}

/// One frame, message or line, exactly as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// For the answer.
    pub ticket: Ticket,
    /// Where it arrived.
    pub channel: Channel,
    /// The bytes. They may share a read buffer of up to 64 KiB with their neighbours: copy what is kept for long.
    pub bytes: Bytes,
    /// How long before it was handed over it arrived: what a device says while it is still being asked waits.
    pub waited: Duration,
}

/// What became of something received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Durable, or needing no durability (a handshake frame): acknowledge it.
    Stored,
    /// Will never be taken, however often it is sent. MQTT 5 says so in the acknowledgement; MQTT 3.1.1 knows only a
    /// plain acknowledgement (section 3.3.5) and gets that, so that a client does not send it for ever.
    Refused {
        /// The kind of refusal.
        code: RefusalCode,
        /// For the client, one short sentence.
        text: String,
    },
    /// Cannot be stored now (disk full): nothing is acknowledged and the connection closes as busy, so that the client
    /// keeps its message and tries again.
    Unavailable,
}

/// Why something received is refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// Not what the topic or message kind promises.
    PayloadInvalid,
    /// The sender may not send this.
    NotAuthorized,
    /// More than the sender may have.
    Quota,
    /// Anything else; the text says what.
    Other,
}

/// A client asking to be let in (an MQTT CONNECT).
pub struct Admission {
    /// The link it will have if it is admitted.
    pub link: LinkId,
    /// What the path is made of.
    pub medium: Medium,
    /// The peer's address.
    pub peer: Arc<str>,
    /// The MQTT client id, already a valid name; made up by the gate if a client with a user name sent none.
    pub client: DeviceId,
    /// User name, if one was sent.
    pub username: Option<String>,
    /// Password, if one was sent.
    pub password: Option<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("link", &self.link)
            .field("medium", &self.medium)
            .field("peer", &self.peer)
            .field("client", &self.client)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "hidden"))
            .finish()
    }
}

/// What an admitted client may do. Everything not named is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// A PS/1 device: publishes `ps/1/{device}/up` and `/hs`, reads `ps/1/{device}/dn`; its client id is its device id.
    /// Not trusted until [`Link::authenticated`].
    Ps1 {
        /// Who it claims to be.
        device: DeviceId,
    },
    /// A hub that only has a password: publishes `in/{device}/...`, reads nothing. Trusted from here on.
    Hub {
        /// Who it proved to be.
        device: DeviceId,
    },
    /// A program of the clinic: publishes nothing, reads the granted filters. Trusted from here on.
    App {
        /// Its user name.
        name: DeviceId,
        /// MQTT topic filters that cover all it may subscribe to, e.g. `alerts/#`.
        filters: Vec<String>,
    },
}

/// Why a client is not let in. What the client hears is no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Unknown user, wrong password, unknown device: not told apart.
    #[error("user name or password is wrong, or the device is unknown")]
    BadCredentials,
    /// Known, but not allowed here.
    #[error("this client may not connect here")]
    NotAuthorized,
    /// The gateway cannot decide now, or limits attempts.
    #[error("too many attempts or no capacity now; try again later")]
    Busy,
}

/// The gateway behind a gate.
#[async_trait]
pub trait Intake: Send + Sync + 'static {
    /// Decides on an MQTT CONNECT. Must answer within the time a client has to authenticate.
    async fn admit(&self, ask: Admission) -> Result<Rights, Refused>;

    /// A link is up; the first call for it.
    async fn opened(&self, link: Link);

    /// What one read brought, in order. As long as it has not returned the gate reads no more from this link. Each ticket
    /// is to be settled, now or later and in this order (MQTT, 4.6), by [`crate::Outbound::Settled`]. Runs to its end even
    /// if the peer is gone; only a shutdown whose time is over cuts it off.
    async fn take(&self, link: &Link, inbound: Vec<Inbound>);

    /// A link is down, or was turned away after [`Intake::admit`]; the last call for it.
    async fn closed(&self, link: LinkId);
}
