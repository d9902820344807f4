//! The clock and the scales of a call, read while it runs.
//!
//! Rhai calls at every operation. Of a call that is longer than a few the clock is read now and then, which costs next to
//! nothing; the size of the process, which costs a system call, only when time has passed: memory that is written takes
//! time, and a call that is over before is not worth weighing.
//!
//! A call that is late though it hardly ran is spared: a machine that is busy with something else is no fault of a script,
//! and must not decide what a rule answers.
//!
//! Operations are counted here, too: Rhai counts those of a callback apart, and swallows what a comparison of `sort` throws,
//! its own limits included. A call that must end stays so.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rhai::Dynamic;
use rustix::time::{ClockId, clock_gettime};

use crate::fault::{OUT_OF_MEMORY, OUT_OF_OPERATIONS, OUT_OF_TIME};
use crate::jail;
use crate::limits::Limits;

/// Operations between two looks at the clock.
const STRIDE: u64 = 8;
/// How long between two looks at the size of the process: some 4 MiB can be written in it.
const WEIGHED_EVERY: Duration = Duration::from_micros(100);
/// A call that grew by more than this part of what it may is looked at every operation: each may copy all it has.
const WATCHED_PART: u64 = 16;

/// A call whose time has passed is spared if the process ran for less than this part of it: the machine was busy.
const SPARED_PART: u64 = 10;

/// One call at a time; shared between a sandbox and its engine's progress callback. Times in nanoseconds since it was made.
#[derive(Debug)]
pub(crate) struct Meter {
    born: Instant,
    wall: u64,
    memory_bytes: u64,
    operations_max: u64,
    /// Operations so far.
    operations: AtomicU64,
    /// The operation to look at next.
    next: AtomicU64,
    /// When the call must have ended; 0 = it was not looked at yet. Most calls end before they are.
    deadline: AtomicU64,
    /// When the process is weighed next.
    weigh: AtomicU64,
    /// Its size when it was weighed first; 0 = it was not yet.
    baseline: AtomicU64,
    /// What the thread had run by then.
    ran_before: AtomicU64,
}

impl Meter {
    pub fn new(limits: &Limits) -> Self {
        let (wall, memory_bytes) = (nanos(limits.wall), limits.memory_bytes);
        let zero = || AtomicU64::new(0);
        Self {
            born: Instant::now(),
            wall,
            memory_bytes,
            operations_max: limits.operations,
            operations: zero(),
            next: AtomicU64::new(STRIDE),
            deadline: zero(),
            weigh: zero(),
            baseline: zero(),
            ran_before: zero(),
        }
    }

    /// A call begins.
    #[inline]
    pub fn start(&self) {
        self.operations.store(0, Relaxed);
        self.next.store(STRIDE, Relaxed);
        self.deadline.store(0, Relaxed);
    }

    /// Operations of the call that now runs, or of the last.
    pub fn operations(&self) -> u64 {
        self.operations.load(Relaxed)
    }

    /// Nanoseconds the last call ran, as far as it was looked at: 0 of all but those of [`WEIGHED_EVERY`] and longer.
    pub fn spent(&self) -> u64 {
        match (self.deadline.load(Relaxed), self.ran_before.load(Relaxed)) {
            (0, _) | (_, 0) => 0,
            (_, before) => ran().saturating_sub(before),
        }
    }

    /// The word that ends the call, if it must end.
    #[inline]
    pub fn tick(&self) -> Option<Dynamic> {
        // One thread, so no need for an addition in one step.
        let operations = self.operations.load(Relaxed) + 1;
        self.operations.store(operations, Relaxed);
        if operations < self.next.load(Relaxed) { None } else { self.look(operations) }
    }

    #[cold]
    fn look(&self, operations: u64) -> Option<Dynamic> {
        let now = nanos(self.born.elapsed());
        if self.deadline.load(Relaxed) == 0 {
            self.deadline.store(now.saturating_add(self.wall), Relaxed);
            self.weigh.store(now.saturating_add(nanos(WEIGHED_EVERY)), Relaxed);
            self.baseline.store(0, Relaxed);
            self.ran_before.store(0, Relaxed);
        }
        if operations > self.operations_max {
            return self.end(OUT_OF_OPERATIONS);
        }
        let mut stride = STRIDE;
        if now >= self.weigh.load(Relaxed) {
            if self.ran_before.load(Relaxed) == 0 {
                self.ran_before.store(ran(), Relaxed);
            }
            // Outside a worker the size is unknown; what a call may hold then rests with Rhai's own limits.
            let grown = jail::process_bytes().map_or(0, |size| self.grown(size));
            if grown > self.memory_bytes {
                return self.end(OUT_OF_MEMORY);
            }
            if grown > self.memory_bytes / WATCHED_PART {
                stride = 1;
            } else {
                self.weigh.store(now.saturating_add(nanos(WEIGHED_EVERY)), Relaxed);
            }
            if now > self.deadline.load(Relaxed) {
                let spent = ran().saturating_sub(self.ran_before.load(Relaxed));
                if spent > self.wall / SPARED_PART {
                    return self.end(OUT_OF_TIME);
                }
                // The machine was busy with something else.
                self.deadline.store(now.saturating_add(self.wall), Relaxed);
            }
        }
        self.next.store(operations.saturating_add(stride), Relaxed);
        None
    }

    /// Looks at every operation from now on, and finds the same.
    fn end(&self, why: &'static str) -> Option<Dynamic> {
        self.next.store(0, Relaxed);
        Some(Dynamic::from(why))
    }

    fn grown(&self, size: u64) -> u64 {
        match self.baseline.load(Relaxed) {
            0 => {
                self.baseline.store(size, Relaxed);
                0
            }
            baseline => size.saturating_sub(baseline),
        }
    }
}

/// Nanoseconds this thread ran.
pub(crate) fn ran() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0)).max(1)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
