//! Whether a release may be installed on one thing, now. A pure function of what the ledger has proven, what is installed, the
//! clock and the settings; every refusal has a name. Denied unless everything holds.
//!
//! | attack (TUF's words) | refusal |
//! | --- | --- |
//! | arbitrary software, fewer signers than asked | never known: [`Rule::Signatures`](crate::known::Rule); [`Refused::ThresholdTooLow`] |
//! | rollback, replay of an old manifest | [`Refused::LowerCounter`], [`Refused::NotNewer`]; [`Rule::Replayed`](crate::known::Rule) |
//! | indefinite freeze | [`Refused::StaleCheckpoint`], [`Refused::Expired`]; [`LearnError::Older`](crate::known::LearnError) |
//! | mix and match | [`Rule::Mixed`](crate::known::Rule), [`ContentError::Mixed`](crate::manifest::ContentError) |
//! | wrong software installed | [`Refused::OtherTarget`], [`Refused::OtherComponent`], [`Refused::UnknownHardware`] |
//! | a clock that was never set, or turned back | [`Refused::ClockUnset`], [`Refused::ClockBehind`] |

#[cfg(test)]
mod tests;

use ledger_block::ClockState;
use ledger_block::ingest::{Cohort, HaltReason};
use ledger_block::release::{Component, HardwareId, ReleaseId, SecurityCounter, Target, Version};
use pitchside_model::Timestamp;

use crate::known::{Known, Release};
use crate::rollout;

/// How far the clock may go back behind the last confirmed checkpoint, in microseconds: what time servers correct.
const BACK_MAX_US: i64 = 600_000_000;

/// What would be updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// A device's name, or the box's own: its place in the cohorts.
    pub name: String,
    /// Sensor or box.
    pub target: Target,
    /// Which of its components.
    pub component: Component,
    /// Its board.
    pub hardware: HardwareId,
    /// What runs now; none if it cannot say.
    pub installed: Option<Version>,
    /// The highest security counter it has ever accepted or installed.
    pub counter: SecurityCounter,
}

/// Limits, from the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A checkpoint the ledger has not confirmed for longer is stale: a halt may have been kept back.
    pub checkpoint_age_us_max: i64,
    /// Fewer signatures than this are not enough, whatever the release policy says.
    pub threshold_min: u8,
    /// A clock that shows less was never set: when this software was made.
    pub earliest: Timestamp,
}

impl Limits {
    /// A week without the ledger, two signatures.
    pub const fn usual(earliest: Timestamp) -> Self {
        Self { checkpoint_age_us_max: 7 * 86_400_000_000, threshold_min: 2, earliest }
    }
}

/// The gateway's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// What it shows.
    pub now: Timestamp,
    /// How good it is.
    pub state: ClockState,
}

/// Why a release is not installed. Each says what to do, where that helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The ledger has shown nothing yet.
    #[error("the ledger has not shown a checkpoint yet: no release is proven")]
    NoCheckpoint,
    /// The clock was never set.
    #[error("the clock shows {now} and was never set, so nobody can say what has expired; set the time first")]
    ClockUnset {
        /// What it shows.
        now: Timestamp,
    },
    /// The clock went back.
    #[error(
        "the clock shows {now}, the ledger was last heard at {heard}: the clock went back; set the time, or reach the ledger"
    )]
    ClockBehind {
        /// What it shows.
        now: Timestamp,
        /// What it showed before.
        heard: Timestamp,
    },
    /// Too long without the ledger.
    #[error(
        "the ledger last confirmed its checkpoint at {confirmed_at}: older than allowed, a halt may have been missed; reach the ledger"
    )]
    StaleCheckpoint {
        /// When it did.
        confirmed_at: Timestamp,
    },
    /// Not all the ledger had to say was read.
    #[error("the ledger has more to say about releases than was read; wait until it was")]
    Behind,
    /// No such release in the log.
    #[error("no release {0} stands in the ledger")]
    NotInLedger(ReleaseId),
    /// Stopped for good.
    #[error("the release is halted ({})", .0.word())]
    Halted(HaltReason),
    /// Too late to begin.
    #[error("the release expired at {0}")]
    Expired(Timestamp),
    /// Too few signatures for this gateway.
    #[error("the release policy asks for {have} signature(s), this box for {want}")]
    ThresholdTooLow {
        /// The release policy.
        have: u8,
        /// This box's settings.
        want: u8,
    },
    /// For a box, not a sensor, or the reverse.
    #[error("the release is for a {}, this is a {}", .have.word(), .want.word())]
    OtherTarget {
        /// Of the release.
        have: Target,
        /// What this is.
        want: Target,
    },
    /// Something else altogether.
    #[error("the release is of component {have}, this is {want}")]
    OtherComponent {
        /// Of the release.
        have: Component,
        /// What this is.
        want: Component,
    },
    /// Another board.
    #[error("the release is not built for hardware {0}")]
    UnknownHardware(HardwareId),
    /// It would bring a mended weakness back.
    #[error(
        "the release has security counter {have}, {accepted} was accepted before: it would bring a mended weakness back"
    )]
    LowerCounter {
        /// Of the release.
        have: SecurityCounter,
        /// Accepted or installed.
        accepted: SecurityCounter,
    },
    /// It runs already, or something newer does.
    #[error("version {installed} runs, the release is {have}")]
    NotNewer {
        /// Of the release.
        have: Version,
        /// What runs.
        installed: Version,
    },
    /// A step in between is needed.
    #[error("the release installs over {from} or later; install that first")]
    TooOld {
        /// What it wants to find.
        from: Version,
    },
    /// Nobody has begun its rollout on this hardware.
    #[error("the release is not rolled out to {0} yet")]
    NotRolledOut(HardwareId),
    /// Somebody has stopped it for now.
    #[error("the rollout is paused")]
    Paused,
    /// It is not this one's turn.
    #[error("{name} is not among the first {percent} per cent")]
    OutsideCohort {
        /// Whose turn it is not.
        name: String,
        /// How far the rollout is.
        percent: u8,
    },
}

impl Refused {
    /// Whether it is about the box (its clock, its knowledge of the ledger), not about one release.
    pub const fn is_general(&self) -> bool {
        matches!(
            self,
            Self::NoCheckpoint
                | Self::ClockUnset { .. }
                | Self::ClockBehind { .. }
                | Self::StaleCheckpoint { .. }
                | Self::Behind
        )
    }
}

/// Whether anything can be decided at all: the clock is set, and the ledger was heard of late.
///
/// # Errors
/// A refusal that is about the box.
pub fn may_decide(known: &Known, limits: &Limits, clock: Clock) -> Result<(), Refused> {
    let now = clock.now;
    if clock.state == ClockState::Unset || now < limits.earliest {
        return Err(Refused::ClockUnset { now });
    }
    let confirmed_at = known.seen().ok_or(Refused::NoCheckpoint)?.confirmed_at;
    if now.plus_micros(BACK_MAX_US) < confirmed_at {
        return Err(Refused::ClockBehind { now, heard: confirmed_at });
    }
    if now.micros_since(confirmed_at) > limits.checkpoint_age_us_max {
        return Err(Refused::StaleCheckpoint { confirmed_at });
    }
    if known.is_up_to_date() { Ok(()) } else { Err(Refused::Behind) }
}

/// Whether this release may be installed on this thing, now.
///
/// # Errors
/// The first reason why not.
pub fn accept<'k>(
    known: &'k Known,
    id: &ReleaseId,
    thing: &Thing,
    limits: &Limits,
    clock: Clock,
) -> Result<&'k Release, Refused> {
    may_decide(known, limits, clock)?;
    let release = known.release(id).ok_or(Refused::NotInLedger(*id))?;
    fits(release, thing)?;
    if release.threshold < limits.threshold_min {
        return Err(Refused::ThresholdTooLow { have: release.threshold, want: limits.threshold_min });
    }
    if let Some(why) = release.halted {
        return Err(Refused::Halted(why));
    }
    let manifest = release.signed.manifest();
    if manifest.expires <= clock.now {
        return Err(Refused::Expired(manifest.expires));
    }
    if manifest.counter < thing.counter {
        return Err(Refused::LowerCounter { have: manifest.counter, accepted: thing.counter });
    }
    match thing.installed {
        Some(installed) if manifest.version <= installed => {
            return Err(Refused::NotNewer { have: manifest.version, installed });
        }
        installed => match manifest.from {
            Some(from) if installed.is_none_or(|installed| installed < from) => return Err(Refused::TooOld { from }),
            _ => {}
        },
    }
    turn(release, id, thing)?;
    Ok(release)
}

fn fits(release: &Release, thing: &Thing) -> Result<(), Refused> {
    let manifest = release.signed.manifest();
    if manifest.target != thing.target {
        return Err(Refused::OtherTarget { have: manifest.target, want: thing.target });
    }
    if manifest.component != thing.component {
        return Err(Refused::OtherComponent { have: manifest.component.clone(), want: thing.component.clone() });
    }
    if manifest.fits(&thing.hardware) { Ok(()) } else { Err(Refused::UnknownHardware(thing.hardware.clone())) }
}

fn turn(release: &Release, id: &ReleaseId, thing: &Thing) -> Result<(), Refused> {
    match release.rollouts.get(&thing.hardware).map(|rollout| rollout.now) {
        None => Err(Refused::NotRolledOut(thing.hardware.clone())),
        Some(Cohort::Paused) => Err(Refused::Paused),
        Some(cohort) if rollout::is_in(id, &thing.name, cohort) => Ok(()),
        Some(cohort) => Err(Refused::OutsideCohort { name: thing.name.clone(), percent: cohort.percent() }),
    }
}

/// The newest release this thing may install now, but for those that are `barred`; none if there is none for it.
///
/// # Errors
/// Nothing can be decided: a refusal that is about the box.
pub fn choose<'k>(
    known: &'k Known,
    thing: &Thing,
    limits: &Limits,
    clock: Clock,
    barred: impl Fn(&ReleaseId, Version) -> bool,
) -> Result<Option<(ReleaseId, &'k Release)>, Refused> {
    may_decide(known, limits, clock)?;
    let acceptable = known
        .releases()
        .into_iter()
        .filter_map(|(id, _)| accept(known, &id, thing, limits, clock).ok().map(|release| (id, release)))
        .filter(|(id, release)| !barred(id, release.signed.manifest().version));
    Ok(acceptable.max_by_key(|(_, release)| release.signed.manifest().version))
}

/// The newest release that was made for this thing and is not halted; none if that or a later one runs, or if there is none.
pub fn newest_for<'k>(known: &'k Known, thing: &Thing) -> Option<(ReleaseId, &'k Release)> {
    let open = known.releases().into_iter().filter(|(_, release)| release.halted.is_none());
    let made_for_it = open.filter(|(_, release)| fits(release, thing).is_ok());
    let newest = made_for_it.max_by_key(|(_, release)| release.signed.manifest().version)?;
    let version = newest.1.signed.manifest().version;
    if thing.installed.is_some_and(|installed| installed >= version) { None } else { Some(newest) }
}

/// Why [`newest_for`] is not for this thing now, and which version that is; none if it is for it, or if there is none.
pub fn why_not(known: &Known, thing: &Thing, limits: &Limits, clock: Clock) -> Option<(Version, Refused)> {
    let (id, newest) = newest_for(known, thing)?;
    Some((newest.signed.manifest().version, accept(known, &id, thing, limits, clock).err()?))
}
