//! How a message travels through the router.
//!
//! ```text
//! byte 0      bit 0 QoS   bit 1 retained
//! bytes 1..3  length of the topic, big-endian
//! then        topic, payload
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use super::filter;

/// A message with the topic the clients know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub topic: Bytes,
    pub payload: Bytes,
    /// 0 or 1.
    pub qos: u8,
    /// It was published to be retained.
    pub retain: bool,
}

impl Envelope {
    /// The topic under which the router carries it.
    pub(crate) fn root(&self) -> Bytes {
        match std::str::from_utf8(&self.topic) {
            Ok(topic) => self.topic.slice(..filter::root(topic).len()),
            Err(_) => Bytes::new(),
        }
    }

    pub(crate) fn seal(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(3 + self.topic.len() + self.payload.len());
        bytes.put_u8(self.qos & 1 | u8::from(self.retain) << 1);
        bytes.put_u16(u16::try_from(self.topic.len()).unwrap_or(0));
        bytes.extend_from_slice(&self.topic);
        bytes.extend_from_slice(&self.payload);
        bytes.freeze()
    }

    /// Reads what [`Envelope::seal`] wrote.
    pub(crate) fn open(bytes: Bytes) -> Option<Self> {
        let &[flags, high, low, ..] = bytes.as_ref() else { return None };
        let end = 3 + usize::from(u16::from_be_bytes([high, low]));
        if bytes.len() < end {
            return None;
        }
        let (qos, retain) = (flags & 1, flags & 2 != 0);
        Some(Self { topic: bytes.slice(3..end), payload: bytes.slice(end..), qos, retain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sealed_opens_again(topic in "[a-z]{1,8}(/[a-z]{0,4}){0,3}", payload: Vec<u8>, qos in 0u8..2, retain: bool) {
            let root = topic.split('/').next().unwrap().to_owned();
            let envelope = Envelope { topic: topic.into(), payload: payload.into(), qos, retain };
            prop_assert_eq!(Envelope::open(envelope.seal()), Some(envelope.clone()));
            prop_assert_eq!(envelope.root(), root.as_bytes());
        }

        #[test]
        fn nothing_else_panics(bytes: Vec<u8>) {
            let _ = Envelope::open(bytes.into());
        }
    }
}
