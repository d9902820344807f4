//! Why a link ends.

use std::fmt;

/// Why a link ends. The text goes to the log and, in MQTT 5, to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer said goodbye.
    Finished,
    /// The peer vanished, or the port was unplugged.
    Gone,
    /// Another connection of the same device or client proved itself.
    Superseded,
    /// The device's or user's access was withdrawn.
    Revoked,
    /// What the peer sent is not from whom it claims to be.
    NotAuthenticated,
    /// No proof of identity in the time allowed.
    AuthenticationTimeout,
    /// Silent for one and a half times its keep-alive.
    KeepAlive,
    /// It did not read what was sent to it.
    SlowConsumer,
    /// The gateway cannot store now.
    Busy,
    /// The gateway is stopping.
    ShuttingDown,
    /// Bytes that are not the protocol.
    Malformed(&'static str),
    /// A packet that must not come here.
    Protocol(&'static str),
    /// Something the peer has no right to.
    NotAuthorized(&'static str),
    /// A topic name that is not one.
    TopicInvalid(&'static str),
    /// A packet, frame or line over the limit.
    TooLarge,
    /// More unacknowledged messages than allowed.
    TooManyInFlight,
    /// A topic alias; none was offered.
    TopicAlias,
    /// A subscription identifier; none are offered.
    SubscriptionIdentifier,
    /// A shared subscription; none are offered.
    SharedSubscription,
    /// A retained message from a client that may not retain.
    Retain,
    /// More of something than allowed.
    Quota(&'static str),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "the peer said goodbye",
            Self::Gone => "the peer is gone",
            Self::Superseded => "another connection of this client proved itself",
            Self::Revoked => "access was withdrawn",
            Self::NotAuthenticated => "identity not proven",
            Self::AuthenticationTimeout => "identity not proven in time",
            Self::KeepAlive => "silent for longer than the keep-alive allows",
            Self::SlowConsumer => "too slow in reading what is sent",
            Self::Busy => "the gateway cannot store now; keep the message and try again",
            Self::ShuttingDown => "the gateway is stopping",
            Self::TooLarge => "larger than allowed",
            Self::TooManyInFlight => "more unacknowledged messages than the receive maximum",
            Self::TopicAlias => "topic aliases are not offered",
            Self::SubscriptionIdentifier => "subscription identifiers are not offered",
            Self::SharedSubscription => "shared subscriptions are not offered",
            Self::Retain => "this client may not publish retained messages",
            Self::Malformed(text)
            | Self::Protocol(text)
            | Self::NotAuthorized(text)
            | Self::TopicInvalid(text)
            | Self::Quota(text) => text,
        })
    }
}
