//! `pitchside athlete`.

use pitchside_model::AthleteId;
use pitchside_store::Tables;
use serde::Serialize;

use super::args::{AthleteCommand, ConfigArg};
use super::output::Output;
use super::{Outcome, context};
use crate::adapters::athletes::new_athlete_key;
use crate::clock::Clock;
use crate::identity::Identity;

#[derive(Serialize)]
struct Row {
    id: String,
    added_at: String,
    devices: Vec<String>,
    erased: bool,
}

/// `pitchside athlete`.
pub fn athlete(command: &AthleteCommand, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    match command {
        AthleteCommand::Add { id } => {
            add_athlete(&context.tables, &context.identity, id)?;
            output.print(id, |id| format!("added {id}"))?;
        }
        AthleteCommand::List => {
            let assignments = context.tables.assignments()?;
            let rows: Vec<Row> = context
                .tables
                .athletes()?
                .into_iter()
                .map(|athlete| Row {
                    devices: assignments
                        .iter()
                        .filter(|a| a.athlete == athlete.id)
                        .map(|a| a.device.to_string())
                        .collect(),
                    id: athlete.id.to_string(),
                    added_at: athlete.added_at.to_string(),
                    erased: athlete.erased_at.is_some(),
                })
                .collect();
            output.table(&rows, &["ATHLETE", "ADDED", "DEVICES", "ERASED"], |r| {
                vec![r.id.clone(), r.added_at.clone(), r.devices.join(" "), r.erased.to_string()]
            })?;
        }
    }
    Ok(())
}

/// Adds an athlete with a fresh key, wrapped under the box's.
pub fn add_athlete(tables: &Tables, identity: &Identity, id: &AthleteId) -> anyhow::Result<()> {
    tables.add_athlete(new_athlete_key(identity, id, 0)?, Clock::System.now())?;
    Ok(())
}
