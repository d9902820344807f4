//! Hands out slices of what is held, of contents in the ledger and of no others. The requests and answers are those of
//! [`ledger_block::content::ask`]. A stranger's cost is bounded: connections in all and from one address, slices being read at
//! once, bytes a second, and the time a connection may last.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ledger_block::content::Ask;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pace::Pace;
use super::{Allowed, Store};

const HEADER_BYTES_MAX: usize = 16 * 1_024;

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
    slices: Semaphore,
    pace: Pace,
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

    fn refuse(&self, status: StatusCode, text: &str) -> Response<Full<Bytes>> {
        self.served.refused.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            return self.refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET");
        }
        let ask = match Ask::parse(request.uri().path(), request.uri().query()) {
            Ok(ask) => ask,
            Err(error) => return self.refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        // Which of the two it is, is nobody's business.
        let absent = "not held here, or in no manifest of the ledger";
        if !self.allowed.is_in_ledger(ask.content()) {
            return self.refuse(StatusCode::NOT_FOUND, absent);
        }
        let (body, is_slice) = match ask {
            Ask::Held(content) => match self.store.held(content) {
                Some(groups) => (groups.encode(), false),
                None => return self.refuse(StatusCode::NOT_FOUND, absent),
            },
            Ask::Slice(content, span) => {
                let Ok(_permit) = self.slices.try_acquire() else {
                    return self.refuse(StatusCode::SERVICE_UNAVAILABLE, "all places are taken; come again");
                };
                if self.store.standing(content).is_none() {
                    return self.refuse(StatusCode::NOT_FOUND, absent);
                }
                let store = Arc::clone(&self.store);
                let slice = match tokio::task::spawn_blocking(move || store.slice(content, span)).await {
                    Ok(Ok(Some(slice))) => slice,
                    Ok(Ok(None)) => return self.refuse(StatusCode::CONFLICT, "not all of these groups are held yet"),
                    Ok(Err(error)) => {
                        tracing::error!(%error, %content, "a slice could not be read");
                        return self.refuse(StatusCode::INTERNAL_SERVER_ERROR, "the store could not be read");
                    }
                    Err(_interrupted) => {
                        return self.refuse(StatusCode::INTERNAL_SERVER_ERROR, "the store could not be read");
                    }
                };
                self.pace.pass(slice.len() as u64).await;
                (slice, true)
            }
        };
        self.served.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        self.served.slices.fetch_add(u64::from(is_slice), Ordering::Relaxed);
        let mut response = Response::new(Full::new(Bytes::from(body)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
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
    let (slices, pace) = (Semaphore::new(limits.slices_max), Pace::new(limits.bytes_per_s));
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
