//! One simulated sensor, one process: a strap, a patch, a power meter, a pill or a hub, replaying a recording or a model
//! over a real connection. `README.md` beside this shows a spec of each kind and what is printed.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(test)]
mod bench;
mod card;
mod clock;
mod heat;
mod hub;
mod line;
#[cfg(test)]
mod load;
mod mqtt;
mod pack;
mod pty;
mod recording;
mod report;
mod run;
mod source;
mod spec;
#[cfg(test)]
mod template;
mod wall;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// A simulated sensor. Prints JSON lines; exits 0 if every reading was receipted.
#[derive(Debug, Parser)]
#[command(name = "pitchside-sensor", version)]
struct Args {
    /// What it is and where the gateway is (TOML).
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match sensor(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // stdout belongs to whoever counts; this is for people.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("pitchside-sensor: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn sensor(args: &Args) -> anyhow::Result<bool> {
    let spec = spec::Spec::read(&args.spec)?;
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Told to stop, it stops measuring, not waiting for its receipts.
    let stop = async {
        tokio::select! { _ = term.recv() => {} _ = interrupt.recv() => {} }
    };
    let counts = match spec.link {
        spec::LinkSpec::Password { .. } => hub::run(&spec, stop).await?,
        _ => run::run(&spec, stop).await?,
    };
    let (lost, ok) = (counts.unknown(), counts.unknown() == 0 && counts.refused == 0);
    report::say(&spec.device, &report::Event::Finished { counts, lost, ok });
    Ok(ok)
}
