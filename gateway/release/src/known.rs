//! What the ledger has said about firmware, and how much of it is proven. Everything is checked here again that the ledger's
//! state machine checks, as far as the leaves themselves allow: the ledger is believed about order and about who asked for
//! a rollout, never about which bytes are a release.
//!
//! Pure: replies in, knowledge out; [`Shelf`] keeps it over a restart.

mod apply;
mod kept;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use ledger_block::checkpoint::Checkpoint;
use ledger_block::ingest::{Cohort, HaltReason, ProvenLeaf, Releases, Request, TransactionError};
use ledger_block::merkle::{leaf_hash, verify_consistency, verify_inclusion};
use ledger_block::policy::{Policy, TrustError};
use ledger_block::release::{
    Component, EndorseError, HardwareId, PolicyId, ReleaseId, ReleasePolicy, SecurityCounter, SignedManifest,
    SignedPolicyError, Target, UnsoundRelease, Version,
};
use pitchside_model::{DeviceId, Timestamp};

pub use kept::{KeptError, Shelf, ShelfError};

/// Leaves about firmware kept at most: a release a week, rolled out to two kinds of hardware, fills it in ten years. Beyond
/// it nothing more is learnt, loudly.
pub const LEAVES_MAX: usize = 4_096;

/// What a gateway is told to believe, in its settings.
#[derive(Debug, Clone)]
pub struct Anchors {
    /// Which logs, and which witnesses.
    pub ledger: Policy,
    /// The first release policy. The ledger's operator chooses what stands in the log, not what a gateway believes.
    pub first_policy: PolicyId,
}

/// A checkpoint that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The signed note.
    pub note: Vec<u8>,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// When the ledger last said, over its channel, that this is its newest: by the gateway's clock.
    pub confirmed_at: Timestamp,
}

/// A release that stands in the log, signed by enough keys of the policy in force at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// What it is.
    pub signed: SignedManifest,
    /// Its place in the log.
    pub place: u64,
    /// The member of the ledger that published it.
    pub publisher: DeviceId,
    /// When, by the publisher's clock.
    pub published_at: Timestamp,
    /// How many signatures the policy asked for then.
    pub threshold: u8,
    /// How far it is rolled out, by hardware.
    pub rollouts: BTreeMap<HardwareId, Rollout>,
    /// Whether it was stopped, and why.
    pub halted: Option<HaltReason>,
    /// The member of the ledger that stopped it.
    pub halted_by: Option<DeviceId>,
}

/// How far a release is rolled out on one hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// Now.
    pub now: Cohort,
    /// At its widest.
    pub widest: Cohort,
}

/// Something that was learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Another release policy is in force.
    Policy(u32),
    /// A release stands.
    Released(ReleaseId),
    /// A rollout has another width.
    RolledOut {
        /// Of which release.
        release: ReleaseId,
        /// On which hardware.
        hardware: HardwareId,
        /// How wide.
        cohort: Cohort,
    },
    /// A release was stopped.
    Halted {
        /// Which.
        release: ReleaseId,
        /// Why.
        why: HaltReason,
    },
}

/// Why nothing of a reply was taken. All of these mean that the ledger, or whoever poses as it, says what it must not; but
/// [`LearnError::Full`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    /// The checkpoint is not one the policy accepts.
    #[error("the ledger's checkpoint is not believed: {0}")]
    Untrusted(#[from] TrustError),
    /// A checkpoint older than one seen before (TUF: rollback and freeze of the repository).
    #[error("the checkpoint covers {shown} leaves, {seen} were seen before: somebody shows an old log")]
    Older {
        /// Leaves shown.
        shown: u64,
        /// Leaves seen.
        seen: u64,
    },
    /// A checkpoint that does not continue the one seen before.
    #[error("the checkpoint of {shown} leaves does not continue the one of {seen} seen before: two logs of one name")]
    Forked {
        /// Leaves shown.
        shown: u64,
        /// Leaves seen.
        seen: u64,
    },
    /// A leaf that is not where the reply says.
    #[error("leaf {place} is not in the checkpoint's tree: its proof does not hold")]
    NotIncluded {
        /// Where it is said to be.
        place: u64,
    },
    /// Leaves that were not asked for, or a reply that leads nowhere.
    #[error("the reply does not go on from leaf {since}")]
    OutOfPlace {
        /// Where the question began.
        since: u64,
    },
    /// A leaf that is no transaction about firmware.
    #[error("leaf {place} is no transaction about firmware: {error}")]
    NotFirmware {
        /// Where it stands.
        place: u64,
        /// What is wrong with it.
        error: TransactionError,
    },
    /// Such a leaf, of a kind nobody asked for.
    #[error("leaf {place} is a transaction of another kind")]
    OtherKind {
        /// Where it stands.
        place: u64,
    },
    /// A leaf the state machine must never have let in.
    #[error("leaf {place} breaks the log's own rules: {rule}")]
    Broken {
        /// Where it stands.
        place: u64,
        /// Which rule.
        rule: Rule,
    },
    /// More leaves than are kept.
    #[error("more than {LEAVES_MAX} leaves about firmware: nothing more is learnt")]
    Full,
}

/// A rule of the log that a leaf breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// The first release policy is not the one the settings name.
    #[error("the first release policy is {have}, the settings name {want}: these are somebody else's keys")]
    FirstPolicy {
        /// In the log.
        have: PolicyId,
        /// In the settings.
        want: PolicyId,
    },
    /// A release policy that must not follow.
    #[error(transparent)]
    Policy(#[from] SignedPolicyError),
    /// A release before any policy.
    #[error("a release without a release policy")]
    NoPolicy,
    /// A manifest that is none.
    #[error(transparent)]
    Unsound(#[from] UnsoundRelease),
    /// A release too few have signed.
    #[error("the release: {0}")]
    Signatures(#[from] EndorseError),
    /// The same manifest a second time (TUF: replay).
    #[error("the release stands already")]
    Replayed,
    /// A lower security counter than the hardware has seen (TUF: rollback).
    #[error("its security counter {have} is below {seen}")]
    LowerCounter {
        /// Of the release.
        have: SecurityCounter,
        /// Of an earlier one.
        seen: SecurityCounter,
    },
    /// A version that is not above the last.
    #[error("its version {have} is not above {seen}")]
    NotNewer {
        /// Of the release.
        have: Version,
        /// Of an earlier one.
        seen: Version,
    },
    /// Hash of one release, other hash or size of another (TUF: mix and match).
    #[error("its BLAKE3 stands with another size or SHA-256: a mix of two releases")]
    Mixed,
    /// A rollout or halt of nothing.
    #[error("no such release")]
    NoRelease,
    /// A rollout or halt after a halt.
    #[error("the release is halted")]
    Halted,
    /// A rollout to hardware the release is not for.
    #[error("the release is not built for {0}")]
    UnknownHardware(HardwareId),
    /// A rollout over a step.
    #[error("a rollout to {0} per cent over a step")]
    Step(u8),
}

/// Target, component, hardware: what has versions that only rise.
type Line = (Target, Component, HardwareId);

/// What is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    seen: Option<Seen>,
    next: u64,
    policy: Option<ReleasePolicy>,
    releases: BTreeMap<ReleaseId, Release>,
    newest: BTreeMap<Line, (Version, SecurityCounter)>,
    contents: BTreeMap<[u8; 32], ([u8; 32], u64)>,
    /// As they stand in the log; everything above follows from them.
    leaves: Vec<(u64, Vec<u8>)>,
}

impl Known {
    /// What to ask the ledger next.
    pub fn question(&self) -> Request {
        let (since, seen) = self.wanted();
        Request::Releases { since, seen }
    }

    /// The place to ask on from, and the size of the last checkpoint verified; 0 for none.
    pub fn wanted(&self) -> (u64, u64) {
        (self.next, self.seen.as_ref().map_or(0, |seen| seen.checkpoint.size))
    }

    /// Whether the last reply told all there was.
    pub fn is_up_to_date(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| self.next >= seen.checkpoint.size)
    }

    /// The last checkpoint verified.
    pub const fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    /// The release policy in force.
    pub const fn policy(&self) -> Option<&ReleasePolicy> {
        self.policy.as_ref()
    }

    /// A release.
    pub fn release(&self, id: &ReleaseId) -> Option<&Release> {
        self.releases.get(id)
    }

    /// Every release, in the order of the log.
    pub fn releases(&self) -> Vec<(ReleaseId, &Release)> {
        let mut releases: Vec<_> = self.releases.iter().map(|(id, release)| (*id, release)).collect();
        releases.sort_by_key(|(_, release)| release.place);
        releases
    }

    /// Size and SHA-256 of the content of this BLAKE3, if a release in the log names it: nothing else may be served.
    pub fn content(&self, blake3: &[u8; 32]) -> Option<(u64, [u8; 32])> {
        self.contents.get(blake3).map(|(sha256, size)| (*size, *sha256))
    }

    /// Takes a reply, or nothing of it.
    ///
    /// # Errors
    /// What is wrong with it; see there.
    pub fn learn(&mut self, told: &Releases, anchors: &Anchors, now: Timestamp) -> Result<Vec<News>, LearnError> {
        let checkpoint = self.advance(told, anchors)?;
        let ascending = told.leaves.windows(2).all(|pair| matches!(pair, [a, b] if a.place < b.place));
        let last = told.leaves.last().map(|leaf| leaf.place);
        let leads_on = told.next == checkpoint.size || last.is_some();
        let leads_on = leads_on && ascending && last.is_none_or(|last| told.next > last);
        if !leads_on || told.next > checkpoint.size || told.leaves.first().is_some_and(|leaf| leaf.place < self.next) {
            return Err(LearnError::OutOfPlace { since: self.next });
        }
        let mut after = self.clone();
        let mut news = Vec::new();
        for ProvenLeaf { place, leaf, path } in &told.leaves {
            let missing = LearnError::NotIncluded { place: *place };
            verify_inclusion(&leaf_hash(leaf), *place, checkpoint.size, path, &checkpoint.root).map_err(|_| missing)?;
            news.push(after.apply(*place, leaf, anchors)?);
        }
        after.seen = Some(Seen { note: told.checkpoint.note.clone(), checkpoint, confirmed_at: now });
        after.next = told.next;
        *self = after;
        Ok(news)
    }

    /// The checkpoint of a reply: believed, not older than the one seen, and its continuation.
    fn advance(&self, told: &Releases, anchors: &Anchors) -> Result<Checkpoint, LearnError> {
        let shown = anchors.ledger.verify_checkpoint(&told.checkpoint.note)?.checkpoint;
        let Some(seen) = self.seen.as_ref().map(|seen| &seen.checkpoint) else { return Ok(shown) };
        let forked = LearnError::Forked { shown: shown.size, seen: seen.size };
        if shown.origin != seen.origin {
            return Err(forked);
        }
        if shown.size < seen.size {
            return Err(LearnError::Older { shown: shown.size, seen: seen.size });
        }
        let proof: &[_] = if shown.size > seen.size { &told.checkpoint.proof } else { &[] };
        verify_consistency(seen.size, shown.size, &seen.root, &shown.root, proof).map_err(|_| forked)?;
        Ok(shown)
    }
}
