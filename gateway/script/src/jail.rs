//! The child closes its own jail: rlimits, then a list of the few system calls it still may make.
//!
//! Any other call kills the process: a script that found a way out is not to be negotiated with.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, set_parent_process_death_signal, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::limits::WorkerLimits;

/// How large the stack of the one thread may grow.
const STACK_BYTES: u64 = 32 * 1024 * 1024;

/// Why the jail could not be closed. The worker must not serve then.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// A file of /proc could not be read.
    #[error("cannot read {0}: {1}; the worker needs /proc to watch its memory")]
    Proc(&'static str, std::io::Error),
    /// A file of /proc said something unexpected.
    #[error("{0} has no usable number")]
    Number(&'static str),
    /// The kernel would not end the worker with its parent.
    #[error("cannot ask to be ended with the parent: {0}")]
    Parent(rustix::io::Errno),
    /// The kernel refused a limit.
    #[error("cannot set the limit {0}: {1}")]
    Limit(&'static str, rustix::io::Errno),
    /// The kernel refused a lower priority.
    #[error("cannot set the priority: {0}")]
    Priority(rustix::io::Errno),
    /// The filter could not be built for this processor.
    #[error("cannot build the system-call filter: {0}")]
    Filter(#[from] seccompiler::BackendError),
    /// The kernel refused the filter.
    #[error("cannot install the system-call filter: {0}; the kernel needs CONFIG_SECCOMP_FILTER")]
    Install(#[from] seccompiler::Error),
}

struct Gauge {
    statm: File,
    page_bytes: u64,
}

static GAUGE: OnceLock<Gauge> = OnceLock::new();

impl Gauge {
    fn open() -> Result<Self, JailError> {
        let statm = File::open("/proc/self/statm").map_err(|e| JailError::Proc("/proc/self/statm", e))?;
        let auxv = std::fs::read("/proc/self/auxv").map_err(|e| JailError::Proc("/proc/self/auxv", e))?;
        // The auxiliary vector: pairs of native words; key 6 is AT_PAGESZ (getauxval(3)).
        const WORD: usize = size_of::<usize>();
        let word = |at: usize| {
            let bytes = auxv.get(at..at + WORD)?;
            Some(usize::from_ne_bytes(bytes.try_into().ok()?))
        };
        let page = (0..auxv.len()).step_by(2 * WORD).find(|at| word(*at) == Some(6)).and_then(|at| word(at + WORD));
        let page_bytes = page.and_then(|n| u64::try_from(n).ok()).ok_or(JailError::Number("/proc/self/auxv"))?;
        Ok(Self { statm, page_bytes })
    }

    /// The first number of statm: pages of address space (proc(5)).
    fn bytes(&self) -> Option<u64> {
        let mut text = [0u8; 64];
        let length = self.statm.read_at(&mut text, 0).ok()?;
        let pages = text.get(..length)?.split(|b| *b == b' ').next()?;
        std::str::from_utf8(pages).ok()?.parse::<u64>().ok()?.checked_mul(self.page_bytes)
    }
}

/// Bytes of address space of this process; `None` outside a jail, where nobody watches.
pub fn process_bytes() -> Option<u64> {
    GAUGE.get().and_then(Gauge::bytes)
}

/// Closes the jail around the whole process, and every file that is open but the standard three and `socket`, which stays usable.
pub fn close(limits: &WorkerLimits, socket: &impl AsRawFd) -> Result<(), JailError> {
    // A parent that dies at once holds no deadline any more, and a script that never ends never finds the socket closed. One that is
    // dead before this asks for nothing: a request follows `READY`.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(JailError::Parent)?;
    close_inherited(socket.as_raw_fd())?;
    let gauge = Gauge::open()?;
    let size = gauge.bytes().ok_or(JailError::Number("/proc/self/statm"))?;
    let statm = gauge.statm.as_raw_fd();
    // A second close would tighten the limits below what runs already; the first one stays.
    let _ = GAUGE.set(gauge);

    // The first look at this clock finds the vDSO by calls the filter kills; the later ones are `clock_gettime`.
    crate::meter::ran();
    // Built before memory gets tight.
    let program: BpfProgram = filter(socket.as_raw_fd(), statm)?.try_into()?;
    let bounds = [
        ("RLIMIT_AS", Resource::As, size.saturating_add(limits.memory_bytes)),
        ("RLIMIT_CORE", Resource::Core, 0),
        ("RLIMIT_FSIZE", Resource::Fsize, 0),
        ("RLIMIT_NPROC", Resource::Nproc, 0),
        ("RLIMIT_NOFILE", Resource::Nofile, 0),
        ("RLIMIT_MEMLOCK", Resource::Memlock, 0),
        ("RLIMIT_MSGQUEUE", Resource::Msgqueue, 0),
        ("RLIMIT_SIGPENDING", Resource::Sigpending, 0),
        // Values may be nested as deep as an array is long, and each level is a call when they are copied or dropped.
        ("RLIMIT_STACK", Resource::Stack, STACK_BYTES.min(getrlimit(Resource::Stack).maximum.unwrap_or(u64::MAX))),
        // None on CPU: a worker lives for weeks, and the parent's deadline holds each call.
    ];
    for (name, resource, bound) in bounds {
        setrlimit(resource, Rlimit { current: Some(bound), maximum: Some(bound) })
            .map_err(|e| JailError::Limit(name, e))?;
    }
    nice(limits.nice).map_err(JailError::Priority)?;
    seccompiler::apply_filter_all_threads(&program)?;
    Ok(())
}

/// Closes what the gateway itself was started with and hands on: all but the standard three and the socket. Nothing here may read or write
/// it; but whoever waits for the last holder of a pipe or lock to let go would wait for a worker.
fn close_inherited(socket: i32) -> Result<(), JailError> {
    const OPEN: &str = "/proc/self/fd";
    let entries = std::fs::read_dir(OPEN).map_err(|error| JailError::Proc(OPEN, error))?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    // All are known, and the folder is closed, before the first goes.
    let numbers: Vec<i32> = numbers.filter(|number| *number > 2 && *number != socket).collect();
    for number in numbers {
        // The folder's own is gone by now.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

fn equals(argument: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, Len::Dword, Op::Eq, value)?])
}

fn filter(socket: i32, statm: i32) -> Result<SeccompFilter, seccompiler::BackendError> {
    let fd = |fd: i32| u64::from(fd.unsigned_abs());
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    let no_exec = || SeccompCondition::new(2, Len::Dword, Op::MaskedEq(executable), 0);
    // Anonymous memory only: file descriptor -1.
    let anonymous = SeccompCondition::new(4, Len::Dword, Op::Eq, u64::from(u32::MAX))?;

    let own_process = SeccompCondition::new(0, Len::Dword, Op::Eq, u64::from(std::process::id()))?;
    let abort = SeccompCondition::new(2, Len::Dword, Op::Eq, u64::from(libc::SIGABRT.unsigned_abs()))?;

    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::from([
        (libc::SYS_read, vec![equals(0, fd(socket))?]),
        (libc::SYS_recvfrom, vec![equals(0, fd(socket))?]),
        (libc::SYS_write, vec![equals(0, fd(socket))?, equals(0, 2)?]),
        (libc::SYS_sendto, vec![equals(0, fd(socket))?]),
        (libc::SYS_pread64, vec![equals(0, fd(statm))?]),
        (libc::SYS_mmap, vec![SeccompRule::new(vec![no_exec()?, anonymous])?]),
        (libc::SYS_mprotect, vec![SeccompRule::new(vec![no_exec()?])?]),
        // abort() signals itself. By no other signal may a worker end itself: SIGKILL tells the parent that somebody else ended it.
        (libc::SYS_tgkill, vec![SeccompRule::new(vec![own_process, abort])?]),
    ]);
    let free = [
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_gettimeofday,
        libc::SYS_getrandom,
        libc::SYS_sched_yield,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    calls.extend(free.map(|call| (call, Vec::new())));
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(calls, SeccompAction::KillProcess, SeccompAction::Allow, arch)
}

#[cfg(test)]
mod tests;
