//! Ids and hashes that a replay derives again.

use std::collections::HashMap;

use pitchside_model::{Alert, AlertId, AthleteId, DeviceId, Entry, Epoch, Quantity, RuleName, Seq, Timestamp};
use pitchside_script::manifest::RuleScope;
use serde::{Deserialize, Serialize};

/// A map by names the gateway gave out or enrolled: seeded, and a fraction of what hashing against strangers costs.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Whose readings one state of a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// An athlete with all their devices.
    Athlete(AthleteId),
    /// One device.
    Device(DeviceId),
}

/// The id of the alert a rule raises about a subject at an event time. The rule's version is no part of it: a rule that is
/// republished and replayed finds its alerts again. One that is raised at an event time not after the last has [`alert_id_of_message`].
///
/// ```text
/// first 16 bytes of BLAKE3 derive_key("pitchside alert id v1",
///   len rule ‖ rule ‖ 0x00 athlete | 0x01 device ‖ len subject ‖ subject ‖ quantity u16 LE ‖ event time i64 LE µs)
/// ```
/// with each length one byte: names have at most 48.
pub fn alert_id(rule: &RuleName, subject: &Subject, quantity: Quantity, event_time: Timestamp) -> AlertId {
    finished(&of_alert("pitchside alert id v1", rule, subject, quantity, event_time))
}

/// A message: no two have all of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who sent it.
    pub device: &'a DeviceId,
    /// The message count.
    pub epoch: Epoch,
    /// Its number in it.
    pub seq: Seq,
}

impl<'a> Message<'a> {
    /// The message an entry came in.
    pub fn of(entry: &'a Entry) -> Self {
        Self { device: &entry.device, epoch: entry.epoch, seq: entry.seq }
    }
}

/// The id of an alert that is raised at an event time the rule has come to before, as after a sensor's clock was set back: that of
/// [`alert_id`] may be taken, so this one holds the message, too.
///
/// ```text
/// first 16 bytes of BLAKE3 derive_key("pitchside alert id v2",
///   what alert_id hashes ‖ len device ‖ device ‖ epoch u64 LE ‖ seq u64 LE)
/// ```
pub fn alert_id_of_message(
    rule: &RuleName,
    subject: &Subject,
    quantity: Quantity,
    event_time: Timestamp,
    message: Message<'_>,
) -> AlertId {
    let mut hasher = of_alert("pitchside alert id v2", rule, subject, quantity, event_time);
    name(&mut hasher, message.device.as_str());
    hasher.update(&message.epoch.0.to_le_bytes());
    hasher.update(&message.seq.0.to_le_bytes());
    finished(&hasher)
}

/// Whose readings an alert of a rule is about.
pub fn subject_of(alert: &Alert, scope: RuleScope) -> Subject {
    match (scope, &alert.athlete) {
        (RuleScope::Athlete, Some(athlete)) => Subject::Athlete(athlete.clone()),
        _ => Subject::Device(alert.device.clone()),
    }
}

/// The ids an alert that a message raised can have. Which of them it has depends on what was raised before: whoever looks at a part
/// of history, as a replay does, need not have heard that.
pub(crate) fn ids_of(alert: &Alert, scope: RuleScope, message: Message<'_>) -> [AlertId; 2] {
    let subject = subject_of(alert, scope);
    let Alert { rule, quantity, event_time, .. } = alert;
    [
        alert_id(rule, &subject, *quantity, *event_time),
        alert_id_of_message(rule, &subject, *quantity, *event_time, message),
    ]
}

fn name(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&[u8::try_from(text.len()).unwrap_or(u8::MAX)]);
    hasher.update(text.as_bytes());
}

fn of_alert(
    context: &str,
    rule: &RuleName,
    subject: &Subject,
    quantity: Quantity,
    event_time: Timestamp,
) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    name(&mut hasher, rule.as_str());
    let (tag, text) = match subject {
        Subject::Athlete(athlete) => (0u8, athlete.as_str()),
        Subject::Device(device) => (1u8, device.as_str()),
    };
    hasher.update(&[tag]);
    name(&mut hasher, text);
    hasher.update(&quantity.code().to_le_bytes());
    hasher.update(&event_time.0.to_le_bytes());
    hasher
}

fn finished(hasher: &blake3::Hasher) -> AlertId {
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    AlertId(id)
}

/// BLAKE3 over parts, each led by its length, so that no two lists of parts hash alike.
pub fn hash_parts<'a>(context: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_id_depends_on_each_part_and_on_nothing_else() {
        let rule = |name| RuleName::parse(name).unwrap();
        let athlete = |name| Subject::Athlete(AthleteId::parse(name).unwrap());
        let id = alert_id(&rule("heat"), &athlete("ann"), Quantity::CORE_TEMPERATURE, Timestamp(1));
        // Fixed for good: a change would raise every open alert again.
        assert_eq!(id.to_string(), "c1100942f6e2d83ee9ab78f10d888d23");
        let others = [
            alert_id(&rule("hea"), &athlete("tann"), Quantity::CORE_TEMPERATURE, Timestamp(1)),
            alert_id(&rule("heat"), &athlete("bea"), Quantity::CORE_TEMPERATURE, Timestamp(1)),
            alert_id(
                &rule("heat"),
                &Subject::Device(DeviceId::parse("ann").unwrap()),
                Quantity::CORE_TEMPERATURE,
                Timestamp(1),
            ),
            alert_id(&rule("heat"), &athlete("ann"), Quantity::HEART_RATE, Timestamp(1)),
            alert_id(&rule("heat"), &athlete("ann"), Quantity::CORE_TEMPERATURE, Timestamp(2)),
        ];
        assert!(others.iter().all(|other| *other != id));
    }

    #[test]
    fn the_id_of_a_message_depends_on_each_part_of_it() {
        let (rule, subject) = (RuleName::parse("heat").unwrap(), Subject::Athlete(AthleteId::parse("ann").unwrap()));
        let id = |device: &str, epoch, seq| {
            let device = DeviceId::parse(device).unwrap();
            let message = Message { device: &device, epoch: Epoch(epoch), seq: Seq(seq) };
            alert_id_of_message(&rule, &subject, Quantity::CORE_TEMPERATURE, Timestamp(1), message)
        };
        let ids = [
            alert_id(&rule, &subject, Quantity::CORE_TEMPERATURE, Timestamp(1)),
            id("pill", 1, 2),
            id("pil", 1, 2),
            id("pill", 2, 2),
            id("pill", 1, 3),
        ];
        assert_eq!(std::collections::BTreeSet::from(ids).len(), ids.len());
        // Fixed for good, as the other is.
        assert_eq!(ids[1].to_string(), "2b48df0f53c9f43266ae5848a590ce03");
    }
}
