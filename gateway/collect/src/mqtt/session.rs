//! What is agreed with one client in CONNECT and CONNACK.

use std::sync::Arc;
use std::time::Duration;

use super::answer::SPOKEN_BYTES;
use super::limits::Limits;
use super::packet::Version;

/// Fixed for the life of a connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub version: Version,
    /// How long the client may be silent: one and a half times its keep-alive; `None` if it asked for no limit.
    pub silence_max: Option<Duration>,
    /// QoS 1 messages the client takes before it acknowledges.
    pub receive_max: u16,
    /// The largest packet the client takes.
    pub packet_bytes_max: usize,
    /// It wants to hear in words why something is refused (MQTT 5, 3.1.2.11.7).
    pub problem_information: bool,
    /// It asked for a session that outlives the connection.
    pub wants_session: bool,
    /// `ps/1/{device}/dn`, where the client is a PS/1 device.
    pub down_topic: Option<String>,
    pub limits: Arc<Limits>,
}

impl Session {
    /// What of `text` an acknowledgement says: all or nothing. DISCONNECT and CONNACK may say it whatever the client wants.
    pub(crate) fn spoken<'a>(&self, text: &'a str) -> &'a str {
        if self.problem_information && self.packet_bytes_max >= SPOKEN_BYTES { text } else { "" }
    }

    /// The silence that a keep-alive in seconds allows (3.1.2.10).
    pub(crate) fn silence_max(keep_alive: u16) -> Option<Duration> {
        (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1_500))
    }
}
