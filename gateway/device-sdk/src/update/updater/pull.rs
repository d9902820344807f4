//! Pulling an image, chunk after chunk, group after group, and the check of the whole.

use alloc::vec::Vec;

use pitchside_wire::Millis;
use pitchside_wire::firmware::{CHUNK_BYTES_MIN, Chunk, GROUP_BYTES, Phase, Pull, Reason, Stage, Up};
use sha2::{Digest as _, Sha256};

use super::{Flash, Updater};
use crate::update::flash::FlashFault;
use crate::update::record::{Record, Target};
use crate::update::tree::{Group, Proven};

/// A pull without its chunk is said again after this long, each time twice as long, up to a minute.
const CHUNK_WITHIN_MS: u64 = 3_000;
const CHUNK_WITHIN_MAX_MS: u64 = 60_000;
/// How often one group may come wrong before the image is given up.
pub(in crate::update) const WRONG_MAX: u8 = 3;
/// How often the same pages may be begun again after a start before the image is given up.
pub(in crate::update) const AGAIN_MAX: u8 = 8;
/// How often it is recorded how far an image is: each record costs a page, too.
pub(in crate::update) const RECORDS_MAX: u32 = 16;
/// Bytes of an image held in memory while it is checked.
const PIECE_BYTES: usize = 256;

/// Where pulling stands. It outlives links, and being told to stop: what is in flash is gone on from, never erased for that.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    /// The next byte to be written.
    at: u32,
    /// Where the group under way begins: all before it is there.
    group: u32,
    /// What comes after that may have been written before the last start.
    touched: bool,
    /// The gateway said stop: nothing is asked for or taken before it offers the image again.
    held: bool,
    /// The next byte to be asked for.
    ask: u32,
    /// Bytes asked for at a time.
    chunk: u16,
    /// When what was asked for counts as lost.
    lost_at: Option<Millis>,
    wait_ms: u64,
    /// Nothing is asked for before this.
    pause: Millis,
    /// How often the group under way came wrong.
    wrong: u8,
}

impl Flow {
    /// Of an image that begins.
    pub const fn new(chunk: u16, now: Millis) -> Self {
        let (wait_ms, pause) = (CHUNK_WITHIN_MS, now);
        Self { at: 0, group: 0, touched: false, held: false, ask: 0, chunk, lost_at: None, wait_ms, pause, wrong: 0 }
    }

    /// Of an image that was under way before the last start.
    pub const fn after_start(chunk: u16, have: u32, now: Millis) -> Self {
        Self { at: have, group: have, touched: true, ask: have, ..Self::new(chunk, now) }
    }

    /// Asks again for what has not come: on a new link, or allowed once more.
    pub const fn go_on(&mut self, now: Millis) {
        (self.held, self.ask, self.lost_at, self.pause) = (false, self.at, None, now);
    }

    /// Asks for nothing before it is offered again.
    pub const fn hold(&mut self) {
        (self.held, self.ask, self.lost_at) = (true, self.at, None);
    }

    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// The gateway wants a pause.
    pub const fn slower(&mut self, until: Millis) {
        (self.ask, self.lost_at, self.pause) = (self.at, None, until);
    }

    /// What came of this group is worth nothing.
    const fn wrong(&mut self, now: Millis) {
        self.wrong += 1;
        (self.at, self.ask, self.lost_at, self.pause) = (self.group, self.group, None, now);
    }

    /// The group is there, and ends here.
    const fn right(&mut self, end: u32) {
        (self.group, self.wrong) = (end, 0);
    }

    /// Bytes to ask for at the next place: a chunk never lies in two groups.
    fn length(&self, size: u32) -> u16 {
        let group = GROUP_BYTES - self.ask % GROUP_BYTES;
        let left = group.min(size.saturating_sub(self.ask)).min(u32::from(self.chunk));
        u16::try_from(left).unwrap_or(self.chunk)
    }

    fn may_ask(&self, window: u8, size: u32) -> bool {
        !self.held && self.ask < size && self.ask - self.at < u32::from(window) * u32::from(self.chunk)
    }

    pub fn poll(&mut self, now: Millis, record: &Record, window: u8, words: &mut Vec<Up>) {
        if now < self.pause {
            return;
        }
        if self.lost_at.is_some_and(|at| now >= at) {
            self.ask = self.at;
            self.wait_ms = (self.wait_ms * 2).min(CHUNK_WITHIN_MAX_MS);
            self.lost_at = None;
        }
        let Target { blake3, size, .. } = record.target;
        while self.may_ask(window, size) {
            let length = self.length(size);
            // The wire knows no pull of less than 64 bytes; the gateway stops at the end of the image.
            let asked = length.max(CHUNK_BYTES_MIN as u16);
            words.push(Up::Pull(Pull { digest: blake3, offset: self.ask, length: asked }));
            self.ask += u32::from(length);
            self.lost_at = Some(now.plus(self.wait_ms));
        }
    }

    pub fn next_at(&self, window: u8, record: &Record) -> Option<Millis> {
        if self.may_ask(window, record.target.size) { Some(self.pause) } else { self.lost_at }
    }
}

/// After so many groups it is recorded how far an image of this size is.
const fn groups_of_a_record(size: u32) -> u32 {
    let groups = size.div_ceil(GROUP_BYTES);
    if groups <= RECORDS_MAX { 1 } else { groups.div_ceil(RECORDS_MAX) }
}

impl<F: Flash> Updater<F> {
    pub(super) fn chunk(&mut self, chunk: &Chunk, now: Millis) {
        let target = self.record.target;
        let Some(flow) = self.flow.as_mut().filter(|flow| !flow.held) else { return };
        let length = u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX);
        let end = chunk.offset.saturating_add(length);
        let room = (GROUP_BYTES - flow.at % GROUP_BYTES).min(target.size - flow.at);
        let aligned = end == target.size || (length as usize).is_multiple_of(CHUNK_BYTES_MIN);
        // Of another image, not the next, or of a length that cannot be: dropped, and asked for again in time.
        if self.record.phase != Phase::Pulling
            || chunk.digest != target.blake3
            || chunk.offset != flow.at
            || length > room
            || !aligned
        {
            return;
        }
        let touched = core::mem::take(&mut flow.touched);
        flow.ask = flow.ask.max(end);
        if length < u32::from(flow.chunk) && length < room {
            // The gateway gives less at a time than was asked for: ask for that much from now on.
            flow.chunk = u16::try_from(length).unwrap_or(flow.chunk);
            flow.ask = end;
        }
        flow.at = end;
        flow.wait_ms = CHUNK_WITHIN_MS;
        flow.lost_at = (flow.ask > end).then(|| now.plus(CHUNK_WITHIN_MS));
        if touched && self.record.again >= AGAIN_MAX {
            return self.fail(Reason::WEAR, now);
        }
        // Counted before it is done: the power may go again.
        let counted = if touched { self.write(Record { again: self.record.again + 1, ..self.record }) } else { Ok(()) };
        if counted.and_then(|()| self.put(chunk.offset, &chunk.bytes)).is_err() {
            self.fail(Reason::FLASH, now);
        } else if end.is_multiple_of(GROUP_BYTES) || end == target.size {
            self.group(end, &chunk.proof, now);
        }
    }

    /// Writes bytes into the spare slot, erasing each page on its first byte.
    fn put(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashFault> {
        let (spare, page) = (self.spare(), self.flash.page_bytes());
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            if at.is_multiple_of(page) {
                self.flash.erase(spare, at)?;
            }
            let room = usize::try_from(page - at % page).unwrap_or(rest.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.flash.write(spare, at, now)?;
            at += u32::try_from(now.len()).unwrap_or(0);
            rest = later;
        }
        Ok(())
    }

    /// A group is there, as the flash has it: it counts if it is part of the image, and is pulled again if not.
    fn group(&mut self, end: u32, proof: &[[u8; 32]], now: Millis) {
        let Some(flow) = &self.flow else { return };
        let (start, size) = (flow.group, self.record.target.size);
        let mut group = Group::new(start, size);
        if self.read(start, end, |piece| group.update(piece)).is_err() {
            return self.fail(Reason::FLASH, now);
        }
        // Without a proof the whole tells, at the end.
        if group.check(proof, &self.record.target.blake3) == Proven::No {
            let Some(flow) = &mut self.flow else { return };
            flow.wrong(now);
            if flow.wrong >= WRONG_MAX {
                self.fail(Reason::CONTENT, now);
            }
            return;
        }
        if let Some(flow) = &mut self.flow {
            flow.right(end);
        }
        let is_kept = end == size || (end / GROUP_BYTES).is_multiple_of(groups_of_a_record(size));
        if is_kept && self.write(Record { have: end, again: 0, ..self.record }).is_err() {
            return self.fail(Reason::FLASH, now);
        }
        if end == size {
            self.whole(now);
        }
    }

    /// All bytes are there: both hashes of what the flash has, not of what came.
    pub(super) fn whole(&mut self, now: Millis) {
        let target = self.record.target;
        self.flow = None;
        self.queue(target.release, Stage::Downloaded, Reason::NONE, now);
        let (mut sha256, mut blake3) = (Sha256::new(), blake3::Hasher::new());
        let read = self.read(0, target.size, |piece| {
            sha256.update(piece);
            blake3.update(piece);
        });
        if read.is_err() {
            return self.fail(Reason::FLASH, now);
        }
        if sha256.finalize()[..] != target.sha256 || *blake3.finalize().as_bytes() != target.blake3 {
            return self.fail(Reason::CONTENT, now);
        }
        if self.write(Record { phase: Phase::Verified, ..self.record }).is_err() {
            return self.fail(Reason::FLASH, now);
        }
        self.queue(target.release, Stage::Verified, Reason::NONE, now);
    }

    fn read(&mut self, from: u32, to: u32, mut piece: impl FnMut(&[u8])) -> Result<(), FlashFault> {
        let mut buffer = [0; PIECE_BYTES];
        let mut at = from;
        while at < to {
            let length = usize::try_from(to - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let (part, _) = buffer.split_at_mut(length);
            self.flash.read(self.record.home.other(), at, part)?;
            piece(part);
            at += u32::try_from(length).unwrap_or(u32::MAX);
        }
        Ok(())
    }
}
