//! The small words of releases.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use minicbor::Decoder;
use minicbor::decode::Error;
use pitchside_model::DeviceId;
use pitchside_model::id::NameError;

use crate::cbor::{Writer, array_of};

/// The longest component or hardware id, in bytes: they stand in manifests that sensors keep in RAM.
pub const SHORT_NAME_BYTES_MAX: usize = 32;

macro_rules! short_name {
    ($(#[$meta:meta])* $type:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub(super) fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
                input.str()?.parse().map_err(|_| Error::message("not a name"))
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            /// 1 to 32 bytes of ASCII letters, digits, `-`, `_`, `.`, beginning with a letter or digit.
            fn from_str(text: &str) -> Result<Self, NameError> {
                if text.len() > SHORT_NAME_BYTES_MAX {
                    return Err(NameError::TooLong(text.len()));
                }
                DeviceId::parse(text).map(|_| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

short_name!(
    /// What is updated as one: `strap-firmware`, `box`.
    Component
);
short_name!(
    /// A board revision that firmware is built for: `strap-r2`, `box-amd64`.
    HardwareId
);

/// A release's name: SHA-256 of the manifest's bytes, without the signatures. Written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseId(pub [u8; 32]);

/// Not a release's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a release is named by 64 lower-case hexadecimal digits; `pitchside firmware status` lists them")]
pub struct NotAReleaseId;

impl FromStr for ReleaseId {
    type Err = NotAReleaseId;

    fn from_str(text: &str) -> Result<Self, NotAReleaseId> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| NotAReleaseId)?;
        bytes.try_into().map(Self).map_err(|_| NotAReleaseId)
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseId({self})")
    }
}

/// Rises when a release mends a weakness: what runs it never goes back below (TUF: rollback).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SecurityCounter(pub u32);

impl fmt::Display for SecurityCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `major.minor.patch`; compared in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

/// Not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version is three numbers without leading zeros, such as 1.4.0")]
pub struct VersionError;

impl Version {
    /// Of three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    pub(super) fn write(self, out: &mut Writer) {
        out.array(3).uint(self.major.into()).uint(self.minor.into()).uint(self.patch.into());
    }

    pub(super) fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        array_of(input, 3)?;
        Ok(Self { major: input.u32()?, minor: input.u32()?, patch: input.u32()? })
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok().filter(|n| n.to_string() == part));
        match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next()) {
            (Some(major), Some(minor), Some(patch), None) => Ok(Self { major, minor, patch }),
            _ => Err(VersionError),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
