//! The parent's side of a worker process: started, asked, killed when late, started again.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::fault::one_line;
use crate::frame::{self, ANSWER, HELLO, NOTE, READY, REQUEST, UNFIT};
use crate::limits::WorkerLimits;

mod starter;
mod watch;

use watch::{Lateness, Watch};

/// How much of a dead worker's standard error is read.
const LAST_WORDS_BYTES_MAX: u64 = 4_096;
/// How long a dying worker may take to be gone.
const BURIAL: Duration = Duration::from_secs(2);
/// How long one whose socket closed may take to end with the status that tells why.
const GRACE: Duration = Duration::from_millis(500);

/// What to run: a program that calls [`crate::serve`] when started with these arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The executable.
    pub exe: PathBuf,
    /// Its arguments. No secrets: everybody on the machine can read them.
    pub args: Vec<OsString>,
}

/// Why a worker did not answer. After any of these but `TooLarge` it is dead; [`Worker::restart`] it.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("cannot start {exe}: {source}")]
    Start {
        /// The executable.
        exe: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It started but could not close its jail, and so did not serve.
    #[error("the worker refuses to serve: {0}")]
    Unfit(String),
    /// It did not answer in time and was killed.
    #[error("the worker was late ({}) and was killed{}", had(*deadline, *starved), running(note.as_ref()))]
    Late {
        /// The processor time it had.
        deadline: Duration,
        /// It hardly got any: the machine was busy with something else, or somebody stopped it.
        starved: bool,
        /// What it said it was running.
        note: Option<String>,
    },
    /// It ended instead of answering.
    #[error("the worker died ({reason}){}", running(note.as_ref()))]
    Died {
        /// How it ended, and its last words.
        reason: String,
        /// Nothing that it ran ends it so: somebody killed it, or the kernel of a machine without memory; or what it said was no answer.
        from_outside: bool,
        /// What it said it was running.
        note: Option<String>,
    },
    /// The request is larger than the worker takes. The worker is well.
    #[error("a request of {bytes} bytes is larger than the bound of {bound}; send less at a time")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bound: u32,
    },
    /// It is dead since an earlier error, or an earlier call was abandoned.
    #[error("the worker is down; restart it")]
    Down,
}

impl WorkerError {
    /// Whether the worker came to its end by what no script does, or did not come to be: whatever it ran, or was to run, is not to blame.
    pub fn is_from_outside(&self) -> bool {
        matches!(
            self,
            Self::Start { .. }
                | Self::Unfit(_)
                | Self::Late { starved: true, .. }
                | Self::Died { from_outside: true, .. }
        )
    }
}

fn had(deadline: Duration, starved: bool) -> String {
    if starved { format!("it got hardly any of {deadline:?} of the processor") } else { format!("{deadline:?}") }
}

fn running(note: Option<&String>) -> String {
    note.map_or_else(String::new, |note| format!(", running {note}"))
}

/// One worker process. Dropping it kills the process.
#[derive(Debug)]
pub struct Worker {
    program: Program,
    limits: WorkerLimits,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    socket: UnixStream,
    note: Option<String>,
    /// Of the last request: what comes with another belongs to no call.
    number: u32,
    /// Set while a call is under way: a call that was abandoned leaves its answer in the socket.
    busy: bool,
}

enum Broken {
    /// The socket failed: it has ended, or is about to.
    Closed,
    /// It said what no worker says.
    Protocol,
    Unfit(String),
}

/// How a process ended.
struct Burial {
    reason: String,
    /// See [`WorkerError::Died`].
    from_outside: bool,
}

impl Worker {
    /// Starts `program` with one socket and no environment. What else this process hands on, since it was itself started with it, the worker
    /// closes before it serves. Needs a tokio runtime.
    pub async fn spawn(program: &Program, limits: WorkerLimits) -> Result<Self, WorkerError> {
        let mut worker = Self { program: program.clone(), limits, process: None };
        worker.restart().await?;
        Ok(worker)
    }

    /// Whether the last call left it able to answer.
    pub fn is_up(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.busy)
    }

    /// The process id, while it lives.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().and_then(|process| process.child.id())
    }

    /// The bounds it was started with.
    pub fn limits(&self) -> &WorkerLimits {
        &self.limits
    }

    /// Kills what runs, if anything, and starts afresh. Whatever state the worker had is gone.
    pub async fn restart(&mut self) -> Result<(), WorkerError> {
        self.stop().await;
        let mut process = self.start()?;
        let hello = postcard::to_allocvec(&self.limits).map_err(|_| WorkerError::Down)?;
        let ready = async {
            process.send(HELLO, &hello, self.limits.frame_bytes).await?;
            process.receive(READY, self.limits.frame_bytes).await
        };
        match tokio::time::timeout(self.limits.start, ready).await {
            Ok(Ok(_)) => {
                self.process = Some(process);
                Ok(())
            }
            Ok(Err(Broken::Unfit(reason))) => {
                process.bury(GRACE).await;
                Err(WorkerError::Unfit(reason))
            }
            Ok(Err(Broken::Closed | Broken::Protocol)) => Err(WorkerError::Died {
                note: None,
                from_outside: true,
                reason: format!("before it was ready, {}", process.bury(GRACE).await.reason),
            }),
            Err(_) => {
                process.bury(Duration::ZERO).await;
                Err(WorkerError::Late { deadline: self.limits.start, starved: true, note: None })
            }
        }
    }

    /// Ends the process and waits until it is gone.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.bury(Duration::ZERO).await;
        }
    }

    /// Sends one request and waits for its answer. A worker that has run for `deadline` without one is killed; and, where the machine is
    /// busy, one that has not answered after a multiple of it.
    pub async fn call(&mut self, request: &[u8], deadline: Duration) -> Result<Vec<u8>, WorkerError> {
        self.ask(request, deadline, false).await
    }

    /// The same of a request for which the worker notes each thing that it runs: the deadline is that of each, and begins anew with its note.
    pub async fn call_noted(&mut self, request: &[u8], deadline: Duration) -> Result<Vec<u8>, WorkerError> {
        self.ask(request, deadline, true).await
    }

    async fn ask(&mut self, request: &[u8], deadline: Duration, each_note: bool) -> Result<Vec<u8>, WorkerError> {
        let bound = self.limits.frame_bytes;
        if u32::try_from(request.len()).map_or(true, |n| n > bound) {
            return Err(WorkerError::TooLarge { bytes: request.len(), bound });
        }
        if !self.is_up() {
            self.stop().await;
            return Err(WorkerError::Down);
        }
        let process = self.process.as_mut().ok_or(WorkerError::Down)?;
        process.busy = true;
        process.note = None;
        process.number = process.number.wrapping_add(1);
        let error = match process.answer(request, bound, deadline, each_note).await {
            Ok(Ok(answer)) => {
                process.busy = false;
                return Ok(answer);
            }
            Ok(Err(Broken::Closed)) => {
                let Burial { reason, from_outside } = process.bury(GRACE).await;
                WorkerError::Died { reason, from_outside, note: process.note.take() }
            }
            Ok(Err(Broken::Protocol | Broken::Unfit(_))) => {
                process.bury(Duration::ZERO).await;
                let reason = "it said what is no answer, and was killed".to_owned();
                WorkerError::Died { reason, from_outside: true, note: process.note.take() }
            }
            Err(late) => {
                process.bury(Duration::ZERO).await;
                WorkerError::Late { deadline, starved: late == Lateness::Starved, note: process.note.take() }
            }
        };
        self.process = None;
        Err(error)
    }

    fn start(&self) -> Result<Process, WorkerError> {
        let failed = |source| WorkerError::Start { exe: self.program.exe.clone(), source };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let mut command = Command::new(&self.program.exe);
        command
            .args(&self.program.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // A signal to the gateway's group is the gateway's: it asks the worker what it knows before it ends it.
            .process_group(0);
        let child = starter::spawn(command).map_err(failed)?;
        let socket = UnixStream::from_std(ours).map_err(failed)?;
        Ok(Process { child, socket, note: None, number: 0, busy: false })
    }
}

impl Process {
    /// The answer to a request, or in which way it is late.
    async fn answer(
        &mut self,
        request: &[u8],
        bound: u32,
        deadline: Duration,
        each_note: bool,
    ) -> Result<Result<Vec<u8>, Broken>, Lateness> {
        let mut watch = Watch::begin(self.child.id(), deadline, each_note);
        let notes = AtomicU64::new(0);
        let exchange = async {
            self.send(REQUEST, request, bound).await?;
            self.receive_noting(ANSWER, bound, &notes).await
        };
        let mut exchange = std::pin::pin!(exchange);
        loop {
            if let Ok(answer) = tokio::time::timeout(watch.next(), exchange.as_mut()).await {
                return Ok(answer);
            }
            if let Some(late) = watch.look(notes.load(Relaxed)) {
                return Err(late);
            }
        }
    }

    async fn send(&mut self, kind: u8, body: &[u8], bound: u32) -> Result<(), Broken> {
        let header = frame::header(kind, self.number, body.len(), bound).ok_or(Broken::Protocol)?;
        self.socket.write_all(&header).await.map_err(|_| Broken::Closed)?;
        self.socket.write_all(body).await.map_err(|_| Broken::Closed)
    }

    async fn receive(&mut self, wanted: u8, bound: u32) -> Result<Vec<u8>, Broken> {
        self.receive_noting(wanted, bound, &AtomicU64::new(0)).await
    }

    /// The next frame of kind `wanted`; notes on the way are kept and counted, anything else is a broken worker.
    async fn receive_noting(&mut self, wanted: u8, bound: u32, notes: &AtomicU64) -> Result<Vec<u8>, Broken> {
        loop {
            let mut header = [0; frame::HEADER_BYTES];
            self.socket.read_exact(&mut header).await.map_err(|_| Broken::Closed)?;
            let header = frame::parse(header, bound).filter(|header| header.number == self.number);
            let header = header.ok_or(Broken::Protocol)?;
            let mut body = vec![0; header.body];
            self.socket.read_exact(&mut body).await.map_err(|_| Broken::Closed)?;
            match header.kind {
                NOTE => {
                    self.note = Some(one_line(&String::from_utf8_lossy(&body)));
                    notes.fetch_add(1, Relaxed);
                }
                UNFIT => return Err(Broken::Unfit(one_line(&String::from_utf8_lossy(&body)))),
                kind if kind == wanted => return Ok(body),
                _ => return Err(Broken::Protocol),
            }
        }
    }

    /// Waits `grace` for the process to end by itself, then kills it; how it ended, with its last words.
    async fn bury(&mut self, grace: Duration) -> Burial {
        let _ = self.socket.shutdown().await;
        let status = match tokio::time::timeout(grace, self.child.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                // An error here means it is gone already.
                let _ = self.child.start_kill();
                tokio::time::timeout(BURIAL, self.child.wait()).await.ok().and_then(Result::ok)
            }
        };
        let mut words = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // Partial words are better than none.
            let _ = tokio::time::timeout(BURIAL, stderr.take(LAST_WORDS_BYTES_MAX).read_to_end(&mut words)).await;
        }
        let words = one_line(String::from_utf8_lossy(&words).trim());
        let how = status.map_or_else(|| "it did not end".to_owned(), describe);
        let reason = if words.is_empty() { how } else { format!("{how}: {words}") };
        Burial { reason, from_outside: !status.is_some_and(is_of_its_own) }
    }
}

/// Whether a process ended by what it ran: by the bound on its memory or stack, the system-call filter, a panic. SIGKILL is none of these,
/// nor what an admin may send.
fn is_of_its_own(status: ExitStatus) -> bool {
    /// Of a panic in the only thread (std::process).
    const PANICKED: i32 = 101;
    let asked_to_end = [libc::SIGKILL, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];
    match (status.signal(), status.code()) {
        (Some(signal), _) => !asked_to_end.contains(&signal),
        (None, code) => code == Some(PANICKED),
    }
}

/// How a process ended, in words.
fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(libc::SIGSYS), _) => "it asked for a system call it may not make".to_owned(),
        (Some(libc::SIGABRT), _) => "it ran out of memory or gave up".to_owned(),
        (Some(libc::SIGSEGV), _) => "it ran out of stack".to_owned(),
        (Some(libc::SIGKILL), _) => "it was killed".to_owned(),
        (Some(signal), _) => format!("signal {signal}"),
        (None, code) => format!("exit code {}", code.unwrap_or(-1)),
    }
}
