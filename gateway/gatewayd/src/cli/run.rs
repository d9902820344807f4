//! `pitchside run`.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::args::ConfigArg;
use super::{Outcome, context};
use crate::pipeline::{Gateway, Startup};

/// `pitchside run`.
pub fn run(config: &ConfigArg) -> Outcome {
    let settings = context::settings(config)?.settings;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let gateway = Gateway::start(Startup::new(settings)?).await?;
        tracing::info!(page = %format!("https://{}", gateway.http_address()), mqtt = ?gateway.mqtt_addresses(), "running");
        stop_signal().await?;
        tracing::info!("stopping");
        gateway.stop().await;
        Ok(())
    })
}

/// Returns at SIGINT or SIGTERM.
pub async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result.context("watching for Ctrl-C")?,
    }
    Ok(())
}
