//! The content of a release, handed in to the ledger's store: from there any box gets it, for as long as the ledger is, also
//! when its publisher is gone.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use ledger_block::ingest::{CHUNK_BYTES_MAX, Reply, Request};
use ledger_block::release::Manifest;

use super::desk::{Desk, fault};
use crate::cli::Failure;
use crate::cli::output;

/// Pieces on their way at once.
const WINDOW: usize = 8;
/// How long the ledger may take to read a whole content back.
const READ_BACK: Duration = Duration::from_secs(300);

impl Desk {
    /// Uploads what the ledger lacks of a content whose release stands in the log. Cut off, it goes on where it was next time.
    pub(super) async fn upload(&mut self, path: &Path, manifest: &Manifest) -> Result<(), Failure> {
        let (content, size) = (manifest.blake3, manifest.size);
        let file = File::open(path).with_context(|| path.display().to_string())?;
        self.say(Request::Content { content }).await?;
        let (mut next, mut whole) = self.stored(&content).await?;
        if next > 0 && !whole {
            output::note(&format!("the ledger holds {next} of {size} bytes; going on from there"));
        }
        let mut on_their_way = VecDeque::new();
        let mut said_percent = next * 100 / size.max(1);
        while !whole {
            while on_their_way.len() < WINDOW && next < size {
                let length = usize::try_from(size - next).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX);
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, next).with_context(|| path.display().to_string())?;
                self.say(Request::Piece { content, offset: next, bytes }).await?;
                next += length as u64;
                on_their_way.push_back(next);
            }
            let Some(expected) = on_their_way.pop_front() else {
                return Err(anyhow::anyhow!("the ledger holds all bytes and does not say that they are whole").into());
            };
            let (held, all) = self.stored(&content).await?;
            if held != expected {
                let text = format!(
                    "the ledger holds {held} bytes, not {expected}: is it being uploaded twice? Run this again"
                );
                return Err(anyhow::anyhow!(text).into());
            }
            whole = all;
            let percent = held * 100 / size.max(1);
            if percent / 10 > said_percent / 10 {
                said_percent = percent;
                output::note(&format!("uploaded {percent} per cent"));
            }
        }
        Ok(())
    }

    async fn stored(&mut self, about: &[u8; 32]) -> Result<(u64, bool), Failure> {
        loop {
            match self.hear_within(READ_BACK).await? {
                Reply::Stored { content, held, whole } if content == *about => return Ok((held, whole)),
                Reply::Checkpoint(proven) => self.advance(&proven).map_err(fault)?,
                Reply::Refused { refusal, .. } => return Err(anyhow::anyhow!("the ledger refuses: {refusal}").into()),
                _ => return Err(anyhow::anyhow!("the ledger answers another question").into()),
            }
        }
    }
}
