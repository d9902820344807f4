//! Duplicate marks: which message numbers of a device are taken and which are durable.
//!
//! In memory, rebuilt at open from the `marks` table (as of the last block) and the journal rows after it. A mark
//! counts as durable only once its journal row is: a receipt for a duplicate must never run ahead of the disk.

mod window;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_model::{DeviceId, Entry, Epoch, Seq};
use rusqlite::{Connection, params};

pub use window::Claim;
use window::Window;

use crate::error::StoreError;
use crate::sql;

/// A device's epochs that are remembered; the least lately used is forgotten first. A device that loses its memory
/// starts a new one at each boot.
pub const EPOCHS_MAX: usize = 8;
const SHARDS: usize = 16;

/// One message's name.
pub(crate) type Mark = (DeviceId, Epoch, Seq);

#[derive(Default)]
struct DeviceMarks {
    /// At most [`EPOCHS_MAX`], the most lately used last.
    epochs: Vec<(Epoch, Window)>,
}

impl DeviceMarks {
    fn window(&mut self, epoch: Epoch) -> &mut Window {
        match self.epochs.iter().position(|(at, _)| *at == epoch) {
            Some(at) => self.epochs[at..].rotate_left(1),
            None => {
                if self.epochs.len() >= EPOCHS_MAX {
                    self.epochs.remove(0);
                }
                self.epochs.push((epoch, Window::default()));
            }
        }
        let last = self.epochs.len() - 1;
        &mut self.epochs[last].1
    }
}

/// All devices' marks.
#[derive(Default)]
pub(crate) struct MarkBook {
    hasher: RandomState,
    shards: [Mutex<HashMap<DeviceId, DeviceMarks>>; SHARDS],
}

impl MarkBook {
    fn with<T>(&self, device: &DeviceId, epoch: Epoch, act: impl FnOnce(&mut Window) -> T) -> T {
        let shard = self.hasher.hash_one(device) as usize % SHARDS;
        let mut devices = self.shards[shard].lock();
        match devices.get_mut(device.as_str()) {
            Some(marks) => act(marks.window(epoch)),
            None => act(devices.entry(device.clone()).or_default().window(epoch)),
        }
    }

    pub(crate) fn claim(&self, device: &DeviceId, epoch: Epoch, seq: Seq) -> Claim {
        self.with(device, epoch, |window| window.claim(seq.0))
    }

    pub(crate) fn confirm(&self, device: &DeviceId, epoch: Epoch, seq: Seq) {
        self.with(device, epoch, |window| window.confirm(seq.0));
    }

    pub(crate) fn release(&self, device: &DeviceId, epoch: Epoch, seq: Seq) {
        self.with(device, epoch, |window| window.release(seq.0));
    }

    /// Reads the stored marks.
    pub(crate) fn load(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare(sql!("marks/all"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let damaged = || StoreError::Damaged { table: "marks", row: name.clone() };
            let device = DeviceId::parse(&name).map_err(|_| damaged())?;
            let epoch = Epoch(row.get::<_, i64>(1)?.cast_unsigned());
            let bits: Vec<u8> = row.get(4)?;
            let window =
                Window::restore(row.get::<_, i64>(2)?.cast_unsigned(), &bits, row.get(3)?).ok_or_else(damaged)?;
            self.with(&device, epoch, |slot| *slot = window);
        }
        Ok(())
    }
}

/// Claims on their way to the disk: released when dropped, unless they were confirmed.
pub(crate) struct Claims {
    book: Arc<MarkBook>,
    marks: Vec<Mark>,
}

impl Claims {
    pub(crate) fn new(book: Arc<MarkBook>, marks: Vec<Mark>) -> Self {
        Self { book, marks }
    }

    /// Their row is durable.
    pub(crate) fn confirm(mut self) {
        for (device, epoch, seq) in self.marks.drain(..) {
            self.book.confirm(&device, epoch, seq);
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        for (device, epoch, seq) in &self.marks {
            self.book.release(device, *epoch, *seq);
        }
    }
}

/// The message numbers of the journal rows a block seals, in the order of the journal, as runs. Collected by whoever
/// reads those rows, and stored with the block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    runs: HashMap<(DeviceId, Epoch), Vec<(u64, u64)>>,
}

impl Marks {
    /// Adds the entries' numbers. Call it for every entry of every row, in order.
    pub fn note(&mut self, entries: &[Entry]) {
        for entry in entries {
            let runs = self.runs.entry((entry.device.clone(), entry.epoch)).or_default();
            match runs.last_mut() {
                Some((_, end)) if entry.seq.0 == end.wrapping_add(1) => *end = entry.seq.0,
                _ => runs.push((entry.seq.0, entry.seq.0)),
            }
        }
    }

    /// Folds them into the stored marks.
    pub(crate) fn store(&self, connection: &Connection, used: i64) -> Result<(), StoreError> {
        for ((device, epoch), runs) in &self.runs {
            let name = device.as_str();
            let epoch = epoch.0.cast_signed();
            let stored = {
                let mut statement = connection.prepare_cached(sql!("marks/get"))?;
                let mut rows = statement.query(params![name, epoch])?;
                match rows.next()? {
                    Some(row) => Some((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?, row.get::<_, Vec<u8>>(2)?)),
                    None => None,
                }
            };
            let mut window = match stored {
                None => Window::default(),
                Some((highest, complete, bits)) => Window::restore(highest, &bits, complete)
                    .ok_or_else(|| StoreError::Damaged { table: "marks", row: name.to_owned() })?,
            };
            for (first, last) in runs {
                (*first..=*last).for_each(|number| window.confirm(number));
            }
            if let Some((highest, bits, complete)) = window.stored() {
                connection.prepare_cached(sql!("marks/put"))?.execute(params![
                    name,
                    epoch,
                    used,
                    highest.cast_signed(),
                    complete,
                    bits
                ])?;
                connection.prepare_cached(sql!("marks/forget_oldest"))?.execute(params![name, EPOCHS_MAX as i64])?;
            }
        }
        Ok(())
    }
}
