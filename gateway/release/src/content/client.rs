//! One question to one peer, over plain HTTP: what it says is verified, so who it is does not matter. Whatever a peer sends,
//! no more is taken than was asked for, and it is waited for no longer than the least rate allows.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::TokioIo;
use ledger_block::content::{Ask, ContentId, Decoder, Groups, Item, Shape, Span, slice};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::plan::Outcome;

const HEADER_BYTES_MAX: usize = 16 * 1_024;

/// Patience with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the connection, for the head of an answer, and between two parts of it.
    pub stall: Duration,
    /// Least bytes a second of an answer, beside one `stall`.
    pub bytes_per_s_min: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stall: Duration::from_secs(5), bytes_per_s_min: 32 * 1_024 }
    }
}

/// The body of an answer.
struct Answer {
    body: Incoming,
    /// Bytes that may still come.
    left: u64,
    stall: Duration,
    deadline: Instant,
}

impl Answer {
    /// Its next part; none at its end.
    async fn part(&mut self) -> Result<Option<Bytes>, Outcome> {
        let until = self.deadline.min(Instant::now() + self.stall);
        match timeout_at(until, self.body.frame()).await {
            Err(_late) => Err(Outcome::Slow),
            Ok(None) => Ok(None),
            Ok(Some(Ok(frame))) => {
                let part = frame.into_data().unwrap_or_default();
                self.left = self.left.checked_sub(part.len() as u64).ok_or(Outcome::Broken)?;
                Ok(Some(part))
            }
            Ok(Some(Err(_cut))) => Err(Outcome::Gone),
        }
    }
}

/// Sends a request; gives the body if the answer is 200 of this length. An honest proxy may pass it on in chunks and name none: then
/// it is counted while it comes.
async fn get(address: &str, ask: Ask, length: u64, patience: Patience) -> Result<Answer, Outcome> {
    let connecting = timeout(patience.stall, TcpStream::connect(address)).await;
    let stream = connecting.map_err(|_late| Outcome::Gone)?.map_err(|_refused| Outcome::Gone)?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_broken| Outcome::Gone)?;
    // Ends when the answer is read or dropped.
    let _detached = tokio::spawn(connection);
    let request = Request::get(ask.to_string())
        .header("host", address)
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_unspeakable| Outcome::Broken)?;
    let answered = timeout(patience.stall, sender.send_request(request)).await.map_err(|_late| Outcome::Slow)?;
    let response = answered.map_err(|error| if error.is_parse() { Outcome::Broken } else { Outcome::Gone })?;
    match response.status() {
        StatusCode::OK if response.body().size_hint().exact().is_none_or(|named| named == length) => {
            let (stall, deadline) = (patience.stall, deadline(length, patience));
            Ok(Answer { body: response.into_body(), left: length, stall, deadline })
        }
        StatusCode::NOT_FOUND | StatusCode::CONFLICT => Err(Outcome::NotHeld),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Err(Outcome::Busy),
        // A proxy's own troubles among them.
        status if status.is_server_error() => Err(Outcome::Gone),
        _ => Err(Outcome::Broken),
    }
}

fn deadline(length: u64, patience: Patience) -> Instant {
    let at_least = Duration::from_millis(length.saturating_mul(1_000) / patience.bytes_per_s_min.max(1));
    Instant::now() + patience.stall + at_least
}

/// Asks a peer which groups it holds.
///
/// # Errors
/// What went wrong, as the plan wants to know it.
pub async fn held(address: &str, content: ContentId, shape: Shape, patience: Patience) -> Result<Groups, Outcome> {
    let length = Groups::encoded_bytes(shape) as u64;
    let (mut answer, mut bytes) = (get(address, Ask::Held(content), length, patience).await?, Vec::new());
    while let Some(part) = answer.part().await? {
        bytes.extend_from_slice(&part);
    }
    Groups::decode(shape, &bytes).map_err(|_malformed| Outcome::Broken)
}

/// Fetches a span. Whatever was verified before something went wrong is given too.
pub async fn fetch(
    address: &str,
    content: ContentId,
    shape: Shape,
    span: Span,
    patience: Patience,
) -> (Vec<Item>, Outcome) {
    let mut items = Vec::new();
    let outcome = stream(address, content, shape, span, patience, &mut items).await.err().unwrap_or(Outcome::Done);
    (items, outcome)
}

async fn stream(
    address: &str,
    content: ContentId,
    shape: Shape,
    span: Span,
    patience: Patience,
    items: &mut Vec<Item>,
) -> Result<(), Outcome> {
    let length = slice::encoded_bytes(shape, span).ok_or(Outcome::Broken)?;
    let mut decoder = Decoder::new(content, shape, span).ok_or(Outcome::Broken)?;
    let mut answer = get(address, Ask::Slice(content, span), length, patience).await?;
    while let Some(part) = answer.part().await? {
        let mut bytes = &part[..];
        while let Some(item) = decoder.push(&mut bytes).map_err(Outcome::WrongBytes)? {
            items.push(item);
        }
    }
    decoder.finish().map_err(|_early| Outcome::Gone)
}
