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

    /// The table as it is now; a batch looks up all its devices in one table.
    pub fn load(&self) -> Arc<HashMap<DeviceId, Row>> {
        self.0.load_full()
    }
}
