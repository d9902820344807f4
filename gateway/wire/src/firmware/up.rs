//! What a device says.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, FORM, FirmwareError, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use crate::bytes::Cursor;

/// `major.minor.patch`, compared in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl Version {
    /// Of three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// How much there is to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Battery {
    /// So many per cent, 0 to 100.
    Percent(u8),
    /// The device cannot tell.
    Unknown,
    /// It runs on mains, or is being charged.
    Mains,
}

/// What the spare slot is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Nothing is under way.
    Idle = 0,
    /// An image is being pulled.
    Pulling = 1,
    /// A whole image lies there, verified, and waits for its start.
    Verified = 2,
    /// The image runs and has not proven itself yet.
    Trial = 3,
}

/// What runs on a device, and what is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// It can take an offer now.
    pub willing: bool,
    /// Its battery.
    pub battery: Battery,
    /// The most image bytes it takes in one chunk, 64 to 4096.
    pub chunk_bytes_max: u16,
    /// The version that runs.
    pub version: Version,
    /// The highest security counter it has ever confirmed.
    pub counter: u32,
    /// What the spare slot is about.
    pub phase: Phase,
    /// Bytes of it that are there.
    pub have: u32,
    /// Which release that is about: SHA-256 of its manifest; zero if none.
    pub release: [u8; 32],
    /// Its board: 1 to 32 bytes.
    pub hardware: String,
    /// What would be updated: 1 to 32 bytes.
    pub component: String,
}

/// Asks for bytes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pull {
    /// BLAKE3 of the whole image.
    pub digest: [u8; 32],
    /// Where to begin.
    pub offset: u32,
    /// How many bytes at most, 64 to 4096.
    pub length: u16,
}

/// How far a release has come on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// All bytes are in the spare slot.
    Downloaded = 1,
    /// They are those the manifest names; the device asks whether to start them.
    Verified = 2,
    /// The new image runs, on trial.
    Booted = 3,
    /// It has proven itself and stays.
    Confirmed = 4,
    /// It came to nothing; the reason says how.
    Failed = 5,
}

/// Why a release came to nothing on a device. A number this version does not know is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(pub u8);

impl Reason {
    /// Nothing is wrong.
    pub const NONE: Self = Self(0);
    /// The offer is no signed manifest.
    pub const MALFORMED: Self = Self(1);
    /// Too few of the keys the device knows have signed, or a signature does not hold.
    pub const SIGNATURES: Self = Self(2);
    /// For other hardware, another component, or no sensor at all.
    pub const HARDWARE: Self = Self(3);
    /// A lower security counter.
    pub const COUNTER: Self = Self(4);
    /// Not newer than what runs, it wants another version to start from, or the image on trial says another one than its manifest.
    pub const VERSION: Self = Self(5);
    /// It does not fit the slot.
    pub const SIZE: Self = Self(6);
    /// Too late to begin.
    pub const EXPIRED: Self = Self(7);
    /// The bytes are not those the manifest names.
    pub const CONTENT: Self = Self(8);
    /// The flash failed.
    pub const FLASH: Self = Self(9);
    /// The new image did not start, or stopped before it had proven itself; the old one came back.
    pub const RETURNED: Self = Self(10);
    /// The new image found itself unfit; the old one came back.
    pub const SELF_TEST: Self = Self(11);
    /// It failed on this device before.
    pub const FAILED_BEFORE: Self = Self(12);
    /// The flash was erased as often as it may be for now: for this image, or for those before it that came to nothing.
    pub const WEAR: Self = Self(13);

    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NONE => "none",
            Self::MALFORMED => "malformed",
            Self::SIGNATURES => "signatures",
            Self::HARDWARE => "hardware",
            Self::COUNTER => "counter",
            Self::VERSION => "version",
            Self::SIZE => "size",
            Self::EXPIRED => "expired",
            Self::CONTENT => "content",
            Self::FLASH => "flash",
            Self::RETURNED => "returned",
            Self::SELF_TEST => "self_test",
            Self::FAILED_BEFORE => "failed_before",
            Self::WEAR => "wear",
            _ => "other",
        }
    }

    /// Whether it speaks against the release, not against who offered it: these are counted.
    pub const fn counts(self) -> bool {
        matches!(self, Self::CONTENT | Self::FLASH | Self::RETURNED | Self::SELF_TEST)
    }
}

/// What became of a release. Said until it is noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Comes back in the answer; rises with each new report.
    pub number: u32,
    /// SHA-256 of the manifest.
    pub release: [u8; 32],
    /// How far it came.
    pub stage: Stage,
    /// Why no further.
    pub reason: Reason,
    /// In words; 0 to 64 bytes.
    pub text: String,
}

/// What a device says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up {
    /// What runs, and what is under way.
    Status(Status),
    /// Asks for bytes.
    Pull(Pull),
    /// What became of a release.
    Report(Report),
}

const WILLING: u8 = 1;
const BATTERY_UNKNOWN: u8 = 254;
const BATTERY_MAINS: u8 = 255;

impl Battery {
    const fn code(self) -> u8 {
        match self {
            Self::Percent(percent) => percent,
            Self::Unknown => BATTERY_UNKNOWN,
            Self::Mains => BATTERY_MAINS,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0..=100 => Some(Self::Percent(code)),
            BATTERY_UNKNOWN => Some(Self::Unknown),
            BATTERY_MAINS => Some(Self::Mains),
            _ => None,
        }
    }
}

impl Phase {
    /// From its number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Idle),
            1 => Some(Self::Pulling),
            2 => Some(Self::Verified),
            3 => Some(Self::Trial),
            _ => None,
        }
    }
}

impl Stage {
    /// From its number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Downloaded),
            2 => Some(Self::Verified),
            3 => Some(Self::Booted),
            4 => Some(Self::Confirmed),
            5 => Some(Self::Failed),
            _ => None,
        }
    }

    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Downloaded => "downloaded",
            Self::Verified => "verified",
            Self::Booted => "booted",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
        }
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= NAME_BYTES_MAX
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn short(out: &mut Vec<u8>, text: &str, field: &'static str, fits: bool) -> Result<(), FirmwareError> {
    let length = u8::try_from(text.len()).ok().filter(|_| fits).ok_or(FirmwareError::Field(field))?;
    out.push(length);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn chunk_bytes(bytes: u16) -> Result<u16, FirmwareError> {
    let fits = (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&usize::from(bytes));
    if fits { Ok(bytes) } else { Err(FirmwareError::Field("length")) }
}

impl Up {
    /// The plaintext.
    pub fn encode(&self) -> Result<Vec<u8>, FirmwareError> {
        let mut out = Vec::with_capacity(96);
        out.push(FORM);
        match self {
            Self::Status(status) => {
                if matches!(status.battery, Battery::Percent(101..)) {
                    return Err(FirmwareError::Field("battery"));
                }
                out.extend_from_slice(&[1, if status.willing { WILLING } else { 0 }, status.battery.code()]);
                out.extend_from_slice(&chunk_bytes(status.chunk_bytes_max)?.to_le_bytes());
                for number in [status.version.major, status.version.minor, status.version.patch, status.counter] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.push(status.phase as u8);
                out.extend_from_slice(&status.have.to_le_bytes());
                out.extend_from_slice(&status.release);
                short(&mut out, &status.hardware, "hardware", is_name(&status.hardware))?;
                short(&mut out, &status.component, "component", is_name(&status.component))?;
            }
            Self::Pull(pull) => {
                out.push(2);
                out.extend_from_slice(&pull.digest);
                out.extend_from_slice(&pull.offset.to_le_bytes());
                out.extend_from_slice(&chunk_bytes(pull.length)?.to_le_bytes());
            }
            Self::Report(report) => {
                out.push(3);
                out.extend_from_slice(&report.number.to_le_bytes());
                out.extend_from_slice(&report.release);
                out.extend_from_slice(&[report.stage as u8, report.reason.0]);
                short(&mut out, &report.text, "text", report.text.len() <= TEXT_BYTES_MAX)?;
            }
        }
        Ok(out)
    }

    /// Reads a plaintext, all of it.
    pub fn parse(plain: &[u8]) -> Result<Self, FirmwareError> {
        let mut input = Fields::of(plain);
        let up = match input.head()? {
            1 => Self::Status(input.status()?),
            2 => {
                let (digest, offset) = (input.get(|c| c.array())?, input.get(Cursor::u32)?);
                Self::Pull(Pull { digest, offset, length: chunk_bytes(input.get(Cursor::u16)?)? })
            }
            3 => Self::Report(input.report()?),
            other => return Err(FirmwareError::Kind(other)),
        };
        input.end()?;
        Ok(up)
    }
}

/// What is left of a word.
pub(super) struct Fields<'a> {
    pub rest: Cursor<'a>,
    whole: usize,
}

impl<'a> Fields<'a> {
    pub fn of(plain: &'a [u8]) -> Self {
        Self { rest: Cursor(plain), whole: plain.len() }
    }

    pub fn get<T>(&mut self, read: impl FnOnce(&mut Cursor<'a>) -> Option<T>) -> Result<T, FirmwareError> {
        read(&mut self.rest).ok_or(FirmwareError::Length(self.whole))
    }

    /// The kind, if the form is known.
    pub fn head(&mut self) -> Result<u8, FirmwareError> {
        match self.get(Cursor::u8)? {
            FORM => self.get(Cursor::u8),
            other => Err(FirmwareError::Form(other)),
        }
    }

    pub fn end(&self) -> Result<(), FirmwareError> {
        if self.rest.is_empty() { Ok(()) } else { Err(FirmwareError::Length(self.whole)) }
    }

    fn text(&mut self, field: &'static str, most: usize) -> Result<String, FirmwareError> {
        let length = usize::from(self.get(Cursor::u8)?);
        if length > most {
            return Err(FirmwareError::Field(field));
        }
        let bytes = self.get(|rest| rest.take(length))?;
        core::str::from_utf8(bytes).map(String::from).map_err(|_| FirmwareError::Field(field))
    }

    fn name(&mut self, field: &'static str) -> Result<String, FirmwareError> {
        let text = self.text(field, NAME_BYTES_MAX)?;
        if is_name(&text) { Ok(text) } else { Err(FirmwareError::Field(field)) }
    }

    fn status(&mut self) -> Result<Status, FirmwareError> {
        let flags = self.get(Cursor::u8)?;
        if flags & !WILLING != 0 {
            return Err(FirmwareError::Field("flags"));
        }
        let battery = Battery::from_code(self.get(Cursor::u8)?).ok_or(FirmwareError::Field("battery"))?;
        let chunk_bytes_max = chunk_bytes(self.get(Cursor::u16)?)?;
        let (major, minor, patch) = (self.get(Cursor::u32)?, self.get(Cursor::u32)?, self.get(Cursor::u32)?);
        let counter = self.get(Cursor::u32)?;
        let phase = Phase::from_code(self.get(Cursor::u8)?).ok_or(FirmwareError::Field("phase"))?;
        let (have, release) = (self.get(Cursor::u32)?, self.get(|c| c.array())?);
        let (hardware, component) = (self.name("hardware")?, self.name("component")?);
        let version = Version { major, minor, patch };
        let willing = flags & WILLING != 0;
        Ok(Status { willing, battery, chunk_bytes_max, version, counter, phase, have, release, hardware, component })
    }

    fn report(&mut self) -> Result<Report, FirmwareError> {
        let (number, release) = (self.get(Cursor::u32)?, self.get(|c| c.array())?);
        let stage = Stage::from_code(self.get(Cursor::u8)?).ok_or(FirmwareError::Field("stage"))?;
        let reason = Reason(self.get(Cursor::u8)?);
        if (stage == Stage::Failed) == (reason == Reason::NONE) {
            return Err(FirmwareError::Field("reason"));
        }
        Ok(Report { number, release, stage, reason, text: self.text("text", TEXT_BYTES_MAX)? })
    }
}
