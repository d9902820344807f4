//! The mark "we know who sent this". Everything past `auth` takes only [`Authentic`] things.
//!
//! Rust has no word for "only that crate may call this"; [`Authentic::vouch`] is therefore banned for every crate but
//! `auth` by `.clippy.toml` and by a test in `tests/tidy`.

use crate::id::DeviceId;
use crate::link::{Assurance, LinkId};

/// Something a known device sent, and how sure we are of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentic<T> {
    device: DeviceId,
    assurance: Assurance,
    link: LinkId,
    content: T,
}

impl<T> Authentic<T> {
    /// Marks `content` as sent by `device`. For `auth` alone, after it checked a key or a password.
    pub const fn vouch(device: DeviceId, assurance: Assurance, link: LinkId, content: T) -> Self {
        Self { device, assurance, link, content }
    }

    /// Who sent it.
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// How sure we are.
    pub const fn assurance(&self) -> Assurance {
        self.assurance
    }

    /// Over which path it came.
    pub const fn link(&self) -> LinkId {
        self.link
    }

    /// What was sent.
    pub const fn content(&self) -> &T {
        &self.content
    }

    /// Takes the content, leaving the mark behind.
    pub fn into_content(self) -> T {
        self.content
    }
}
