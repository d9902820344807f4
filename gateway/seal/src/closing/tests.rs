use proptest::prelude::*;

use super::*;
use crate::seal::tests::{alert, entry};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

#[test]
fn a_batch_closes_after_its_interval_and_never_while_empty() {
    let mut batch = Batch::new(ClosingPolicy::default());
    assert_eq!(batch.due(at(1_000_000)), None);
    batch.add_entries(&[], at(5));
    assert_eq!(batch.deadline(), None);
    batch.add_entries(&[entry("s1", Some("a1"), 0, 10, 70)], at(10));
    assert_eq!(batch.deadline(), Some(at(70)));
    assert_eq!(batch.due(at(69)), None);
    assert_eq!(batch.due(at(70)), Some(CloseReason::Interval));
    batch.closed();
    assert_eq!(batch.due(at(1_000)), None);
}

#[test]
fn a_high_alert_closes_at_once_and_others_wait() {
    let mut batch = Batch::new(ClosingPolicy::default());
    batch.add_alerts(&[alert(Priority::Medium)], at(1));
    assert_eq!(batch.due(at(1)), None);
    batch.add_alerts(&[alert(Priority::High)], at(2));
    assert_eq!(batch.due(at(2)), Some(CloseReason::HighAlert));
}

#[test]
fn a_batch_closes_when_full() {
    let mut batch = Batch::new(ClosingPolicy { weight_max: 64, ..ClosingPolicy::default() });
    let entries: Vec<Entry> = (0..4).map(|seq| entry("s1", None, seq, 10, 70)).collect();
    batch.add_entries(&entries[..3], at(1));
    assert_eq!(batch.due(at(1)), None);
    batch.add_entries(&entries[3..], at(1));
    assert_eq!(batch.due(at(1)), Some(CloseReason::Full));
}

proptest! {
    #[test]
    fn whatever_the_clock_does_a_batch_closes_within_its_interval_of_steady_time(back in 0i64..10_000, before in 0i64..59) {
        let mut batch = Batch::new(ClosingPolicy::default());
        batch.add_entries(&[entry("s1", None, 0, 10, 70)], at(20_000));
        prop_assert_eq!(batch.due(at(20_000 + before)), None);
        let set_back = 20_000 + before - back;
        let _ = batch.due(at(set_back));
        prop_assert_eq!(batch.due(at(set_back + 60)), Some(CloseReason::Interval));
    }
}
