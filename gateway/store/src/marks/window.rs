//! The last 1,024 message numbers of one epoch: which are taken, which are durable, which the device gave up.

/// A device keeps at most this many numbers without a receipt, so nothing further back can still be on its way.
pub(crate) const WINDOW: u64 = 1_024;
const WORDS: usize = (WINDOW / 64) as usize;

/// What a message number turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Not seen before. It is now yours: append it, or release it.
    New,
    /// As [`Claim::New`]; and the device has given up so many earlier numbers, which never came: record a
    /// `Dropped` gap of that extent in the same entry.
    Skipped(u64),
    /// Durable already: answer with its receipt.
    Duplicate,
    /// The same number is on its way to the disk: say nothing, its own receipt will answer for both.
    Pending,
    /// Further back than a device may reach, and not known to be stored: refuse it, for a receipt could be a lie.
    TooOld,
}

/// A ring of bits: number n lives at n % 1,024. The window is (highest - 1,024, highest].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Window {
    highest: Option<u64>,
    claimed: [u64; WORDS],
    durable: [u64; WORDS],
    /// Something below the window may not be durable.
    holes: bool,
    /// Numbers given up, announced by a claim that was then released: announced again by the next one.
    owed: u64,
    /// Claims on their way that announced numbers given up, and how many.
    announced: Vec<(u64, u64)>,
}

fn place(number: u64) -> (usize, u64) {
    (((number % WINDOW) / 64) as usize, 1 << (number % 64))
}

impl Window {
    /// As stored: highest durable number, its window's bits, and whether all below is durable.
    pub(crate) fn restore(highest: u64, durable: &[u8], complete: bool) -> Option<Self> {
        let mut window = Self { highest: Some(highest), holes: !complete, ..Self::default() };
        if durable.len() != WORDS * 8 {
            return None;
        }
        for (word, bytes) in window.durable.iter_mut().zip(durable.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        window.claimed = window.durable;
        Some(window)
    }

    /// For storing: see [`Window::restore`]. None before the first number.
    pub(crate) fn stored(&self) -> Option<(u64, Vec<u8>, bool)> {
        let bits = self.durable.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.highest.map(|highest| (highest, bits, !self.holes))
    }

    fn lowest(&self) -> u64 {
        self.highest.map_or(0, |highest| highest.saturating_sub(WINDOW - 1))
    }

    /// True if the number lies in the window as it stands.
    fn holds(&self, number: u64) -> bool {
        number >= self.lowest() && self.highest.is_some_and(|highest| number <= highest)
    }

    /// Takes a number.
    pub(crate) fn claim(&mut self, number: u64) -> Claim {
        if number < self.lowest() {
            return if self.holes { Claim::TooOld } else { Claim::Duplicate };
        }
        let skipped = self.reach(number).saturating_add(self.owed);
        let (word, bit) = place(number);
        if self.claimed[word] & bit != 0 {
            return if self.durable[word] & bit != 0 { Claim::Duplicate } else { Claim::Pending };
        }
        self.claimed[word] |= bit;
        if skipped == 0 {
            return Claim::New;
        }
        self.owed = 0;
        self.announced.push((number, skipped));
        Claim::Skipped(skipped)
    }

    /// The number is durable (claimed before, or read back from the disk).
    pub(crate) fn confirm(&mut self, number: u64) {
        self.announced.retain(|(at, _)| *at != number);
        if number < self.lowest() {
            return;
        }
        // From the disk: what was skipped then was announced then.
        self.reach(number);
        let (word, bit) = place(number);
        self.claimed[word] |= bit;
        self.durable[word] |= bit;
    }

    /// The number was claimed, but could not be stored: it may come again.
    pub(crate) fn release(&mut self, number: u64) {
        let (word, bit) = place(number);
        if self.holds(number) {
            if self.durable[word] & bit != 0 {
                return;
            }
            self.claimed[word] &= !bit;
        }
        let back: u64 = self.announced.iter().filter(|(at, _)| *at == number).map(|(_, skipped)| skipped).sum();
        self.announced.retain(|(at, _)| *at != number);
        self.owed = self.owed.saturating_add(back);
    }

    /// Moves the window up to hold the number; returns how many numbers left it that were never claimed.
    fn reach(&mut self, number: u64) -> u64 {
        let old = self.lowest();
        let next = match self.highest {
            Some(highest) if number <= highest => return 0,
            Some(highest) => highest + 1,
            None => 0,
        };
        self.highest = Some(number);
        let new = self.lowest();
        let mut skipped = new.saturating_sub(next);
        for gone in old..new.min(next) {
            let (word, bit) = place(gone);
            skipped += u64::from(self.claimed[word] & bit == 0);
            self.holes |= self.durable[word] & bit == 0;
            self.claimed[word] &= !bit;
            self.durable[word] &= !bit;
        }
        self.holes |= new > next;
        skipped
    }
}

#[cfg(test)]
mod tests;
