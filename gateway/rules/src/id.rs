//! Ids and hashes that a replay derives again.

use std::collections::HashMap;

use pitchside_model::{AlertId, AthleteId, DeviceId, Quantity, RuleName, Timestamp};
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
/// republished and replayed finds its alerts again.
///
/// ```text
/// first 16 bytes of BLAKE3 derive_key("pitchside alert id v1",
///   len rule ‖ rule ‖ 0x00 athlete | 0x01 device ‖ len subject ‖ subject ‖ quantity u16 LE ‖ event time i64 LE µs)
/// ```
/// with each length one byte: names have at most 48.
pub fn alert_id(rule: &RuleName, subject: &Subject, quantity: Quantity, event_time: Timestamp) -> AlertId {
    let mut hasher = blake3::Hasher::new_derive_key("pitchside alert id v1");
    let name = |hasher: &mut blake3::Hasher, text: &str| {
        hasher.update(&[u8::try_from(text.len()).unwrap_or(u8::MAX)]);
        hasher.update(text.as_bytes());
    };
    name(&mut hasher, rule.as_str());
    let (tag, text) = match subject {
        Subject::Athlete(athlete) => (0u8, athlete.as_str()),
        Subject::Device(device) => (1u8, device.as_str()),
    };
    hasher.update(&[tag]);
    name(&mut hasher, text);
    hasher.update(&quantity.code().to_le_bytes());
    hasher.update(&event_time.0.to_le_bytes());
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
}
