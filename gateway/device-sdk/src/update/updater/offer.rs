//! An offer: refused with a reason, or the beginning of an image.

use pitchside_wire::Millis;
use pitchside_wire::firmware::{Phase, Reason, Stage};

use super::pull::Flow;
use super::{Due, Flash, Happened, Updater};
use crate::update::manifest::{Manifest, read, release_of};
use crate::update::record::{Record, Target};

impl<F: Flash> Updater<F> {
    pub(super) fn offer(&mut self, signed: &[u8], clock_us: Option<i64>, now: Millis) {
        // On trial there is no spare slot: the other one holds the way back. Nor is there one after the trial was given up, until
        // the reset.
        if self.is_on_trial() || self.flash.running() != self.record.home {
            return;
        }
        let manifest = match self.judge(signed, clock_us) {
            Ok(manifest) => manifest,
            Err(reason) => {
                let release = release_of(signed).unwrap_or_default();
                self.queue(release, Stage::Failed, reason, now);
                self.happened.push(Happened::Refused(reason));
                return;
            }
        };
        let under_way = self.record.phase != Phase::Idle && self.record.target.release == manifest.release;
        match self.record.phase {
            // Asked again at once: whatever kept it from starting may be over.
            Phase::Verified if under_way => {
                self.queue(manifest.release, Stage::Verified, Reason::NONE, now);
                self.report = Due::at(now);
            }
            // The power went between the last byte and the check of the whole.
            Phase::Pulling if under_way && self.record.have == self.record.target.size => self.whole(now),
            Phase::Pulling if under_way => {
                let (chunk, have) = (self.config.chunk_bytes_max, self.record.have);
                let flow = self.flow.get_or_insert_with(|| Flow::after_start(chunk, have, now));
                if flow.is_held() {
                    flow.go_on(now);
                }
            }
            _ if now < self.begin_at => {
                self.status = Due::at(self.begin_at);
                self.queue(manifest.release, Stage::Failed, Reason::WEAR, now);
                self.happened.push(Happened::Refused(Reason::WEAR));
            }
            _ => self.begin(&manifest, now),
        }
    }

    /// Everything that can be known before the first byte comes.
    fn judge(&self, signed: &[u8], clock_us: Option<i64>) -> Result<Manifest, Reason> {
        let config = &self.config;
        let manifest = read(signed, &config.keys, &config.component, &config.hardware)?;
        if !manifest.fits {
            return Err(Reason::HARDWARE);
        }
        if manifest.counter < self.counter() {
            return Err(Reason::COUNTER);
        }
        // What proved itself here last is what runs, whatever version that says it is.
        let again = manifest.release == self.record.confirmed;
        if again || manifest.version <= config.version || manifest.from.is_some_and(|from| config.version < from) {
            return Err(Reason::VERSION);
        }
        if manifest.size == 0 || manifest.size > u64::from(self.flash.slot_bytes()) {
            return Err(Reason::SIZE);
        }
        if clock_us.is_some_and(|clock_us| manifest.expires_us <= clock_us) {
            return Err(Reason::EXPIRED);
        }
        if manifest.release == self.record.failed {
            return Err(Reason::FAILED_BEFORE);
        }
        Ok(manifest)
    }

    /// The record says what is coming before the first byte of the slot changes.
    fn begin(&mut self, manifest: &Manifest, now: Millis) {
        let Ok(size) = u32::try_from(manifest.size) else { return };
        let target = Target {
            release: manifest.release,
            size,
            sha256: manifest.sha256,
            blake3: manifest.blake3,
            counter: manifest.counter,
            version: manifest.version,
        };
        let begun = self.record.begun.saturating_add(1);
        let next = Record { phase: Phase::Pulling, have: 0, again: 0, begun, target, ..self.record };
        if self.write(next).is_err() {
            self.happened.push(Happened::FlashFailed);
            return;
        }
        self.rest(now);
        self.go = false;
        // What was to be said of another release is over, but how the last one ended is not.
        let outcome = self.record.outcome.map(|outcome| outcome.release);
        self.reports.retain(|report| Some(report.release) == outcome);
        self.flow = Some(Flow::new(self.config.chunk_bytes_max, now));
        self.happened.push(Happened::Pulling { size });
    }
}
