//! Kills a gateway under load, again and again, and counts what is missing, double or broken afterwards.
//!
//! ```text
//! sensors (here) --MQTT over TCP--> pitchside run (child, kill -9) --Noise--> ledger (here)
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `gateway` | the child: started, killed, started again |
//! | `load` | sensors that never stop talking, and remember what was receipted |
//! | `verdict` | what must hold afterwards |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test with arguments"
)]

mod gateway;
mod load;
mod verdict;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use gatewayd::clock::Clock;
use pitchside_tests::site::Site;
use pitchside_tests::{Clinic, until};

use gateway::Gateway;
use load::Load;

/// Kills a gateway under load and counts what is missing afterwards. Exits 1 if anything is.
#[derive(Debug, Parser)]
struct Args {
    /// How often.
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// When; printed, so that a run can be had again. The machine's own timing is not in it.
    #[arg(long)]
    seed: Option<u64>,
    /// Sensors.
    #[arg(long, default_value_t = 6)]
    sensors: u32,
    /// Keep the clinic's folder, whatever comes of it.
    #[arg(long)]
    keep: bool,
}

/// The longest a gateway runs before it is killed: mostly, and one time in four, so that blocks come about.
const RUN_MS_MAX: [u64; 4] = [250, 250, 250, 1_200];
/// One kill in so many comes before the gateway is up.
const KILL_AT_START_IN: u64 = 8;

/// A seeded sequence (PCG's multiplier): enough for moments.
struct Moments(u64);

impl Moments {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("randomness");
        u64::from_le_bytes(bytes)
    });
    println!("seed {seed}, {} kills, {} sensors", args.kills, args.sensors);
    let mut moments = Moments(seed);
    let mqtt = gateway::free_address(&mut moments);
    let mut clinic = Clinic::new().ledger().rule("fast", "value > 180.0").with(move |settings| {
        settings.mqtt.tcp = vec![mqtt];
        settings.blocks.interval_ms = 200;
    });
    let names: Vec<String> = (0..args.sensors).map(|number| format!("s{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        clinic = clinic.strap(name).athlete(&format!("athlete-{number}"));
    }
    let made = clinic.make().await;
    println!("folder {}", made.dir.path().display());
    let site = Arc::new(Site::new(made.dir.path(), mqtt, Clock::System));
    let load = Load::start(&site, names.iter().map(|name| (name.as_str(), made.card(name))));
    let began = Instant::now();
    let mut gateway = Gateway::start(&made);
    for kill in 1..=args.kills {
        let started = Instant::now();
        let early = moments.below(KILL_AT_START_IN) == 0;
        if !early {
            let before = load.connections();
            until("a sensor to be connected", || (load.connections() > before).then_some(())).await;
        }
        let up = started.elapsed();
        // The moment itself is what is random here; nothing waits for it.
        let run = Duration::from_millis(moments.below(RUN_MS_MAX[kill as usize % RUN_MS_MAX.len()]));
        tokio::time::sleep(run).await;
        gateway.kill();
        let at = if early { "while starting".to_owned() } else { format!("up after {} ms", up.as_millis()) };
        println!("kill {kill}: {at}, killed {} ms later, {} receipted", run.as_millis(), load.receipted());
        gateway = Gateway::start(&made);
    }
    let killed = began.elapsed();
    let said = load.finish().await;
    until("every block to be in the ledger", || made.stored.tables().backlog().unwrap().blocks.eq(&0).then_some(()))
        .await;
    let stopped = gateway.stop();
    let verdict = verdict::verdict(&made, &said, stopped);
    for fault in &verdict.faults {
        println!("FAULT {fault}");
    }
    println!(
        "{} kills in {:.1} s; {} messages said, {} receipted, {} stored, {} alerts, {} blocks: {}",
        args.kills,
        killed.as_secs_f64(),
        verdict.said,
        verdict.receipted,
        verdict.stored,
        verdict.alerts,
        verdict.blocks,
        if verdict.faults.is_empty() { "nothing missing, nothing double, all verified" } else { "FAILED" }
    );
    if args.keep || !verdict.faults.is_empty() {
        println!("kept {}", made.dir.keep().display());
    }
    ExitCode::from(u8::from(!verdict.faults.is_empty()))
}
