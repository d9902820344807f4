//! A gateway in a runtime of its own: it can be stopped as an admin stops it, or end in the middle of whatever it does.

use std::sync::Arc;

use gatewayd::clock::Clock;
use gatewayd::pipeline::{Gateway, Startup};
use pitchside_config::Settings;
use tokio::runtime::{Builder, Runtime};

use crate::patience::PATIENCE;
use crate::program::program;

/// The running gateway.
pub struct House {
    gateway: Arc<Gateway>,
    /// Taken when the house is given up.
    runtime: Option<Runtime>,
}

impl House {
    /// Starts a gateway.
    pub async fn start(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let startup = Startup { settings, clock, program: program("pitchside") };
        let gateway = runtime.spawn(async move { Box::pin(Gateway::start(startup)).await }).await?;
        match gateway {
            Ok(gateway) => Ok(Self { gateway: Arc::new(gateway), runtime: Some(runtime) }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// The gateway.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("the house is not given up")
    }

    /// Seals what is open.
    pub async fn seal(&self) {
        let gateway = Arc::clone(&self.gateway);
        self.runtime().spawn(async move { gateway.seal_now().await }).await.expect("sealing ends well");
    }

    /// Stops it as an admin does.
    pub async fn stop(mut self) {
        let runtime = self.runtime.take().expect("the house is not given up");
        let gateway = Arc::clone(&self.gateway);
        drop(self);
        let gateway = Arc::into_inner(gateway).expect("nobody else has the gateway");
        runtime.spawn(async move { Box::pin(gateway.stop()).await }).await.expect("the gateway stops well");
        end(runtime).await;
    }

    /// Ends it wherever it is: no goodbye, no last block. What is not durable is gone.
    pub async fn kill(mut self) {
        let runtime = self.runtime.take().expect("the house is not given up");
        drop(self);
        end(runtime).await;
    }
}

/// A test that ends, well or badly, leaves its gateway to the machine.
impl Drop for House {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns when every task is gone, and with them every handle of the store.
async fn end(runtime: Runtime) {
    let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE));
    ended.await.expect("a runtime ends");
}
