//! The hashes that lead from a group of 16 KiB to the digest of its image, for devices that check while they pull.
//!
//! An image is read once, whole, for that: never on the desk's own task, where everybody would wait for it. One is read at a time,
//! in the order they were asked for; who asked is answered when [`Proofs::take`] was told that it is done.

use std::collections::VecDeque;
use std::sync::Arc;

use blake3::hazmat::{HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root};
use pitchside_release::content::ContentId;
use pitchside_wire::firmware::GROUP_BYTES;
use tokio::sync::mpsc;

/// Images whose groups are remembered.
const IMAGES_MAX: usize = 4;
/// Images that wait to be read, the one that is being read included.
const READING_MAX: usize = 4;
/// The largest image that is proven group by group; of a larger one devices check the whole.
const IMAGE_BYTES_MAX: u64 = 64 << 20;
const GROUP: u64 = GROUP_BYTES as u64;

/// Reads bytes of an image: blocks.
pub(super) type Reader = Arc<dyn Fn(ContentId, u64, usize) -> Result<Vec<u8>, String> + Send + Sync>;

type Hashes = Arc<Vec<[u8; 32]>>;

/// An image was read, or could not be.
pub(super) struct Read {
    /// Which.
    pub id: ContentId,
    /// The hashes of its groups: 32 bytes each, 128 KiB at most.
    hashes: Result<Hashes, String>,
}

/// What there is of a proof.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// The hashes beside the group's way, the nearest first; none for an image that is not proven by groups.
    Proof(Vec<[u8; 32]>),
    /// Its image is being read, or will be.
    Later,
    /// Too many images wait to be read.
    Busy,
}

/// The groups of the images that are handed out.
pub(super) struct Proofs {
    known: VecDeque<(ContentId, Hashes)>,
    /// With their sizes; the first is being read.
    reading: VecDeque<(ContentId, u64)>,
    reader: Reader,
    done: mpsc::Sender<Read>,
}

impl Proofs {
    /// None yet, and where it is told what was read. To be used inside a tokio runtime.
    pub fn new(reader: Reader) -> (Self, mpsc::Receiver<Read>) {
        let (done, told) = mpsc::channel(1);
        (Self { known: VecDeque::new(), reading: VecDeque::new(), reader, done }, told)
    }

    /// The proof of the group that holds `offset`. Does not block.
    pub fn of(&mut self, id: ContentId, size: u64, offset: u64) -> Looked {
        if size <= GROUP || size > IMAGE_BYTES_MAX {
            return Looked::Proof(Vec::new());
        }
        if let Some((_, hashes)) = self.known.iter().find(|(known, _)| *known == id) {
            return Looked::Proof(beside(hashes, size, offset));
        }
        if self.reading.iter().any(|(reading, _)| *reading == id) {
            return Looked::Later;
        }
        if self.reading.len() >= READING_MAX {
            return Looked::Busy;
        }
        self.reading.push_back((id, size));
        if self.reading.len() == 1 {
            self.read_next();
        }
        Looked::Later
    }

    /// What was told; why the image could not be read, if it could not. Begins with the next.
    pub fn take(&mut self, read: Read) -> Result<(), String> {
        self.reading.retain(|(id, _)| *id != read.id);
        self.read_next();
        let hashes = read.hashes?;
        if self.known.len() >= IMAGES_MAX {
            self.known.pop_front();
        }
        self.known.push_back((read.id, hashes));
        Ok(())
    }

    fn read_next(&self) {
        let Some(&(id, size)) = self.reading.front() else { return };
        let (reader, done) = (Arc::clone(&self.reader), self.done.clone());
        let closed = done.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let read = |offset, length| {
                // Nobody waits for the rest at the end of the program.
                if closed.is_closed() { Err("the desk has closed".to_owned()) } else { reader(id, offset, length) }
            };
            hashes(size, read).map(Arc::new)
        });
        tokio::spawn(async move {
            let hashes = reading.await.unwrap_or_else(|error| Err(error.to_string()));
            // Without a desk there is nobody to tell.
            let _ = done.send(Read { id, hashes }).await;
        });
    }
}

fn hashes<E>(size: u64, read: impl Fn(u64, usize) -> Result<Vec<u8>, E>) -> Result<Vec<[u8; 32]>, E> {
    let starts = (0..size.div_ceil(GROUP)).map(|group| group * GROUP);
    let hash = |start: u64| {
        let length = usize::try_from((size - start).min(GROUP)).unwrap_or(0);
        let bytes = read(start, length)?;
        Ok(blake3::Hasher::new().set_input_offset(start).update(&bytes).finalize_non_root())
    };
    starts.map(hash).collect()
}

fn subtree(hashes: &[[u8; 32]], start: u64, length: u64) -> [u8; 32] {
    if length <= GROUP {
        let group = usize::try_from(start / GROUP).unwrap_or(usize::MAX);
        return hashes.get(group).copied().unwrap_or_default();
    }
    let left = left_subtree_len(length);
    merge_subtrees_non_root(&subtree(hashes, start, left), &subtree(hashes, start + left, length - left), Mode::Hash)
}

fn beside(hashes: &[[u8; 32]], size: u64, offset: u64) -> Vec<[u8; 32]> {
    let (mut start, mut length, mut found) = (0, size, Vec::new());
    while length > GROUP {
        let left = left_subtree_len(length);
        if offset < start + left {
            found.push(subtree(hashes, start + left, length - left));
            length = left;
        } else {
            found.push(subtree(hashes, start, left));
            (start, length) = (start + left, length - left);
        }
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc as std_mpsc;

    use super::*;

    const SIZE: u64 = 3 * GROUP + 5;

    fn byte(offset: u64) -> Vec<u8> {
        vec![(offset / GROUP) as u8 + 1; 16]
    }

    /// A reader that reads a group for each word it is given; and what it began to read, on which thread.
    type Begun = Arc<Mutex<Vec<(ContentId, std::thread::ThreadId)>>>;
    fn held() -> (Reader, std_mpsc::SyncSender<()>, Begun) {
        let (go, may) = std_mpsc::sync_channel(64);
        let (may, begun) = (Mutex::new(may), Begun::default());
        let seen = Arc::clone(&begun);
        let reader = move |id, offset, _| {
            seen.lock().unwrap().push((id, std::thread::current().id()));
            may.lock().unwrap().recv().map_err(|_| "let go".to_owned())?;
            Ok(byte(offset))
        };
        (Arc::new(reader), go, begun)
    }

    #[tokio::test]
    async fn an_image_is_read_on_another_thread_while_the_desk_goes_on() {
        let (reader, go, begun) = held();
        let (mut proofs, mut told) = Proofs::new(reader);
        let id = ContentId([1; 32]);
        assert_eq!(proofs.of(id, SIZE, 0), Looked::Later);
        assert_eq!(proofs.of(id, SIZE, GROUP), Looked::Later, "read once, however many ask");
        assert_eq!(proofs.of(ContentId([2; 32]), GROUP, 0), Looked::Proof(Vec::new()), "others are answered meanwhile");
        (0..4).for_each(|_| go.send(()).unwrap());
        proofs.take(told.recv().await.unwrap()).unwrap();
        let whole = hashes::<()>(SIZE, |offset, _| Ok(byte(offset))).unwrap();
        assert_eq!(proofs.of(id, SIZE, GROUP), Looked::Proof(beside(&whole, SIZE, GROUP)));
        let threads: Vec<_> = begun.lock().unwrap().iter().map(|(_, thread)| *thread).collect();
        assert!(threads.len() == 4 && threads.iter().all(|thread| *thread != std::thread::current().id()));
    }

    #[tokio::test]
    async fn one_image_is_read_at_a_time_in_the_order_they_were_asked_for_and_only_so_many_wait() {
        let (reader, go, begun) = held();
        let (mut proofs, mut told) = Proofs::new(reader);
        let ids = [5, 3, 4, 1].map(|n| ContentId([n; 32]));
        assert!(ids.iter().all(|id| proofs.of(*id, SIZE, 0) == Looked::Later));
        assert_eq!(proofs.of(ContentId([9; 32]), SIZE, 0), Looked::Busy);
        for (place, id) in ids.iter().enumerate() {
            (0..4).for_each(|_| go.send(()).unwrap());
            let read = told.recv().await.unwrap();
            assert_eq!(read.id, *id);
            let so_far: Vec<ContentId> = begun.lock().unwrap().iter().map(|(id, _)| *id).collect();
            assert_eq!(so_far, ids[..=place].iter().flat_map(|id| [*id; 4]).collect::<Vec<_>>());
            proofs.take(read).unwrap();
        }
        assert_eq!(proofs.of(ContentId([9; 32]), SIZE, 0), Looked::Later, "there is room again");
    }

    #[tokio::test]
    async fn an_image_that_cannot_be_read_is_told_and_may_be_asked_for_again() {
        let (mut proofs, mut told) = Proofs::new(Arc::new(|_, _, _| Err("rotten".to_owned())));
        let id = ContentId([1; 32]);
        for _ in 0..2 {
            assert_eq!(proofs.of(id, SIZE, 0), Looked::Later);
            assert_eq!(proofs.take(told.recv().await.unwrap()), Err("rotten".to_owned()));
        }
        // A reader that panics does not keep the others waiting for ever.
        let (mut proofs, mut told) = Proofs::new(Arc::new(|_, _, _| panic!("a bug")));
        assert_eq!(proofs.of(id, SIZE, 0), Looked::Later);
        assert!(proofs.take(told.recv().await.unwrap()).is_err());
    }
}
