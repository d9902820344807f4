//! `pitchside run`.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::args::ConfigArg;
use super::{Outcome, context};
use crate::pipeline::{Gateway, Startup};

/// `pitchside run`.
pub fn run(config: &ConfigArg) -> Outcome {
    let settings = context::settings(config)?.settings;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        // Watched from here on: a stop that comes while starting is obeyed once everything stands, as any other.
        let stop = StopSignal::watch()?;
        let gateway = Gateway::start(Startup::new(settings)?).await?;
        tracing::info!(page = %format!("https://{}", gateway.http_address()), mqtt = %gateway.mqtt_addresses(), "running");
        stop.arrived().await;
        tracing::info!("stopping");
        gateway.stop().await;
        Ok(())
    })
}

/// SIGINT and SIGTERM, watched from its making on.
struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    fn watch() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("watching for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("watching for Ctrl-C")?,
        })
    }

    async fn arrived(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Returns at SIGINT or SIGTERM.
pub async fn stop_signal() -> anyhow::Result<()> {
    StopSignal::watch()?.arrived().await;
    Ok(())
}
