//! The trial of a new image: it stays, or the old one comes back.

use pitchside_wire::Millis;
use pitchside_wire::firmware::{Phase, Reason, Stage};

use super::{Due, Flash, FlashFault, Updater};
use crate::update::boot::STARTS_MAX;
use crate::update::record::Record;

impl<F: Flash> Updater<F> {
    /// Whether the image that runs has yet to prove itself: run the self test, then call [`Updater::confirm`] or
    /// [`Updater::give_up`].
    pub fn is_on_trial(&self) -> bool {
        self.record.phase == Phase::Trial && self.flash.running() != self.record.home
    }

    /// The image that runs has proven itself: it stays, and its security counter is the least from now on. False if it cannot
    /// stay, since it says another version than its manifest: reset after that, as after [`Updater::give_up`].
    ///
    /// # Errors
    /// The flash failed; the image is still on trial.
    pub fn confirm(&mut self, now: Millis) -> Result<bool, FlashFault> {
        if !self.is_on_trial() {
            return Ok(self.flash.running() == self.record.home);
        }
        let mut next = self.record;
        // What runs would be older than its release, which would be offered, written and started again without end.
        let stays = self.config.version == next.target.version;
        let (stage, reason) = if stays {
            next.home = self.flash.running();
            next.counter = next.counter.max(next.target.counter);
            (next.begun, next.confirmed) = (0, next.target.release);
            (Stage::Confirmed, Reason::NONE)
        } else {
            next.failed = next.target.release;
            (Stage::Failed, Reason::VERSION)
        };
        next.end(stage, reason);
        self.write(next)?;
        self.rest(now);
        self.reports.clear();
        self.queue(next.target.release, stage, reason, now);
        self.status = Due::at(now);
        Ok(stays)
    }

    /// The image that runs is unfit: reset after this, and the old one is back. The release is not taken again.
    ///
    /// # Errors
    /// The flash failed; reset all the same, the trial ends by itself.
    pub fn give_up(&mut self) -> Result<(), FlashFault> {
        if !self.is_on_trial() {
            return Ok(());
        }
        let mut next = self.record;
        next.failed = next.target.release;
        next.end(Stage::Failed, Reason::SELF_TEST);
        self.write(next)
    }

    /// Starts the verified image on trial: reset after this. False if there is none, or the gateway has not said go.
    ///
    /// # Errors
    /// The flash failed.
    pub fn start(&mut self) -> Result<bool, FlashFault> {
        if self.record.phase != Phase::Verified || !self.go {
            return Ok(false);
        }
        self.write(Record { phase: Phase::Trial, starts_left: STARTS_MAX, ..self.record })?;
        Ok(true)
    }
}
