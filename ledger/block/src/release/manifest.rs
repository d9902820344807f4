//! The manifest: one small CBOR map that names the bytes by their hashes and says for whom they are. A sensor reads it
//! with a kilobyte to spare.

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;
use pitchside_model::Timestamp;
use sha2::{Digest as _, Sha256};

use super::names::{Component, HardwareId, ReleaseId, SecurityCounter, Version};
use crate::cbor::{CborError, Deterministic, Writer, array, exact, fixed, key, map};
pub use crate::content::SIZE_MAX;

/// Version of the manifest's form.
const FORM: u64 = 1;
/// The most hardware ids of one manifest.
pub const HARDWARE_MAX: usize = 16;
/// The longest manifest: 16 hardware ids of 32 bytes and all else need 730.
pub const MANIFEST_BYTES_MAX: usize = 768;

/// What kind of thing is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Target {
    /// A sensor, over its own session: the bytes are its image.
    Sensor = 0,
    /// The box itself: the bytes are a RAUC bundle.
    Box = 1,
}

impl Target {
    /// From the number in a manifest.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Sensor),
            1 => Some(Self::Box),
            _ => None,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::Box => "box",
        }
    }
}

/// One release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What kind of thing it is for.
    pub target: Target,
    /// What is updated.
    pub component: Component,
    /// The hardware it runs on: 1 to [`HARDWARE_MAX`], ascending, none twice.
    pub hardware: Vec<HardwareId>,
    /// Its version: above that of every earlier release for the same component and hardware.
    pub version: Version,
    /// Never below that of an earlier release for the same component and hardware.
    pub counter: SecurityCounter,
    /// Bytes of the content, 1 to [`SIZE_MAX`].
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// BLAKE3 of the content: the name it is fetched by.
    pub blake3: [u8; 32],
    /// If set, only what runs this version or a later one can be updated: older ones need a step in between.
    pub from: Option<Version>,
    /// After this nobody begins to install it.
    pub expires: Timestamp,
}

/// Why bytes, or fields, are not a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Longer than any manifest.
    #[error("a manifest has at most {MANIFEST_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// Not the CBOR map drawn in the README.
    #[error("manifest: {0}")]
    Cbor(#[from] CborError),
    /// No hardware, too much of it, out of order or twice.
    #[error("a manifest names 1 to {HARDWARE_MAX} hardware ids in ascending order, none twice")]
    Hardware,
    /// No bytes, or too many.
    #[error("a release has 1 to {SIZE_MAX} bytes, this one says {0}")]
    Size(u64),
    /// It asks to be installed over itself or a later version only.
    #[error("the release is {version} and wants to be installed over {from} or later: that is no update")]
    From {
        /// Its version.
        version: Version,
        /// What it wants to find.
        from: Version,
    },
}

impl Manifest {
    /// Reads a manifest and checks every bound.
    ///
    /// # Errors
    /// Another form than the one there is, or out of bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLong(bytes.len()));
        }
        let manifest: Self = exact(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks the bounds of fields that were put together here.
    ///
    /// # Errors
    /// Which bound is broken.
    pub fn check(&self) -> Result<(), ManifestError> {
        let ascending = self.hardware.iter().zip(self.hardware.iter().skip(1)).all(|(a, b)| a < b);
        if self.hardware.is_empty() || self.hardware.len() > HARDWARE_MAX || !ascending {
            return Err(ManifestError::Hardware);
        }
        if self.size == 0 || self.size > SIZE_MAX {
            return Err(ManifestError::Size(self.size));
        }
        match self.from {
            Some(from) if from >= self.version => Err(ManifestError::From { version: self.version, from }),
            _ => Ok(()),
        }
    }

    /// The release's name.
    pub fn id(&self) -> ReleaseId {
        release_id(&self.to_cbor())
    }

    /// Whether it is built for this hardware.
    pub fn fits(&self, hardware: &HardwareId) -> bool {
        self.hardware.binary_search(hardware).is_ok()
    }
}

/// The name of a release whose manifest has these bytes.
pub fn release_id(manifest: &[u8]) -> ReleaseId {
    ReleaseId(Sha256::digest(manifest).into())
}

impl Deterministic for Manifest {
    fn write(&self, out: &mut Writer) {
        out.map(10 + u64::from(self.from.is_some())).uint(0).uint(FORM).uint(1).uint(self.target as u64);
        out.uint(2).text(self.component.as_str()).uint(3).array(self.hardware.len() as u64);
        for hardware in &self.hardware {
            out.text(hardware.as_str());
        }
        self.version.write(out.uint(4));
        out.uint(5).uint(self.counter.0.into()).uint(6).uint(self.size);
        out.uint(7).bytes(&self.sha256).uint(8).bytes(&self.blake3).uint(9).int(self.expires.0);
        if let Some(from) = self.from {
            from.write(out.uint(10));
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        let fields = map(input)?;
        key(input, 0)?;
        if input.u64()? != FORM {
            return Err(Error::message("another form of manifest"));
        }
        key(input, 1)?;
        let target = Target::from_code(input.u8()?).ok_or_else(|| Error::message("unknown target"))?;
        key(input, 2)?;
        let component = Component::read(input)?;
        key(input, 3)?;
        let count = array(input)?;
        if count > HARDWARE_MAX as u64 {
            return Err(Error::message("too many hardware ids"));
        }
        let hardware = (0..count).map(|_| HardwareId::read(input)).collect::<Result<_, _>>()?;
        key(input, 4)?;
        let version = Version::read(input)?;
        key(input, 5)?;
        let counter = SecurityCounter(input.u32()?);
        key(input, 6)?;
        let size = input.u64()?;
        key(input, 7)?;
        let sha256 = fixed(input)?;
        key(input, 8)?;
        let blake3 = fixed(input)?;
        key(input, 9)?;
        let expires = Timestamp(input.i64()?);
        let from = match fields {
            10 => None,
            11 => {
                key(input, 10)?;
                if input.datatype()? != Type::Array {
                    return Err(Error::message("not a version"));
                }
                Some(Version::read(input)?)
            }
            _ => return Err(Error::message("wrong number of fields")),
        };
        Ok(Self { target, component, hardware, version, counter, size, sha256, blake3, from, expires })
    }
}
