//! The child: `pitchside run`, killed without a word.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::process::{Child, Command, Stdio};

use pitchside_tests::clinic::Made;
use pitchside_tests::program::program;

use crate::Moments;

/// A running gateway.
pub struct Gateway(Child);

/// Ports that no connection takes by itself: those begin at 32768. The gateway is gone again and again, and must find its own.
const PORTS: Range<u64> = 10_000..32_000;

/// A free address of the loopback.
pub fn free_address(moments: &mut Moments) -> SocketAddr {
    let span = PORTS.end - PORTS.start;
    let free = (0..span).find_map(|_| {
        let port = u16::try_from(PORTS.start + moments.below(span)).ok()?;
        TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr()).ok()
    });
    free.expect("a free port")
}

impl Gateway {
    /// Starts it; its log goes on in `gateway.log`.
    pub fn start(made: &Made) -> Self {
        let log = File::options().create(true).append(true).open(made.dir.path().join("gateway.log")).expect("a log");
        let mut command = Command::new(program("pitchside"));
        command.arg("run").arg("--config").arg(made.config());
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the gateway starts"))
    }

    /// kill -9.
    pub fn kill(mut self) {
        let ended = self.0.try_wait().expect("a child");
        assert!(ended.is_none(), "the gateway ended by itself: {ended:?}; see gateway.log");
        self.0.kill().expect("a child to kill");
        self.0.wait().expect("a killed child");
    }

    /// Asks it to stop, and waits; whether it ended well.
    pub fn stop(mut self) -> bool {
        let id = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a child to stop");
        self.0.wait().expect("a stopped child").success()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Of a run that panics: nothing is left behind.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
