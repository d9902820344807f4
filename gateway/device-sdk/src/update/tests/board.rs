//! A board: flash that can lose power in the middle of any write, and what is done on it between two starts.

use std::vec;
use std::vec::Vec;

use super::super::*;

pub const SLOT_BYTES: u32 = 128 * 1024;
pub const PAGE: u32 = 4_096;

pub struct Board {
    pub slots: [Vec<u8>; 2],
    pub records: [[u8; RECORD_BYTES]; 2],
    pub running: Slot,
    /// Writes and erasures until the power goes.
    pub power: Option<u64>,
    pub writes: u64,
    /// How often each page of each slot was erased.
    pub erased: [Vec<u32>; 2],
    pub records_written: u32,
}

const fn number(slot: Slot) -> usize {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

impl Board {
    pub fn with(image: &[u8]) -> Self {
        Self::large(image, SLOT_BYTES)
    }

    pub fn large(image: &[u8], slot_bytes: u32) -> Self {
        let mut first = vec![0xFF; slot_bytes as usize];
        first[..image.len()].copy_from_slice(image);
        let pages = vec![0; (slot_bytes / PAGE) as usize];
        Self {
            slots: [first, vec![0xFF; slot_bytes as usize]],
            records: [[0xFF; RECORD_BYTES]; 2],
            running: Slot::A,
            power: None,
            writes: 0,
            erased: [pages.clone(), pages],
            records_written: 0,
        }
    }

    pub fn holds(&self, slot: Slot, image: &[u8]) -> bool {
        self.slots[number(slot)].starts_with(image)
    }

    /// How often the page of the slots was erased that was erased most.
    pub fn most_erased(&self) -> u32 {
        self.erased.iter().flatten().copied().max().unwrap()
    }

    /// How much of an operation is done: all, part of it as the power goes, or none once it is gone.
    fn spend(&mut self, whole: usize) -> (usize, Result<(), FlashFault>) {
        self.writes += 1;
        match &mut self.power {
            None => (whole, Ok(())),
            Some(0) => (0, Err(FlashFault)),
            Some(1) => {
                self.power = Some(0);
                (whole * (self.writes as usize % 7) / 7, Err(FlashFault))
            }
            Some(left) => {
                *left -= 1;
                (whole, Ok(()))
            }
        }
    }
}

impl Flash for Board {
    fn slot_bytes(&self) -> u32 {
        self.slots[0].len() as u32
    }

    fn page_bytes(&self) -> u32 {
        PAGE
    }

    fn running(&self) -> Slot {
        self.running
    }

    fn erase(&mut self, slot: Slot, offset: u32) -> Result<(), FlashFault> {
        assert_ne!(slot, self.running, "what runs is never touched");
        assert_eq!(offset % PAGE, 0);
        self.erased[number(slot)][(offset / PAGE) as usize] += 1;
        let (done, result) = self.spend(PAGE as usize);
        let at = offset as usize;
        self.slots[number(slot)][at..at + done].fill(0xFF);
        result
    }

    fn write(&mut self, slot: Slot, offset: u32, bytes: &[u8]) -> Result<(), FlashFault> {
        assert_ne!(slot, self.running, "what runs is never touched");
        let (done, result) = self.spend(bytes.len());
        for (at, byte) in bytes.iter().enumerate().take(done) {
            let place = &mut self.slots[number(slot)][offset as usize + at];
            assert_eq!(*place, 0xFF, "flash is erased before it is written");
            *place = *byte;
        }
        result
    }

    fn read(&mut self, slot: Slot, offset: u32, into: &mut [u8]) -> Result<(), FlashFault> {
        let at = offset as usize;
        into.copy_from_slice(&self.slots[number(slot)][at..at + into.len()]);
        Ok(())
    }

    fn read_record(&mut self, place: Place) -> Result<[u8; RECORD_BYTES], FlashFault> {
        Ok(self.records[place as usize])
    }

    fn write_record(&mut self, place: Place, record: &[u8; RECORD_BYTES]) -> Result<(), FlashFault> {
        self.records_written += 1;
        let (done, result) = self.spend(RECORD_BYTES);
        let kept = &mut self.records[place as usize];
        // Erasing comes first: a cut leaves erased bytes behind what was written.
        if done > 0 {
            kept.fill(0xFF);
            kept[..done].copy_from_slice(&record[..done]);
        }
        result
    }
}
