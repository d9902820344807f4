//! Reads over HTTP, as C2SP tlog-tiles has them: `/checkpoint`, `/tile/<L>/<N>[.p/<W>]`, `/tile/entries/<N>[.p/<W>]`;
//! beside them `/vkey`, `/policy`, and [contents](content) of releases by hash. Nothing can be written here, and no payload of a
//! block read.

mod content;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ledger_log::{Log, StorageError, Tile};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use warp::Filter as _;

/// How long request headers may take, and how long a kept connection may rest.
const HEADERS: Duration = Duration::from_secs(10);
/// How long one connection may last in all: a reader that reads slowly cannot hold a place for ever.
const CONNECTION: Duration = Duration::from_secs(120);
/// Header bytes read of one request.
const HEADER_BYTES_MAX: usize = 16 * 1_024;

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
/// The checkpoint changes: caches must ask again within seconds.
const BRIEF: &str = "public, max-age=2";
/// A tile never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// The texts `init` wrote for readers.
#[derive(Debug, Clone, Default)]
pub struct Face {
    vkey: Vec<u8>,
    policy: Vec<u8>,
}

impl Face {
    /// Reads them; a missing one is answered with 404.
    pub fn read(directory: &Path) -> Self {
        let text = |name| std::fs::read(directory.join(name)).unwrap_or_default();
        Self { vkey: text("vkey"), policy: text("policy") }
    }
}

type Answer = Response<Vec<u8>>;

fn answer(status: StatusCode, kind: &'static str, cache: &'static str, body: Vec<u8>) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    // Everything here is public and signed: any page may check it.
    headers.insert(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn refuse(status: StatusCode, text: &str) -> Answer {
    answer(status, TEXT, "no-store", format!("{text}\n").into_bytes())
}

/// Whoever asks with another method is told which there are (RFC 9110, 15.5.6).
fn wrong_method() -> Answer {
    let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, "here is only reading, with GET and HEAD");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

/// The same without its body, whose length it says, as HEAD is answered (RFC 9110, 9.3.2).
fn without_body(mut answer: Answer) -> Answer {
    let length = HeaderValue::from(answer.body().len());
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer.body_mut().clear();
    answer
}

/// What a reader asks for.
struct Question {
    path: String,
    query: Option<String>,
    range: Option<String>,
}

fn look_up(log: &Log, face: &Face, question: &Question) -> Result<Option<Answer>, StorageError> {
    let path = question.path.as_str();
    if path.starts_with("/content/") {
        return content::look_up(log, path, question.query.as_deref(), question.range.as_deref());
    }
    let found = |kind, cache, body: Vec<u8>| Some(answer(StatusCode::OK, kind, cache, body));
    Ok(match path {
        "/checkpoint" => log.note()?.and_then(|note| found(TEXT, BRIEF, note)),
        "/vkey" | "/policy" => {
            let text = if path == "/vkey" { &face.vkey } else { &face.policy };
            if text.is_empty() { None } else { found(TEXT, BRIEF, text.clone()) }
        }
        _ => match Tile::parse(path.strip_prefix('/').unwrap_or_default()) {
            Some(tile) => log.tile(tile)?.and_then(|bytes| found(BYTES, FOREVER, bytes)),
            None => None,
        },
    })
}

async fn respond(log: Arc<Log>, face: Arc<Face>, question: Question) -> Answer {
    match tokio::task::spawn_blocking(move || look_up(&log, &face, &question)).await {
        Ok(Ok(Some(answer))) => answer,
        Ok(Ok(None)) => refuse(StatusCode::NOT_FOUND, "not in the published log"),
        Ok(Err(error)) => {
            tracing::error!(%error, "a read failed");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "the ledger could not read its store")
        }
        Err(error) => {
            tracing::error!(%error, "a read was interrupted");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "the ledger could not read its store")
        }
    }
}

/// Serves readers until told to stop.
pub async fn run(listener: TcpListener, log: Arc<Log>, face: Face, readers_max: usize, stop: CancellationToken) {
    let (places, face, connections) = (Arc::new(Semaphore::new(readers_max)), Arc::new(face), TaskTracker::new());
    loop {
        // Beyond the bound connections wait in the listener's queue, and the kernel refuses what that cannot hold.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (log, face, stop) = (Arc::clone(&log), Arc::clone(&face), stop.clone());
                connections.spawn(async move {
                    connection(stream, log, face, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: others must close before accepting makes sense again.
                tracing::warn!(%error, "a reader was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, log: Arc<Log>, face: Arc<Face>, stop: CancellationToken) {
    let routes = warp::method()
        .and(warp::path::full())
        .and(warp::query::raw().map(Some).or_else(|_none| async { Ok::<_, Infallible>((None,)) }))
        .and(warp::header::optional("range"))
        .then(move |method: Method, path: warp::path::FullPath, query, range: Option<String>| {
            let head = method == Method::HEAD;
            // Ranges are for GET alone (RFC 9110, 14.2).
            let question = Question { path: path.as_str().to_owned(), query, range: range.filter(|_| !head) };
            let answer = respond(Arc::clone(&log), Arc::clone(&face), question);
            async move {
                match method {
                    Method::GET => answer.await,
                    Method::HEAD => without_body(answer.await),
                    _ => wrong_method(),
                }
            }
        });
    let service = TowerToHyperService::new(warp::service(routes));
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = tokio::time::timeout(CONNECTION, serving.as_mut()) => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::time::timeout(Duration::from_secs(2), serving).await
        }
    };
    if let Ok(Err(error)) = ended {
        tracing::debug!(%error, "a reader's connection ended");
    }
}
