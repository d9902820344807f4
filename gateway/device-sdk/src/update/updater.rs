//! [`Updater`]: words about firmware in, words out; images into the spare slot. No I/O of its own but [`Flash`], no clock.
//!
//! What it hears comes from a gateway that may be mistaken or bad. So nothing is written before enough release keys have
//! signed, and nothing is started before the whole image has both hashes of the manifest.
//!
//! Nor can it wear the flash out. What was written is gone on from, however often the link goes or the gateway says stop; a
//! group that came wrong is erased twice more at the most, and what was under way at a start of the device eight times. Each
//! image begun makes the next one wait longer, up to a day; until then offers are refused, with a report that says so. And an
//! image that says another version than its manifest does not stay: its release would be newer than what runs for ever.

mod config;
mod offer;
mod pull;
mod rest;
mod trial;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use pitchside_wire::Millis;
use pitchside_wire::firmware::{Battery, Down, Phase, Reason, Report, Stage, Status, Up, Wait, WaitCode};

use super::flash::{Flash, FlashFault, Place, Slot};
use super::record::{Record, load, save};
pub use config::{ConfigFault, UpdaterConfig};
use pull::Flow;
#[cfg(test)]
pub(super) use pull::{AGAIN_MAX, RECORDS_MAX, WRONG_MAX};

/// A status or report without an answer is said again after this long; each time twice as long, up to an hour.
pub const ANSWER_WITHIN_MS: u64 = 30_000;
const ANSWER_WITHIN_MAX_MS: u64 = 3_600_000;
/// The shortest and longest pause a gateway can ask for, in seconds.
const AFTER_S: (u32, u32) = (1, 86_400);
/// Reports that wait; the oldest makes room.
const REPORTS_MAX: usize = 4;

/// What happened, for the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// An image is being pulled.
    Pulling {
        /// Bytes in all.
        size: u32,
    },
    /// A whole, verified image lies in the spare slot, and the gateway says go: call [`Updater::start`] and reset, now or
    /// when it suits.
    MayStart,
    /// An offer or an image was refused.
    Refused(Reason),
    /// The flash failed; what was under way is given up.
    FlashFailed,
}

/// Something that is said until it is answered.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Millis,
    wait_ms: u64,
}

impl Due {
    const fn at(at: Millis) -> Self {
        Self { at, wait_ms: ANSWER_WITHIN_MS }
    }

    fn said(&mut self, now: Millis) {
        self.at = now.plus(self.wait_ms);
        self.wait_ms = (self.wait_ms * 2).min(ANSWER_WITHIN_MAX_MS);
    }
}

/// A device's side of updates.
pub struct Updater<F> {
    config: UpdaterConfig,
    flash: F,
    record: Record,
    place: Place,
    linked: bool,
    battery: Battery,
    status: Due,
    reports: VecDeque<Report>,
    report: Due,
    next_report: u32,
    flow: Option<Flow>,
    /// No new image before this.
    begin_at: Millis,
    /// The gateway said go.
    go: bool,
    happened: Vec<Happened>,
}

impl<F> core::fmt::Debug for Updater<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Updater")
            .field("phase", &self.record.phase)
            .field("have", &self.record.have)
            .finish_non_exhaustive()
    }
}

fn clamp_ms(after_s: u32) -> u64 {
    u64::from(after_s.clamp(AFTER_S.0, AFTER_S.1)) * 1_000
}

impl<F: Flash> Updater<F> {
    /// Takes up what the record says. Once a start.
    ///
    /// # Errors
    /// The configuration does not fit the board, or the flash failed.
    pub fn new(config: UpdaterConfig, mut flash: F, now: Millis) -> Result<Self, ConfigFault> {
        config.check(&flash)?;
        let running = flash.running();
        let (record, place) = load(&mut flash, running)?;
        let mut updater = Self {
            config,
            flash,
            next_report: record.number.wrapping_mul(16),
            record,
            place,
            linked: false,
            battery: Battery::Unknown,
            status: Due::at(now),
            reports: VecDeque::new(),
            report: Due::at(now),
            flow: None,
            begin_at: now,
            go: false,
            happened: Vec::new(),
        };
        updater.rest_after_start(now);
        if let Some(outcome) = record.outcome {
            updater.queue(outcome.release, outcome.stage, outcome.reason, now);
        }
        match record.phase {
            Phase::Trial if updater.is_on_trial() => {
                updater.queue(record.target.release, Stage::Booted, Reason::NONE, now)
            }
            Phase::Verified => updater.queue(record.target.release, Stage::Verified, Reason::NONE, now),
            _ => {}
        }
        Ok(updater)
    }

    /// The session is there: after [`Event::Connected`](crate::Event::Connected).
    pub fn connected(&mut self, now: Millis) {
        self.linked = true;
        (self.status, self.report) = (Due::at(now), Due::at(now));
        self.go = false;
        if let Some(flow) = &mut self.flow {
            // What was under way is lost, what came is not. One that was told to stop stays so.
            if !flow.is_held() {
                flow.go_on(now);
            }
        }
    }

    /// The link is down.
    pub const fn disconnected(&mut self) {
        self.linked = false;
    }

    /// How much there is to run on; tell it now and then. Said with the next status.
    pub const fn set_battery(&mut self, battery: Battery) {
        self.battery = battery;
    }

    /// Reports the gateway has not noted yet.
    pub fn unnoted(&self) -> usize {
        self.reports.len()
    }

    /// What is recorded.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The board's flash.
    pub const fn flash(&self) -> &F {
        &self.flash
    }

    /// Gives the flash back, as a reset does.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// The words to say now; each goes through [`Device::say_firmware`](crate::Device::say_firmware).
    pub fn poll(&mut self, now: Millis) -> Vec<Vec<u8>> {
        let mut words: Vec<Up> = Vec::new();
        if !self.linked {
            return Vec::new();
        }
        if now >= self.status.at {
            self.status.said(now);
            if self.rests(now) {
                self.status.at = self.status.at.min(self.begin_at);
            }
            words.push(Up::Status(self.status_word(now)));
        }
        if let Some(report) = self.reports.front().filter(|_| now >= self.report.at) {
            words.push(Up::Report(report.clone()));
            self.report.said(now);
        }
        if let Some(flow) = &mut self.flow {
            flow.poll(now, &self.record, self.config.window, &mut words);
        }
        words.into_iter().filter_map(|word| word.encode().ok()).collect()
    }

    /// When to poll next, if nothing happens before.
    pub fn next_poll_at(&self, now: Millis) -> Option<Millis> {
        if !self.linked {
            return None;
        }
        let report = (!self.reports.is_empty()).then_some(self.report.at);
        let flow = self.flow.as_ref().and_then(|flow| flow.next_at(self.config.window, &self.record));
        [Some(self.status.at), report, flow].into_iter().flatten().min().map(|at| at.max(now))
    }

    /// Takes a word of the gateway; poll afterwards. `clock_us`: microseconds since 1970, of a device that has a clock it
    /// trusts (the gateway's own is no proof against a gateway).
    pub fn hear(&mut self, word: &[u8], clock_us: Option<i64>, now: Millis) -> Vec<Happened> {
        match Down::parse(word) {
            Ok(Down::Offer(signed)) => self.offer(&signed, clock_us, now),
            Ok(Down::Chunk(chunk)) => self.chunk(&chunk, now),
            Ok(Down::Wait(wait)) => self.wait(wait, now),
            Ok(Down::Noted(noted)) => self.noted(noted.number, noted.go, noted.after_s, now),
            // From a later gateway, perhaps; nothing in it is for us.
            Err(_) => {}
        }
        core::mem::take(&mut self.happened)
    }

    fn status_word(&self, now: Millis) -> Status {
        let record = &self.record;
        let idle = record.phase == Phase::Idle;
        Status {
            // Nothing is taken while the other slot holds the way back: on trial, and after one that was given up, until the reset.
            willing: self.flash.running() == record.home && !self.rests(now),
            battery: self.battery,
            chunk_bytes_max: self.config.chunk_bytes_max,
            version: self.config.version,
            counter: self.counter(),
            phase: record.phase,
            have: if idle { 0 } else { record.have },
            release: if idle { [0; 32] } else { record.target.release },
            hardware: self.config.hardware.clone(),
            component: self.config.component.clone(),
        }
    }

    /// The highest security counter this device has confirmed, or was built with.
    fn counter(&self) -> u32 {
        self.record.counter.max(self.config.counter)
    }

    const fn spare(&self) -> Slot {
        self.record.home.other()
    }

    fn write(&mut self, next: Record) -> Result<(), FlashFault> {
        let mut record = Record { number: self.record.number, ..next };
        save(&mut self.flash, &mut record, &mut self.place)?;
        self.record = record;
        Ok(())
    }

    fn queue(&mut self, release: [u8; 32], stage: Stage, reason: Reason, now: Millis) {
        let is_there = |report: &Report| (report.release, report.stage, report.reason) == (release, stage, reason);
        if self.reports.iter().any(is_there) {
            return;
        }
        if self.reports.len() >= REPORTS_MAX {
            self.reports.pop_front();
        }
        let number = self.next_report;
        self.next_report = number.wrapping_add(1);
        if self.reports.is_empty() {
            self.report = Due::at(now);
        }
        self.reports.push_back(Report { number, release, stage, reason, text: String::new() });
    }

    fn noted(&mut self, number: u32, go: bool, after_s: u32, now: Millis) {
        let Some(report) = self.reports.front().filter(|report| report.number == number) else { return };
        let (release, stage) = (report.release, report.stage);
        if stage == Stage::Verified && self.record.phase == Phase::Verified && self.record.target.release == release {
            self.go = go;
            if !go {
                // The same question again, later.
                self.report = Due::at(now.plus(clamp_ms(after_s)));
                return;
            }
            self.happened.push(Happened::MayStart);
        }
        self.reports.pop_front();
        self.report = Due::at(now);
        // What is durable at the gateway need not be kept here.
        if self.record.outcome.is_some_and(|outcome| (outcome.release, outcome.stage) == (release, stage)) {
            let forgotten = self.write(Record { outcome: None, ..self.record });
            if forgotten.is_err() {
                self.happened.push(Happened::FlashFailed);
            }
        }
    }

    fn wait(&mut self, wait: Wait, now: Millis) {
        let after_ms = clamp_ms(wait.after_s);
        let pulls = self.flow.as_ref().is_some_and(|flow| !flow.is_held());
        let about_ours = pulls && wait.digest == self.record.target.blake3;
        match wait.code {
            WaitCode::Slower if about_ours => {
                if let Some(flow) = &mut self.flow {
                    flow.slower(now.plus(after_ms));
                }
            }
            WaitCode::Stopped | WaitCode::Unknown | WaitCode::BeyondEnd | WaitCode::NotNow if about_ours => {
                // What is there is kept: the same release may be offered again.
                if let Some(flow) = &mut self.flow {
                    flow.hold();
                }
                self.status = Due::at(now.plus(after_ms));
            }
            // Before the end of its rest a device has nothing to ask.
            WaitCode::Nothing | WaitCode::NotNow if self.rests(now) => self.status = Due::at(self.begin_at),
            WaitCode::Nothing | WaitCode::NotNow => self.status = Due::at(now.plus(after_ms)),
            _ => {}
        }
    }

    /// What is under way has failed; the next attempt comes with the next offer.
    fn fail(&mut self, reason: Reason, now: Millis) {
        let mut next = self.record;
        next.end(Stage::Failed, reason);
        self.flow = None;
        if self.write(next).is_err() {
            self.happened.push(Happened::FlashFailed);
        }
        self.rest(now);
        self.queue(self.record.target.release, Stage::Failed, reason, now);
        self.happened.push(if reason == Reason::FLASH { Happened::FlashFailed } else { Happened::Refused(reason) });
    }
}
