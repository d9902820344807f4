//! What one leaf changes, and the rules it must not break.

use ledger_block::ingest::{Act, Cohort, HaltReason, SignedTransaction, Transaction};
use ledger_block::release::{HardwareId, ReleaseId, SignedManifest, SignedPolicy};
use pitchside_model::DeviceId;

use super::{Anchors, Known, LEAVES_MAX, LearnError, News, Release, Rollout, Rule};

impl Known {
    /// Takes a leaf whose place is proven, or was proven before it was kept.
    pub(super) fn apply(&mut self, place: u64, leaf: &[u8], anchors: &Anchors) -> Result<News, LearnError> {
        if self.leaves.len() >= LEAVES_MAX {
            return Err(LearnError::Full);
        }
        let signed = SignedTransaction::parse(leaf).map_err(|error| LearnError::NotFirmware { place, error })?;
        let transaction = signed.transaction();
        let news = match &transaction.act {
            Act::ReleasePolicy { signed } => self.policy_of(signed, anchors),
            Act::Release { signed } => self.released(place, transaction, signed),
            Act::Rollout { release, hardware, cohort } => self.rolled_out(release, hardware, *cohort),
            Act::Halt { release, why } => self.halted(release, *why, &transaction.signer),
            _ => return Err(LearnError::OtherKind { place }),
        };
        let news = news.map_err(|rule| LearnError::Broken { place, rule })?;
        self.leaves.push((place, leaf.to_vec()));
        Ok(news)
    }

    fn policy_of(&mut self, bytes: &[u8], anchors: &Anchors) -> Result<News, Rule> {
        let signed = SignedPolicy::parse(bytes)?;
        let have = signed.policy().id();
        if self.policy.is_none() && have != anchors.first_policy {
            return Err(Rule::FirstPolicy { have, want: anchors.first_policy });
        }
        signed.verify(self.policy.as_ref())?;
        let number = signed.policy().number;
        self.policy = Some(signed.policy().clone());
        Ok(News::Policy(number))
    }

    fn released(&mut self, place: u64, transaction: &Transaction, bytes: &[u8]) -> Result<News, Rule> {
        let signed = SignedManifest::parse(bytes)?;
        let policy = self.policy.as_ref().ok_or(Rule::NoPolicy)?;
        signed.verify(policy)?;
        let (id, threshold) = (signed.id(), policy.threshold);
        if self.releases.contains_key(&id) {
            return Err(Rule::Replayed);
        }
        let manifest = signed.manifest();
        let line = |hardware: &HardwareId| (manifest.target, manifest.component.clone(), hardware.clone());
        for hardware in &manifest.hardware {
            let Some((version, counter)) = self.newest.get(&line(hardware)) else { continue };
            if manifest.counter < *counter {
                return Err(Rule::LowerCounter { have: manifest.counter, seen: *counter });
            }
            if manifest.version <= *version {
                return Err(Rule::NotNewer { have: manifest.version, seen: *version });
            }
        }
        let content = (manifest.sha256, manifest.size);
        if self.contents.get(&manifest.blake3).is_some_and(|held| *held != content) {
            return Err(Rule::Mixed);
        }
        for hardware in &manifest.hardware {
            self.newest.insert(line(hardware), (manifest.version, manifest.counter));
        }
        self.contents.insert(manifest.blake3, content);
        let (publisher, published_at) = (transaction.signer.clone(), transaction.time);
        let (rollouts, halted, halted_by) = (std::collections::BTreeMap::new(), None, None);
        let release = Release { signed, place, publisher, published_at, threshold, rollouts, halted, halted_by };
        self.releases.insert(id, release);
        Ok(News::Released(id))
    }

    fn standing(&mut self, id: &ReleaseId) -> Result<&mut Release, Rule> {
        let release = self.releases.get_mut(id).ok_or(Rule::NoRelease)?;
        if release.halted.is_some() { Err(Rule::Halted) } else { Ok(release) }
    }

    fn rolled_out(&mut self, id: &ReleaseId, hardware: &HardwareId, cohort: Cohort) -> Result<News, Rule> {
        let release = self.standing(id)?;
        if !release.signed.manifest().fits(hardware) {
            return Err(Rule::UnknownHardware(hardware.clone()));
        }
        let widest = release.rollouts.get(hardware).map_or(Cohort::Paused, |rollout| rollout.widest);
        if cohort > widest.next() {
            return Err(Rule::Step(cohort.percent()));
        }
        release.rollouts.insert(hardware.clone(), Rollout { now: cohort, widest: widest.max(cohort) });
        Ok(News::RolledOut { release: *id, hardware: hardware.clone(), cohort })
    }

    fn halted(&mut self, id: &ReleaseId, why: HaltReason, by: &DeviceId) -> Result<News, Rule> {
        let release = self.standing(id)?;
        (release.halted, release.halted_by) = (Some(why), Some(by.clone()));
        Ok(News::Halted { release: *id, why })
    }
}
