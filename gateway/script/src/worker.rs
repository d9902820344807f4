//! The parent's side of a worker process: started, asked, killed when late, started again.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::fault::one_line;
use crate::frame::{self, ANSWER, HELLO, NOTE, READY, REQUEST, UNFIT};
use crate::limits::WorkerLimits;

mod starter;

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
    #[error("the worker was late ({deadline:?}) and was killed{}", running(note.as_ref()))]
    Late {
        /// The time it had.
        deadline: Duration,
        /// What it said it was running.
        note: Option<String>,
    },
    /// It ended instead of answering.
    #[error("the worker died ({reason}){}", running(note.as_ref()))]
    Died {
        /// How it ended, and its last words.
        reason: String,
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
    /// Set while a call is under way: a call that was abandoned leaves its answer in the socket.
    busy: bool,
}

enum Broken {
    Protocol,
    Unfit(String),
}

impl Worker {
    /// Starts `program` with nothing but one socket: no environment, no other file. Needs a tokio runtime.
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
            Ok(Err(Broken::Protocol)) => Err(WorkerError::Died {
                note: None,
                reason: format!("before it was ready, {}", process.bury(GRACE).await),
            }),
            Err(_) => {
                process.bury(Duration::ZERO).await;
                Err(WorkerError::Late { deadline: self.limits.start, note: None })
            }
        }
    }

    /// Ends the process and waits until it is gone.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.bury(Duration::ZERO).await;
        }
    }

    /// Sends one request and waits for its answer. A worker that has not answered by `deadline` is killed.
    pub async fn call(&mut self, request: &[u8], deadline: Duration) -> Result<Vec<u8>, WorkerError> {
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
        let exchange = async {
            process.send(REQUEST, request, bound).await?;
            process.receive(ANSWER, bound).await
        };
        match tokio::time::timeout(deadline, exchange).await {
            Ok(Ok(answer)) => {
                process.busy = false;
                Ok(answer)
            }
            Ok(Err(_)) => {
                let (note, reason) = (process.note.take(), process.bury(GRACE).await);
                self.process = None;
                Err(WorkerError::Died { reason, note })
            }
            Err(_) => {
                let note = process.note.take();
                process.bury(Duration::ZERO).await;
                self.process = None;
                Err(WorkerError::Late { deadline, note })
            }
        }
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
        Ok(Process { child, socket, note: None, busy: false })
    }
}

impl Process {
    async fn send(&mut self, kind: u8, body: &[u8], bound: u32) -> Result<(), Broken> {
        let header = frame::header(kind, body.len(), bound).ok_or(Broken::Protocol)?;
        self.socket.write_all(&header).await.map_err(|_| Broken::Protocol)?;
        self.socket.write_all(body).await.map_err(|_| Broken::Protocol)
    }

    /// The next frame of kind `wanted`; notes on the way are kept, anything else is a broken worker.
    async fn receive(&mut self, wanted: u8, bound: u32) -> Result<Vec<u8>, Broken> {
        loop {
            let mut header = [0; frame::HEADER_BYTES];
            self.socket.read_exact(&mut header).await.map_err(|_| Broken::Protocol)?;
            let (kind, length) = frame::parse(header, bound).ok_or(Broken::Protocol)?;
            let mut body = vec![0; length];
            self.socket.read_exact(&mut body).await.map_err(|_| Broken::Protocol)?;
            match kind {
                NOTE => self.note = Some(one_line(&String::from_utf8_lossy(&body))),
                UNFIT => return Err(Broken::Unfit(one_line(&String::from_utf8_lossy(&body)))),
                _ if kind == wanted => return Ok(body),
                _ => return Err(Broken::Protocol),
            }
        }
    }

    /// Waits `grace` for the process to end by itself, then kills it; how it ended, with its last words.
    async fn bury(&mut self, grace: Duration) -> String {
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
        if words.is_empty() { how } else { format!("{how}: {words}") }
    }
}

/// How a process ended, in words.
fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(libc::SIGSYS), _) => "it asked for a system call it may not make".to_owned(),
        (Some(libc::SIGABRT), _) => "it ran out of memory or gave up".to_owned(),
        (Some(libc::SIGSEGV), _) => "it ran out of stack".to_owned(),
        (Some(libc::SIGKILL), _) => "it was killed".to_owned(),
        (Some(signal), _) => format!("signal {signal}"),
        (None, code) => format!("exit code {}", code.unwrap_or(-1)),
    }
}
