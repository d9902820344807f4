//! The real server over a scripted clinic, for the browser test and for looking at the page without any sensors.
//!
//! `cargo run -p pitchside-admin --example scripted [ADDRESS]` prints one line of JSON saying where it listens and how to
//! sign in, then reads commands from its input, one a line, and prints `{"done":..}` for each:
//!
//! ```text
//! silence DEVICE      speak DEVICE        contact-lost DEVICE
//! raise               clear               latch (an alert that stays until it is reset)
//! seal
//! stop                start               forget (everybody is signed out, as after a new start of the gateway)
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/scripted/mod.rs"]
mod scripted;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pitchside_admin::{BoardLimits, Limits, Receipt, Server, SignIns};
use pitchside_model::{AlertId, Decimal, Gap, GapReason, Quantity, Value, Wave};
use scripted::{Certificate, Clinic};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Who wears what: athlete, device, quantity, lowest value, highest value, exponent.
const SQUAD: &[(Option<&str>, &str, Quantity, i64, i64, i8)] = &[
    (Some("ada-07"), "strap-1", Quantity::HEART_RATE, 128, 171, 0),
    (Some("ada-07"), "strap-1", Quantity::RR_INTERVAL, 351, 468, 0),
    (Some("ada-07"), "pill-1", Quantity::CORE_TEMPERATURE, 3_790, 3_968, -2),
    (Some("bea-11"), "strap-2", Quantity::HEART_RATE, 110, 150, 0),
    (Some("bea-11"), "meter-2", Quantity::POWER, 180, 320, 0),
    (Some("bea-11"), "meter-2", Quantity::CADENCE, 82, 96, 0),
    (Some("cai-03"), "strap-3", Quantity::HEART_RATE, 122, 166, 0),
    (Some("dee-21"), "strap-4", Quantity::HEART_RATE, 98, 140, 0),
    (Some("dee-21"), "meter-4", Quantity::SPEED, 31, 58, -1),
    (Some("eli-05"), "strap-5", Quantity::HEART_RATE, 133, 174, 0),
    (Some("eli-05"), "hub-1", Quantity::SKIN_TEMPERATURE, 331, 348, -1),
    (Some("fay-18"), "strap-6", Quantity::HEART_RATE, 90, 131, 0),
    (Some("gus-02"), "strap-7", Quantity::HEART_RATE, 120, 158, 0),
    (Some("hal-09"), "strap-8", Quantity::HEART_RATE, 104, 149, 0),
    (None, "spare-1", Quantity::AMBIENT_TEMPERATURE, 241, 246, -1),
];

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse().expect("an address");
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).unwrap();
    let password = data_encoding::HEXLOWER.encode(&random);
    // Short lifetimes, so that nobody has to wait long to see a value grow stale.
    let limits = BoardLimits { stale_after: |_| Duration::from_secs(3), ..BoardLimits::default() };
    let clinic = Clinic::with(&password, limits);
    let certificate = Certificate::new();
    let silent: Arc<Mutex<HashSet<String>>> = Arc::default();
    for _ in 0..6 {
        let index = clinic.seal(4_800);
        clinic.receipt(index, if index < 2 { Receipt::R3 } else { Receipt::R2 });
    }
    tokio::spawn(measure(Arc::clone(&clinic), Arc::clone(&silent)));

    let sign_ins = SignIns::new();
    let server = clinic.serve(address, &certificate, Limits::default(), sign_ins.clone()).await.expect("serving");
    let address = server.local_addr();
    let hello = serde_json::json!({ "url": format!("https://{address}"), "user": "clinician", "password": password });
    println!("{hello}");
    let mut server = Some(server);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let (command, device) = line.split_once(' ').unwrap_or((&line, ""));
        match command {
            "silence" => drop(silent.lock().insert(device.to_owned())),
            "speak" => drop(silent.lock().remove(device)),
            "contact-lost" => {
                silent.lock().insert(device.to_owned());
                for (athlete, _, quantity, ..) in SQUAD.iter().filter(|row| row.1 == device) {
                    let gap = Gap { reason: GapReason::ContactLost, extent: 0 };
                    clinic.reading(*athlete, device, *quantity, Value::Gap(gap));
                }
            }
            "raise" => drop(clinic.raise(7, "ada-07", "39.68")),
            "latch" => drop(clinic.latch(8, "bea-11", "39.91")),
            "clear" => clinic.clear(AlertId([7; 16])),
            "seal" => {
                let index = clinic.seal(5_120);
                for receipt in [Receipt::R1, Receipt::R2] {
                    clinic.receipt(index, receipt);
                }
            }
            "stop" => {
                if let Some(server) = server.take() {
                    Server::shutdown(server, Duration::from_secs(2)).await;
                }
            }
            "start" => {
                let limits = Limits::default();
                server = Some(clinic.serve(address, &certificate, limits, sign_ins.clone()).await.expect("serving"));
            }
            "forget" => sign_ins.users().iter().for_each(|user| sign_ins.end_user(user)),
            _ => {
                println!("{}", serde_json::json!({ "unknown": line }));
                continue;
            }
        }
        println!("{}", serde_json::json!({ "done": line }));
    }
}

/// Every stream says something twice a second, unless its device is silent.
async fn measure(clinic: Arc<Clinic>, silent: Arc<Mutex<HashSet<String>>>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    for step in 0i64.. {
        ticks.tick().await;
        for (which, (athlete, device, quantity, low, high, exponent)) in SQUAD.iter().enumerate() {
            if silent.lock().contains(*device) {
                continue;
            }
            // Each stream swings at its own pace between its bounds.
            let swing = ((step as f64) / (11.0 + which as f64)).sin() * 0.5 + 0.5;
            let mantissa = low + ((high - low) as f64 * swing) as i64;
            clinic.reading(*athlete, device, *quantity, Value::Number(Decimal::new(mantissa, *exponent).unwrap()));
        }
        if !silent.lock().contains("patch-1") {
            clinic.reading(Some("cai-03"), "patch-1", Quantity::ECG, Value::Wave(Box::new(heartbeat(step))));
        }
        if step % 30 == 29 {
            let index = clinic.seal(900);
            clinic.receipt(index, Receipt::R1);
            clinic.receipt(index, Receipt::R2);
        }
    }
}

/// One second of something that looks like an ECG at 360 Hz: bumps for P and T, a spike for QRS.
fn heartbeat(step: i64) -> Wave {
    let bump = |at: f64, centre: f64, width: f64, height: f64| height * (-((at - centre) / width).powi(2)).exp();
    let sample = |i: i64| {
        let at = ((i + step * 180) % 160) as f64 / 160.0;
        let qrs = bump(at, 0.38, 0.012, 1_100.0) - bump(at, 0.35, 0.012, 160.0) - bump(at, 0.41, 0.014, 240.0);
        (bump(at, 0.2, 0.03, 130.0) + qrs + bump(at, 0.65, 0.05, 260.0)) as i32
    };
    Wave { period_ns: 2_777_778, exponent: 0, offset: 0, samples: (0..360).map(sample).collect() }
}
