//! The name of one reading: `DEVICE:EPOCH:SEQ:ITEM`, e.g. `strap-1:9f03aa17c2d40b55:120:0`. The message's number, and the
//! reading's place in the message.

use std::fmt;
use std::str::FromStr;

use pitchside_model::{DeviceId, Epoch, Seq};

/// The name of one reading.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadingId {
    /// Who sent it.
    pub device: DeviceId,
    /// The device's message count.
    pub epoch: Epoch,
    /// The message.
    pub seq: Seq,
    /// Place in the message, from 0.
    pub item: u32,
}

impl fmt::Display for ReadingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}:{}:{}", self.device, self.epoch.0, self.seq.0, self.item)
    }
}

/// Not the name of a reading.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a reading's id: DEVICE:EPOCH:SEQ:ITEM, as `pitchside readings` prints it")]
pub struct NotAReadingId(String);

impl FromStr for ReadingId {
    type Err = NotAReadingId;
    fn from_str(text: &str) -> Result<Self, NotAReadingId> {
        let parse = || {
            let mut parts = text.split(':');
            let id = Self {
                device: DeviceId::parse(parts.next()?).ok()?,
                epoch: Epoch(u64::from_str_radix(parts.next()?, 16).ok()?),
                seq: Seq(parts.next()?.parse().ok()?),
                item: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(id)
        };
        parse().ok_or_else(|| NotAReadingId(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back() {
        let text = "strap-1:00000000000000ff:7:2";
        assert_eq!(text.parse::<ReadingId>().unwrap().to_string(), text);
        for bad in ["", "strap-1", "strap-1:ff:7", "strap-1:ff:7:2:1", "a/b:ff:7:2", "strap-1:xx:7:2"] {
            assert!(bad.parse::<ReadingId>().is_err(), "{bad}");
        }
    }
}
