//! `pitchside demo`: one clinic on one machine. A ledger, a gateway and a squad of eight athletes whose sensors are
//! separate programs that replay recordings over real TCP and real terminals.
//!
//! | module | holds |
//! | --- | --- |
//! | [`squad`] | the script: who wears what, and what happens |
//! | [`home`] | the folder: ledger, box, athletes, devices |
//! | [`history`] | weeks before the run, generated and sealed |
//! | [`sensors`] | the sensor programs and what they say |
//! | [`audit`] | what was acknowledged against what is sealed |
//! | [`report`] | the summary |
//! | [`children`] | other programs |

mod audit;
mod children;
mod history;
mod home;
pub mod report;
mod sensors;
mod squad;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use pitchside_model::Timestamp;
use pitchside_store::Level;

use crate::cli::args::DemoArgs;
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Outcome, stop_signal};
use crate::pipeline::{Gateway, Startup};
use report::{AlertLine, Summary, missing_alerts};
use sensors::Sensors;

/// How long the ledger may take to publish the last blocks.
const PUBLISH_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The sensors start together, once all of them are up.
const START_IN_MS: i64 = 1_500;

/// Runs the demo.
pub fn run(args: &DemoArgs, output: &Output) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let summary = runtime.block_on(play(args))?;
    output.print(&summary, words)?;
    if summary.ok { Ok(()) } else { Err(Failure::Failed(anyhow::anyhow!("{}", summary.missing.join("; ")))) }
}

async fn play(args: &DemoArgs) -> Result<Summary, Failure> {
    let temporary = if args.dir.is_none() { Some(tempfile::tempdir().context("making a folder")?) } else { None };
    let dir: PathBuf = match (&args.dir, &temporary) {
        (Some(dir), _) => dir.clone(),
        (None, Some(folder)) => folder.path().join("demo"),
        (None, None) => return Err(Failure::Usage("no folder".to_owned())),
    };
    output::note(&format!("Making a clinic in {}", dir.display()));
    let home = home::make(&dir, args.http).await?;
    if let Some(history) = args.history {
        let settings = home.settings.clone();
        let made =
            tokio::task::spawn_blocking(move || history::make(&settings, history)).await.context("history")??;
        output::note(&format!("{made} of history are sealed; try: pitchside rules backtest heat-illness --since 30d"));
    }
    let gateway = Gateway::start(Startup::new(home.settings.clone())?).await?;
    output::note(&format!("The ledger and the gateway are running. Live page: https://{}", gateway.http_address()));
    output::note(&format!("Sign in as {} with the password {}", crate::cli::FIRST_USER, home.password.as_str()));
    output::note(&format!(
        "(browsers will ask about the certificate; the box's authority is {})",
        home.dir.join("keys/ca.pem").display()
    ));

    let began = crate::clock::Clock::System.now();
    let start_unix_ms = crate::clock::Clock::System.now().millis() + START_IN_MS;
    let pace = squad::Pace { speed: args.speed, length_s: args.length.map(|d| d.as_secs_f64()), start_unix_ms };
    let mut sensors = Sensors::start(&home, pace)?;
    let narrator = tokio::spawn(sensors::narrate(gateway.store().clone()));
    let stopped = tokio::select! {
        () = sensors.finished() => Ok(()),
        stopped = stop_signal() => stopped,
    };
    stopped?;
    let tally = sensors.tally().await?;
    narrator.abort();
    gateway.seal_now().await;
    published(&gateway).await?;
    let trained_s = args.length.map_or(0, |length| length.as_secs() * u64::from(args.speed));
    let summary = summarise(&gateway, &home, &tally, args.speed, (began, trained_s))?;
    gateway.stop().await;
    home.ledger.stop().await;
    Ok(summary)
}

/// Waits until every block has R2, for a bounded time.
async fn published(gateway: &Gateway) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + PUBLISH_MAX;
    while tokio::time::Instant::now() < deadline {
        let store = gateway.store();
        if store.blocks_at(Level::R0, 1)?.is_empty() && store.blocks_at(Level::R1, 1)?.is_empty() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn summarise(
    gateway: &Gateway,
    home: &home::Home,
    tally: &sensors::Tally,
    speed: u32,
    (began, trained_s): (Timestamp, u64),
) -> anyhow::Result<Summary> {
    let store = gateway.store();
    // What the generated history raised is not the run's.
    let rows = store.alerts(1_000)?;
    let of_run = rows.iter().rev().filter(|row| row.recorded_at >= began);
    let alerts: Vec<AlertLine> = of_run.map(|row| AlertLine::from(&row.alert)).collect();
    let sealed = audit::sealed(store, &home.settings)?;
    let mut missing = missing_alerts(&squad::expected(speed), &alerts, trained_s);
    let mut lost = 0;
    for (device, acknowledged) in &tally.acknowledged {
        let found = sealed.readings.get(device).copied().unwrap_or(0);
        if *acknowledged > found {
            lost += acknowledged - found;
            missing.push(format!("{device}: {acknowledged} readings were acknowledged, {found} are sealed"));
        }
    }
    let mut receipts: BTreeMap<String, u64> = ["R0", "R1", "R2", "R3"].map(|level| (level.to_owned(), 0)).into();
    for level in &sealed.levels {
        *receipts.entry(level.to_string()).or_default() += 1;
    }
    let blocks = sealed.levels.len() as u64;
    if blocks == 0 {
        missing.push("no block was sealed".to_owned());
    }
    let unpublished = sealed.levels.iter().filter(|level| **level < Level::R2).count();
    if unpublished > 0 {
        missing.push(format!("{unpublished} blocks have no receipt R2"));
    }
    if tally.acknowledged.values().sum::<u64>() < tally.sent {
        missing.push("not every reading was acknowledged".to_owned());
    }
    missing.extend(
        tally
            .failed
            .iter()
            .map(|device| format!("the sensor {device} failed; see its log in {}", home.dir.join("sensors").display())),
    );
    Ok(Summary {
        schema: "pitchside/demo/1",
        readings: tally.sent,
        acknowledged: tally.acknowledged.values().sum(),
        lost,
        alerts,
        blocks,
        receipts,
        ok: missing.is_empty(),
        missing,
        dir: home.dir.display().to_string(),
    })
}

fn words(summary: &Summary) -> String {
    let mut text = format!(
        "{} readings sent, {} acknowledged, {} lost\n{} blocks sealed; receipts: {}\n",
        summary.readings,
        summary.acknowledged,
        summary.lost,
        summary.blocks,
        summary.receipts.iter().map(|(level, count)| format!("{level} {count}")).collect::<Vec<_>>().join(", ")
    );
    for alert in &summary.alerts {
        let athlete = alert.athlete.as_ref().map_or("nobody", |athlete| athlete.as_str());
        let value = alert.value.as_ref().map_or_else(String::new, |value| format!(" at {value} {}", alert.unit));
        text.push_str(&format!("alert {} for {athlete}{value} ({})\n", alert.rule, alert.id));
    }
    text.push_str(if summary.ok { "Nothing is missing." } else { "Something is missing:" });
    for what in &summary.missing {
        text.push_str(&format!("\n  {what}"));
    }
    text
}
