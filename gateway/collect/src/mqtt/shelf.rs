//! Retained messages: the last word on each topic, for clients that subscribe later.
//!
//! They are kept here and not in rumqttd's router, which forgets them when it is restarted, gives them only to the first
//! subscription of a connection, and no more of them than one batch holds.

use std::collections::HashMap;

use bytes::Bytes;

use super::filter;
use super::limits::Limits;
use crate::link::Routed;

/// The retained messages, bounded in number and bytes.
#[derive(Debug)]
pub(crate) struct Shelf {
    topics_max: usize,
    bytes_max: usize,
    bytes: usize,
    messages: HashMap<Bytes, (Bytes, u8)>,
}

/// The shelf is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Shelf {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            topics_max: limits.retained_topics_max,
            bytes_max: limits.retained_bytes_max,
            bytes: 0,
            messages: HashMap::new(),
        }
    }

    /// Puts the last word on `topic`; an empty one takes it away (3.3.1.3).
    pub(crate) fn put(&mut self, topic: &Bytes, payload: &Bytes, qos: u8) -> Result<(), Full> {
        let old = self.messages.get(topic).map(|(old, _)| topic.len() + old.len());
        if payload.is_empty() {
            self.messages.remove(topic);
            self.bytes -= old.unwrap_or(0);
            return Ok(());
        }
        let bytes = self.bytes - old.unwrap_or(0) + topic.len() + payload.len();
        if bytes > self.bytes_max || (old.is_none() && self.messages.len() >= self.topics_max) {
            return Err(Full);
        }
        self.bytes = bytes;
        self.messages.insert(topic.clone(), (payload.clone(), qos));
        Ok(())
    }

    /// Puts another word in place of the last one on `topic`; where there is none it puts none.
    pub(crate) fn replace(&mut self, topic: &Bytes, payload: &Bytes) -> Result<(), Full> {
        let Some(qos) = self.messages.get(topic).map(|(_, qos)| *qos) else { return Ok(()) };
        self.put(topic, payload, qos)
    }

    /// Every message that `filter` matches, as it goes to a new subscriber with `qos`.
    pub(crate) fn matching(&self, filter: &str, qos: u8) -> Vec<Routed> {
        let matches = |topic: &Bytes| std::str::from_utf8(topic).is_ok_and(|topic| filter::matches(filter, topic));
        let mut found: Vec<_> = self
            .messages
            .iter()
            .filter(|(topic, _)| matches(topic))
            .map(|(topic, (payload, published))| Routed {
                topic: topic.clone(),
                payload: payload.clone(),
                qos: qos.min(*published),
                retain: true,
            })
            .collect();
        found.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
        found
    }

    /// Topics on the shelf.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn the_last_word_counts_and_an_empty_one_takes_it_away() {
        let mut shelf = Shelf::new(&Limits::default());
        shelf.put(&bytes("a/1"), &bytes("old"), 1).unwrap();
        shelf.put(&bytes("a/1"), &bytes("new"), 0).unwrap();
        shelf.put(&bytes("b"), &bytes("x"), 1).unwrap();
        let found = shelf.matching("a/#", 1);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].payload.as_ref(), found[0].qos, found[0].retain), (b"new".as_ref(), 0, true));
        shelf.put(&bytes("a/1"), &Bytes::new(), 0).unwrap();
        assert!(shelf.matching("a/#", 1).is_empty());
        assert_eq!((shelf.len(), shelf.bytes), (1, 2));
    }

    #[test]
    fn a_word_is_replaced_at_its_own_qos_and_where_there_is_none_none_is_put() {
        let mut shelf = Shelf::new(&Limits { retained_bytes_max: 8, ..Limits::default() });
        shelf.put(&bytes("a"), &bytes("old"), 1).unwrap();
        assert_eq!(shelf.replace(&bytes("a"), &bytes("new")), Ok(()));
        assert_eq!(shelf.replace(&bytes("b"), &bytes("new")), Ok(()));
        let found = shelf.matching("#", 1);
        assert_eq!((found.len(), found[0].payload.as_ref(), found[0].qos), (1, b"new".as_ref(), 1));
        assert_eq!(shelf.replace(&bytes("a"), &bytes("too long")), Err(Full));
        assert_eq!(
            (shelf.bytes, shelf.matching("#", 1)[0].payload.as_ref()),
            (4, b"new".as_ref()),
            "it stays as it was"
        );
    }

    #[test]
    fn a_full_shelf_refuses_new_topics_and_bytes_but_not_new_words_on_old_topics() {
        let mut shelf = Shelf::new(&Limits { retained_topics_max: 2, retained_bytes_max: 20, ..Limits::default() });
        shelf.put(&bytes("a"), &bytes("1"), 0).unwrap();
        shelf.put(&bytes("b"), &bytes("1"), 0).unwrap();
        assert_eq!(shelf.put(&bytes("c"), &bytes("1"), 0), Err(Full));
        assert_eq!(shelf.put(&bytes("a"), &bytes("22"), 0), Ok(()));
        assert_eq!(shelf.put(&bytes("a"), &bytes("12345678901234567890"), 0), Err(Full));
        assert_eq!(shelf.matching("#", 0).len(), 2);
    }
}
