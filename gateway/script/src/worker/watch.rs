//! When a worker is late. It is given processor time: a machine that is busy with something else is no fault of what runs. How long the
//! answer may take by the clock on the wall is bounded, too, for a process may be stopped, or starved for good.

use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use tokio::time::Instant;

/// By the clock on the wall a call may take that many times what it may run, but only so much longer.
const BUSY_FACTOR: u32 = 20;
const BUSY_MAX: Duration = Duration::from_secs(40);
/// What has not run at all for so long was stopped: nobody waits longer for it.
const STOPPED_AFTER: Duration = Duration::from_secs(10);
/// Of a call that took that long, what ran is spared if it ran for less than this part of what it may.
const SPARED_PART: u32 = 4;
/// Into how many parts the time between two notes is cut: one that runs too long is found so much later at most.
const LOOKS: u32 = 4;
/// The least time between two looks: each wakes the parent.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a worker may still do before it is late.
#[derive(Debug)]
pub(super) struct Watch {
    /// Of the process.
    clock: Option<ClockId>,
    deadline: Duration,
    /// Time begins anew with each note.
    each_note: bool,
    /// Notes that had come when it last began.
    notes: u64,
    begun: Instant,
    ran_before: Option<Duration>,
    /// How long it had run since then, at the last look.
    ran: Duration,
    /// When it was last seen to have run.
    moved: Instant,
}

/// In which way it is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// It ran for too long.
    Ran,
    /// It hardly ran at all.
    Starved,
}

impl Watch {
    /// The process `id`, which nobody has waited for yet, may run for `deadline` from now on; or, with `each_note`, for each thing that
    /// it notes.
    pub fn begin(id: Option<u32>, deadline: Duration, each_note: bool) -> Self {
        Self::anew(id.and_then(clock_of), deadline, each_note, 0)
    }

    fn anew(clock: Option<ClockId>, deadline: Duration, each_note: bool, notes: u64) -> Self {
        let ran_before = clock.and_then(processor_time);
        let begun = Instant::now();
        Self { clock, deadline, each_note, notes, begun, ran_before, ran: Duration::ZERO, moved: begun }
    }

    /// How long to wait before the next look. One process cannot have run too long before, nor is patience with it over.
    pub fn next(&self) -> Duration {
        let still = STOPPED_AFTER.saturating_sub(self.moved.elapsed());
        let left = self.deadline.saturating_sub(self.ran).min(self.patience().saturating_sub(self.begun.elapsed()));
        let left = if self.each_note { left.min(self.deadline / LOOKS) } else { left };
        left.min(still).max(LOOK_EVERY)
    }

    /// Whether it is late, when so many notes have come.
    pub fn look(&mut self, notes: u64) -> Option<Lateness> {
        if self.each_note && notes != self.notes {
            *self = Self::anew(self.clock, self.deadline, true, notes);
            return None;
        }
        // What cannot be told counts as if it had run all the time.
        let ran = match (self.ran_before, self.clock.and_then(processor_time)) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => self.begun.elapsed(),
        };
        if ran > self.ran {
            (self.ran, self.moved) = (ran, Instant::now());
        }
        if self.ran >= self.deadline {
            return Some(Lateness::Ran);
        }
        if self.moved.elapsed() >= STOPPED_AFTER {
            return Some(Lateness::Starved);
        }
        let is_over = self.begun.elapsed() >= self.patience();
        is_over.then_some(if self.ran < self.deadline / SPARED_PART { Lateness::Starved } else { Lateness::Ran })
    }

    /// How long it may take by the clock on the wall.
    fn patience(&self) -> Duration {
        self.deadline.saturating_mul(BUSY_FACTOR).min(self.deadline.saturating_add(BUSY_MAX))
    }
}

/// The clock of a process's processor time, in all its threads. Reading it is one call of the kernel, and asks for no /proc.
fn clock_of(id: u32) -> Option<ClockId> {
    clock_getcpuclockid(Pid::from_raw(i32::try_from(id).ok()?)).ok()
}

/// Processor time of a process so far.
fn processor_time(clock: ClockId) -> Option<Duration> {
    clock.now().ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if it had begun that long ago. The process of the tests does not run for a quarter of a thousand seconds.
    fn watch(took: Duration, each_note: bool) -> Watch {
        let watch = Watch::begin(Some(std::process::id()), Duration::from_secs(1_000), each_note);
        Watch { begun: watch.begun.checked_sub(took).unwrap(), ..watch }
    }

    #[tokio::test]
    async fn what_hardly_ran_is_late_by_the_clock_on_the_wall_alone_and_then_spared() {
        let seconds = Duration::from_secs;
        let begun = watch(seconds(0), false);
        assert!(begun.next() > seconds(9), "it cannot have run too long before, nor was it stopped for long");
        let mut waits = watch(seconds(1_039), false);
        assert_eq!(waits.look(0), None);
        assert!(waits.next() <= seconds(1), "patience is over before it can have run too long");
        assert_eq!(watch(seconds(1_041), false).look(0), Some(Lateness::Starved));
    }

    #[tokio::test]
    async fn what_cannot_be_told_counts_as_time_it_ran() {
        let mut gone = watch(Duration::from_secs(1_001), false);
        gone.clock = None;
        assert_eq!(gone.look(0), Some(Lateness::Ran));
    }

    #[tokio::test]
    async fn with_each_note_the_time_begins_anew_where_that_is_asked_for() {
        let long = Duration::from_secs(1_041);
        let mut noted = watch(long, true);
        assert_eq!((noted.look(1), noted.look(1)), (None, None), "it was begun anew by the first of these");
        noted.begun = noted.begun.checked_sub(long).unwrap();
        assert_eq!(noted.look(1), Some(Lateness::Starved), "that note is old");
        assert_eq!(watch(long, false).look(1), Some(Lateness::Starved));
    }

    #[tokio::test]
    async fn what_was_stopped_is_not_waited_for_any_longer() {
        let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let id = other.id().to_string();
        assert!(std::process::Command::new("kill").args(["-STOP", &id]).status().unwrap().success());
        let mut stopped = Watch::begin(Some(other.id()), Duration::from_secs(1_000), false);
        // As if ten seconds had passed since it last ran; it may just have.
        let late = loop {
            stopped.moved = stopped.moved.checked_sub(STOPPED_AFTER).unwrap();
            if let Some(late) = stopped.look(0) {
                break late;
            }
        };
        assert_eq!(late, Lateness::Starved);
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn processor_time_is_that_of_the_process() {
        let clock = clock_of(std::process::id()).unwrap();
        let before = processor_time(clock).unwrap();
        let begun = crate::meter::ran();
        while crate::meter::ran() - begun < 50_000_000 {
            std::hint::spin_loop();
        }
        let ran = processor_time(clock).unwrap() - before;
        // Other tests of this process run beside it.
        assert!(ran >= Duration::from_millis(45), "{ran:?}");
        assert_eq!(clock_of(u32::MAX), None);
    }

    #[test]
    fn processor_time_of_another_process_is_told_until_somebody_has_waited_for_it() {
        let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let clock = clock_of(other.id()).unwrap();
        assert!(processor_time(clock).unwrap() < Duration::from_secs(300), "it sleeps");
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(processor_time(clock), None);
    }
}
