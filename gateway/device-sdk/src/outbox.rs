//! Messages without a receipt, in order of their numbers.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use pitchside_wire::message::{CONTENT_BYTES_MAX, MessageHeader};
use pitchside_wire::receipt::Range;
use pitchside_wire::{Content, Epoch, Millis, Seq};

/// A message is sent again after so long without a receipt; each time after twice as long.
pub const RESEND_AFTER_MS: u64 = 2_000;
/// But at least this often.
pub const RESEND_AFTER_MAX_MS: u64 = 60_000;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Too many messages wait for a receipt. Drop it, or wait; a number is used only for what is taken.
    #[error("the outbox is full: {messages} messages, {bytes} bytes wait for a receipt")]
    Full {
        /// Messages waiting.
        messages: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// Too long for any message.
    #[error("a message body has at most {CONTENT_BYTES_MAX} bytes, this one {0}")]
    TooLong(usize),
}

struct Item {
    content: Content,
    body: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be sent at this instant or after; how often it was sent.
    Waiting { due: Millis, sent: u32 },
    /// Receipted or refused.
    Done,
}

/// The outbox.
pub(crate) struct Outbox {
    epoch: Epoch,
    items: VecDeque<Item>,
    /// Number of the first item.
    base: u64,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
    /// Nothing is due before this.
    next_due: Option<Millis>,
}

impl Outbox {
    pub fn new(epoch: Epoch, next: Seq, messages_max: usize, bytes_max: usize) -> Self {
        Self { epoch, items: VecDeque::new(), base: next.0, bytes: 0, messages_max, bytes_max, next_due: None }
    }

    pub fn next_seq(&self) -> Seq {
        Seq(self.base.saturating_add(self.items.len() as u64))
    }

    pub fn len(&self) -> usize {
        self.items.iter().filter(|item| item.state != State::Done).count()
    }

    pub const fn next_due(&self) -> Option<Millis> {
        self.next_due
    }

    pub fn push(&mut self, content: Content, body: Vec<u8>) -> Result<Seq, PushError> {
        if body.len() > CONTENT_BYTES_MAX {
            return Err(PushError::TooLong(body.len()));
        }
        if self.items.len() >= self.messages_max || self.bytes + body.len() > self.bytes_max {
            return Err(PushError::Full { messages: self.items.len(), bytes: self.bytes });
        }
        let seq = self.next_seq();
        self.bytes += body.len();
        self.items.push_back(Item { content, body, state: State::Waiting { due: Millis(0), sent: 0 } });
        self.next_due = Some(Millis(0));
        Ok(seq)
    }

    /// Everything without a receipt is due again: a new session, or a new link.
    pub fn resend_all(&mut self) {
        for item in &mut self.items {
            if item.state != State::Done {
                item.state = State::Waiting { due: Millis(0), sent: 0 };
                self.next_due = Some(Millis(0));
            }
        }
    }

    /// Hands over what is due, at most `count` messages; stops when `send` fails.
    pub fn send_due(&mut self, now: Millis, count: usize, mut send: impl FnMut(MessageHeader, &[u8]) -> bool) {
        if self.next_due.is_none_or(|due| due > now) {
            return;
        }
        let (mut left, mut next_due) = (count, None::<Millis>);
        for (index, item) in self.items.iter_mut().enumerate() {
            let State::Waiting { due, sent } = item.state else { continue };
            let mut due = due;
            if due <= now && left > 0 {
                let header =
                    MessageHeader { epoch: self.epoch, seq: Seq(self.base + index as u64), content: item.content };
                if send(header, &item.body) {
                    left -= 1;
                    due = now.plus((RESEND_AFTER_MS << sent.min(5)).min(RESEND_AFTER_MAX_MS));
                    item.state = State::Waiting { due, sent: sent.saturating_add(1) };
                } else {
                    left = 0;
                }
            }
            next_due = Some(next_due.map_or(due, |next| next.min(due)));
        }
        self.next_due = next_due;
    }

    /// These were taken. True for a range that names any message still waiting.
    pub fn receipted(&mut self, range: Range) -> bool {
        if range.epoch != self.epoch {
            return false;
        }
        // However wide the range says it is, only what is here is walked.
        let from = range.first.0.max(self.base) - self.base;
        let end = range.first.0.saturating_add(u64::from(range.count)).saturating_sub(self.base);
        let mut any = false;
        for index in from..end.min(self.items.len() as u64) {
            any |= self.done(index as usize);
        }
        self.shrink();
        any
    }

    /// This one was refused for good.
    pub fn refused(&mut self, epoch: Epoch, seq: Seq) -> bool {
        let here = epoch == self.epoch && seq.0 >= self.base && seq < self.next_seq();
        let was = here && self.done((seq.0 - self.base) as usize);
        self.shrink();
        was
    }

    fn done(&mut self, index: usize) -> bool {
        let Some(item) = self.items.get_mut(index).filter(|item| item.state != State::Done) else { return false };
        item.state = State::Done;
        self.bytes -= item.body.len();
        item.body = Vec::new();
        true
    }

    fn shrink(&mut self) {
        while self.items.front().is_some_and(|item| item.state == State::Done) {
            self.items.pop_front();
            self.base += 1;
        }
        if self.items.is_empty() {
            self.next_due = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn outbox(messages_max: usize) -> Outbox {
        Outbox::new(Epoch(1), Seq(10), messages_max, 1_000)
    }

    fn sent(outbox: &mut Outbox, now: u64, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        outbox.send_due(Millis(now), count, |header, _| {
            seqs.push(header.seq.0);
            true
        });
        seqs
    }

    #[test]
    fn what_has_no_receipt_is_sent_again_ever_more_seldom() {
        let mut outbox = outbox(8);
        outbox.push(Content::Vendor, vec![1]).unwrap();
        let times: Vec<u64> = (0..200_000).step_by(500).filter(|now| !sent(&mut outbox, *now, 9).is_empty()).collect();
        assert_eq!(times, [0, 2_000, 6_000, 14_000, 30_000, 62_000, 122_000, 182_000]);
    }

    #[test]
    fn receipts_in_any_order_make_room_only_behind_the_oldest() {
        let mut outbox = outbox(4);
        for n in 0..4 {
            assert_eq!(outbox.push(Content::Vendor, vec![n]), Ok(Seq(10 + u64::from(n))));
        }
        assert_eq!(outbox.push(Content::Vendor, vec![]), Err(PushError::Full { messages: 4, bytes: 4 }));
        assert_eq!(sent(&mut outbox, 0, 3), [10, 11, 12]);
        assert!(outbox.receipted(Range { epoch: Epoch(1), first: Seq(11), count: 2 }));
        assert!(!outbox.receipted(Range { epoch: Epoch(2), first: Seq(10), count: 1 }), "another epoch");
        assert!(outbox.push(Content::Vendor, vec![]).is_err(), "10 still holds the window");
        assert!(outbox.refused(Epoch(1), Seq(10)) && !outbox.refused(Epoch(1), Seq(10)));
        assert_eq!(outbox.push(Content::Vendor, vec![]), Ok(Seq(14)));
        assert_eq!(sent(&mut outbox, 1, 9), [13, 14]);
        assert!(outbox.receipted(Range { epoch: Epoch(1), first: Seq(0), count: u16::MAX }));
        assert_eq!((outbox.len(), outbox.next_due(), outbox.next_seq()), (0, None, Seq(15)));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut outbox = outbox(100);
        assert_eq!(outbox.push(Content::Vendor, vec![0; 20_000]), Err(PushError::TooLong(20_000)));
        outbox.push(Content::Vendor, vec![0; 900]).unwrap();
        assert!(outbox.push(Content::Vendor, vec![0; 101]).is_err());
        outbox.push(Content::Vendor, vec![0; 100]).unwrap();
    }
}
