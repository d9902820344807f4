//! The body of an answer, in pieces, each when its turn has come: the head goes at once, so that whoever asked knows that it is served.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::content::pace::Turn;

const PIECE_BYTES: usize = 16 * 1_024;

/// A slice on its way.
pub struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    /// Bytes still to come.
    left: u64,
}

impl Pieces {
    /// Gives a slice, and back its turn and its place: the place when its time is over, however slowly it is read; both at once when it
    /// is not wanted any more.
    pub fn start(slice: Bytes, turn: Turn, place: OwnedSemaphorePermit) -> Self {
        let left = slice.len() as u64;
        // Room for all of them.
        let (give, pieces) = mpsc::channel(slice.len().div_ceil(PIECE_BYTES).max(1));
        let _detached = tokio::spawn(pass(slice, turn, place, give));
        Self { pieces, left }
    }
}

async fn pass(mut slice: Bytes, mut turn: Turn, place: OwnedSemaphorePermit, give: mpsc::Sender<Bytes>) {
    while !slice.is_empty() {
        let piece = slice.split_to(slice.len().min(PIECE_BYTES));
        tokio::select! {
            () = turn.pass(piece.len() as u64) => {}
            () = give.closed() => return,
        }
        if give.try_send(piece).is_err() {
            return;
        }
    }
    drop(place);
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = ready!(self.pieces.poll_recv(context));
        self.left = self.left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
