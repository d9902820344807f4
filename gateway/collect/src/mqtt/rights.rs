//! What one client may publish, and which [`Channel`] that is.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use pitchside_model::DeviceId;

use super::filter;
use super::packet::Version;
use crate::intake::{Channel, Rights};
use crate::link::CloseReason;

/// The topics of a client, ready to be compared.
#[derive(Debug)]
pub(crate) enum Topics {
    Ps1 {
        up: Bytes,
        handshake: Bytes,
    },
    Hub {
        /// `in/{device}/`
        prefix: String,
        /// What it used so far, at most `max`: each is kept once however often it is published to.
        seen: HashSet<Arc<str>>,
        max: usize,
    },
    App,
}

/// The topic on which a PS/1 device is answered.
pub(crate) fn down_topic(device: &DeviceId) -> String {
    format!("ps/1/{device}/dn")
}

impl Topics {
    pub(crate) fn new(rights: &Rights, hub_topics_max: usize) -> Self {
        match rights {
            Rights::Ps1 { device } => Self::Ps1 {
                up: Bytes::from(format!("ps/1/{device}/up")),
                handshake: Bytes::from(format!("ps/1/{device}/hs")),
            },
            Rights::Hub { device } => {
                Self::Hub { prefix: format!("in/{device}/"), seen: HashSet::new(), max: hub_topics_max }
            }
            Rights::App { .. } => Self::App,
        }
    }

    /// Whether a message or will marked as retained is taken, as any other: nothing is kept. A hub of MQTT 3.1.1 cannot be told
    /// that there is no retaining, and may be told so by nothing happening (3.3.1.3); nobody reads its topics from us anyway.
    pub(crate) const fn may_ask_to_retain(&self, version: Version) -> bool {
        matches!((self, version), (Self::Hub { .. }, Version::V4))
    }

    /// The channel of `topic`, or why this client may not publish to it.
    pub(crate) fn channel(&mut self, topic: &[u8]) -> Result<Channel, CloseReason> {
        match self {
            Self::Ps1 { up, .. } if up == topic => Ok(Channel::Up),
            Self::Ps1 { handshake, .. } if handshake == topic => Ok(Channel::Handshake),
            Self::Ps1 { .. } => filter::topic_name(topic).and(Err(CloseReason::NotAuthorized(
                "a PS/1 device publishes only to ps/1/{its id}/up and ps/1/{its id}/hs",
            ))),
            Self::App => {
                filter::topic_name(topic).and(Err(CloseReason::NotAuthorized("this client may not publish anything")))
            }
            Self::Hub { prefix, seen, max } => {
                let topic = filter::topic_name(topic)?;
                let below = topic.strip_prefix(prefix.as_str()).filter(|below| !below.is_empty());
                let below = below.ok_or(CloseReason::NotAuthorized("a hub publishes only below in/{its id}/"))?;
                if let Some(known) = seen.get(below) {
                    return Ok(Channel::Topic(known.clone()));
                }
                if seen.len() >= *max {
                    return Err(CloseReason::Quota("more topics than one connection may use"));
                }
                let known: Arc<str> = Arc::from(below);
                seen.insert(known.clone());
                Ok(Channel::Topic(known))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> DeviceId {
        DeviceId::parse(text).unwrap()
    }

    #[test]
    fn a_device_publishes_to_its_own_two_topics_only() {
        let mut topics = Topics::new(&Rights::Ps1 { device: id("s7") }, 8);
        assert_eq!(topics.channel(b"ps/1/s7/up"), Ok(Channel::Up));
        assert_eq!(topics.channel(b"ps/1/s7/hs"), Ok(Channel::Handshake));
        for other in ["ps/1/s8/up", "ps/1/s7/dn", "ps/1/s7/up/x", "in/s7/x", "$SYS/x"] {
            assert!(matches!(topics.channel(other.as_bytes()), Err(CloseReason::NotAuthorized(_))), "{other}");
        }
        for invalid in ["ps/1/+/up", "ps/1/s7/#"] {
            assert!(matches!(topics.channel(invalid.as_bytes()), Err(CloseReason::TopicInvalid(_))), "{invalid}");
        }
        assert!(matches!(topics.channel(b""), Err(CloseReason::Protocol(_))));
        assert!(matches!(topics.channel(b"ps/1/\xff/up"), Err(CloseReason::Malformed(_))));
    }

    #[test]
    fn a_hub_publishes_below_its_own_name_and_not_to_ever_more_topics() {
        let mut topics = Topics::new(&Rights::Hub { device: id("h1") }, 2);
        assert_eq!(topics.channel(b"in/h1/a"), Ok(Channel::Topic("a".into())));
        assert_eq!(topics.channel(b"in/h1/b/c"), Ok(Channel::Topic("b/c".into())));
        assert_eq!(topics.channel(b"in/h1/a"), Ok(Channel::Topic("a".into())));
        assert!(matches!(topics.channel(b"in/h1/d"), Err(CloseReason::Quota(_))));
        for other in ["in/h1", "in/h1/", "in/h2/a", "in/h11/a", "alerts/x"] {
            assert!(matches!(topics.channel(other.as_bytes()), Err(CloseReason::NotAuthorized(_))), "{other}");
        }
    }
}
