//! One request carried out, if it was granted. The script has said what it wants; here is decided whether, and done.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pitchside_collect::mqtt::{Gate, Qos};
use pitchside_script::manifest::Capability;
use pitchside_script::output::{Request, Url};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_serial::SerialPortBuilderExt as _;

use super::http::Client;

/// How long a serial port may take.
const SERIAL_WITHIN: Duration = Duration::from_secs(5);

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarryError {
    /// It never will be: not granted, or no request at all.
    Never(String),
    /// It may be later: nobody answers, or not well.
    Later(String),
}

/// Carries requests out.
pub struct Carrier {
    gate: Arc<Gate>,
    http: Client,
    /// Ports the box itself reads.
    own_ports: Vec<PathBuf>,
}

impl Carrier {
    /// Publishes through this gate; never writes to these ports, which are the box's own.
    pub fn new(gate: Arc<Gate>, own_ports: Vec<PathBuf>) -> Self {
        Self { gate, http: Client, own_ports }
    }

    /// Carries a request out under a key that names it for good.
    pub async fn carry(&self, request: &Request, key: &str, granted: &[Capability]) -> Result<(), CarryError> {
        request.is_granted(granted).map_err(|error| CarryError::Never(error.to_string()))?;
        match request {
            Request::Http { url, content_type, body } => {
                let url = Url::parse(url).ok_or_else(|| CarryError::Never(format!("{url:?} is no URL")))?;
                self.http.post(&url, content_type, key, Bytes::from(body.clone())).await.map_err(CarryError::Later)
            }
            Request::Mqtt { topic, body } => self
                .gate
                .publish(topic, Bytes::from(body.clone()), false, Qos::AtLeastOnce)
                .map_err(|error| CarryError::Later(error.to_string())),
            Request::Serial { path, baud, body } => self.write(path, *baud, body.as_bytes()).await,
        }
    }

    async fn write(&self, path: &str, baud: i64, bytes: &[u8]) -> Result<(), CarryError> {
        // A link may be another name for the same port.
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.own_ports.iter().any(|own| real(own) == real(Path::new(path))) {
            return Err(CarryError::Never(format!("the box itself listens on {path}")));
        }
        let baud = u32::try_from(baud).map_err(|_| CarryError::Never(format!("{baud} is no baud rate")))?;
        let written = timeout(SERIAL_WITHIN, async {
            let mut port = tokio_serial::new(path, baud).open_native_async()?;
            port.write_all(bytes).await?;
            port.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(CarryError::Later(error.to_string())),
            Err(_) => Err(CarryError::Later(format!("the port took longer than {} s", SERIAL_WITHIN.as_secs()))),
        }
    }
}
