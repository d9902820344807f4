//! What is kept of the shadows over the end of the gateway, and what their log says of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use pitchside_model::{AlertEvent, AlertId, RuleName};
use pitchside_rules::RuleSet;
use pitchside_store::{RowId, ShadowRow};
use serde::{Deserialize, Serialize};

use crate::stamp::Stamp;

/// Under which name it is kept.
pub const SNAPSHOT: &str = "shadow-snapshot";
/// What it begins with. The number rises with every change of [`Kept`], and of what it holds.
const LAYOUT: &[u8] = b"pitchside-shadows/1\n";

/// What stands before the snapshot of what the rules know. The rules themselves are a part of it: while the gateway was down others may
/// have been put in their place, and a snapshot is taken up by those it was taken of.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    /// Up to which row the journal was heard.
    pub heard: RowId,
    /// Which rules ran, and what each looked like when it was switched on.
    pub on: BTreeMap<String, Stamp>,
    /// The rules.
    pub set: RuleSet,
}

impl Kept {
    /// What was kept, and the snapshot; none if it cannot be read.
    pub fn read(kept: &[u8]) -> Option<(Self, &[u8])> {
        postcard::take_from_bytes(kept.strip_prefix(LAYOUT)?).ok()
    }

    /// It with a snapshot, to be kept.
    pub fn with(&self, snapshot: &[u8]) -> Vec<u8> {
        // Serialising plain data into memory cannot fail; what it left would not be read.
        let mut kept = postcard::to_extend(self, LAYOUT.to_vec()).unwrap_or_default();
        kept.extend_from_slice(snapshot);
        kept
    }
}

/// What is to be kept instead, where somebody takes something out of the snapshot; none if it stays. What cannot be read goes: nobody knows
/// of whom it is, nor ever takes it up.
pub fn stripped(kept: &[u8], strip: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    match Kept::read(kept) {
        Some((before, snapshot)) => strip(snapshot).map(|left| before.with(&left)),
        None => (!kept.is_empty()).then(Vec::new),
    }
}

/// An alert, and whether it was raised or cleared: a shadow says either once.
pub type Step = (AlertId, bool);

/// Which it is.
pub const fn step(event: &AlertEvent) -> Step {
    match event {
        AlertEvent::Raised(alert) => (alert.id, true),
        AlertEvent::Cleared { id, .. } => (*id, false),
    }
}

/// Which rule raised what is not cleared yet, from a log that has the latest first. What was cleared must not come back: it
/// would stay for good, and take the room of what is raised from now on.
pub fn still_open(log: Vec<ShadowRow>) -> HashMap<AlertId, RuleName> {
    let (mut open, mut decided) = (HashMap::new(), HashSet::new());
    for row in log {
        let (id, _) = step(&row.event);
        // The last word on an alert counts: a replay may have said again what came before it.
        if decided.insert(id)
            && let AlertEvent::Raised(alert) = row.event
        {
            open.insert(id, alert.rule);
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use pitchside_model::{Alert, DeviceId, Priority, Quantity, Timestamp};
    use pitchside_store::{RootKey, Store};

    use super::*;

    fn rule() -> RuleName {
        RuleName::parse("hot").unwrap()
    }

    fn raised(number: u8) -> (RuleName, AlertEvent) {
        let alert = Alert {
            id: AlertId([number; 16]),
            rule: rule(),
            rule_version: "1.0.0".to_owned(),
            priority: Priority::Low,
            athlete: None,
            device: DeviceId::parse("pill-1").unwrap(),
            quantity: Quantity::HEART_RATE,
            value: None,
            unit: Quantity::HEART_RATE.unit(),
            event_time: Timestamp(5),
            message: "hot".to_owned(),
        };
        (rule(), AlertEvent::Raised(alert))
    }

    fn cleared(number: u8) -> (RuleName, AlertEvent) {
        (rule(), AlertEvent::Cleared { id: AlertId([number; 16]), event_time: Timestamp(6) })
    }

    #[test]
    fn what_is_taken_out_of_the_snapshot_leaves_what_stands_before_it_and_what_nobody_reads_goes() {
        let before = Kept { heard: RowId(7), on: BTreeMap::new(), set: RuleSet::default() };
        let kept = before.with(b"ann and bea");
        assert_eq!(stripped(&kept, |_| None), None, "it knew nothing of them");
        let left = stripped(&kept, |snapshot| (snapshot == b"ann and bea").then(|| b"bea".to_vec())).unwrap();
        let (read, snapshot) = Kept::read(&left).unwrap();
        assert_eq!((read.heard, read.set, snapshot), (RowId(7), RuleSet::default(), b"bea".as_slice()));
        // As an earlier version kept it.
        assert_eq!(stripped(b"\0\0\0\0\0\0\0\x07ann", |_| None), Some(Vec::new()));
        assert_eq!(stripped(&[], |_| None), None);
    }

    #[test]
    fn after_a_start_what_the_log_says_was_cleared_is_not_open_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let open = |said: &[(RuleName, AlertEvent)]| {
            store.log_shadow(said, Timestamp(7)).unwrap();
            still_open(store.shadow_log(None, 99).unwrap())
        };
        let only = |number: u8| HashMap::from([(AlertId([number; 16]), rule())]);
        assert_eq!(open(&[raised(1), raised(2), cleared(1)]), only(2));
        assert_eq!(open(&[cleared(2), raised(3)]), only(3));
        // Raised again by a replay from before its end, it is open until that is said again, too.
        assert_eq!(open(&[cleared(3), raised(1)]), only(1));
        assert!(open(&[cleared(1)]).is_empty());
    }
}
