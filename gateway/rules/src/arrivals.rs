//! What has been seen already: every message once, every stream forwards.

use pitchside_model::{Epoch, Seq};
use serde::{Deserialize, Serialize};

/// Numbers behind the newest that are still told apart; more than a device may have under way.
pub const REACH: u64 = 1_024;
/// Message counts remembered for a device: its own before and after restarts, and the gateway's for gaps.
const EPOCHS_MAX: usize = 8;
/// So many messages in a row, each newer than the one before but older than the stream's newest, mean that the
/// stream's clock was set back; fewer are stragglers.
const SET_BACK: u8 = 8;
const WORDS: usize = (REACH / 64) as usize;

/// The numbers seen in one of a device's message counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    epoch: Epoch,
    newest: u64,
    /// Bit `n % REACH`: number `n` was seen, for the REACH numbers up to `newest`.
    seen: [u64; WORDS],
}

/// The messages of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// Least lately used first.
    counts: Vec<Count>,
}

impl Messages {
    /// True the first time a message is seen; false if it was, or is too old to tell.
    pub fn first(&mut self, epoch: Epoch, Seq(seq): Seq) -> bool {
        let Some(at) = self.counts.iter().position(|count| count.epoch == epoch) else {
            if self.counts.len() >= EPOCHS_MAX {
                self.counts.remove(0);
            }
            let mut count = Count { epoch, newest: seq, seen: [0; WORDS] };
            count.mark(seq);
            self.counts.push(count);
            return true;
        };
        if at + 1 < self.counts.len() {
            let count = self.counts.remove(at);
            self.counts.push(count);
        }
        self.counts.last_mut().is_some_and(|count| count.first(seq))
    }
}

impl Count {
    fn place(seq: u64) -> (usize, u64) {
        let bit = seq % REACH;
        ((bit / 64) as usize, 1 << (bit % 64))
    }
    fn mark(&mut self, seq: u64) {
        let (word, bit) = Self::place(seq);
        self.seen[word] |= bit;
    }
    fn first(&mut self, seq: u64) -> bool {
        if seq > self.newest {
            if seq - self.newest >= REACH {
                self.seen = [0; WORDS];
            } else {
                for between in self.newest + 1..=seq {
                    let (word, bit) = Self::place(between);
                    self.seen[word] &= !bit;
                }
            }
            self.newest = seq;
        } else if self.newest - seq >= REACH {
            return false;
        }
        let (word, bit) = Self::place(seq);
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }
}

/// How far one stream has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    newest: Option<i64>,
    /// How many messages in a row were older than `newest`; the last of them, and its time.
    behind: u8,
    behind_message: u64,
    behind_time: i64,
    /// Whether the device sends it itself: then nothing is derived in its place.
    pub own: bool,
}

/// Where a reading stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// After all before it.
    Onward,
    /// The stream's clock was set back, to here: what was before it no longer counts.
    SetBack,
    /// Late or twice: windows cannot take it.
    Behind,
}

impl Progress {
    /// A reading of this time arrives; `message` numbers the messages in the order they came.
    pub fn arrive(&mut self, message: u64, time: i64) -> Order {
        match self.newest {
            Some(newest) if time <= newest => {
                if self.behind > 0 && self.behind_message == message {
                    return Order::Behind;
                }
                self.behind = if self.behind > 0 && time > self.behind_time { self.behind + 1 } else { 1 };
                (self.behind_message, self.behind_time) = (message, time);
                if self.behind < SET_BACK {
                    return Order::Behind;
                }
                self.begin(time);
                Order::SetBack
            }
            _ => {
                self.begin(time);
                Order::Onward
            }
        }
    }

    /// This is the newest, whatever was before it.
    fn begin(&mut self, time: i64) {
        *self = Self { newest: Some(time), own: self.own, ..Self::default() };
    }

    /// The device says its clock jumped, to here.
    pub fn step(&mut self, time: i64) {
        self.begin(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    proptest::proptest! {
        #[test]
        fn no_message_counts_twice(seqs in proptest::collection::vec((0u64..3, 0u64..4_000), 0..300)) {
            let (mut messages, mut seen) = (Messages::default(), BTreeSet::new());
            for (epoch, seq) in seqs {
                let first = messages.first(Epoch(epoch), Seq(seq));
                let new = seen.insert((epoch, seq));
                proptest::prop_assert!(new || !first);
                let newest = seen.iter().filter(|(e, _)| *e == epoch).map(|(_, s)| *s).max().unwrap_or(0);
                if new && newest - seq < REACH {
                    proptest::prop_assert!(first);
                }
            }
        }
    }

    #[test]
    fn stragglers_are_left_behind_and_a_clock_set_back_is_followed() {
        let mut progress = Progress::default();
        assert_eq!(progress.arrive(0, 100), Order::Onward);
        for late in [50, 100, 60, 99] {
            assert_eq!(progress.arrive(late as u64, late), Order::Behind);
        }
        assert_eq!(progress.arrive(1, 101), Order::Onward);
        assert!((10..90).all(|t| progress.arrive(2, t) == Order::Behind), "one message is no clock");
        assert_eq!(progress.arrive(3, 102), Order::Onward);
        let orders: Vec<Order> = (10..19).map(|t| progress.arrive(t as u64, t)).collect();
        assert_eq!(orders[..7], [Order::Behind; 7]);
        assert_eq!(orders[7..], [Order::SetBack, Order::Onward]);
    }
}
