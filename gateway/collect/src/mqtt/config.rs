//! Where the gate listens.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;

use super::limits::Limits;

/// What [`super::Gate::start`] needs. Nothing is listened on unless it is named here.
#[derive(Clone, Default)]
pub struct GateConfig {
    /// MQTT over plain TCP; loopback addresses only.
    pub tcp: Vec<SocketAddr>,
    /// MQTT over TLS.
    pub tls: Option<(SocketAddr, Arc<ServerConfig>)>,
    /// MQTT over plain WebSocket; loopback addresses only.
    pub ws: Vec<SocketAddr>,
    /// MQTT over WebSocket over TLS.
    pub wss: Option<(SocketAddr, Arc<ServerConfig>)>,
    /// How much of everything.
    pub limits: Limits,
}

impl std::fmt::Debug for GateConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GateConfig")
            .field("tcp", &self.tcp)
            .field("tls", &self.tls.as_ref().map(|(addr, _)| addr))
            .field("ws", &self.ws)
            .field("wss", &self.wss.as_ref().map(|(addr, _)| addr))
            .field("limits", &self.limits)
            .finish()
    }
}

/// Why the gate does not start.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Health data would cross a network unencrypted.
    #[error(
        "{0} is not a loopback address: MQTT without TLS is served on loopback only; \
         use the TLS listener for other addresses"
    )]
    PlaintextNotLoopback(SocketAddr),
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}; stop what uses it or configure another address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// rumqttd's router does not come up.
    #[error("the MQTT router did not start; see the log for what it said")]
    Router,
    /// A limit that would refuse everything.
    #[error("limit {0} must not be 0")]
    ZeroLimit(&'static str),
}

impl GateConfig {
    /// Checks what can be checked before anything is bound.
    pub fn check(&self) -> Result<(), GateError> {
        if let Some(address) = self.tcp.iter().chain(&self.ws).find(|address| !address.ip().is_loopback()) {
            return Err(GateError::PlaintextNotLoopback(*address));
        }
        let limits = &self.limits;
        let zero = [
            ("connections_max", limits.connections_max == 0),
            ("unauthenticated_max", limits.unauthenticated_max == 0),
            ("packet_bytes_max", limits.packet_bytes_max == 0),
            ("in_flight_max", limits.in_flight_max == 0),
            ("in_flight_bytes_max", limits.in_flight_bytes_max == 0),
        ];
        match zero.iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(GateError::ZeroLimit(name)),
            None => Ok(()),
        }
    }
}
