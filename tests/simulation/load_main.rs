//! Many devices at once, to see how much a gateway takes. Prints one JSON object.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod card;
mod load;
mod mqtt;
mod pack;
mod template;
mod wall;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use pitchside_wire::Credential;
use tokio::sync::watch;

use load::{Load, Outcome};
use mqtt::stream::Address;
use template::Shape;

/// Many P1 devices over MQTT; counts receipts. Exits 0 if every message was receipted.
#[derive(Debug, Parser)]
#[command(name = "pitchside-load", version)]
struct Args {
    /// Folder of enrolment files, one a device.
    #[arg(long, value_name = "DIR")]
    secrets: PathBuf,
    /// The gateway, HOST:PORT.
    #[arg(long)]
    address: String,
    /// PEM file of the gateway's authority; plain TCP without it.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// What a message holds.
    #[arg(long, value_enum, default_value = "single")]
    shape: Shape,
    /// Seconds of load.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Messages of a device without a receipt, at most 1024.
    #[arg(long, default_value_t = 256)]
    window: usize,
    /// Messages a second and device, instead of as many as receipts allow.
    #[arg(long)]
    rate: Option<f64>,
    /// Devices used, of those in the folder.
    #[arg(long)]
    devices: Option<usize>,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("pitchside-load: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let mut devices = Vec::new();
    for entry in std::fs::read_dir(&args.secrets).with_context(|| args.secrets.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            devices.push(card::read(&path)?);
        }
    }
    devices.sort_by(|(a, _), (b, _)| a.cmp(b));
    devices.truncate(args.devices.unwrap_or(usize::MAX));
    let seconds = |s: f64| Duration::try_from_secs_f64(s).context("seconds");
    if devices.is_empty()
        || args.window == 0
        || args.window > 1_024
        || args.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0)
    {
        bail!("there must be a device, a window of 1 to 1024 and a rate above 0");
    }
    let load = Load {
        to: Address { address: args.address.clone(), ca_file: args.ca_file.clone(), server_name: None },
        shape: args.shape,
        window: args.window,
        rate: args.rate,
        length: seconds(args.seconds)?,
        at_most: None,
        linger: Duration::from_secs(30),
    };
    let count = devices.len();
    let (ready, mut all_ready) = watch::channel(0);
    let (go, started) = watch::channel(false);
    let threads = args.threads.clamp(1, count);
    let mut shares: Vec<Vec<(String, Credential)>> = (0..threads).map(|_| Vec::new()).collect();
    for (i, device) in devices.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(i % threads) {
            share.push(device);
        }
    }
    let total = std::thread::scope(|scope| -> anyhow::Result<Outcome> {
        let handles: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let (load, ready, started) = (&load, &ready, started.clone());
                scope.spawn(move || on_this_thread(load, share, ready, started))
            })
            .collect();
        // All sessions stand before the first message. A thread that failed stops waiting for the others.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            while *all_ready.borrow_and_update() < count
                && !handles.iter().any(std::thread::ScopedJoinHandle::is_finished)
            {
                let _ = tokio::time::timeout(Duration::from_millis(50), all_ready.changed()).await;
            }
        });
        go.send_replace(true);
        let mut total = Outcome::default();
        for handle in handles {
            total.add(handle.join().map_err(|_| anyhow::anyhow!("a thread failed"))??);
        }
        Ok(total)
    });
    let mut total = total?;
    let ok = total.receipted == total.messages;
    let per_s = |n: u64| n as f64 / total.seconds.max(1e-9);
    let (messages_s, readings_s, samples_s) = (per_s(total.receipted), per_s(total.readings), per_s(total.samples));
    let (p50, p99) = (total.latency_us(0.5), total.latency_us(0.99));
    let line = serde_json::json!({
        "schema": "pitchside/load/1", "ok": ok, "totals": total,
        "messages_per_s": messages_s, "readings_per_s": readings_s, "samples_per_s": samples_s,
        "receipt_p50_us": p50, "receipt_p99_us": p99,
    });
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{line}\n"))?;
    Ok(ok)
}

fn on_this_thread(
    load: &Load,
    devices: Vec<(String, Credential)>,
    ready: &watch::Sender<usize>,
    started: watch::Receiver<bool>,
) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let runs = devices.into_iter().map(|(id, credential)| {
            let started = started.clone();
            async move { load::run(load, &id, credential, ready, started).await.with_context(|| id.clone()) }
        });
        let mut total = Outcome::default();
        for outcome in futures_util::future::try_join_all(runs).await? {
            total.add(outcome);
        }
        Ok(total)
    })
}
