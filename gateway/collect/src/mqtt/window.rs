//! Routed messages on their way to one client: packet identifiers, the client's receive maximum, and what waits for it.

use std::collections::{HashSet, VecDeque};

use super::answer;
use super::packet::Version;
use super::session::Session;
use crate::link::{CloseReason, QUEUE_ITEMS_MAX, Routed};

/// QoS 1 messages without acknowledgement, whatever the client allows.
const UNACKNOWLEDGED_MAX: usize = 64;

/// The outgoing side of QoS 1.
#[derive(Debug)]
pub(crate) struct Window {
    version: Version,
    packet_bytes_max: usize,
    max: usize,
    /// All retained messages and a full queue may wait; what comes beyond that goes to a client that does not keep up.
    backlog_max: usize,
    last_id: u16,
    unacknowledged: HashSet<u16>,
    backlog: VecDeque<Routed>,
    /// Messages that were left out because the client takes none as large.
    left_out: u64,
}

impl Window {
    pub(crate) fn new(session: &Session) -> Self {
        Self {
            version: session.version,
            packet_bytes_max: session.packet_bytes_max,
            max: usize::from(session.receive_max).min(UNACKNOWLEDGED_MAX),
            backlog_max: QUEUE_ITEMS_MAX + session.limits.retained_topics_max,
            last_id: 0,
            unacknowledged: HashSet::new(),
            backlog: VecDeque::new(),
            left_out: 0,
        }
    }

    /// Takes a message; gives it back, with its packet identifier, if it may go out now.
    pub(crate) fn offer(&mut self, message: Routed) -> Result<Option<(Routed, u16)>, CloseReason> {
        let bytes = answer::publish_len(self.version, message.topic.len(), message.payload.len(), message.qos);
        if bytes > self.packet_bytes_max {
            // MQTT 5, 3.1.2.11.4: what the client is too small for is left out.
            if self.left_out == 0 {
                tracing::warn!(bytes, "a message is larger than its subscriber takes; left out");
            } else {
                tracing::debug!(bytes, "another message is larger than its subscriber takes; left out");
            }
            self.left_out += 1;
            return Ok(None);
        }
        if message.qos == 0 {
            return Ok(Some((message, 0)));
        }
        if self.unacknowledged.len() < self.max {
            let id = self.new_id();
            return Ok(Some((message, id)));
        }
        if self.backlog.len() >= self.backlog_max {
            return Err(CloseReason::SlowConsumer);
        }
        self.backlog.push_back(message);
        Ok(None)
    }

    /// Messages that were left out because the client takes none as large.
    pub(crate) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The client acknowledged `id`; the next message that may go out.
    pub(crate) fn acknowledged(&mut self, id: u16) -> Option<(Routed, u16)> {
        if !self.unacknowledged.remove(&id) {
            return None;
        }
        let message = self.backlog.pop_front()?;
        let id = self.new_id();
        Some((message, id))
    }

    /// The next identifier that is not 0 and not in use; fewer are in use than exist.
    fn new_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.unacknowledged.insert(self.last_id) {
                return self.last_id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::limits::Limits;
    use super::*;

    fn window(receive_max: u16) -> Window {
        let limits = Arc::new(Limits { retained_topics_max: 0, ..Limits::default() });
        Window::new(&Session {
            version: Version::V5,
            silence_max: None,
            receive_max,
            packet_bytes_max: 100,
            problem_information: true,
            wants_session: false,
            down_topic: None,
            limits,
        })
    }

    fn message(qos: u8, payload: usize) -> Routed {
        Routed { topic: Bytes::from_static(b"t"), payload: Bytes::from(vec![0; payload]), qos, retain: false }
    }

    #[test]
    fn no_more_go_out_than_the_client_takes_and_each_acknowledgement_lets_the_next_one_out() {
        let mut window = window(2);
        let (_, first) = window.offer(message(1, 1)).unwrap().unwrap();
        let (_, second) = window.offer(message(1, 1)).unwrap().unwrap();
        assert!(window.offer(message(1, 1)).unwrap().is_none());
        assert!(window.offer(message(0, 1)).unwrap().is_some());
        let (_, third) = window.acknowledged(first).unwrap();
        assert!(third != second && third != 0);
        assert!(window.acknowledged(first).is_none());
    }

    #[test]
    fn identifiers_go_round_past_zero_and_past_those_in_use() {
        let mut window = window(2);
        let (_, held) = window.offer(message(1, 1)).unwrap().unwrap();
        for _ in 0..70_000 {
            let (_, id) = window.offer(message(1, 1)).unwrap().unwrap();
            assert!(id != 0 && id != held);
            window.acknowledged(id);
        }
    }

    #[test]
    fn a_client_that_never_acknowledges_is_closed() {
        let mut window = window(1);
        for _ in 0..=QUEUE_ITEMS_MAX {
            window.offer(message(1, 1)).unwrap();
        }
        assert_eq!(window.offer(message(1, 1)).err(), Some(CloseReason::SlowConsumer));
    }

    #[test]
    fn what_is_too_large_for_the_client_is_left_out_and_counted() {
        let mut window = window(1);
        for count in 1..=2 {
            assert!(window.offer(message(1, 100)).unwrap().is_none());
            assert_eq!(window.left_out(), count);
        }
        assert!(window.offer(message(1, 1)).unwrap().is_some(), "it takes no place");
    }
}
