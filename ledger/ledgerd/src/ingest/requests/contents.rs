//! Contents of releases, handed in by who published them.

use ledger_block::content::ContentId;
use ledger_block::ingest::{Code, Refusal, Reply};
use ledger_log::{ContentError, KnownContent, Log};

use super::super::session::SessionError;
use super::{Doing, Requests, refused};

/// A content that is arriving on this connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arriving {
    content: ContentId,
    known: KnownContent,
    /// As last said.
    held: u64,
}

fn refusal(error: ContentError) -> Refusal {
    match error {
        ContentError::Full { .. } => Refusal::because(Code::TooLarge, error),
        ContentError::NoRoom(_) | ContentError::DiskFull => {
            tracing::error!(%error, "a content was not taken");
            Refusal::because(Code::Storage, error)
        }
        ContentError::Mismatch => Refusal::because(Code::PayloadMismatch, error),
        ContentError::TooLong => Refusal::because(Code::TooLarge, error),
        ContentError::NotOffered => Refusal::because(Code::Unknown, error),
        ContentError::Storage(error) => {
            tracing::error!(%error, "a content was not stored");
            Refusal::plain(Code::Storage)
        }
    }
}

impl Requests {
    /// Somebody offers a content: wanted if a release of theirs in the log names it.
    pub(super) async fn content(&mut self, blake3: [u8; 32]) -> Result<Doing, SessionError> {
        self.arriving = None;
        let wanted = self.off(move |log, member| log.wanted(member, &blake3)).await??;
        let known = match wanted {
            Ok(known) => known,
            Err(why) => return Ok(refused(blake3, None, Refusal::because(Code::NotAllowed, why))),
        };
        let (content, bytes_max) = (ContentId(blake3), self.content_bytes_max);
        let offered = self.off(move |log, _| log.contents().offer(content, &known, bytes_max)).await?;
        match offered {
            Ok(held) => {
                self.arriving = Some(Arriving { content, known, held });
                self.arrived().await
            }
            Err(error) => Ok(refused(blake3, None, refusal(error))),
        }
    }

    /// The next bytes of it.
    pub(super) async fn piece(&mut self, blake3: [u8; 32], offset: u64, bytes: Vec<u8>) -> Result<Doing, SessionError> {
        let Some(arriving) = self.arriving.filter(|arriving| arriving.content.0 == blake3) else {
            return Ok(refused(blake3, None, refusal(ContentError::NotOffered)));
        };
        let (content, size) = (arriving.content, arriving.known.size);
        let append = move |log: &Log, _: &_| log.contents().append(content, size, offset, &bytes);
        match self.off(append).await? {
            Ok(held) => {
                self.arriving = Some(Arriving { held, ..arriving });
                self.arrived().await
            }
            Err(error) => Ok(refused(blake3, None, refusal(error))),
        }
    }

    /// Says how much is held; if that is all, reads it back first.
    async fn arrived(&mut self) -> Result<Doing, SessionError> {
        let Some(Arriving { content, known, held }) = self.arriving else { return Ok(Doing::Nothing) };
        if held < known.size {
            return Ok(Doing::Reply(Reply::Stored { content: content.0, held, whole: false }));
        }
        self.arriving = None;
        Ok(match self.off(move |log, _| log.contents().finish(content, &known)).await? {
            Ok(()) => {
                tracing::info!(%content, bytes = known.size, member = %self.gateway, "the content of a release is kept");
                Doing::Reply(Reply::Stored { content: content.0, held, whole: true })
            }
            Err(error) => refused(content.0, None, refusal(error)),
        })
    }
}
