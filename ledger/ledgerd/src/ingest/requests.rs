//! What each request does. Runs one request at a time; the disk is touched off the async threads.

mod contents;

use std::collections::HashMap;
use std::sync::Arc;

use ledger_block::ingest::{Code, DeviceId, Refusal, Reply, Request, Role};
use ledger_block::merkle;
use ledger_log::{Log, Offer, Outcome, PayloadError, Published, StorageError, Submission};

use super::session::SessionError;
use crate::clock;

/// Blocks and transactions one connection may have on their way.
pub(super) const OPEN_MAX: usize = 16;

/// What follows from a request.
pub(super) enum Doing {
    Nothing,
    Reply(Reply),
    /// A leaf is settled already.
    Settle([u8; 32], Outcome),
    /// A leaf is to be sequenced.
    Submit([u8; 32], Submission),
}

/// A block whose payload is arriving.
struct Upload {
    leaf: [u8; 32],
    header: Vec<u8>,
    length: u64,
    held: u64,
}

/// The requests of one connection.
pub(super) struct Requests {
    log: Arc<Log>,
    gateway: DeviceId,
    /// By payload.
    uploads: HashMap<[u8; 32], Upload>,
    /// Leaves being sequenced.
    busy: usize,
    /// The checkpoint the gateway was shown last: receipts rest on it.
    pub shown: Arc<Published>,
    /// What the caller is; looked up once.
    role: Option<Role>,
    /// The content of a release that is being handed in.
    arriving: Option<contents::Arriving>,
    /// Bytes of all contents the ledger keeps at most.
    content_bytes_max: u64,
}

fn refused(about: [u8; 32], expected: Option<u64>, refusal: Refusal) -> Doing {
    Doing::Reply(Reply::Refused { about: Some(about), expected, refusal })
}

impl Requests {
    pub fn new(log: Arc<Log>, gateway: DeviceId, content_bytes_max: u64) -> Self {
        let shown = Arc::new(Published { size: 0, note: Vec::new() });
        let (uploads, arriving) = (HashMap::new(), None);
        Self { log, gateway, uploads, busy: 0, shown, role: None, arriving, content_bytes_max }
    }

    async fn off<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Log, &DeviceId) -> T + Send + 'static,
    ) -> Result<T, SessionError> {
        let (log, gateway) = (Arc::clone(&self.log), self.gateway.clone());
        Ok(tokio::task::spawn_blocking(move || work(&log, &gateway)).await?)
    }

    pub async fn welcome(&self, published: Arc<Published>, seen: u64) -> Result<Reply, SessionError> {
        self.off(move |log, gateway| {
            let checkpoint = if published.size == 0 { None } else { Some(log.proven(&published, seen)?) };
            let (origin, head) = (log.origin().to_owned(), log.head(gateway)?);
            Ok::<_, StorageError>(Reply::Welcome { origin, gateway: gateway.clone(), head, checkpoint })
        })
        .await?
        .map_err(Into::into)
    }

    /// A leaf has been answered for.
    pub fn done(&mut self) {
        self.busy = self.busy.saturating_sub(1);
    }

    /// Whether this is for gateways alone, and the caller is none: a publisher hands in transactions and asks for releases.
    async fn is_beyond(&mut self, request: &Request) -> Result<bool, SessionError> {
        let for_all = matches!(
            request,
            Request::Ping { .. } | Request::Transact { .. } | Request::Releases { .. } | Request::Sum { .. }
        );
        // Whose release it is, is looked at there.
        if for_all || matches!(request, Request::Content { .. } | Request::Piece { .. }) {
            return Ok(false);
        }
        if self.role.is_none() {
            self.role = self.off(|log, gateway| log.member(gateway)).await??.map(|member| member.role);
        }
        Ok(self.role != Some(Role::Gateway))
    }

    pub async fn handle(&mut self, request: Request) -> Result<Doing, SessionError> {
        if self.is_beyond(&request).await? {
            let refusal = Refusal::because(Code::NotAllowed, "a publisher hands in releases and nothing else");
            return Ok(Doing::Reply(Reply::Refused { about: None, expected: None, refusal }));
        }
        match request {
            Request::Hello { .. } => Err(SessionError::Hello),
            Request::Ping { number } => Ok(Doing::Reply(Reply::Pong { number })),
            Request::Begin { header } => self.begin(header).await,
            Request::Chunk { payload, offset, bytes } => self.chunk(payload, offset, bytes).await,
            Request::Transact { transaction } => Ok(self.transact(transaction)),
            Request::Fetch { payload, offset } => self.fetch(payload, offset).await,
            Request::Recall { index } => self.recall(index).await,
            Request::Keep { name, body } => {
                Ok(match self.off(move |log, gateway| log.keep_copy(gateway, &name, body)).await? {
                    Ok(Ok(())) => Doing::Reply(Reply::Kept { name, held: true }),
                    Ok(Err(refusal)) => refused(name, None, refusal),
                    Err(error) => self.not_done(name, &error),
                })
            }
            Request::Drop { name } => Ok(match self.off(move |log, gateway| log.drop_copy(gateway, &name)).await? {
                Ok(()) => Doing::Reply(Reply::Kept { name, held: false }),
                Err(error) => self.not_done(name, &error),
            }),
            Request::Content { content } => self.content(content).await,
            Request::Piece { content, offset, bytes } => self.piece(content, offset, bytes).await,
            Request::Releases { since, seen } => {
                let releases = self.off(move |log, _| log.releases(since, seen, &log.published())).await??;
                Ok(Doing::Reply(Reply::Releases(releases)))
            }
            Request::Sum { release } => Ok(Doing::Reply(Reply::Sum(self.off(move |log, _| log.sum(release)).await??))),
            Request::Copies { after } => {
                let copies = self.off(move |log, gateway| {
                    log.copies(gateway, after.as_ref(), |error| {
                        tracing::error!(%gateway, %error, "a copy of a key cannot be read: bring the file back from a backup, or delete it");
                    })
                });
                Ok(Doing::Reply(Reply::Copies(copies.await??)))
            }
        }
    }

    /// One copy that is in the way ends no connection: all else would wait for it.
    fn not_done(&self, name: [u8; 32], error: &StorageError) -> Doing {
        tracing::error!(gateway = %self.gateway, %error, "a copy of a key was neither kept nor deleted");
        refused(name, None, Refusal::plain(Code::Storage))
    }

    async fn recall(&self, index: u64) -> Result<Doing, SessionError> {
        let shown = Arc::clone(&self.shown);
        let found = self.off(move |log, gateway| log.recall(gateway, index, &shown)).await??;
        Ok(Doing::Reply(match found {
            Some((header, receipt)) => Reply::Recalled { header, receipt },
            None => Reply::Refused { about: None, expected: None, refusal: Refusal::plain(Code::Unknown) },
        }))
    }

    fn is_full(&self) -> bool {
        self.uploads.len() + self.busy >= OPEN_MAX
    }

    fn submit(&mut self, leaf: [u8; 32], bytes: Vec<u8>) -> Doing {
        self.busy += 1;
        Doing::Submit(leaf, Submission { by: Some(self.gateway.clone()), leaf: bytes })
    }

    fn transact(&mut self, transaction: Vec<u8>) -> Doing {
        let leaf = merkle::leaf_hash(&transaction);
        if self.is_full() { refused(leaf, None, Refusal::plain(Code::Busy)) } else { self.submit(leaf, transaction) }
    }

    async fn begin(&mut self, header: Vec<u8>) -> Result<Doing, SessionError> {
        let leaf = merkle::leaf_hash(&header);
        if self.is_full() {
            return Ok(refused(leaf, None, Refusal::plain(Code::Busy)));
        }
        let offered = header.clone();
        let offer = self.off(move |log, gateway| log.offer(gateway, &offered, clock::now())).await??;
        Ok(match offer {
            Offer::Placed(placed) => {
                self.busy += 1; // `done` takes it back when the leaf is settled.
                Doing::Settle(leaf, Ok(placed))
            }
            Offer::Refused(refusal) => refused(leaf, None, refusal),
            Offer::Ready => self.submit(leaf, header),
            Offer::Wanted { length: 0, payload, .. } => {
                return self.finish(Upload { leaf, header, length: 0, held: 0 }, payload).await;
            }
            Offer::Wanted { payload, length, held } => {
                // More than the whole can only be the leftover of a lie; the pieces that follow are refused until the
                // hash was checked.
                let held = held.min(length);
                let upload = Upload { leaf, header, length, held };
                if held == length {
                    return self.finish(upload, payload).await;
                }
                self.uploads.insert(payload, upload);
                Doing::Reply(Reply::Resume { payload, offset: held })
            }
        })
    }

    async fn chunk(&mut self, payload: [u8; 32], offset: u64, bytes: Vec<u8>) -> Result<Doing, SessionError> {
        let Some(upload) = self.uploads.get(&payload) else {
            return Ok(refused(payload, None, Refusal::because(Code::Unknown, "offer the block before its payload")));
        };
        let end = offset.saturating_add(bytes.len() as u64);
        if end > upload.length {
            let detail = format_args!("the header says {} bytes", upload.length);
            return Ok(refused(payload, None, Refusal::because(Code::TooLarge, detail)));
        }
        let appended = self.off(move |log, gateway| log.payloads().append(gateway, &payload, offset, &bytes)).await?;
        match appended {
            Ok(held) => {
                let Some(upload) = self.uploads.get_mut(&payload) else { return Ok(Doing::Nothing) };
                upload.held = held;
                if held < upload.length {
                    return Ok(Doing::Nothing);
                }
                match self.uploads.remove(&payload) {
                    Some(upload) => self.finish(upload, payload).await,
                    None => Ok(Doing::Nothing),
                }
            }
            Err(PayloadError::WrongOffset { expected }) => {
                Ok(refused(payload, Some(expected), Refusal::plain(Code::WrongOffset)))
            }
            Err(error) => {
                tracing::error!(gateway = %self.gateway, %error, "a piece of a payload was not stored");
                Ok(refused(payload, None, Refusal::plain(Code::Storage)))
            }
        }
    }

    async fn finish(&mut self, upload: Upload, payload: [u8; 32]) -> Result<Doing, SessionError> {
        let length = upload.length;
        let finished = self.off(move |log, gateway| log.payloads().finish(gateway, &payload, length)).await?;
        Ok(match finished {
            Ok(()) => self.submit(upload.leaf, upload.header),
            Err(PayloadError::Mismatch) => {
                tracing::warn!(gateway = %self.gateway, "a payload did not hash to its name");
                refused(upload.leaf, Some(0), Refusal::plain(Code::PayloadMismatch))
            }
            Err(error) => {
                tracing::error!(gateway = %self.gateway, %error, "a payload was not stored");
                refused(upload.leaf, None, Refusal::plain(Code::Storage))
            }
        })
    }

    async fn fetch(&self, payload: [u8; 32], offset: u64) -> Result<Doing, SessionError> {
        let found = self.off(move |log, gateway| log.own_payload(gateway, &payload, offset)).await??;
        Ok(match found {
            Some((bytes, total)) => Doing::Reply(Reply::Part { payload, offset, total, bytes }),
            None => refused(payload, None, Refusal::plain(Code::Unknown)),
        })
    }
}
