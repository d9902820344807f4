//! Steps an output is not done with though later ones were told.

use pitchside_model::PluginName;
use rusqlite::params;

use super::{DeliveryStep, DeliveryStepId, step};
use crate::error::StoreError;
use crate::plugins::plugin_name;
use crate::sql;
use crate::tables::Tables;

/// The most steps kept for one output.
pub const KEPT_MAX: u32 = 4_096;

/// Why a step is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptFor {
    /// The output's script failed on it.
    Failed = 0,
    /// It comes after one of those, or something of it has no room to wait.
    ItsTurn = 1,
}

impl KeptFor {
    const fn from_code(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::Failed),
            1 => Some(Self::ItsTurn),
            _ => None,
        }
    }
}

impl Tables {
    /// A step is kept for an output, for this. An error, and nothing changed, if [`KEPT_MAX`] others are.
    pub fn keep_for_plugin(&self, name: &PluginName, step: DeliveryStepId, why: KeptFor) -> Result<(), StoreError> {
        let name = name.clone();
        self.write(move |connection| {
            let mut count = connection.prepare_cached(sql!("delivery/kept_others"))?;
            let others: u32 = count.query_row(params![name.as_str(), step.0], |row| row.get(0))?;
            if others >= KEPT_MAX {
                let (size, max) = (u64::from(others) + 1, u64::from(KEPT_MAX));
                return Err(StoreError::TooLarge { what: "what is kept for an output", size, max });
            }
            connection.prepare_cached(sql!("delivery/keep"))?.execute(params![name.as_str(), step.0, why as i64])?;
            Ok(())
        })
    }

    /// What is kept for an output, oldest first.
    pub fn kept_for_plugin(&self, name: &PluginName) -> Result<Vec<(DeliveryStep, KeptFor)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/kept"))?;
            let mut rows = statement.query(params![KEPT_MAX, name.as_str()])?;
            let mut kept = Vec::new();
            while let Some(row) = rows.next()? {
                let step = step(row)?;
                let damaged = || StoreError::Damaged { table: "delivery_kept", row: step.id.0.to_string() };
                kept.push((step, KeptFor::from_code(row.get(5)?).ok_or_else(damaged)?));
            }
            Ok(kept)
        })
    }

    /// A step is kept no longer.
    pub fn let_go_for_plugin(&self, name: &PluginName, step: DeliveryStepId) -> Result<(), StoreError> {
        let name = name.clone();
        self.write(move |connection| {
            connection.prepare_cached(sql!("delivery/let_go"))?.execute(params![name.as_str(), step.0])?;
            Ok(())
        })
    }

    /// Outputs whose scripts failed on steps that are kept, by name, each with how many.
    pub fn steps_failed(&self) -> Result<Vec<(PluginName, u32)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/kept_failed"))?;
            let mut rows = statement.query([])?;
            let mut failed = Vec::new();
            while let Some(row) = rows.next()? {
                failed.push((plugin_name(&row.get::<_, String>(0)?)?, row.get(1)?));
            }
            Ok(failed)
        })
    }
}
