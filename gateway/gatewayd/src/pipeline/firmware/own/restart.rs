//! Whether the box may restart into what was installed. Between the request and that moment lie the copying of a bundle and two
//! slots written: meanwhile somebody may have begun to train, and the release may have been halted.
//!
//! The installer asks by taking `restart` away, and reads the first line of the one laid out anew: `go`, `waits: ` or `withdrawn: `
//! and why. Without an answer there is no gateway, hence no reading, and it restarts after a while.

use ledger_block::ingest::Cohort;
use ledger_block::release::{SecurityCounter, Version};

use super::{Own, Tried, id_of};
use crate::files::write_public;

/// The answer's name in the folder.
pub(super) const ANSWER: &str = "restart";

impl Own {
    /// Answers the installer, if it is at work and waits for an answer.
    pub(super) fn answer(&self, tried: &Tried) -> anyhow::Result<()> {
        let answer = self.folder.join(ANSWER);
        if tried.settled || answer.exists() || !self.folder.join("taken").exists() {
            return Ok(());
        }
        write_public(&answer, format!("{}\n", self.may_restart(tried)?).as_bytes())
    }

    fn may_restart(&self, tried: &Tried) -> anyhow::Result<String> {
        let (id, known) = (id_of(tried)?, self.parts.shelf.known());
        let release = known.release(&id);
        if let Some(why) = release.and_then(|release| release.halted) {
            return Ok(format!("withdrawn: its release was halted ({}) before the box restarted", why.word()));
        }
        let mut thing = self.thing.clone();
        thing.counter = thing.counter.max(SecurityCounter(tried.counter));
        // What can't be decided now was decided when it was asked for.
        let newest = self.parts.shelf.choose(&thing).ok().flatten().filter(|offer| offer.whole && offer.id != id);
        let installed = tried.version.parse::<Version>().ok();
        if let Some(newer) = newest.filter(|offer| Some(offer.manifest().version) > installed) {
            return Ok(format!("withdrawn: {} takes its place", newer.manifest().version));
        }
        if self.waits(&tried.release)? {
            return Ok("waits: somebody trains, or did a moment ago".to_owned());
        }
        let rollout = release.and_then(|release| release.rollouts.get(&self.thing.hardware));
        if rollout.is_some_and(|rollout| rollout.now == Cohort::Paused) {
            return Ok("waits: its rollout is paused".to_owned());
        }
        Ok("go".to_owned())
    }
}
