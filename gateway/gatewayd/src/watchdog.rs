//! Telling the service manager that the gateway is up, and then, again and again, that it still gets anywhere
//! (`sd_notify(3)`): a datagram to the socket that `NOTIFY_SOCKET` names.
//!
//! What is told is progress, not life: each beat waits for the store's writer to settle all that came before it. A writer that hangs
//! in a disk, or a runtime that starves, sends no beat, and after `WatchdogSec` the manager starts the gateway anew. A full disk is
//! no such thing: what it refuses is settled, too, and a restart would not mend it.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use pitchside_store::{Store, StoreError};

/// The way to the service manager.
#[derive(Debug)]
pub struct Watchdog {
    socket: UnixDatagram,
    manager: SocketAddr,
    /// Between two beats; none if nobody watches.
    every: Option<Duration>,
}

impl Watchdog {
    /// As the environment says; none if no manager asked to be told. `WATCHDOG_USEC` is the time after which it acts; beats come
    /// three times as often.
    pub fn from_environment() -> io::Result<Option<Self>> {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(None) };
        let limit_us = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok());
        Self::new(&path, limit_us.filter(|limit| *limit > 0).map(Duration::from_micros)).map(Some)
    }

    /// `path` as in `NOTIFY_SOCKET`: a file, or `@` and an abstract name.
    fn new(path: &OsStr, limit: Option<Duration>) -> io::Result<Self> {
        let manager = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold the gateway up.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, manager, every: limit.map(|limit| limit / 3) })
    }

    /// Everything stands: readings are let in.
    pub fn ready(&self) -> io::Result<()> {
        self.tell("READY=1")
    }

    /// The end was asked for and has begun.
    pub fn stopping(&self) -> io::Result<()> {
        self.tell("STOPPING=1")
    }

    /// Tells of progress for as long as it is polled.
    pub async fn run(&self, store: &Store) {
        let Some(every) = self.every else { return std::future::pending().await };
        let mut beats = tokio::time::interval(every);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            if let Err(error) = self.beat(store).await {
                tracing::warn!(%error, "no beat for the service manager; it restarts the gateway if this goes on");
            }
        }
    }

    async fn beat(&self, store: &Store) -> Result<(), BeatError> {
        store.journal_barrier().await?;
        Ok(self.tell("WATCHDOG=1")?)
    }

    fn tell(&self, what: &str) -> io::Result<()> {
        self.socket.send_to_addr(what.as_bytes(), &self.manager).map(|_| ())
    }
}

/// Why there was no beat.
#[derive(Debug, thiserror::Error)]
enum BeatError {
    /// The writer is gone.
    #[error("the store does not settle writes: {0}")]
    Store(#[from] StoreError),
    /// The manager could not be told.
    #[error("the service manager could not be told: {0}")]
    Manager(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitchside_store::RootKey;

    fn heard(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let count = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[test]
    fn the_manager_hears_of_start_and_stop_by_either_kind_of_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("pitchside-watchdog-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (manager, address) in [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())] {
            let watchdog = Watchdog::new(&address, None).unwrap();
            watchdog.ready().unwrap();
            assert_eq!(heard(&manager), "READY=1");
            watchdog.stopping().unwrap();
            assert_eq!(heard(&manager), "STOPPING=1");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn beats_come_while_the_writer_settles_and_end_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let store = Store::open(&folder.path().join("data"), RootKey::new([7; 32])).unwrap();
        let watchdog = Watchdog::new(path.as_os_str(), Some(Duration::from_millis(30))).unwrap();
        let watched = store.clone();
        let task = tokio::spawn(async move { watchdog.run(&watched).await });
        for _ in 0..2 {
            assert_eq!(tokio::task::block_in_place(|| heard(&manager)), "WATCHDOG=1");
        }
        tokio::task::spawn_blocking(move || store.close()).await.unwrap();
        // Whatever was on its way has arrived; then silence, though the task still runs.
        manager.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        tokio::task::block_in_place(|| while manager.recv(&mut [0; 64]).is_ok() {});
        assert!(!task.is_finished());
        task.abort();
    }
}
