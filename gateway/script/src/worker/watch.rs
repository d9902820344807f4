//! When a worker is late. It is given processor time: a machine that is busy with something else is no fault of what runs. How long the
//! answer may take by the clock on the wall is bounded, too, for a process may be stopped, or starved for good.

use std::time::Duration;

use tokio::time::Instant;

/// By the clock on the wall a call may take that many times what it may run, but only so much longer.
const BUSY_FACTOR: u32 = 20;
const BUSY_MAX: Duration = Duration::from_secs(40);
/// Of a call that took that long, what ran is spared if it ran for less than this part of what it may.
const SPARED_PART: u32 = 4;
/// Into how many parts the time between two notes is cut: one that runs too long is found so much later at most.
const LOOKS: u32 = 4;
/// The least time between two looks: the kernel tells hundredths of a second.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a worker may still do before it is late.
#[derive(Debug)]
pub(super) struct Watch {
    id: Option<u32>,
    deadline: Duration,
    /// Time begins anew with each note.
    each_note: bool,
    /// Notes that had come when it last began.
    notes: u64,
    begun: Instant,
    ran_before: Option<Duration>,
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
    /// The process `id` may run for `deadline` from now on; or, with `each_note`, for each thing that it notes.
    pub fn begin(id: Option<u32>, deadline: Duration, each_note: bool) -> Self {
        Self { id, deadline, each_note, notes: 0, begun: Instant::now(), ran_before: id.and_then(processor_time) }
    }

    /// How long to wait before the next look. One process cannot have run too long before.
    pub fn next(&self) -> Duration {
        let left = self.deadline.saturating_sub(self.ran());
        let left = if self.each_note { left.min(self.deadline / LOOKS) } else { left };
        left.max(LOOK_EVERY)
    }

    /// Whether it is late, when so many notes have come.
    pub fn look(&mut self, notes: u64) -> Option<Lateness> {
        if self.each_note && notes != self.notes {
            *self = Self { notes, ..Self::begin(self.id, self.deadline, true) };
            return None;
        }
        let ran = self.ran();
        if ran >= self.deadline {
            return Some(Lateness::Ran);
        }
        let patience = self.deadline.saturating_mul(BUSY_FACTOR).min(self.deadline.saturating_add(BUSY_MAX));
        let is_over = self.begun.elapsed() >= patience;
        is_over.then_some(if ran < self.deadline / SPARED_PART { Lateness::Starved } else { Lateness::Ran })
    }

    /// Processor time since it began. What cannot be told counts as if it had run all the time.
    fn ran(&self) -> Duration {
        match (self.ran_before, self.id.and_then(processor_time)) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => self.begun.elapsed(),
        }
    }
}

/// Processor time of a process so far.
fn processor_time(id: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name, which may hold anything, the third field is the first; the 14th and 15th are its time, and that of the kernel
    // for it, in ticks of which Linux counts a hundred a second, whatever it counts itself (proc(5), time(7)).
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(|field| field.parse::<u64>().ok());
    let (user, kernel) = (ticks.next()??, ticks.next()??);
    Some(Duration::from_millis(user.saturating_add(kernel).saturating_mul(10)))
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
        let mut waits = watch(seconds(1_039), false);
        assert_eq!(waits.look(0), None);
        assert!(waits.next() > seconds(900), "it cannot have run too long before");
        assert_eq!(watch(seconds(1_041), false).look(0), Some(Lateness::Starved));
    }

    #[tokio::test]
    async fn what_cannot_be_told_counts_as_time_it_ran() {
        let mut gone = watch(Duration::from_secs(1_001), false);
        gone.id = None;
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

    #[test]
    fn processor_time_is_that_of_the_process() {
        let before = processor_time(std::process::id()).unwrap();
        let begun = crate::meter::ran();
        while crate::meter::ran() - begun < 50_000_000 {
            std::hint::spin_loop();
        }
        let ran = processor_time(std::process::id()).unwrap() - before;
        // Other tests of this process run beside it.
        assert!(ran >= Duration::from_millis(30), "{ran:?}");
        assert_eq!(processor_time(u32::MAX), None);
    }
}
