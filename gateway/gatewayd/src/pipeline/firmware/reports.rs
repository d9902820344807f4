//! Reports: kept before they are noted, counted, and enough failures stop a release.
//!
//! A report is a device's word. It is taken only of the release that device was offered, counts once a device however often
//! it is said, and can do no worse than stop a release too early. That a release proved itself is taken of nobody whose status says
//! another version: such a release failed.

use ledger_block::ingest::{Act, HaltReason, Transaction};
use ledger_block::merkle::leaf_hash;
use ledger_block::release::ReleaseId;
use pitchside_model::{DeviceId, Timestamp};
use pitchside_release::rollout::{FailureLimits, Tally};
use pitchside_store::{FirmwareOutcome, SensorFirmware, Tables};
use pitchside_wire::firmware::{Down, Noted, Reason, Report, Stage};

use super::devices::{Desk, Halter};
use super::offers::{NOT_NOW_S, NOTHING_S, Verdict};

impl Desk {
    pub(super) fn report(&mut self, device: &DeviceId, report: Report) {
        let release = ReleaseId(report.release);
        let noted = |go, after_s| Down::Noted(Noted { number: report.number, go, after_s });
        let offered = self.rows.get(device).filter(|row| row.release == Some(report.release)).cloned();
        let Some(row) = offered else {
            self.parts.metrics.refused("firmware_report");
            tracing::info!(%device, %release, stage = report.stage.word(), "a report about what was not offered here");
            return self.say(device, &noted(false, NOTHING_S));
        };
        let again = self.seats.get(device).is_some_and(|seat| seat.noted == Some(report.number));
        if !again && !self.note(device, &row, &report) {
            // Not kept, so not noted: it says it again.
            return;
        }
        if let Some(seat) = self.seats.get_mut(device) {
            seat.noted = Some(report.number);
            match report.stage {
                Stage::Verified | Stage::Booted => seat.stale = true,
                Stage::Confirmed if seat.stale => seat.unproven = Some(report.clone()),
                _ => {}
            }
        }
        if report.stage != Stage::Verified {
            self.say(device, &noted(false, NOTHING_S));
            return;
        }
        // Nothing starts during training, on a low battery, or after a pause or halt, however far it has come.
        let (go, after_s, held) = match self.still(device, &release) {
            Verdict::Offer(_) => (true, 0, None),
            Verdict::Held(why) => (false, NOT_NOW_S, Some(why)),
            Verdict::Nothing(_) => (false, NOTHING_S, Some("its release was paused or halted")),
        };
        self.hold(device, held);
        if !go {
            self.send_away(device, after_s == NOT_NOW_S);
        }
        self.say(device, &noted(go, after_s));
    }

    /// A device that said it runs a new image has said what it runs. What can't be kept now is tried again at its next status.
    pub(super) fn prove(&mut self, device: &DeviceId, report: Report) {
        let row = self.rows.get(device).filter(|row| row.release == Some(report.release)).cloned();
        if row.is_some_and(|row| !self.note(device, &row, &report))
            && let Some(seat) = self.seats.get_mut(device)
        {
            seat.unproven = Some(report);
        }
    }

    /// Keeps a report and what it means; false if it could not be kept.
    fn note(&mut self, device: &DeviceId, before: &SensorFirmware, report: &Report) -> bool {
        let now = self.parts.clock.now();
        let (failed, confirmed) = (report.stage == Stage::Failed, report.stage == Stage::Confirmed);
        // Who says that it runs the new image must say so in its status, too. If that says another version, the release came to nothing:
        // it would be newer than what runs for ever.
        let runs = self.seats.get(device).map(|seat| seat.status.version.to_string());
        let unproven = confirmed && self.seats.get(device).is_none_or(|seat| seat.stale);
        let other = confirmed && !unproven && runs != before.target;
        // That it failed before says nothing new, nor does the same once more after a start: what it failed of stays, and stays counted.
        let said_again = report.reason == Reason::FAILED_BEFORE
            || (report.reason == Reason::VERSION && report.reason.0 == before.reason);
        let before_failed = failed && before.stage == Some(Stage::Failed as u8) && said_again;
        let (reason, text) = if before_failed {
            (before.reason, before.text.clone())
        } else if other {
            (Reason::VERSION.0, String::new())
        } else {
            (report.reason.0, report.text.chars().filter(|char| !char.is_control()).collect())
        };
        let row = SensorFirmware {
            stage: Some(report.stage as u8),
            reason,
            text,
            reported_at: Some(now),
            have: if failed { before.have } else { before.size },
            attempts: before.attempts.saturating_add(u32::from(failed || other)),
            held: None,
            ..before.clone()
        };
        // As the device itself says it, if it can tell: what has started, not what was refused when it was offered.
        let started = [Stage::Verified, Stage::Booted].iter().any(|stage| before.stage == Some(*stage as u8));
        let other_said = failed && started && report.reason == Reason::VERSION;
        let outcome = ((failed && !before_failed) || (confirmed && !unproven)).then(|| FirmwareOutcome {
            release: report.release,
            device: device.clone(),
            confirmed: confirmed && !other,
            reason,
            counts: confirmed || other_said || report.reason.counts(),
            at: now,
        });
        if !self.keep(row, outcome) {
            return false;
        }
        let release = ReleaseId(report.release);
        if failed || other {
            tracing::warn!(%device, %release, reason = Reason(reason).word(), runs, "an update came to nothing");
            self.count(&release);
        } else {
            tracing::info!(%device, %release, stage = report.stage.word(), "an update goes on");
        }
        true
    }

    /// Halts a release of which too many updates failed.
    pub(super) fn count(&mut self, release: &ReleaseId) {
        if self.asked.contains(release) {
            return;
        }
        let (confirmed, failed) = match self.parts.store.firmware_tally(&release.0) {
            Ok(tally) => tally,
            Err(error) => return tracing::error!(%release, %error, "failures could not be counted"),
        };
        if !(Tally { confirmed, failed }).is_too_bad(&FailureLimits::default()) {
            return;
        }
        // First here, at once; then for everybody, when the ledger is reached. What can't be kept is tried again at the next look.
        if self.parts.shelf.barred().halt(*release) {
            tracing::error!(%release, confirmed, failed, "too many updates failed: the release is halted");
        }
        match self.parts.halter.ask(&self.parts.store, release, self.parts.clock.now()) {
            Ok(()) => {
                self.asked.insert(*release);
            }
            Err(error) => {
                tracing::error!(%release, error = format!("{error:#}"), "the ledger could not be asked to halt a release");
            }
        }
    }
}

impl Halter {
    /// Asks the ledger to halt a release that fails, once it has been told what was counted here: both are kept until it has heard.
    ///
    /// # Errors
    /// The request could not be signed, or the store refused it.
    pub fn ask(&self, tables: &Tables, release: &ReleaseId, now: Timestamp) -> anyhow::Result<()> {
        let act = Act::Halt { release: *release, why: HaltReason::Failures };
        let transaction = Transaction { signer: self.name.clone(), time: now, act };
        let leaf = transaction.sign(&self.origin, &self.key)?;
        let untold = self.untold(tables, release, now)?;
        tables.add_act(leaf_hash(&leaf), release.0, leaf, now, untold)?;
        self.wake.notify_one();
        Ok(())
    }
}

/// The word for a reason, for people.
pub fn reason_word(reason: u8) -> &'static str {
    Reason(reason).word()
}

/// The word for a stage, for people.
pub fn stage_word(stage: u8) -> &'static str {
    Stage::from_code(stage).map_or("unknown", Stage::word)
}
