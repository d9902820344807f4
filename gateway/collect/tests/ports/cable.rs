//! A cable: a pseudo-terminal whose far end the test holds, under a path that stays the same.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::{Errno, read, write};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;
use tokio::time::timeout;

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Cable {
    dir: TempDir,
    far: Option<OwnedFd>,
}

impl Cable {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), far: None }
    }

    /// Where the port is, when the cable is plugged in.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("port")
    }

    pub fn plug(&mut self) {
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&far).unwrap();
        unlockpt(&far).unwrap();
        rustix::io::ioctl_fionbio(&far, true).unwrap();
        let near = ptsname(&far, Vec::new()).unwrap();
        std::os::unix::fs::symlink(near.to_str().unwrap(), self.path()).unwrap();
        self.far = Some(far);
    }

    pub fn pull(&mut self) {
        std::fs::remove_file(self.path()).unwrap();
        self.far = None;
    }

    pub async fn write(&mut self, mut bytes: &[u8]) {
        let far = self.far.as_ref().unwrap();
        timeout(PATIENCE, async {
            while !bytes.is_empty() {
                match write(far, bytes) {
                    Ok(written) => bytes = &bytes[written..],
                    Err(Errno::AGAIN) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await
        .expect("the port does not read");
    }

    pub async fn read(&mut self) -> Vec<u8> {
        let far = self.far.as_ref().unwrap();
        let mut bytes = vec![0; 4_096];
        let count = timeout(PATIENCE, async {
            loop {
                match read(far, &mut bytes[..]) {
                    Ok(count) => return count,
                    // EIO: nobody has the near end open right now.
                    Err(Errno::AGAIN | Errno::IO) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let count = count.await.expect("the port writes nothing");
        bytes.truncate(count);
        bytes
    }
}
