//! A sensor on a cable: a real pseudo-terminal, whose other end the gateway opens by its path.
//!
//! Plugging in makes the terminal and a link to it under a name the gateway knows; unplugging removes both, so the gateway
//! sees the line hang up and the path vanish, as it does when somebody pulls a USB plug.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Context as _;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::io::{AsyncRead, AsyncWrite, Join, ReadBuf, join};
use tokio::net::unix::pipe::{Receiver, Sender};

/// Our end of a terminal, and the link to the other.
pub struct Plug {
    /// tokio reads and writes any descriptor that can wait through its pipe ends.
    ours: Join<Receiver, Sender>,
    /// Held open so that the line does not hang up before the gateway has opened it.
    _theirs: OwnedFd,
    link: PathBuf,
}

impl Plug {
    /// Plugs in: a new terminal, reachable by `link`.
    pub fn plug_in(link: &Path) -> anyhow::Result<Self> {
        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).context("no pseudo-terminal")?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?.into_string().context("the terminal's name is not UTF-8")?;
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
        let theirs = rustix::fs::open(name.as_str(), flags, rustix::fs::Mode::empty())?;
        // No echo, no line editing, every byte as it is.
        let mut attributes = tcgetattr(&theirs)?;
        attributes.make_raw();
        tcsetattr(&theirs, OptionalActions::Now, &attributes)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        if let Some(folder) = link.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // A link a killed sensor left behind leads nowhere.
        match std::fs::remove_file(link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {}", link.display()));
            }
            _ => {}
        }
        std::os::unix::fs::symlink(&name, link).with_context(|| format!("cannot link {}", link.display()))?;
        let reader = Receiver::from_owned_fd_unchecked(ours.try_clone()?)?;
        let ours = join(reader, Sender::from_owned_fd_unchecked(ours)?);
        Ok(Self { ours, _theirs: theirs, link: link.to_owned() })
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.link);
    }
}

impl AsyncRead for Plug {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ours).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Plug {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.ours).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ours).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ours).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_serial::SerialPortBuilderExt as _;

    #[tokio::test]
    async fn every_byte_passes_both_ways_and_pulling_the_plug_hangs_up() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("strap");
        let mut plug = Plug::plug_in(&link).unwrap();
        let mut gateway = tokio_serial::new(link.to_string_lossy(), 115_200).open_native_async().unwrap();
        let every: Vec<u8> = (0..=255).collect();
        plug.write_all(&every).await.unwrap();
        let mut there = vec![0; 256];
        gateway.read_exact(&mut there).await.unwrap();
        assert_eq!(there, every);
        gateway.write_all(&every).await.unwrap();
        let mut back = vec![0; 256];
        plug.read_exact(&mut back).await.unwrap();
        assert_eq!(back, every);
        drop(plug);
        assert!(!link.exists());
        assert!(matches!(gateway.read(&mut there).await, Ok(0) | Err(_)));
    }
}
