//! The child's side of a worker: one socket on standard input, one request at a time.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::fault::one_line;
use crate::frame::{self, ANSWER, HELLO, Header, NOTE, READY, REQUEST, UNFIT};
use crate::jail::{self, JailError};
use crate::limits::WorkerLimits;

/// The largest first frame: it holds a few numbers.
const HELLO_BYTES_MAX: u32 = 1_024;

/// Why a worker stopped serving.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Standard input is not the parent's socket.
    #[error("standard input is not the parent's socket ({0}); this command is started by the gateway only")]
    NoParent(std::io::Error),
    /// The parent's first frame was not what it should be.
    #[error("the parent's first frame is not understood; parent and worker must be of one version")]
    Hello,
    /// The jail could not be closed.
    #[error(transparent)]
    Jail(#[from] JailError),
    /// The parent asked for something too large or out of turn.
    #[error("the parent sent a frame of kind {kind} where a request was expected")]
    Turn {
        /// What came.
        kind: u8,
    },
    /// An answer is larger than the parent takes.
    #[error("an answer of {bytes} bytes is larger than the bound of {bound}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bound: u32,
    },
    /// The socket failed.
    #[error("the parent's socket failed: {0}")]
    Socket(#[from] std::io::Error),
}

/// One descriptor for everything: the jail knows it by its number.
static PARENT: OnceLock<UnixStream> = OnceLock::new();
/// The number of the request that is being answered: notes and the answer bear it.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Tells the parent what runs now, so that it can name it should this process die. Does nothing outside [`serve`].
pub fn note(text: &str) {
    let text = one_line(text);
    let Some(parent) = PARENT.get() else { return };
    // A lost note costs a name in a log; the socket's failure is found by the next read.
    let _ = write(parent, NOTE, text.as_bytes(), HELLO_BYTES_MAX);
}

/// Serves the parent until it closes the socket. Closes the jail first, and with it every file but the socket: `handler` can use none,
/// and the process should have one thread only. A panic in `handler` ends the process; the parent reads why.
pub fn serve(handler: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Result<(), ServeError> {
    let dup = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|e| ServeError::NoParent(e.into()));
    let socket = UnixStream::from(dup(rustix::stdio::stdin())?);
    // Not a socket (a terminal, a file): say so instead of waiting for it.
    socket.peer_addr().map_err(ServeError::NoParent)?;
    let socket = PARENT.get_or_init(|| socket);

    let (header, hello) = read(socket, HELLO_BYTES_MAX)?.ok_or(ServeError::Hello)?;
    let limits: WorkerLimits = match (header.kind, postcard::from_bytes(&hello)) {
        (HELLO, Ok(limits)) => limits,
        _ => return Err(ServeError::Hello),
    };
    // A backtrace would open files; the message is enough.
    std::panic::set_hook(Box::new(|panic| {
        let _ = std::io::stderr().write_all(format!("{panic}\n").as_bytes());
    }));
    if let Err(error) = jail::close(&limits, socket) {
        write(socket, UNFIT, error.to_string().as_bytes(), HELLO_BYTES_MAX)?;
        return Err(error.into());
    }
    write(socket, READY, &[], limits.frame_bytes)?;

    while let Some((Header { kind, number, .. }, request)) = read(socket, limits.frame_bytes)? {
        if kind != REQUEST {
            return Err(ServeError::Turn { kind });
        }
        NUMBER.store(number, Relaxed);
        let answer = handler(&request);
        match write(socket, ANSWER, &answer, limits.frame_bytes) {
            // Nothing was written yet. An empty answer is one that the parent does not understand; what we remember is worth more.
            Err(ServeError::TooLarge { .. }) => write(socket, ANSWER, &[], limits.frame_bytes)?,
            written => written?,
        }
    }
    Ok(())
}

/// The next frame; `None` when the parent has closed the socket.
fn read(mut socket: &UnixStream, frame_bytes: u32) -> Result<Option<(Header, Vec<u8>)>, ServeError> {
    let mut header = [0; frame::HEADER_BYTES];
    match socket.read_exact(&mut header) {
        Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return Ok(None),
        other => other?,
    }
    let header = frame::parse(header, frame_bytes).ok_or(ServeError::Turn { kind: header[4] })?;
    let mut body = vec![0; header.body];
    socket.read_exact(&mut body)?;
    Ok(Some((header, body)))
}

fn write(mut socket: &UnixStream, kind: u8, body: &[u8], bound: u32) -> Result<(), ServeError> {
    let number = NUMBER.load(Relaxed);
    let header =
        frame::header(kind, number, body.len(), bound).ok_or(ServeError::TooLarge { bytes: body.len(), bound })?;
    socket.write_all(&header)?;
    socket.write_all(body)?;
    Ok(())
}
