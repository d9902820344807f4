//! Values on their way from the radio to the intake. Bounded: when the intake is slow the oldest make room, and how many
//! were lost goes with the next value, so that it becomes a gap in the stream and not silence.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Values that may wait: four minutes of a heart strap, a quarter of a second of the fastest link.
pub const QUEUE_VALUES_MAX: usize = 256;
/// The longest value of an attribute (Core 5.4, vol. 3 part F, 3.2.9).
pub const VALUE_BYTES_MAX: usize = 512;
/// Sources told apart when counting losses; beyond it they share a count.
const SOURCES_MAX: usize = 32;

/// What a value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A characteristic by its 16-bit UUID.
    Gatt(u16),
    /// The characteristic `up` of PS/1.
    Ps1,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub source: Source,
    pub bytes: Bytes,
    /// Values of the same source that were lost just before it.
    pub dropped: u64,
    /// When it came; none if it stands for a loss alone.
    pub at: Option<Instant>,
    /// The device was asked for it: that it answers does not mean that it speaks.
    pub asked: bool,
}

#[derive(Debug, Default)]
struct Inner {
    values: VecDeque<Value>,
    lost: Vec<(Source, u64)>,
    lost_in_all: u64,
    closed: bool,
    /// Who has taken over.
    to: Option<Arc<Queue>>,
}

impl Inner {
    fn put(&mut self, value: Value) {
        if self.closed {
            return;
        }
        if self.values.len() >= QUEUE_VALUES_MAX
            && let Some(oldest) = self.values.pop_front()
        {
            self.lose(oldest.source, 1);
        }
        self.values.push_back(value);
    }

    fn lose(&mut self, source: Source, count: u64) {
        self.lost_in_all += count;
        self.owe(source, count);
    }

    /// So many are to be told with the next value.
    fn owe(&mut self, source: Source, count: u64) {
        let known = self.lost.iter().position(|(known, _)| *known == source);
        match known {
            Some(at) => self.lost[at].1 += count,
            None if self.lost.len() < SOURCES_MAX => self.lost.push((source, count)),
            None => self.lost[SOURCES_MAX - 1].1 += count,
        }
    }

    fn lost(&mut self, source: Source) -> u64 {
        match self.lost.iter().position(|(known, _)| *known == source) {
            Some(at) => self.lost.swap_remove(at).1,
            None => 0,
        }
    }
}

/// The queue of one connection.
#[derive(Debug, Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    news: Notify,
}

impl Queue {
    /// Takes a value that the device sent by itself; never waits.
    pub fn push(&self, source: Source, bytes: &[u8]) {
        self.add(source, bytes, false);
    }

    /// Takes what the device was asked for, or what it was told and has taken; never waits.
    pub fn answer(&self, source: Source, bytes: &[u8]) {
        self.add(source, bytes, true);
    }

    fn add(&self, source: Source, bytes: &[u8], asked: bool) {
        let mut inner = self.inner.lock();
        if let Some(to) = inner.to.clone() {
            drop(inner);
            to.add(source, bytes, asked);
            return;
        }
        if inner.closed {
            return;
        }
        if bytes.is_empty() || bytes.len() > VALUE_BYTES_MAX {
            inner.lose(source, 1);
            return;
        }
        let bytes = Bytes::copy_from_slice(bytes);
        inner.put(Value { source, bytes, dropped: 0, at: Some(Instant::now()), asked });
        drop(inner);
        self.news.notify_one();
    }

    /// Hands all that waits, and what was lost, to another queue, and from now on whatever comes.
    pub fn forward(&self, to: &Arc<Self>) {
        // Held to the end: what comes meanwhile comes behind.
        let mut inner = self.inner.lock();
        let (values, lost) = (std::mem::take(&mut inner.values), std::mem::take(&mut inner.lost));
        let mut other = to.inner.lock();
        for (source, count) in lost {
            other.lose(source, count);
        }
        for value in values {
            other.put(value);
        }
        drop(other);
        inner.to = Some(Arc::clone(to));
        drop(inner);
        to.news.notify_one();
    }

    /// Whether anything waits.
    pub fn holds(&self) -> bool {
        !self.inner.lock().values.is_empty()
    }

    /// Whether anything is in it that nobody tells again: what the device said by itself, or a loss.
    pub fn is_owed(&self) -> bool {
        let inner = self.inner.lock();
        !inner.lost.is_empty() || inner.values.iter().any(|value| !value.asked)
    }

    /// Closes it, and takes nothing of what waits: how many of which are lost by that.
    pub fn abandon(&self) -> Vec<(Source, u64)> {
        let mut inner = self.inner.lock();
        inner.closed = true;
        for value in std::mem::take(&mut inner.values) {
            inner.lose(value.source, 1);
        }
        std::mem::take(&mut inner.lost)
    }

    /// Values that are lost.
    pub(crate) fn lose(&self, source: Source, count: u64) {
        self.inner.lock().lose(source, count);
    }

    /// What was taken could not be kept: so many values, and what they told of others that were lost before them.
    pub(crate) fn not_kept(&self, source: Source, values: u64, told: u64) {
        let mut inner = self.inner.lock();
        // What was told is counted already.
        inner.lost_in_all += values;
        inner.owe(source, values + told);
    }

    /// Everything that waits, once something does; none when the queue is closed and empty. Losses nothing comes after
    /// are told last.
    pub(crate) async fn take(&self) -> Option<Vec<Value>> {
        loop {
            let news = self.news.notified();
            {
                let mut inner = self.inner.lock();
                if !inner.values.is_empty() {
                    let mut values: Vec<Value> = inner.values.drain(..).collect();
                    for value in &mut values {
                        value.dropped = inner.lost(value.source);
                    }
                    return Some(values);
                }
                if inner.closed {
                    let lost = std::mem::take(&mut inner.lost);
                    let alone =
                        |(source, dropped)| Value { source, bytes: Bytes::new(), dropped, at: None, asked: true };
                    return Some(lost.into_iter().map(alone).collect::<Vec<_>>()).filter(|values| !values.is_empty());
                }
            }
            news.await;
        }
    }

    /// Nothing more is taken; what waits still goes out.
    pub fn close(&self) {
        self.inner.lock().closed = true;
        self.news.notify_one();
    }

    /// Values lost since the connection began.
    pub(crate) fn lost_in_all(&self) -> u64 {
        self.inner.lock().lost_in_all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEART: Source = Source::Gatt(0x2A37);
    const BATTERY: Source = Source::Gatt(0x2A19);

    #[tokio::test]
    async fn what_finds_no_room_is_told_with_the_next_value_of_its_own_characteristic() {
        let queue = Queue::default();
        queue.push(BATTERY, &[50]);
        for beat in 0..=u8::MAX {
            queue.push(HEART, &[0, beat]);
        }
        queue.push(HEART, &[0, 0]);
        queue.push(BATTERY, &[49]);
        let values = queue.take().await.unwrap();
        assert_eq!(values.len(), QUEUE_VALUES_MAX);
        assert_eq!((values[0].source, values[0].dropped), (HEART, 2));
        assert_eq!((values[255].source, values[255].dropped, &values[255].bytes[..]), (BATTERY, 1, &[49][..]));
        assert!(values[1..255].iter().all(|value| value.dropped == 0));
    }

    #[tokio::test]
    async fn losses_nothing_comes_after_are_told_at_the_end() {
        let queue = Queue::default();
        queue.push(HEART, &[0; VALUE_BYTES_MAX + 1]);
        queue.close();
        let values = queue.take().await.unwrap();
        assert_eq!((values.len(), values[0].dropped, values[0].bytes.len()), (1, 1, 0));
        assert_eq!(queue.take().await, None);
    }

    #[tokio::test]
    async fn what_came_early_is_handed_over_in_order_with_its_losses_and_what_comes_later_follows() {
        let (early, queue) = (Queue::default(), Arc::new(Queue::default()));
        for value in 0..=u8::MAX {
            early.push(HEART, &[1, value]);
        }
        early.push(HEART, &[2, 0]);
        queue.answer(BATTERY, &[50]);
        assert!(early.holds());
        early.forward(&queue);
        assert!(!early.holds());
        early.push(HEART, &[3, 0]);
        early.answer(BATTERY, &[51]);
        let (mut out, mut lost) = (Vec::new(), 0);
        for value in queue.take().await.unwrap() {
            lost += value.dropped;
            out.push((value.source, value.bytes[0], value.asked));
        }
        // One found no room early; one, and the battery, found none here.
        assert_eq!((out.len(), lost), (QUEUE_VALUES_MAX, 4));
        assert_eq!(out[0], (HEART, 1, false));
        assert_eq!(out[254..], [(HEART, 3, false), (BATTERY, 51, true)]);
        // Handed over again, nothing changes.
        early.forward(&queue);
        early.push(HEART, &[4, 0]);
        early.forward(&queue);
        let later = queue.take().await.unwrap();
        assert_eq!((later.len(), &later[0].bytes[..], later[0].dropped), (1, &[4, 0][..], 0));
        assert_eq!(early.abandon(), []);
    }

    #[test]
    fn what_was_said_or_lost_is_owed_and_what_was_asked_for_is_not() {
        let queue = Queue::default();
        queue.answer(BATTERY, &[50]);
        assert!(!queue.is_owed());
        queue.push(HEART, &[0, 60]);
        assert!(queue.is_owed());
        let lossy = Queue::default();
        lossy.lose(HEART, 1);
        assert!(lossy.is_owed() && !lossy.holds());
    }

    #[tokio::test]
    async fn what_came_early_and_is_not_taken_is_counted() {
        let early = Queue::default();
        early.push(HEART, &[0, 60]);
        early.push(HEART, &[]);
        early.push(BATTERY, &[50]);
        let mut lost = early.abandon();
        lost.sort_by_key(|(_, count)| *count);
        assert_eq!(lost, [(BATTERY, 1), (HEART, 2)]);
        early.push(HEART, &[0, 61]);
        assert_eq!((early.abandon(), early.take().await), (vec![], None));
    }

    #[tokio::test]
    async fn what_was_told_with_a_value_that_is_not_kept_is_told_again_and_counted_once() {
        let queue = Queue::default();
        queue.lose(HEART, 2);
        queue.push(HEART, &[0, 60]);
        let told = queue.take().await.unwrap()[0].dropped;
        queue.not_kept(HEART, 1, told);
        queue.push(HEART, &[0, 61]);
        assert_eq!((told, queue.take().await.unwrap()[0].dropped, queue.lost_in_all()), (2, 3, 3));
        // The last word of a link, without a value of its own.
        queue.not_kept(HEART, 0, 3);
        queue.close();
        assert_eq!((queue.take().await.unwrap()[0].dropped, queue.lost_in_all()), (3, 3));
    }

    proptest! {
        #[test]
        fn every_value_comes_out_or_is_counted(pushes in prop::collection::vec((0u16..3, 0usize..4), 0..900)) {
            let queue = Queue::default();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (mut out, mut lost) = (0, 0);
            let mut count = |values: Vec<Value>| {
                out += values.iter().filter(|value| value.at.is_some()).count();
                lost += values.iter().map(|value| value.dropped).sum::<u64>();
            };
            for (at, (source, bytes)) in pushes.iter().enumerate() {
                queue.push(Source::Gatt(*source), &vec![7; *bytes]);
                if at % 350 == 349 {
                    count(runtime.block_on(queue.take()).unwrap_or_default());
                }
            }
            queue.close();
            while let Some(values) = runtime.block_on(queue.take()) {
                count(values);
            }
            prop_assert_eq!(out as u64 + lost, pushes.len() as u64);
            prop_assert_eq!(lost, queue.lost_in_all());
        }
    }
}
