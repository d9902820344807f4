//! `pitchside alerts drill`.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context as _;
use pitchside_model::Timestamp;
use serde::Serialize;

use super::args::ConfigArg;
use super::output::{self, Output};
use super::{Failure, Outcome, context};
use crate::clock::Clock;
use crate::delivery::drill::{Leg, Report};
use crate::pipeline::health::SOCKET;

/// How often it is looked whether the gateway is done.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long beyond the drills themselves the gateway may take.
const SLACK: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Said {
    proved: bool,
    ended_at: String,
    legs: Vec<Leg>,
    /// Outputs that sent nothing in it.
    unproven: Vec<String>,
}

/// Asks the running gateway for a drill, and waits for it.
pub fn drill(config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    if context.settings.rules.dir.is_none() {
        return Err(Failure::Usage("there are no rules, so no alerts to prove the way of: set rules.dir".to_owned()));
    }
    let socket = context.settings.gateway.data_dir.join(SOCKET);
    UnixStream::connect(&socket)
        .with_context(|| format!("the gateway does not run ({}): systemctl start pitchside", socket.display()))?;
    let id = context.tables.ask_drill(true, Clock::System.now())?;
    // Each has time for the rules, and as much for the outputs; another one may be under way.
    let within = 4 * Duration::from_secs(u64::from(context.settings.delivery.drill_within_s)) + SLACK;
    let began = Clock::System.uptime();
    let (ended_at, proved, text) = loop {
        let row = context.tables.drill(id)?.context("the drill is gone from the database: ask again")?;
        if let Some((at, proved)) = row.ended {
            break (at, proved, row.report);
        }
        if Clock::System.uptime().saturating_sub(began) > within {
            return Err(Failure::Failed(anyhow::anyhow!(
                "the gateway did not run the drill within {} s: pitchside doctor",
                within.as_secs()
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let report: Report = serde_json::from_str(&text).context("the report of the drill")?;
    print(ended_at, proved, report, output)?;
    if proved {
        return Ok(());
    }
    Err(Failure::Failed(anyhow::anyhow!("the alert path is not proven: pitchside doctor; pitchside plugin logs NAME")))
}

fn print(ended_at: Timestamp, proved: bool, report: Report, output: &Output) -> anyhow::Result<()> {
    let Report { legs, unproven } = report;
    if output.is_json() {
        let said = Said { proved, ended_at: ended_at.to_string(), legs, unproven };
        return output.print(&said, |_| String::new());
    }
    output.table(&legs, &["LEG", "MS", ""], |leg| {
        let ms = leg.ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
        vec![leg.leg.clone(), ms, leg.fault.clone().unwrap_or_default()]
    })?;
    if !unproven.is_empty() {
        output::note(&format!("of these nothing is proven, as they send nothing in a drill: {}", unproven.join(", ")));
    }
    Ok(())
}
