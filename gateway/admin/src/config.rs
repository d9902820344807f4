//! Where the server listens, what it answers to, and every bound it keeps.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pitchside_model::Timestamp;
use tokio_rustls::rustls;

/// Settings of the server.
#[derive(Clone)]
pub struct HttpConfig {
    /// Where to listen; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Names and IP addresses (without port) a request may be addressed to. A request for any other is refused, so
    /// that a foreign page whose name was made to resolve to this box gets nothing.
    pub hosts: Vec<String>,
    /// Certificate and key. ALPN is set by the server.
    pub tls: Arc<rustls::ServerConfig>,
    /// The bounds.
    pub limits: Limits,
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("address", &self.address)
            .field("hosts", &self.hosts)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Every bound of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections.
    pub connections_max: usize,
    /// Open connections from one IP address.
    pub connections_per_peer_max: usize,
    /// From the first byte to the end of the TLS handshake.
    pub handshake_time_max: Duration,
    /// From waiting for a request to the end of its headers; closes idle connections too.
    pub header_time_max: Duration,
    /// Bytes of request line and headers, at least 8 KiB.
    pub header_bytes_max: usize,
    /// Number of headers.
    pub headers_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// From the end of the headers to the end of the body.
    pub body_time_max: Duration,
    /// For working out an answer (not for sending events).
    pub handler_time_max: Duration,
    /// How long a peer may leave sent bytes unread before the connection is cut.
    pub stall_time_max: Duration,
    /// Open event streams.
    pub event_clients_max: usize,
    /// Open event streams of one sign-in.
    pub event_clients_per_sign_in_max: usize,
    /// How often an otherwise quiet event stream says that it is alive.
    pub beat_interval: Duration,
    /// People signed in at once; beyond it the one idle longest is signed out.
    pub sign_ins_max: usize,
    /// Sign-ins of one user; beyond it that user's one idle longest is signed out.
    pub sign_ins_per_user_max: usize,
    /// How long a sign-in lasts.
    pub sign_in_time_max: Duration,
    /// How long a sign-in lasts without a request or an open event stream.
    pub sign_in_idle_max: Duration,
    /// How often it is checked that the people signed in may still be.
    pub user_check_interval: Duration,
    /// Password checks running at once (each takes 19 MiB and tens of milliseconds of a core).
    pub password_checks_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            connections_per_peer_max: 48,
            handshake_time_max: Duration::from_secs(10),
            header_time_max: Duration::from_secs(15),
            header_bytes_max: 16 * 1_024,
            headers_max: 64,
            body_bytes_max: 16 * 1_024,
            body_time_max: Duration::from_secs(10),
            handler_time_max: Duration::from_secs(15),
            stall_time_max: Duration::from_secs(30),
            event_clients_max: 64,
            event_clients_per_sign_in_max: 6,
            beat_interval: Duration::from_secs(5),
            sign_ins_max: 256,
            sign_ins_per_user_max: 16,
            sign_in_time_max: Duration::from_secs(12 * 3_600),
            sign_in_idle_max: Duration::from_secs(3_600),
            user_check_interval: Duration::from_secs(30),
            password_checks_max: 1,
        }
    }
}

/// The gateway's clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock of one's own, e.g. a virtual one.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The system's clock; before 1970 it reads 1970.
    #[allow(clippy::disallowed_methods, reason = "the edge")]
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
        })
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
