//! TLS, accept loop, graceful stop.
//!
//! Each connection is one task, and holds its place among the bounds until it ends. Stopping: the listener closes, event
//! streams end, connections finish what they are answering; what is still open at the deadline is cut.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::board::Board;
use crate::config::{Clock, HttpConfig, Limits};
use crate::events::Events;
use crate::gate::{Gate, Peer};
use crate::metrics::Metrics;
use crate::password::{PasswordError, PasswordHash};
use crate::routes::{self, App};
use crate::server::places::{Open, Place};
use crate::signin::SignIns;
use crate::stall::Stall;
use crate::view::{Commands, Users, View};

mod chores;
mod places;

/// What the server shows and does.
#[derive(Clone)]
pub struct Parts {
    /// Alerts, blocks, status.
    pub view: Arc<dyn View>,
    /// What people may ask for.
    pub commands: Arc<dyn Commands>,
    /// Who may sign in.
    pub users: Arc<dyn Users>,
    /// Current values.
    pub board: Arc<Board>,
    /// What changed.
    pub events: Events,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Who is signed in: hand the same table to the next server, and people stay signed in over a new configuration.
    pub sign_ins: SignIns,
    /// The gateway's clock.
    pub clock: Clock,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address, or stop what uses it")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No host names are configured.
    #[error("no host names are configured: name at least one that people will type, such as the gateway's address")]
    NoHosts,
    /// A limit is out of range.
    #[error("the limit {0} is out of range: {1}")]
    Limit(&'static str, &'static str),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Random(getrandom::Error),
    /// The hash for unknown names could not be made.
    #[error("password hashing does not work: {0}")]
    Password(#[from] PasswordError),
}

/// How the server stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that had to be cut at the deadline.
    pub cut: usize,
}

/// A running server. Dropping it cuts everything at once.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    sign_ins: SignIns,
    tasks: TaskTracker,
    stopping: CancellationToken,
    cut: CancellationToken,
    _guards: [DropGuard; 2],
}

impl Server {
    /// Listens and serves.
    pub async fn start(config: HttpConfig, parts: Parts) -> Result<Self, StartError> {
        check(&config)?;
        let mut random = [0u8; 48];
        getrandom::fill(&mut random).map_err(StartError::Random)?;
        let nobody = PasswordHash::nobody(random)?;
        let bind = |source| StartError::Bind { address: config.address, source };
        let listener = TcpListener::bind(config.address).await.map_err(bind)?;
        let local_addr = listener.local_addr().map_err(bind)?;

        let (tasks, stopping, cut) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let guards = [stopping.clone().drop_guard(), cut.clone().drop_guard()];
        let sign_ins = parts.sign_ins.clone();
        let app = Arc::new(App::new(parts, config.limits, nobody, stopping.clone()));
        let gate = Gate {
            hosts: config.hosts,
            limits: config.limits,
            sign_ins: sign_ins.clone(),
            metrics: Arc::clone(&app.parts.metrics),
            routes: routes::all(Arc::clone(&app)),
        };
        let mut tls = (*config.tls).clone();
        // HTTP/2 would add its own ways of wearing a server out, and one page needs one stream.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = Acceptor {
            tls: TlsAcceptor::from(Arc::new(tls)),
            gate: Arc::new(gate),
            limits: config.limits,
            open: Arc::default(),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
            cut: cut.clone(),
        };
        tasks.spawn(acceptor.run(listener));
        tasks.spawn(chores::publish_tiles(Arc::clone(&app), stopping.clone()));
        tasks.spawn(chores::publish_status(Arc::clone(&app), stopping.clone()));
        tasks.spawn(chores::check_users(app, stopping.clone()));
        tracing::info!(address = %local_addr, "the live page is being served");
        Ok(Self { local_addr, sign_ins, tasks, stopping, cut, _guards: guards })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Who is signed in.
    pub const fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// Stops: at once for event streams, after the current answer for the rest, at the deadline for what is left.
    pub async fn shutdown(self, deadline: Duration) -> Stopped {
        self.stopping.cancel();
        self.tasks.close();
        if timeout(deadline, self.tasks.wait()).await.is_ok() {
            return Stopped { cut: 0 };
        }
        let cut = self.tasks.len();
        tracing::warn!(cut, "connections did not finish in time and are cut");
        self.cut.cancel();
        self.tasks.wait().await;
        Stopped { cut }
    }
}

fn check(config: &HttpConfig) -> Result<(), StartError> {
    if config.hosts.is_empty() {
        return Err(StartError::NoHosts);
    }
    let limits = &config.limits;
    let rules = [
        (limits.header_bytes_max >= 8_192, "header_bytes_max", "at least 8192"),
        (limits.connections_max > 0, "connections_max", "at least 1"),
        (limits.connections_per_peer_max > 0, "connections_per_peer_max", "at least 1"),
        (limits.password_checks_max > 0, "password_checks_max", "at least 1"),
        (limits.sign_ins_max > 0 && limits.sign_ins_per_user_max > 0, "sign_ins_max", "at least 1"),
        (!limits.beat_interval.is_zero(), "beat_interval", "more than 0"),
        (!limits.user_check_interval.is_zero(), "user_check_interval", "more than 0"),
    ];
    rules.iter().find(|(holds, ..)| !holds).map_or(Ok(()), |(_, name, range)| Err(StartError::Limit(name, range)))
}

struct Acceptor {
    tls: TlsAcceptor,
    gate: Arc<Gate>,
    limits: Limits,
    open: Arc<Open>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    cut: CancellationToken,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        while let Some(accepted) = self.stopping.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer.ip()),
                Err(error) => {
                    // Out of file descriptors, most likely: what is open must close before another can be taken.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: IpAddr) {
        let metrics = &self.gate.metrics;
        if let Err(reason) = self.open.take(peer, &self.limits) {
            metrics.connection_refused(reason);
            self.open.warn(peer, reason, None);
            return;
        }
        metrics.connections.inc();
        let place = Place { open: Arc::clone(&self.open), metrics: Arc::clone(metrics), peer };
        let connection = Connection {
            tls: self.tls.clone(),
            gate: Arc::clone(&self.gate),
            open: Arc::clone(&self.open),
            limits: self.limits,
            stopping: self.stopping.clone(),
        };
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            cut.run_until_cancelled(connection.serve(stream, peer)).await;
            drop(place);
        });
    }
}

struct Connection {
    tls: TlsAcceptor,
    gate: Arc<Gate>,
    open: Arc<Open>,
    limits: Limits,
    stopping: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream, peer: IpAddr) {
        let metrics = Arc::clone(&self.gate.metrics);
        // Answers are written whole: waiting to fill a packet only delays events.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        let handshake = timeout(self.limits.handshake_time_max, self.tls.accept(stream));
        let tls = match self.stopping.run_until_cancelled(handshake).await {
            None => return,
            Some(Ok(Ok(tls))) => tls,
            Some(Ok(Err(error))) => {
                metrics.connection_refused("tls");
                // Who hangs up in the middle may only have looked whether somebody listens.
                if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) {
                    tracing::debug!(%peer, %error, "the TLS handshake was broken off");
                } else {
                    self.open.warn(peer, "tls", Some(&error));
                }
                return;
            }
            Some(Err(_)) => {
                metrics.connection_refused("tls_slow");
                self.open.warn(peer, "tls_slow", None);
                return;
            }
        };
        let gate = Arc::clone(&self.gate);
        let service = service_fn(move |request: Request<Incoming>| {
            let gate = Arc::clone(&gate);
            async move { Ok::<_, std::convert::Infallible>(gate.answer(Peer(peer), request).await) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_time_max)
            .max_headers(self.limits.headers_max)
            .max_buf_size(self.limits.header_bytes_max)
            .keep_alive(true);
        let stream = TokioIo::new(Stall::new(tls, self.limits.stall_time_max));
        let connection = http.serve_connection(stream, service);
        tokio::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}
