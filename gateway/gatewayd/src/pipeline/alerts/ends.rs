//! How alerts ended, kept for a while on the shelf of retained messages: the broker keeps no sessions, and an app that was away, or that
//! a box cut off in the middle did not reach any more, hears it when it subscribes again.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_model::{AlertId, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{Alerts, ROWS_MAX};
use crate::blocking;

/// How long an end is kept, in seconds.
const KEPT_S: i64 = 3_600;
/// The most ends that are kept: as many as are read at a start.
const ENDS_MAX: usize = ROWS_MAX as usize;
/// How often it is looked whether one has been kept for long enough.
const LOOK_EVERY: Duration = Duration::from_secs(1);

struct End {
    alert: AlertId,
    /// Since when it is kept, by the gateway's uptime.
    since: Duration,
    said: Bytes,
}

/// All that are kept, the oldest first.
#[derive(Default)]
pub struct Ends(VecDeque<End>);

impl Ends {
    /// An alert is over, and this is said of it from now on. The alerts whose ends make room.
    pub(super) fn put(&mut self, alert: AlertId, said: Bytes, now: Duration) -> Vec<AlertId> {
        self.0.retain(|end| end.alert != alert);
        self.0.push_back(End { alert, since: now, said });
        let beyond = self.0.len().saturating_sub(ENDS_MAX);
        self.0.drain(..beyond).map(|end| end.alert).collect()
    }

    /// What is said of an alert that is over.
    pub(super) fn said(&self, alert: AlertId) -> Option<Bytes> {
        self.0.iter().find(|end| end.alert == alert).map(|end| end.said.clone())
    }

    /// Nothing is said of these any more.
    pub(super) fn remove(&mut self, alerts: &[AlertId]) {
        self.0.retain(|end| !alerts.contains(&end.alert));
    }

    /// Those that were kept for long enough, and are no longer.
    fn take_old(&mut self, now: Duration) -> Vec<AlertId> {
        let is_old = |end: &&End| now.saturating_sub(end.since).as_secs() >= KEPT_S.unsigned_abs();
        let old = self.0.iter().take_while(is_old).count();
        self.0.drain(..old).map(|end| end.alert).collect()
    }
}

impl Alerts {
    /// For the start: the ends that were kept when the last run ended, and for as long again.
    pub(super) async fn restore_ends(&self, last_reading: Timestamp) {
        let (store, since) = (self.store.clone(), kept_since(last_reading, self.clock.now()));
        match tokio::task::spawn_blocking(move || store.ends_since(since, ROWS_MAX)).await {
            Ok(Ok(steps)) => {
                let deeds = steps.iter().rev().map(|step| (&step.event, step.by.as_deref()));
                drop(blocking::here(|| self.deliver(deeds, true)));
            }
            Ok(Err(error)) => tracing::error!(%error, "how the last alerts ended could not be read"),
            Err(error) => tracing::error!(%error, "how the last alerts ended could not be read"),
        }
    }

    /// Takes ends off the shelf once they were kept for long enough, until stopped.
    pub async fn forget_ends(self, stop: CancellationToken) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            let mut ends = self.ends.lock();
            self.take_off(ends.take_old(self.clock.uptime()));
        }
    }
}

/// Since when what ended was still kept when the last run did, which was no sooner than its newest reading: however long the box was off,
/// what went out just before may have reached nobody.
fn kept_since(last_reading: Timestamp, now: Timestamp) -> Timestamp {
    let last_run = if last_reading == Timestamp::default() { now } else { last_reading.min(now) };
    last_run.plus_micros(-KEPT_S * MICROS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(number: usize) -> AlertId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        AlertId(id)
    }

    fn said(number: usize) -> Bytes {
        Bytes::from(number.to_string())
    }

    #[test]
    fn an_end_is_kept_for_an_hour_since_it_was_said_last() {
        let (mut ends, second) = (Ends::default(), Duration::from_secs);
        for number in [1, 2] {
            assert!(ends.put(alert(number), said(number), second(100)).is_empty());
        }
        assert!(ends.put(alert(1), said(7), second(200)).is_empty());
        assert_eq!((ends.said(alert(1)), ends.said(alert(3))), (Some(said(7)), None));
        assert!(ends.take_old(second(3_699)).is_empty());
        assert_eq!(ends.take_old(second(3_700)), [alert(2)]);
        assert_eq!(ends.said(alert(2)), None);
        assert_eq!(ends.take_old(second(9_999)), [alert(1)]);
        assert!(ends.take_old(second(9_999)).is_empty());
    }

    #[test]
    fn what_was_kept_when_the_last_run_ended_is_known_however_long_that_is_ago() {
        let at = Timestamp::from_seconds;
        assert_eq!(kept_since(at(50_000), at(50_010)), at(46_400));
        assert_eq!(kept_since(at(50_000), at(900_000)), at(46_400));
        assert_eq!(kept_since(at(50_000), at(10_000)), at(6_400), "the clock went back");
        assert_eq!(kept_since(Timestamp(0), at(10_000)), at(6_400), "nothing was read yet");
    }

    #[test]
    fn the_oldest_end_makes_room_for_the_newest() {
        let mut ends = Ends::default();
        for number in 0..ENDS_MAX {
            assert!(ends.put(alert(number), said(number), Duration::ZERO).is_empty());
        }
        assert!(ends.put(alert(0), said(0), Duration::ZERO).is_empty(), "it has a place");
        assert_eq!(ends.put(alert(ENDS_MAX), said(ENDS_MAX), Duration::ZERO), [alert(1)]);
        assert_eq!((ends.said(alert(1)), ends.said(alert(0))), (None, Some(said(0))));
    }
}
