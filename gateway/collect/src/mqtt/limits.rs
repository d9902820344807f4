//! How much of everything.

use std::time::Duration;

/// Bounds of the gate. What goes past one is refused with a reason; nothing grows with what clients send.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections at a time from one address (an IPv6 /64 counts as one; loopback is exempt).
    pub connections_per_address_max: usize,
    /// Connections at a time that have not proven who they are.
    pub unauthenticated_max: usize,
    /// The same from one address.
    pub unauthenticated_per_address_max: usize,
    /// From the accepted connection to the proof: TLS, CONNECT and the first accepted handshake together.
    pub authenticate_within: Duration,
    /// A whole MQTT packet. CONNECT has [`CONNECT_BYTES_MAX`].
    pub packet_bytes_max: usize,
    /// QoS 1 and 2 messages of one connection that are not settled. MQTT 5 clients are told (receive maximum) and closed
    /// if they exceed it; for others the gate stops reading.
    pub in_flight_max: u16,
    /// The same in bytes of payload; the gate stops reading.
    pub in_flight_bytes_max: usize,
    /// Filters one connection may be subscribed to.
    pub subscriptions_max: usize,
    /// Topics one hub may use in one connection.
    pub hub_topics_max: usize,
    /// How long one write may make no progress.
    pub write_within: Duration,
    /// From [`super::Gate::shutdown`] to the end of the last connection.
    pub shutdown_within: Duration,
    /// Topics with a retained message.
    pub retained_topics_max: usize,
    /// Bytes of retained messages, topics included.
    pub retained_bytes_max: usize,
    /// Messages published by the gateway that wait for the router.
    pub publish_queue_max: usize,
    /// First levels of topics that the router knows (`alerts`, `live`, ...).
    pub roots_max: usize,
}

/// The largest CONNECT, in bytes: before it nobody is known.
pub const CONNECT_BYTES_MAX: usize = 8 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 2_048,
            connections_per_address_max: 256,
            unauthenticated_max: 256,
            unauthenticated_per_address_max: 32,
            authenticate_within: Duration::from_secs(10),
            packet_bytes_max: 64 * 1024,
            in_flight_max: 1_024,
            in_flight_bytes_max: 1024 * 1024,
            subscriptions_max: 32,
            hub_topics_max: 256,
            write_within: Duration::from_secs(10),
            shutdown_within: Duration::from_secs(5),
            retained_topics_max: 4_096,
            retained_bytes_max: 16 * 1024 * 1024,
            publish_queue_max: 4_096,
            roots_max: 16,
        }
    }
}
