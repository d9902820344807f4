//! What transactions do, and their fields. Kinds 5, 6 and 7 are those of version 1, which named a release by the digest
//! of a manifest nobody had seen; logs of that time can be read, and later versions take no more of them.

use minicbor::Decoder;
use minicbor::decode::Error;
use pitchside_model::{DeviceId, Timestamp};

use super::{Role, SubjectId, VERSION};
use crate::cbor::{Writer, fixed, key};
use crate::ingest::bounded::{at_most, bytes, name};
use crate::release::{DEVICES_MAX, HardwareId, ReleaseId, SIGNED_BYTES_MAX, Tally};

/// The last kind of version 1.
const LAST_OF_VERSION_1: u64 = 10;
/// The last kind of version 2.
const LAST_OF_VERSION_2: u64 = 16;

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Admits a member. Signed by the operator.
    Enrol {
        /// Its name.
        name: DeviceId,
        /// What it may do.
        role: Role,
        /// Its Ed25519 key.
        signing: [u8; 32],
        /// Its X25519 key on the channel; zero for a member that never connects.
        channel: [u8; 32],
    },
    /// Binds a subject's key generation to a signing key. Signed by a gateway.
    AssignKey {
        /// Whose key.
        subject: SubjectId,
        /// Which generation; each is assigned once.
        generation: u32,
        /// The subject's Ed25519 key.
        key: [u8; 32],
    },
    /// Records a grant by its digest. Signed by a gateway on the subject's behalf; the grant itself bears the subject's
    /// signature.
    Grant {
        /// Who grants.
        subject: SubjectId,
        /// BLAKE3 of the grant.
        grant: [u8; 32],
        /// When it ends.
        until: Timestamp,
    },
    /// Ends a grant. Signed by a gateway.
    Revoke {
        /// BLAKE3 of the grant.
        grant: [u8; 32],
    },
    /// Version 1 alone: publishes a firmware release by its digest. Signed by a publisher.
    OldRelease {
        /// BLAKE3 of the manifest.
        manifest: [u8; 32],
    },
    /// Version 1 alone: begins or widens a rollout. Signed by a gateway.
    OldRollout {
        /// BLAKE3 of the manifest.
        manifest: [u8; 32],
        /// 1 to 100.
        percent: u8,
    },
    /// Version 1 alone: stops a release for good. Signed by a publisher or a gateway.
    OldHalt {
        /// BLAKE3 of the manifest.
        manifest: [u8; 32],
    },
    /// Publishes a rule set by its hash. Signed by a gateway.
    Rule {
        /// Hash of the rule set, as in block headers.
        rules: [u8; 32],
    },
    /// Replaces a signing key. Signed with the key it replaces, or by the operator if that is lost. The first leaf of a
    /// log is the operator's, signed with the new key itself.
    Rotate {
        /// Whose key: a member, or the operator.
        name: DeviceId,
        /// The new Ed25519 key.
        key: [u8; 32],
    },
    /// Records that a subject's key generation was destroyed. Signed by a gateway.
    Erase {
        /// Whose key.
        subject: SubjectId,
        /// Which generation.
        generation: u32,
    },
    /// The first leaf of a log: names the operator's key, and is signed with it.
    Found {
        /// The operator's Ed25519 key.
        key: [u8; 32],
        /// The version of the state machine it begins with: 2 or later.
        version: u64,
    },
    /// Moves a log to a later version. Signed by the operator.
    Upgrade {
        /// Which.
        version: u64,
    },
    /// Says who signs releases from here on. Signed by the operator; the policy bears signatures of its own.
    ReleasePolicy {
        /// A [`SignedPolicy`](crate::release::SignedPolicy).
        signed: Vec<u8>,
    },
    /// Publishes a firmware release. Signed by a publisher; the manifest bears the signatures of the release keys.
    Release {
        /// A [`SignedManifest`](crate::release::SignedManifest).
        signed: Vec<u8>,
    },
    /// Begins, widens, narrows or pauses a rollout. Signed by the publisher of the release, or the operator.
    Rollout {
        /// Which release.
        release: ReleaseId,
        /// To which hardware.
        hardware: HardwareId,
        /// To how many of it.
        cohort: Cohort,
    },
    /// Stops a release for good. Signed by its publisher, the operator, or a gateway that saw it fail.
    Halt {
        /// Which release.
        release: ReleaseId,
        /// Why.
        why: HaltReason,
    },
    /// Counts how updates to a release ended on the devices of a gateway, itself included; takes the place of what it said
    /// before. Signed by that gateway. No device and nobody is named.
    Tally {
        /// Which release.
        release: ReleaseId,
        /// All that has ended so far: at least one, at most [`DEVICES_MAX`].
        tally: Tally,
    },
}

/// How many devices of a hardware a rollout reaches, in per cent. It widens one step at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cohort {
    /// None: paused.
    Paused = 0,
    /// The first few.
    One = 1,
    /// A tenth.
    Ten = 10,
    /// All.
    All = 100,
}

impl Cohort {
    /// Every step, ascending.
    pub const STEPS: [Self; 4] = [Self::Paused, Self::One, Self::Ten, Self::All];

    /// Of a number of per cent; none if it is no step.
    pub const fn from_percent(percent: u8) -> Option<Self> {
        match percent {
            0 => Some(Self::Paused),
            1 => Some(Self::One),
            10 => Some(Self::Ten),
            100 => Some(Self::All),
            _ => None,
        }
    }

    /// In per cent.
    pub const fn percent(self) -> u8 {
        self as u8
    }

    /// The widest step that may follow when this is the widest that was reached.
    pub const fn next(self) -> Self {
        match self {
            Self::Paused => Self::One,
            Self::One => Self::Ten,
            Self::Ten | Self::All => Self::All,
        }
    }
}

/// Why a release was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HaltReason {
    /// A person decided so.
    Aborted = 0,
    /// Too many updates failed.
    Failures = 1,
}

impl HaltReason {
    /// From the number in the log.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Aborted),
            1 => Some(Self::Failures),
            _ => None,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Failures => "failures",
        }
    }
}

impl Act {
    /// Its number, and how many fields of its own it has.
    pub(super) const fn shape(&self) -> (u64, u64) {
        match self {
            Self::Enrol { .. } => (1, 4),
            Self::AssignKey { .. } => (2, 3),
            Self::Grant { .. } => (3, 3),
            Self::Revoke { .. } => (4, 1),
            Self::OldRelease { .. } => (5, 1),
            Self::OldRollout { .. } => (6, 2),
            Self::OldHalt { .. } => (7, 1),
            Self::Rule { .. } => (8, 1),
            Self::Rotate { .. } => (9, 2),
            Self::Erase { .. } => (10, 2),
            Self::Found { version, .. } => (11, if *version > 2 { 2 } else { 1 }),
            Self::Upgrade { .. } => (12, 1),
            Self::ReleasePolicy { .. } => (13, 1),
            Self::Release { .. } => (14, 1),
            Self::Rollout { .. } => (15, 3),
            Self::Halt { .. } => (16, 2),
            Self::Tally { .. } => (17, 3),
        }
    }

    /// The version of the state machine this kind of act came with; the transaction states it.
    pub const fn version(&self) -> u64 {
        match self {
            Self::Found { version, .. } | Self::Upgrade { version } => *version,
            _ if self.shape().0 > LAST_OF_VERSION_2 => 3,
            _ if self.shape().0 > LAST_OF_VERSION_1 => 2,
            _ => 1,
        }
    }

    /// Writes the fields; the first field's key has been written.
    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Self::Enrol { name, role, signing, channel } => {
                out.text(name.as_str()).uint(5).uint(u64::from(*role as u8));
                out.uint(6).bytes(signing).uint(7).bytes(channel)
            }
            Self::AssignKey { subject, generation, key } => {
                out.bytes(&subject.0).uint(5).uint(u64::from(*generation)).uint(6).bytes(key)
            }
            Self::Grant { subject, grant, until } => out.bytes(&subject.0).uint(5).bytes(grant).uint(6).int(until.0),
            Self::Revoke { grant: digest }
            | Self::OldRelease { manifest: digest }
            | Self::OldHalt { manifest: digest }
            | Self::Rule { rules: digest } => out.bytes(digest),
            Self::OldRollout { manifest, percent } => out.bytes(manifest).uint(5).uint(u64::from(*percent)),
            Self::Rotate { name, key } => out.text(name.as_str()).uint(5).bytes(key),
            Self::Erase { subject, generation } => out.bytes(&subject.0).uint(5).uint(u64::from(*generation)),
            Self::Found { key, version: 2 } => out.bytes(key),
            Self::Found { key, version } => out.bytes(key).uint(5).uint(*version),
            Self::Upgrade { version } => out.uint(*version),
            Self::ReleasePolicy { signed } | Self::Release { signed } => out.bytes(signed),
            Self::Rollout { release, hardware, cohort } => {
                out.bytes(&release.0).uint(5).text(hardware.as_str()).uint(6).uint(cohort.percent().into())
            }
            Self::Halt { release, why } => out.bytes(&release.0).uint(5).uint(*why as u64),
            Self::Tally { release, tally: Tally { confirmed, failed } } => {
                out.bytes(&release.0).uint(5).uint(u64::from(*confirmed)).uint(6).uint(u64::from(*failed))
            }
        };
    }

    /// The word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Enrol { .. } => "enrol",
            Self::AssignKey { .. } => "assign-key",
            Self::Grant { .. } => "grant",
            Self::Revoke { .. } => "revoke",
            Self::OldRelease { .. } | Self::Release { .. } => "release",
            Self::OldRollout { .. } | Self::Rollout { .. } => "rollout",
            Self::OldHalt { .. } | Self::Halt { .. } => "halt",
            Self::Rule { .. } => "rule",
            Self::Rotate { .. } => "rotate",
            Self::Erase { .. } => "erase",
            Self::Found { .. } => "found",
            Self::Upgrade { .. } => "upgrade",
            Self::ReleasePolicy { .. } => "release-policy",
            Self::Tally { .. } => "tally",
        }
    }

    /// Reads the fields of one kind; the first field's key has been read.
    pub(super) fn read(kind: u64, input: &mut Decoder<'_>) -> Result<Self, Error> {
        Ok(match kind {
            1 => Self::Enrol {
                name: name(input)?,
                role: after(input, 5, |input| {
                    Role::from_code(input.u8()?).ok_or_else(|| Error::message("unknown role"))
                })?,
                signing: after(input, 6, fixed)?,
                channel: after(input, 7, fixed)?,
            },
            2 => Self::AssignKey {
                subject: SubjectId(fixed(input)?),
                generation: after(input, 5, Decoder::u32)?,
                key: after(input, 6, fixed)?,
            },
            3 => Self::Grant {
                subject: SubjectId(fixed(input)?),
                grant: after(input, 5, fixed)?,
                until: Timestamp(after(input, 6, Decoder::i64)?),
            },
            4 => Self::Revoke { grant: fixed(input)? },
            5 => Self::OldRelease { manifest: fixed(input)? },
            6 => {
                let (manifest, percent) = (fixed(input)?, after(input, 5, Decoder::u8)?);
                if !(1..=100).contains(&percent) {
                    return Err(Error::message("a rollout is 1 to 100 per cent"));
                }
                Self::OldRollout { manifest, percent }
            }
            7 => Self::OldHalt { manifest: fixed(input)? },
            8 => Self::Rule { rules: fixed(input)? },
            9 => Self::Rotate { name: name(input)?, key: after(input, 5, fixed)? },
            10 => Self::Erase { subject: SubjectId(fixed(input)?), generation: after(input, 5, Decoder::u32)? },
            11 => {
                let key = fixed(input)?;
                // A log founded with version 2 says so by its transaction's version alone.
                let more = input.position() < input.input().len();
                let version = if more { after(input, 5, |input| later(input, 3))? } else { 2 };
                Self::Found { key, version }
            }
            12 => Self::Upgrade { version: later(input, 2)? },
            13 => Self::ReleasePolicy { signed: bytes(input, SIGNED_BYTES_MAX)? },
            14 => Self::Release { signed: bytes(input, SIGNED_BYTES_MAX)? },
            15 => Self::Rollout {
                release: ReleaseId(fixed(input)?),
                hardware: after(input, 5, |input| input.str()?.parse().map_err(|_| Error::message("not a name")))?,
                cohort: after(input, 6, |input| {
                    Cohort::from_percent(input.u8()?).ok_or_else(|| Error::message("no step of a rollout"))
                })?,
            },
            16 => Self::Halt {
                release: ReleaseId(fixed(input)?),
                why: after(input, 5, |input| {
                    HaltReason::from_code(input.u8()?).ok_or_else(|| Error::message("unknown reason"))
                })?,
            },
            17 => {
                let release = ReleaseId(fixed(input)?);
                let (confirmed, failed) = (after(input, 5, devices)?, after(input, 6, devices)?);
                let tally = Tally { confirmed, failed };
                if !(1..=DEVICES_MAX).contains(&tally.tried()) {
                    return Err(Error::message("a tally counts one device at least, and no more than a gateway has"));
                }
                Self::Tally { release, tally }
            }
            _ => return Err(Error::message("unknown kind of transaction")),
        })
    }
}

/// A version of the state machine that this side knows, from the given one on.
fn later(input: &mut Decoder<'_>, from: u64) -> Result<u64, Error> {
    let version = at_most(input, VERSION)?;
    if version < from { Err(Error::message("no version to begin with or to go on to")) } else { Ok(version) }
}

fn devices(input: &mut Decoder<'_>) -> Result<u32, Error> {
    let count = input.u32()?;
    if count > DEVICES_MAX { Err(Error::message("more devices than a gateway has")) } else { Ok(count) }
}

/// A map key, then its value.
fn after<'b, T>(
    input: &mut Decoder<'b>,
    expected: u64,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Error>,
) -> Result<T, Error> {
    key(input, expected)?;
    read(input)
}
