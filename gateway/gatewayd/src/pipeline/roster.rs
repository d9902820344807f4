//! Who wears what, and how each device's payloads are read: a table swapped whole when the database changes.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pitchside_model::{AthleteId, DeviceId, PluginName};

/// What the pipeline must know of a device beyond its keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Who wears it now.
    pub athlete: Option<AthleteId>,
    /// The plugin that reads its vendor payloads.
    pub decoder: Option<PluginName>,
}

/// The table.
#[derive(Debug, Default)]
pub struct Roster(ArcSwap<HashMap<DeviceId, Row>>);

impl Roster {
    /// Puts a new table in place of the old.
    pub fn replace(&self, rows: HashMap<DeviceId, Row>) {
        self.0.store(Arc::new(rows));
    }

    /// The name that a client goes by, if it is an enrolled device's. Whatever else it sends may be a password typed into the wrong field, and is
    /// for no log.
    pub fn known(&self, claimed: &str) -> Option<DeviceId> {
        DeviceId::parse(claimed).ok().filter(|device| self.0.load().contains_key(device))
    }

    /// The table as it is now; a batch looks up all its devices in one table.
    pub fn load(&self) -> Arc<HashMap<DeviceId, Row>> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_client_calls_itself_only_the_name_of_an_enrolled_device_is_known() {
        let (roster, strap) = (Roster::default(), DeviceId::parse("strap-1").unwrap());
        roster.replace(HashMap::from([(strap.clone(), Row::default())]));
        assert_eq!(roster.known("strap-1"), Some(strap));
        for other in ["strap-2", "hunter2", "strap-1\nINFO signed in", ""] {
            assert_eq!(roster.known(other), None, "{other:?}");
        }
    }
}
