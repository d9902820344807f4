//! One connected gateway: reads its requests one by one, writes replies from a bounded queue, sends receipts as they come.

use std::sync::Arc;
use std::time::Duration;

use ledger_block::cbor::CborError;
use ledger_block::channel::{CHANNEL_SECONDS_MAX, ChannelError, Opener, Sealer, Splitter};
use ledger_block::ingest::{Code, Refusal, Reply, Request};
use ledger_log::{Outcome, Placed, Published, StorageError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Ingest;
use super::crowd::Guest;
use super::door::{self, DoorError, READ_BYTES};
use super::requests::{Doing, Requests};
use crate::clock;

/// Replies waiting to be written; a gateway that does not read is cut.
const REPLIES_MAX: usize = 64;
/// Leaves whose R2 is still to be sent; more only if publishing fails again and again.
const WAITING_MAX: usize = 1_024;
/// How long one reply may take to write.
const WRITE: Duration = Duration::from_secs(30);

/// Why a connection was ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// At the door.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The socket broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// A frame did not open.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A frame opened, but is no message.
    #[error("not a message: {0}")]
    Message(#[from] CborError),
    /// The first message was another one, or it came twice.
    #[error("hello comes first, and once")]
    Hello,
    /// Too slow to prove itself.
    #[error("did not prove who it is in time")]
    Slow,
    /// Not enrolled.
    #[error("not enrolled, or an old message repeated")]
    Stranger,
    /// All its places are taken.
    #[error("this gateway has all its connections already")]
    Crowded,
    /// Too many leaves wait for a checkpoint that does not come.
    #[error("checkpoints cannot be published; connect again later")]
    Unpublished,
    /// Said nothing for too long.
    #[error("said nothing for too long")]
    Idle,
    /// Does not read its replies.
    #[error("does not read its replies")]
    Stalled,
    /// The handshake is too old.
    #[error("the handshake is too old; connect again")]
    Worn,
    /// The log's stores.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A lookup was interrupted.
    #[error("interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// The places of a caller who has not proven who it is; they are given back when dropped.
#[derive(Debug)]
pub struct Stranger {
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _guest: Guest,
}

/// Serves one connection to its end. `stranger` is given back once the caller has proven who it is.
///
/// # Errors
/// Why it ended, unless the gateway closed it in good order.
pub async fn run(mut stream: TcpStream, ingest: &Arc<Ingest>, stranger: Stranger) -> Result<(), SessionError> {
    stream.set_nodelay(true)?;
    let patience = Duration::from_millis(ingest.config.handshake_ms_max);
    let (mut input, seen, sealer, writer, caller) = tokio::time::timeout(patience, async {
        let caller = door::greet(&mut stream, ingest).await?;
        let (sealer, opener) = caller.channel.split();
        let (reader, writer) = stream.into_split();
        let mut input = Input { reader, splitter: caller.splitter, opener, buffer: vec![0; READ_BYTES] };
        let first = input.next().await?.ok_or(SessionError::Door(DoorError::Closed))?;
        let Request::Hello { seen } = first else { return Err(SessionError::Hello) };
        Ok((input, seen, sealer, writer, (caller.gateway, caller.sent_at)))
    })
    .await
    .map_err(|_| SessionError::Slow)??;
    // The first frame has opened: the caller holds the pre-shared key, and is alive.
    drop(stranger);
    let (gateway, sent_at) = caller;
    let gateway = gateway.ok_or(SessionError::Stranger)?;
    ingest.hails.remember(&gateway, sent_at, clock::now());
    let (replies, queue) = mpsc::channel(REPLIES_MAX);
    let mut writing = tokio::spawn(write(writer, sealer, queue));
    let Some(_present) = ingest.enter(&gateway) else {
        let refusal = Refusal::because(Code::Busy, "this gateway has all its connections already");
        let _closing = replies.send(Reply::Refused { about: None, expected: None, refusal }).await;
        drop(replies);
        let _written = writing.await;
        return Err(SessionError::Crowded);
    };
    tracing::info!(%gateway, "a gateway is connected");
    let requests = Requests::new(Arc::clone(&ingest.log), gateway, ingest.config.content_bytes_max);
    let mut session = Session {
        published: ingest.sequencer.published(),
        ingest: Arc::clone(ingest),
        requests,
        replies,
        doing: JoinSet::new(),
        waiting: Vec::new(),
        seen,
    };
    let ended = tokio::select! {
        ended = session.serve(&mut input) => ended,
        written = &mut writing => written?,
    };
    writing.abort();
    ended
}

/// The receiving side.
struct Input {
    reader: OwnedReadHalf,
    splitter: Splitter,
    opener: Opener,
    buffer: Vec<u8>,
}

impl Input {
    /// The next request; none when the gateway has closed. Safe to be cancelled: bytes read stay in the splitter.
    async fn next(&mut self) -> Result<Option<Request>, SessionError> {
        loop {
            if let Some(frame) = self.splitter.next_frame()? {
                let message = self.opener.open(frame)?;
                return Ok(Some(Request::decode(&message)?));
            }
            let count = self.reader.read(&mut self.buffer).await?;
            if count == 0 {
                return Ok(None);
            }
            self.splitter.push(self.buffer.get(..count).unwrap_or_default());
        }
    }
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut sealer: Sealer,
    mut queue: mpsc::Receiver<Reply>,
) -> Result<(), SessionError> {
    while let Some(reply) = queue.recv().await {
        let frame = sealer.seal(&reply.encode())?;
        match tokio::time::timeout(WRITE, writer.write_all(&frame)).await {
            Ok(written) => written?,
            Err(_) => return Err(SessionError::Stalled),
        }
    }
    writer.shutdown().await?;
    Ok(())
}

struct Session {
    ingest: Arc<Ingest>,
    requests: Requests,
    replies: mpsc::Sender<Reply>,
    published: watch::Receiver<Arc<Published>>,
    /// Leaves on their way through a batch.
    doing: JoinSet<([u8; 32], Outcome)>,
    /// Leaves sequenced, whose R2 is still to be sent.
    waiting: Vec<Placed>,
    /// Size of the last checkpoint the gateway was sent.
    seen: u64,
}

impl Session {
    async fn serve(&mut self, input: &mut Input) -> Result<(), SessionError> {
        let started = Instant::now();
        let idle = Duration::from_secs(self.ingest.config.idle_s_max);
        // A little more than the gateway's own limit, so that it is the one to end the connection in good order.
        let end = started + Duration::from_secs(CHANNEL_SECONDS_MAX + CHANNEL_SECONDS_MAX / 8);
        let mut heard = started;
        self.welcome().await?;
        loop {
            tokio::select! {
                request = input.next() => {
                    let Some(request) = request? else { return Ok(()) };
                    heard = Instant::now();
                    self.handle(request).await?;
                }
                Some(done) = self.doing.join_next() => {
                    let (leaf, outcome) = done?;
                    self.settle(leaf, outcome).await?;
                }
                changed = self.published.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.receipts().await?;
                }
                () = tokio::time::sleep_until(heard + idle) => return Err(SessionError::Idle),
                () = tokio::time::sleep_until(end) => return Err(SessionError::Worn),
            }
        }
    }

    async fn send(&self, reply: Reply) -> Result<(), SessionError> {
        self.replies.send(reply).await.map_err(|_| SessionError::Stalled)
    }

    async fn welcome(&mut self) -> Result<(), SessionError> {
        let published = self.published.borrow_and_update().clone();
        let welcome = self.requests.welcome(Arc::clone(&published), self.seen).await?;
        self.seen = published.size;
        self.requests.shown = published;
        self.send(welcome).await
    }

    async fn handle(&mut self, request: Request) -> Result<(), SessionError> {
        if matches!(request, Request::Hello { .. }) {
            return Err(SessionError::Hello);
        }
        match self.requests.handle(request).await? {
            Doing::Nothing => Ok(()),
            Doing::Reply(reply) => self.send(reply).await,
            Doing::Settle(leaf, outcome) => self.settle(leaf, outcome).await,
            Doing::Submit(leaf, submission) => {
                let sequencer = self.ingest.sequencer.clone();
                self.doing.spawn(async move { (leaf, sequencer.submit(submission).await) });
                Ok(())
            }
        }
    }

    /// Answers for a leaf: R1 now and R2 as soon as it may be, or the refusal.
    async fn settle(&mut self, leaf: [u8; 32], outcome: Outcome) -> Result<(), SessionError> {
        self.requests.done();
        match outcome {
            Ok(placed) => {
                let receipt = self.ingest.log.sequenced(placed);
                self.send(Reply::Receipt { leaf, receipt }).await?;
                if !self.waiting.contains(&placed) {
                    self.waiting.push(placed);
                }
                if self.waiting.len() > WAITING_MAX {
                    return Err(SessionError::Unpublished);
                }
                self.receipts().await
            }
            Err(refusal) => self.send(Reply::Refused { about: Some(leaf), expected: None, refusal }).await,
        }
    }

    /// Sends the newest checkpoint and the R2 receipts that rest on it, if any are due.
    async fn receipts(&mut self) -> Result<(), SessionError> {
        let published = self.published.borrow_and_update().clone();
        let (due, later) = self.waiting.drain(..).partition(|placed: &Placed| placed.place < published.size);
        self.waiting = later;
        let due: Vec<Placed> = due;
        if due.is_empty() {
            return Ok(());
        }
        let (log, seen, shown) = (Arc::clone(&self.ingest.log), self.seen, Arc::clone(&published));
        let replies = tokio::task::spawn_blocking(move || {
            let mut replies = Vec::with_capacity(due.len() + 1);
            if shown.size > seen {
                replies.push(Reply::Checkpoint(log.proven(&shown, seen)?));
            }
            for placed in due {
                if let Some(receipt) = log.included(placed, &shown)? {
                    replies.push(Reply::Receipt { leaf: placed.leaf, receipt });
                }
            }
            Ok::<_, StorageError>(replies)
        })
        .await??;
        self.seen = published.size;
        self.requests.shown = published;
        for reply in replies {
            self.send(reply).await?;
        }
        Ok(())
    }
}
