//! Listeners: from an accepted socket to a pair of halves that speak MQTT.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use pitchside_model::Medium;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{GateConfig, GateError};
use super::connection::{self, Arrival};
use super::gate::Shared;
use super::websocket;

/// After an accept that failed for want of file descriptors or memory.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// A peer that is gone without a word, and set no keep-alive, is noticed by TCP: silence, then probes.
const TCP_SILENCE: Duration = Duration::from_secs(60);
const TCP_PROBE_EVERY: Duration = Duration::from_secs(20);
const TCP_PROBES: u32 = 3;

/// The addresses a gate listens on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalAddrs {
    /// Plain TCP.
    pub tcp: Vec<SocketAddr>,
    /// TLS.
    pub tls: Option<SocketAddr>,
    /// Plain WebSocket.
    pub ws: Vec<SocketAddr>,
    /// WebSocket over TLS.
    pub wss: Option<SocketAddr>,
}

/// `tcp 127.0.0.1:1883, tls 0.0.0.0:8883`, or `none`.
impl fmt::Display for LocalAddrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named =
            |name, addresses: &[SocketAddr]| addresses.iter().map(|a| format!("{name} {a}")).collect::<Vec<_>>();
        let (tls, wss) = (self.tls.as_slice(), self.wss.as_slice());
        let all = [named("tcp", &self.tcp), named("tls", tls), named("ws", &self.ws), named("wss", wss)].concat();
        f.write_str(if all.is_empty() { "none" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

/// One bound address.
pub(crate) struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    websocket: bool,
}

/// Binds every address of `config`.
pub(crate) async fn bind(config: &GateConfig) -> Result<(Vec<Listener>, LocalAddrs), GateError> {
    let mut listeners = Vec::new();
    let mut addrs = LocalAddrs::default();
    for address in &config.tcp {
        addrs.tcp.push(one(&mut listeners, *address, None, false).await?);
    }
    for address in &config.ws {
        addrs.ws.push(one(&mut listeners, *address, None, true).await?);
    }
    if let Some((address, tls)) = &config.tls {
        addrs.tls = Some(one(&mut listeners, *address, Some(tls), false).await?);
    }
    if let Some((address, tls)) = &config.wss {
        addrs.wss = Some(one(&mut listeners, *address, Some(tls), true).await?);
    }
    Ok((listeners, addrs))
}

async fn one(
    listeners: &mut Vec<Listener>,
    address: SocketAddr,
    tls: Option<&Arc<ServerConfig>>,
    websocket: bool,
) -> Result<SocketAddr, GateError> {
    let failed = |source| GateError::Bind { address, source };
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    listeners.push(Listener { socket, tls: tls.cloned().map(TlsAcceptor::from), websocket });
    Ok(bound)
}

impl Listener {
    /// Accepts until the gate stops; every connection is a task of its own from its first byte.
    pub(crate) async fn serve(self, gate: Arc<Shared>, tasks: TaskTracker, abandon: CancellationToken) {
        let listener = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                () = gate.stop.cancelled() => return,
                accepted = listener.socket.accept() => accepted,
            };
            let (socket, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_AGAIN_AFTER).await;
                    continue;
                }
            };
            let (place, unproven) = match gate.doors.enter(from.ip()) {
                Ok(places) => places,
                Err(why) => {
                    // Every one is counted; the log gets the 1st, 2nd, 4th, 8th, ... of a flood.
                    let count = gate.stats.turned_away();
                    if count.is_power_of_two() {
                        tracing::warn!(%from, %why, count, "connection turned away at the door");
                    }
                    continue;
                }
            };
            let arrival = Arrival {
                medium: listener.medium(),
                peer: Arc::from(from.to_string()),
                prove_until: Instant::now() + gate.limits.authenticate_within,
                place,
                unproven,
            };
            let (listener, gate, abandon) = (listener.clone(), gate.clone(), abandon.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = listener.connection(gate, socket, arrival) => {}
                    () = abandon.cancelled() => {}
                }
            });
        }
    }

    fn medium(&self) -> Medium {
        match (&self.tls, self.websocket) {
            (_, true) => Medium::MqttWebSocket,
            (Some(_), false) => Medium::MqttTls,
            (None, false) => Medium::Mqtt,
        }
    }

    async fn connection(&self, gate: Arc<Shared>, socket: TcpStream, arrival: Arrival) {
        if let Err(error) = tune(&socket) {
            tracing::debug!(peer = %arrival.peer, %error, "socket options could not be set");
        }
        match &self.tls {
            None if !self.websocket => {
                let (reader, writer) = socket.into_split();
                connection::serve(gate, reader, writer, arrival).await;
            }
            None => self.plain(gate, socket, arrival).await,
            Some(tls) => {
                let opened = tokio::select! {
                    opened = timeout_at(arrival.prove_until, tls.accept(socket)) => opened,
                    () = gate.stop.cancelled() => return,
                };
                match opened {
                    Ok(Ok(stream)) => self.plain(gate, stream, arrival).await,
                    Ok(Err(error)) => {
                        gate.stats.denied();
                        tracing::info!(peer = %arrival.peer, %error, "no TLS");
                    }
                    Err(_) => {
                        gate.stats.denied();
                        tracing::info!(peer = %arrival.peer, "no TLS in the time allowed");
                    }
                }
            }
        }
    }

    async fn plain<S>(&self, gate: Arc<Shared>, stream: S, arrival: Arrival)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if !self.websocket {
            let (reader, writer) = tokio::io::split(stream);
            return connection::serve(gate, reader, writer, arrival).await;
        }
        let opened = tokio::select! {
            opened = timeout_at(arrival.prove_until, websocket::accept(stream, gate.limits.packet_bytes_max)) => opened,
            () = gate.stop.cancelled() => return,
        };
        match opened {
            Ok(Ok(stream)) => {
                let (reader, writer) = tokio::io::split(stream);
                connection::serve(gate, reader, writer, arrival).await;
            }
            Ok(Err(error)) => {
                gate.stats.denied();
                tracing::info!(peer = %arrival.peer, %error, "no WebSocket");
            }
            Err(_) => {
                gate.stats.denied();
                tracing::info!(peer = %arrival.peer, "no WebSocket in the time allowed");
            }
        }
    }
}

fn tune(socket: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, TCP_SILENCE)?;
    sockopt::set_tcp_keepintvl(socket, TCP_PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(socket, TCP_PROBES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_addresses() {
        let mut addrs = LocalAddrs::default();
        assert_eq!(addrs.to_string(), "none");
        addrs.tcp = vec!["127.0.0.1:1883".parse().unwrap(), "[::1]:1883".parse().unwrap()];
        addrs.wss = Some("0.0.0.0:9001".parse().unwrap());
        assert_eq!(addrs.to_string(), "tcp 127.0.0.1:1883, tcp [::1]:1883, wss 0.0.0.0:9001");
    }
}
