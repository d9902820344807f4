//! Whether a bonded device has lost its side of the bond: pure.
//!
//! Such a device answers, and the link ends before it is encrypted. So does one whose address somebody else plays, and once in a
//! while a good one at the edge of its range. It is therefore never paired anew by itself, which is what an attacker would
//! wait for: it is told, and a person decides.

use std::collections::HashMap;

use pitchside_model::DeviceId;

/// Links that end too early, one after the other, before it is told: a weak signal seldom does that so often.
const EARLY_MAX: u32 = 5;

/// How an attempt at a device ended with which this box has a bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Encrypted with the bond's key.
    Encrypted,
    /// The host says that the device has no key.
    KeyMissing,
    /// The link was up, and ended before it was encrypted.
    Early,
    /// There was no link, or something else failed: that says nothing.
    Untold,
}

/// What is known of the devices that were tried.
#[derive(Debug, Default)]
pub struct Doubts(HashMap<DeviceId, u32>);

impl Doubts {
    /// Takes note of an attempt; whether the device is to be named as one that lost its bond.
    pub fn hear(&mut self, device: &DeviceId, attempt: Attempt) -> bool {
        match attempt {
            Attempt::Encrypted => {
                self.0.remove(device);
                false
            }
            Attempt::KeyMissing => true,
            Attempt::Untold => false,
            Attempt::Early => {
                let early = self.0.entry(device.clone()).or_default();
                *early = early.saturating_add(1);
                *early >= EARLY_MAX
            }
        }
    }

    /// Its bond is gone, and what was thought of it with it.
    pub fn forget(&mut self, device: &DeviceId) {
        self.0.remove(device);
    }
}

/// Whether BlueZ's error, its name or its text, says that the device has no key: `le-connection-key-missing`, and in later
/// versions an error of its own, `LE.KeyMissing`. Versions before say nothing.
pub fn says_key_missing(error: &str) -> bool {
    error.to_ascii_lowercase().replace(['-', ' '], "").contains("keymissing")
}

/// What a person is told.
pub fn advice(device: &DeviceId) -> String {
    format!(
        "it answers, and does not know its bond with this box: was it reset, or is somebody playing its address? It is not \
         paired anew by itself. If it was reset: `pitchside device forget {device}`, and make it ready to pair"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strap() -> DeviceId {
        DeviceId::parse("strap-1").unwrap()
    }

    #[test]
    fn a_device_without_its_key_is_named_at_once_where_the_host_says_so() {
        assert!(Doubts::default().hear(&strap(), Attempt::KeyMissing));
        for said in ["Failed: le-connection-key-missing", "DBus error org.bluez.Error.LE.KeyMissing: Key missing"] {
            assert!(says_key_missing(said), "{said}");
        }
        for other in ["Failed: le-connection-abort-by-local", "Failed: le-connection-unknown", ""] {
            assert!(!says_key_missing(other), "{other}");
        }
    }

    #[test]
    fn else_links_that_end_early_one_after_the_other_name_it_and_one_good_link_clears_it() {
        let mut doubts = Doubts::default();
        let mut hear = |attempt| doubts.hear(&strap(), attempt);
        // Out of range in between says nothing of its keys.
        assert!((1..EARLY_MAX).all(|_| !hear(Attempt::Early) && !hear(Attempt::Untold)));
        assert!(hear(Attempt::Early) && hear(Attempt::Early));
        assert!(!hear(Attempt::Encrypted) && !hear(Attempt::Early));
    }

    #[test]
    fn a_removed_bond_takes_its_doubts_along_and_devices_are_counted_apart() {
        let (mut doubts, other) = (Doubts::default(), DeviceId::parse("strap-2").unwrap());
        assert!((1..EARLY_MAX).all(|_| !doubts.hear(&strap(), Attempt::Early)));
        assert!(!doubts.hear(&other, Attempt::Early));
        doubts.forget(&strap());
        assert!(!doubts.hear(&strap(), Attempt::Early));
    }

    #[test]
    fn what_is_told_names_the_command_that_mends_it() {
        assert!(advice(&strap()).contains("`pitchside device forget strap-1`"));
    }
}
