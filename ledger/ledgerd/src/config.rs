//! Settings: defaults < the file `ledgerd.toml` in the ledger's directory < `LEDGERD_*` < flags. Unknown keys are refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};

/// The settings of `ledgerd serve`. This text is the manual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where gateways connect (Noise). Port 0 takes any free port.
    pub ingest: SocketAddr,
    /// Where readers connect (HTTP, read only). For a proxy with TLS, or for loopback.
    pub http: SocketAddr,
    /// How long the first leaf of a batch waits for others, in milliseconds. One batch costs one group of fsyncs.
    pub batch_ms: u64,
    /// Gateway connections at once, over all gateways.
    pub connections_max: usize,
    /// Gateway connections at once, of one gateway.
    pub connections_per_gateway_max: usize,
    /// Connections that have not proven who they are yet.
    pub strangers_max: usize,
    /// How long a connection may take to prove who it is, in milliseconds.
    pub handshake_ms_max: u64,
    /// How long a gateway may say nothing, in seconds.
    pub idle_s_max: u64,
    /// HTTP connections at once.
    pub readers_max: usize,
    /// Bytes of all contents of releases kept. They are never cleared away: beyond it new ones are refused,
    /// and before it if they would take the room on the disk that is kept for the log.
    pub content_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ingest: SocketAddr::from(([127, 0, 0, 1], 7788)),
            http: SocketAddr::from(([127, 0, 0, 1], 7789)),
            batch_ms: 100,
            connections_max: 512,
            connections_per_gateway_max: 4,
            strangers_max: 64,
            handshake_ms_max: 10_000,
            idle_s_max: 300,
            readers_max: 256,
            content_bytes_max: 16 << 30,
        }
    }
}

/// Why the settings were not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that is not known, or a value that does not fit.
    #[error("the configuration: {0}")]
    Figment(Box<figment::Error>),
    /// A bound of zero would let nobody in.
    #[error("`{0}` must be at least 1")]
    Zero(&'static str),
    /// There is no such file.
    #[error("there is no configuration file {0}; `ledgerd init` writes one")]
    Absent(PathBuf),
}

impl Config {
    /// Reads the settings; `flags` has the last word.
    ///
    /// # Errors
    /// No such file, an unknown key, or a value that does not fit.
    pub fn load(file: &Path, flags: impl Serialize) -> Result<Self, ConfigError> {
        if !file.is_file() {
            return Err(ConfigError::Absent(file.to_owned()));
        }
        let config: Self = Figment::from(Serialized::defaults(Self::default()))
            .merge(Toml::file_exact(file))
            // LEDGERD_LOG and LEDGERD_DIRECTORY are the command line's, not settings.
            .merge(Env::prefixed("LEDGERD_").ignore(&["log", "directory"]))
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(|error| ConfigError::Figment(Box::new(error)))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (name, value) in [
            ("connections_max", self.connections_max),
            ("connections_per_gateway_max", self.connections_per_gateway_max),
            ("strangers_max", self.strangers_max),
            ("readers_max", self.readers_max),
            ("handshake_ms_max", usize::try_from(self.handshake_ms_max).unwrap_or(usize::MAX)),
            ("idle_s_max", usize::try_from(self.idle_s_max).unwrap_or(usize::MAX)),
        ] {
            if value == 0 {
                return Err(ConfigError::Zero(name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_and_flags_have_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledgerd.toml");
        std::fs::write(&file, "batch_ms = 5\nidle_s_max = 9\n").unwrap();
        let flags = serde_json::json!({ "batch_ms": 7 });
        let config = Config::load(&file, &flags).unwrap();
        assert_eq!((config.batch_ms, config.idle_s_max), (7, 9));
        std::fs::write(&file, "batch = 5\n").unwrap();
        let error = Config::load(&file, serde_json::json!({})).unwrap_err().to_string();
        assert!(error.contains("batch"), "{error}");
        std::fs::write(&file, "readers_max = 0\n").unwrap();
        assert!(matches!(Config::load(&file, serde_json::json!({})), Err(ConfigError::Zero("readers_max"))));
    }
}
