//! Hands out slices of what is held, of contents in the ledger and of no others. The requests and answers are those of
//! [`ledger_block::content::ask`]. A stranger's cost is bounded: connections in all and from one address, slices being read at
//! once, bytes a second, and the time a connection may last. Whoever would have to wait is told so, and comes again: a box that
//! says nothing for seconds is taken for one that stalls.

mod pieces;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ledger_block::content::{Ask, ContentId, Span, slice};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pace::Pace;
use super::{Allowed, Store};
use pieces::Pieces;

const HEADER_BYTES_MAX: usize = 16 * 1_024;
/// Which of the two it is, is nobody's business.
const ABSENT: &str = "not held here, or in no manifest of the ledger";
const BUSY: &str = "all places are taken; come again";

type Answer = Response<Either<Full<Bytes>, Pieces>>;

/// Bounds of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// Slices being read and sent at once; beyond it the answer is 503.
    pub slices_max: usize,
    /// Bytes a second, over all connections.
    pub bytes_per_s: u64,
    /// How long a slice may wait for others at that rate; beyond it the answer is 503. Less than others bear to hear nothing.
    pub wait_max: Duration,
    /// How long a request's headers may take.
    pub headers_time_max: Duration,
    /// How long a connection may last in all: one that reads slowly holds no place for ever.
    pub connection_time_max: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 64,
            connections_per_address_max: 8,
            slices_max: 8,
            bytes_per_s: 12_500_000,
            wait_max: Duration::from_secs(2),
            headers_time_max: Duration::from_secs(5),
            connection_time_max: Duration::from_secs(60),
        }
    }
}

/// What was served, for status and benchmarks.
#[derive(Debug, Default)]
pub struct Served {
    /// Bytes of slices and bitmaps.
    pub bytes: AtomicU64,
    /// Slices.
    pub slices: AtomicU64,
    /// Requests refused, whatever the reason.
    pub refused: AtomicU64,
}

struct Shop {
    store: Arc<Store>,
    allowed: Arc<dyn Allowed>,
    limits: ServeLimits,
    slices: Arc<Semaphore>,
    pace: Arc<Pace>,
    served: Arc<Served>,
    present: Mutex<HashMap<IpAddr, usize>>,
}

/// A place taken by a connection from an address; given back when dropped.
struct Place {
    shop: Arc<Shop>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = self.shop.present.lock();
        if let Some(count) = present.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                present.remove(&self.address);
            }
        }
    }
}

impl Shop {
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut present = self.present.lock();
        let count = present.entry(address).or_default();
        if *count >= self.limits.connections_per_address_max {
            return None;
        }
        *count += 1;
        Some(Place { shop: Arc::clone(self), address })
    }

    fn refuse(&self, status: StatusCode, text: &str) -> Answer {
        self.served.refused.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(Either::Left(Full::new(Bytes::from(format!("{text}\n")))));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }

    fn give(&self, bytes: usize, body: Either<Full<Bytes>, Pieces>) -> Answer {
        self.served.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        if request.method() != Method::GET {
            return self.refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET");
        }
        let ask = match Ask::parse(request.uri().path(), request.uri().query()) {
            Ok(ask) => ask,
            Err(error) => return self.refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        if !self.allowed.is_in_ledger(ask.content()) {
            return self.refuse(StatusCode::NOT_FOUND, ABSENT);
        }
        match ask {
            Ask::Held(content) => match self.store.held(content) {
                Some(groups) => {
                    let body = groups.encode();
                    self.give(body.len(), Either::Left(Full::new(Bytes::from(body))))
                }
                None => self.refuse(StatusCode::NOT_FOUND, ABSENT),
            },
            Ask::Slice(content, span) => self.slice(content, span).await,
        }
    }

    async fn slice(&self, content: ContentId, span: Span) -> Answer {
        let Ok(place) = Arc::clone(&self.slices).try_acquire_owned() else {
            return self.refuse(StatusCode::SERVICE_UNAVAILABLE, BUSY);
        };
        let Some(standing) = self.store.standing(content) else {
            return self.refuse(StatusCode::NOT_FOUND, ABSENT);
        };
        let not_held = "not all of these groups are held yet";
        let Some(length) = slice::encoded_bytes(standing.content.shape, span) else {
            return self.refuse(StatusCode::CONFLICT, not_held);
        };
        let Some(turn) = self.pace.turn(length, self.limits.wait_max) else {
            return self.refuse(StatusCode::SERVICE_UNAVAILABLE, BUSY);
        };
        let store = Arc::clone(&self.store);
        let unread = "the store could not be read";
        match tokio::task::spawn_blocking(move || store.slice(content, span)).await {
            Ok(Ok(Some(slice))) => {
                self.served.slices.fetch_add(1, Ordering::Relaxed);
                self.give(slice.len(), Either::Right(Pieces::start(Bytes::from(slice), turn, place)))
            }
            Ok(Ok(None)) => self.refuse(StatusCode::CONFLICT, not_held),
            Ok(Err(error)) => {
                tracing::error!(%error, %content, "a slice could not be read");
                self.refuse(StatusCode::INTERNAL_SERVER_ERROR, unread)
            }
            Err(_interrupted) => self.refuse(StatusCode::INTERNAL_SERVER_ERROR, unread),
        }
    }
}

/// Serves until told to stop.
pub async fn run(
    listener: TcpListener,
    store: Arc<Store>,
    allowed: Arc<dyn Allowed>,
    limits: ServeLimits,
    served: Arc<Served>,
    stop: CancellationToken,
) {
    let (slices, pace) = (Arc::new(Semaphore::new(limits.slices_max)), Arc::new(Pace::new(limits.bytes_per_s)));
    let present = Mutex::new(HashMap::new());
    let shop = Arc::new(Shop { store, allowed, limits, slices, pace, served, present });
    let (places, connections) = (Arc::new(Semaphore::new(limits.connections_max)), TaskTracker::new());
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, from))) => {
                let Some(at_address) = shop.enter(from.ip()) else {
                    shop.served.refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                let (shop, stop) = (Arc::clone(&shop), stop.clone());
                connections.spawn(async move {
                    connection(stream, shop, stop).await;
                    drop((place, at_address));
                });
            }
            (_, Err(error)) => {
                // Out of file descriptors, mostly: others must close before accepting makes sense again.
                tracing::warn!(%error, "a connection for content was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (Err(_closed), _) => break,
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, shop: Arc<Shop>, stop: CancellationToken) {
    let limits = shop.limits;
    let service = service_fn(move |request| {
        let shop = Arc::clone(&shop);
        async move { Ok::<_, Infallible>(shop.answer(request).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_time_max)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = tokio::time::timeout(limits.connection_time_max, serving) => {
            if let Ok(Err(error)) = ended {
                tracing::debug!(%error, "a connection for content ended");
            }
        }
        () = stop.cancelled() => {}
    }
}
