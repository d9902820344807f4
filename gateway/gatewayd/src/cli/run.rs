//! `pitchside run`.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::args::ConfigArg;
use super::{Failure, Outcome, context, factory_reset};
use crate::pipeline::{Gateway, Startup};
use crate::watchdog::Watchdog;

/// `pitchside run`.
pub fn run(config: &ConfigArg) -> Outcome {
    let settings = context::settings(config)?.settings;
    if factory_reset::complete(&settings.gateway.data_dir)? {
        return Err(Failure::Failed(anyhow::anyhow!(
            "the factory reset is complete; `pitchside init` makes a new box"
        )));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        // Watched from here on: a stop that comes while starting is obeyed once everything stands, as any other.
        let stop = StopSignal::watch()?;
        let gateway = Gateway::start(Startup::new(settings)?).await?;
        let watchdog = Watchdog::from_environment().context("NOTIFY_SOCKET names no socket")?;
        if let Some(watchdog) = &watchdog {
            watchdog.ready().context("telling the service manager")?;
        }
        tracing::info!(page = %format!("https://{}", gateway.http_address()), mqtt = %gateway.mqtt_addresses(), "running");
        tokio::select! {
            () = stop.arrived() => {}
            () = beats(watchdog.as_ref(), &gateway) => {}
        }
        tracing::info!("stopping");
        if let Some(watchdog) = &watchdog {
            watchdog.stopping().context("telling the service manager")?;
        }
        gateway.stop().await;
        Ok(())
    })
}

/// Tells of progress, if anyone wants to hear of it; never ends.
async fn beats(watchdog: Option<&Watchdog>, gateway: &Gateway) {
    match watchdog {
        Some(watchdog) => watchdog.run(gateway.store()).await,
        None => std::future::pending().await,
    }
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
