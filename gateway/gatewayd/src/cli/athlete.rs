//! `pitchside athlete`.

use anyhow::Context as _;
use pitchside_model::AthleteId;
use pitchside_store::Tables;
use serde::Serialize;

use super::args::{AthleteCommand, ConfigArg};
use super::output::{Output, note};
use super::{Failure, Outcome, context};
use crate::adapters::athletes::{new_athlete_key, recover};
use crate::adapters::outbox::SystemEdge;
use crate::backup::{RecoveryKey, RecoveryPublicFile};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::past;
use crate::pipeline::erased::forget_kept;
use crate::pipeline::sync_config;

#[derive(Serialize)]
struct Row {
    id: String,
    added_at: String,
    devices: Vec<String>,
    erased: bool,
}

#[derive(Serialize)]
struct Recovered {
    copies: usize,
    recovered: u64,
    /// Of the copies, those that the ledger could not read.
    unreadable: usize,
}

/// `pitchside athlete`.
pub fn athlete(command: &AthleteCommand, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    match command {
        AthleteCommand::Add { id } => {
            add_athlete(&context.tables, &context.identity, id)?;
            output.print(id, |id| format!("added {id}"))?;
        }
        AthleteCommand::Erase { id, confirm } => {
            if id != confirm {
                return Err(Failure::Usage(format!("--confirm says {confirm}, not {id}: nothing was erased")));
            }
            erase_athlete(&context.tables, id)?;
            output.print(id, |id| format!("erased {id}: their keys are destroyed"))?;
        }
        AthleteCommand::Recover { recovery_key } => {
            let key = RecoveryKey::read(recovery_key)?;
            let ledger = context.settings.ledger.as_ref();
            let ledger = ledger.context("no ledger is configured, and copies of athletes' keys lie nowhere else")?;
            let config = sync_config(ledger, &context.identity)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let edge = SystemEdge(Clock::System);
            let copies = runtime.block_on(pitchside_sync::fetch_copies(&config, &edge))?;
            let unreadable = copies.iter().filter(|copy| !copy.is_readable()).count();
            let pairs: Vec<_> = copies.into_iter().map(|copy| (copy.name, copy.body)).collect();
            let recovered = recover(&context.tables, &context.identity, &key.secret, &pairs)?;
            output.print(&Recovered { copies: pairs.len(), recovered, unreadable }, |r| {
                format!("the ledger holds {} copies; {} keys were put back", r.copies, r.recovered)
            })?;
            // Keys alone show nobody anything.
            if let Some(missing) = past::not_here(&context.tables)? {
                note(&missing);
            }
            if unreadable > 0 {
                let text = format!(
                    "the ledger cannot read {unreadable} of its copies: ask who runs it to mend that, its log names the files; then the same again"
                );
                return Err(Failure::Failed(anyhow::anyhow!(text)));
            }
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

/// Adds an athlete with a fresh key, wrapped under the box's, and its copy for the ledger, sealed to the recovery key.
pub fn add_athlete(tables: &Tables, identity: &Identity, id: &AthleteId) -> anyhow::Result<()> {
    let recovery = RecoveryPublicFile::read(identity.folder())?;
    let (key, copy) = new_athlete_key(identity, recovery.as_ref(), id, 0)?;
    tables.add_athlete_with(key, copy, Clock::System.now())?;
    Ok(())
}

/// Destroys an athlete's keys here with all that the box's own key could still open of them, and has the ledger destroy its copies. The
/// running gateway forgets them within seconds. Cut short,
/// the same again completes it.
fn erase_athlete(tables: &Tables, id: &AthleteId) -> anyhow::Result<()> {
    tables
        .erase_athlete(id, Clock::System.now())
        .with_context(|| format!("erasing {id} is not finished; the same command completes it"))?;
    tables.forget_key_copies(id)?;
    forget_kept(tables, id)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use pitchside_config::{Gateway, Settings};

    use super::*;
    use crate::cli::{InitPlan, SETTINGS_FILE, make_box};

    #[test]
    fn an_erased_athlete_has_no_key_left_and_no_copy_for_the_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let gateway = Gateway { data_dir: "data".into(), key_dir: "keys".into(), ..Gateway::default() };
        let settings = Settings { gateway, ..Settings::default() };
        make_box(&InitPlan { dir: dir.path().to_owned(), settings }).unwrap();
        let config = ConfigArg { file: Some(dir.path().join(SETTINGS_FILE)) };
        let context = context::open(&config).unwrap();
        let [ann, ben] = ["ann", "ben"].map(|id| AthleteId::parse(id).unwrap());
        for id in [&ann, &ben] {
            add_athlete(&context.tables, &context.identity, id).unwrap();
        }
        let erase = |confirm: &AthleteId| {
            let command = AthleteCommand::Erase { id: ann.clone(), confirm: confirm.clone() };
            athlete(&command, &config, &Output::new(true))
        };
        assert!(matches!(erase(&ben), Err(Failure::Usage(why)) if why.contains("nothing was erased")));
        assert!(context.tables.athlete_key(&ann, 0).unwrap().is_some());
        assert!(erase(&ann).is_ok());
        assert!(context.tables.athlete_key(&ann, 0).unwrap().is_none());
        assert!(context.tables.athlete_key(&ben, 0).unwrap().is_some());
        assert_eq!(context.tables.key_copy_counts().unwrap().leaving, 1);
    }
}
