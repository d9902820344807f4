//! A content that is still arriving: its bytes, its outboard, and a bitmap of the verified groups.
//!
//! The order of writing is what a crash cannot break. A group's hashes and bytes are written, data and outboard are
//! synced, and only then does the bitmap say so and is synced in its turn. While it arrives bits only ever rise, so a bitmap that
//! a power cut tore is a mixture of two truths:
//!
//! | step | a crash leaves |
//! | --- | --- |
//! | hashes and bytes written | perhaps garbage; no bit says otherwise; the groups are fetched again |
//! | data and outboard synced | good bytes without a bit; fetched again |
//! | bitmap written | some of the new bits; each is true |
//! | bitmap synced | the bits |
//!
//! What is in memory's bitmap but not yet durable is served already: it was verified, and it is verified again on the way
//! out.

use std::io;

use ledger_block::content::{ContentId, GroupIndex, Groups, Item, ReadAt, Shape, Span, slice};
use parking_lot::Mutex;

use super::medium::Medium;

/// A content of which some groups are here.
#[derive(Debug)]
pub struct Partial<M> {
    content: ContentId,
    shape: Shape,
    data: M,
    outboard: M,
    bitmap: M,
    held: Mutex<Groups>,
    /// Groups the durable bitmap speaks of; locked while it is written.
    durable: Mutex<u32>,
}

/// By reference.
struct At<'a, M>(&'a M);

impl<M: ReadAt> ReadAt for At<'_, M> {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, bytes)
    }
}

/// Reads a slice; checked on the way.
pub fn slice_of<M: ReadAt>(
    content: ContentId,
    shape: Shape,
    span: Span,
    data: &M,
    outboard: &M,
) -> io::Result<Vec<u8>> {
    slice::encode(content, shape, span, At(data), At(outboard))
}

impl<M: Medium> Partial<M> {
    /// Goes on where the bitmap says. A bitmap that is none (a disk that lost it) is made anew from the bytes themselves.
    ///
    /// # Errors
    /// The medium cannot be read.
    pub fn open(content: ContentId, shape: Shape, data: M, outboard: M, bitmap: M) -> io::Result<Self> {
        let mut bytes = vec![0; Groups::encoded_bytes(shape)];
        let read = bitmap.read_exact_at(0, &mut bytes);
        let (held, known) = match read.ok().and_then(|()| Groups::decode(shape, &bytes).ok()) {
            Some(held) => (held, true),
            None => (Groups::none(shape), false),
        };
        let durable = Mutex::new(held.count());
        let partial = Self { content, shape, data, outboard, bitmap, held: Mutex::new(held), durable };
        if !known {
            partial.rescan()?;
        }
        Ok(partial)
    }

    /// The groups that are here.
    pub fn held(&self) -> Groups {
        self.held.lock().clone()
    }

    /// Groups not yet covered by the durable bitmap.
    pub fn undurable(&self) -> u32 {
        let durable = *self.durable.lock();
        self.held.lock().count().saturating_sub(durable)
    }

    /// Writes what a [`slice::Decoder`] gave, in its order.
    ///
    /// # Errors
    /// The medium refused; the groups before are kept.
    pub fn keep(&self, items: &[Item]) -> io::Result<()> {
        for item in items {
            match item {
                Item::Node { offset, pair } => self.outboard.write_at(*offset, pair)?,
                Item::Group { index, bytes } => {
                    self.data.write_at(self.shape.offset(*index), bytes)?;
                    // Its hashes were written before it: the decoder gives parents first.
                    self.held.lock().insert(*index);
                }
            }
        }
        Ok(())
    }

    /// Makes all groups held so far survive a power cut.
    ///
    /// # Errors
    /// The medium refused; the durable bitmap is as it was, or a truth in between.
    pub fn flush(&self) -> io::Result<()> {
        let mut durable = self.durable.lock();
        let held = self.held();
        if held.count() == *durable {
            return Ok(());
        }
        self.data.sync()?;
        self.outboard.sync()?;
        self.bitmap.write_at(0, &held.encode())?;
        self.bitmap.sync()?;
        *durable = held.count();
        Ok(())
    }

    /// A slice; none if a group of it is not here.
    ///
    /// # Errors
    /// The medium cannot be read, or its bytes are no longer what they were.
    pub fn slice(&self, span: Span) -> io::Result<Option<Vec<u8>>> {
        if !self.held.lock().covers(span) {
            return Ok(None);
        }
        slice_of(self.content, self.shape, span, &self.data, &self.outboard).map(Some)
    }

    /// Looks at every group and believes only its bytes. Gives the groups that are lost.
    ///
    /// # Errors
    /// The bitmap cannot be written.
    pub fn rescan(&self) -> io::Result<Vec<GroupIndex>> {
        let mut durable = self.durable.lock();
        let before = self.held();
        let mut found = Groups::none(self.shape);
        for group in 0..self.shape.groups() {
            let sound = Span::new(group, group)
                .is_some_and(|one| slice_of(self.content, self.shape, one, &self.data, &self.outboard).is_ok());
            if sound {
                found.insert(GroupIndex(group));
            }
        }
        let lost = found.missing().filter(|group| before.contains(*group)).collect();
        self.data.sync()?;
        self.outboard.sync()?;
        self.bitmap.write_at(0, &found.encode())?;
        self.bitmap.sync()?;
        *durable = found.count();
        *self.held.lock() = found;
        Ok(lost)
    }

    /// The parts, once whole.
    pub fn into_parts(self) -> (M, M) {
        (self.data, self.outboard)
    }

    /// The bytes.
    pub const fn data(&self) -> &M {
        &self.data
    }
}

#[cfg(test)]
mod tests;
