//! The child: `pitchside run`, killed without a word.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use pitchside_tests::clinic::Made;
use pitchside_tests::program::program;

/// A running gateway.
pub struct Gateway(Child);

/// A free address of the loopback; nobody else here wants it.
pub fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port")
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
