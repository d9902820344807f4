//! What survives a power cut: one record, written to two places in turn. The valid one with the higher number counts; one
//! that was cut while being written is not valid.
//!
//! ```text
//! at  size                                     at  size
//!  0    4  "PSU1"                               44  32  release: SHA-256 of its manifest
//!  4    4  number of the record                 76  32  its SHA-256
//!  8    1  home slot, 0 or 1                   108  32  its BLAKE3
//!  9    1  phase                               140   4  outcome: stage, reason, two zeros
//! 10    1  starts left on trial                144  32  outcome: of which release
//! 11    1  images begun since the last success 176  32  the last release that failed here for good
//! 12    4  bytes there                         208  32  the release that was confirmed last
//! 16    4  bytes in all                        240   8  zeros
//! 20    4  highest security counter confirmed  248   8  first bytes of SHA-256 of all before
//! 24    4  security counter of the release
//! 28   12  its version
//! 40    1  times begun again after a start     little-endian
//! 41    3  zeros
//! ```

use pitchside_wire::firmware::{Phase, Reason, Stage, Version};
use sha2::{Digest as _, Sha256};

use super::flash::{Flash, FlashFault, Place, Slot};

/// Bytes of a record.
pub const RECORD_BYTES: usize = 256;
/// Bytes before the check.
const BODY_BYTES: usize = 248;
const MAGIC: [u8; 4] = *b"PSU1";

/// A release that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target {
    /// SHA-256 of its manifest.
    pub release: [u8; 32],
    /// Bytes of the image.
    pub size: u32,
    /// SHA-256 of the image.
    pub sha256: [u8; 32],
    /// BLAKE3 of the image.
    pub blake3: [u8; 32],
    /// Its security counter.
    pub counter: u32,
    /// Its version.
    pub version: Version,
}

/// How the last update ended, until the gateway has noted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Confirmed or failed.
    pub stage: Stage,
    /// Why it failed.
    pub reason: Reason,
    /// Which release.
    pub release: [u8; 32],
}

/// The record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Rises by one with each writing.
    pub number: u32,
    /// The slot whose image has proven itself.
    pub home: Slot,
    /// What the other slot is about.
    pub phase: Phase,
    /// How often the image on trial may still be started.
    pub starts_left: u8,
    /// Images begun since the last one that was confirmed.
    pub begun: u8,
    /// Bytes of the image that are there and will not be pulled again.
    pub have: u32,
    /// How often what comes after those was begun again after a start: pages that may hold something are erased once more.
    pub again: u8,
    /// What is under way, unless the phase is idle.
    pub target: Target,
    /// The highest security counter ever confirmed.
    pub counter: u32,
    /// How the last update ended.
    pub outcome: Option<Outcome>,
    /// The last release that started here and failed; zero if none. It is not taken again.
    pub failed: [u8; 32],
    /// The last release that proved itself here; zero if none. It is not taken again either.
    pub confirmed: [u8; 32],
}

impl Record {
    /// Of a device on which nothing was ever updated.
    pub const fn first(home: Slot) -> Self {
        Self {
            number: 0,
            home,
            phase: Phase::Idle,
            starts_left: 0,
            begun: 0,
            have: 0,
            again: 0,
            target: Target {
                release: [0; 32],
                size: 0,
                sha256: [0; 32],
                blake3: [0; 32],
                counter: 0,
                version: Version::new(0, 0, 0),
            },
            counter: 0,
            outcome: None,
            failed: [0; 32],
            confirmed: [0; 32],
        }
    }

    /// Nothing is under way any more; this is how it ended.
    pub const fn end(&mut self, stage: Stage, reason: Reason) {
        self.outcome = Some(Outcome { stage, reason, release: self.target.release });
        (self.phase, self.have, self.again, self.starts_left) = (Phase::Idle, 0, 0, 0);
    }

    /// The bytes.
    pub fn to_bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(4, &self.number.to_le_bytes());
        put(8, &[u8::from(self.home == Slot::B), self.phase as u8, self.starts_left, self.begun]);
        let version = self.target.version;
        let numbers = [
            self.have,
            self.target.size,
            self.counter,
            self.target.counter,
            version.major,
            version.minor,
            version.patch,
        ];
        numbers.iter().enumerate().for_each(|(n, number)| put(12 + 4 * n, &number.to_le_bytes()));
        put(40, &[self.again]);
        put(44, &self.target.release);
        put(76, &self.target.sha256);
        put(108, &self.target.blake3);
        if let Some(outcome) = &self.outcome {
            put(140, &[outcome.stage as u8, outcome.reason.0]);
            put(144, &outcome.release);
        }
        put(176, &self.failed);
        put(208, &self.confirmed);
        let check = Sha256::digest(&bytes[..BODY_BYTES]);
        bytes[BODY_BYTES..].copy_from_slice(&check[..RECORD_BYTES - BODY_BYTES]);
        bytes
    }

    /// Reads one; none if it is not whole.
    pub fn parse(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let check = Sha256::digest(&bytes[..BODY_BYTES]);
        if bytes[..4] != MAGIC || bytes[BODY_BYTES..] != check[..RECORD_BYTES - BODY_BYTES] {
            return None;
        }
        let number = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let hash = |at: usize| -> Option<[u8; 32]> { bytes.get(at..at + 32)?.try_into().ok() };
        let outcome = match Stage::from_code(bytes[140]) {
            Some(stage) => Some(Outcome { stage, reason: Reason(bytes[141]), release: hash(144)? }),
            None => None,
        };
        Some(Self {
            number: number(4)?,
            home: if bytes[8] == 0 { Slot::A } else { Slot::B },
            phase: Phase::from_code(bytes[9])?,
            starts_left: bytes[10],
            begun: bytes[11],
            have: number(12)?,
            again: bytes[40],
            target: Target {
                release: hash(44)?,
                size: number(16)?,
                sha256: hash(76)?,
                blake3: hash(108)?,
                counter: number(24)?,
                version: Version::new(number(28)?, number(32)?, number(36)?),
            },
            counter: number(20)?,
            outcome,
            failed: hash(176)?,
            confirmed: hash(208)?,
        })
    }
}

/// The record that counts, and the place the next one goes to. Of a device without any, `home` has proven itself.
///
/// # Errors
/// The flash failed.
pub fn load<F: Flash>(flash: &mut F, home: Slot) -> Result<(Record, Place), FlashFault> {
    let first = Record::parse(&flash.read_record(Place::First)?);
    let second = Record::parse(&flash.read_record(Place::Second)?);
    Ok(match (first, second) {
        // Numbers wrap after four billion writings; no flash lasts so long, and the comparison would not mind.
        (Some(a), Some(b)) if b.number.wrapping_sub(a.number) < 1 << 31 => (b, Place::First),
        (Some(a), _) => (a, Place::Second),
        (None, Some(b)) => (b, Place::First),
        (None, None) => (Record::first(home), Place::First),
    })
}

/// Writes the record to the place of the older one: its number rises, the places change roles.
///
/// # Errors
/// The flash failed; the older record counts.
pub fn save<F: Flash>(flash: &mut F, record: &mut Record, place: &mut Place) -> Result<(), FlashFault> {
    let next = Record { number: record.number.wrapping_add(1), ..*record };
    flash.write_record(*place, &next.to_bytes())?;
    *record = next;
    *place = match *place {
        Place::First => Place::Second,
        Place::Second => Place::First,
    };
    Ok(())
}
