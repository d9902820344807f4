//! Those who cannot speak PS/1: hubs and apps with a password, and what is on a cable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use pitchside_model::{Assurance, Authentic, DeviceId, LinkId, Payload};

/// What somebody with a password may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Say what it measures, in its own name.
    Hub,
    /// Listen.
    App {
        /// To these topic filters.
        filters: Vec<String>,
    },
}

/// The login has ended, or never could vouch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginEnded {
    /// The device was revoked, or its password changed.
    #[error("the login has ended: the device was revoked or its password changed")]
    Ended,
    /// Apps listen; they have nothing to say.
    #[error("an app has nothing to say")]
    Listener,
}

#[derive(Debug)]
pub(crate) struct LoginState {
    pub device: DeviceId,
    assurance: Assurance,
    ended: AtomicBool,
    /// 0: none yet.
    link: AtomicU64,
}

impl LoginState {
    /// Ends it; the link it was on.
    pub fn end(&self) -> Option<LinkId> {
        self.ended.store(true, Ordering::Release);
        Some(self.link.load(Ordering::Acquire)).filter(|link| *link != 0).map(LinkId)
    }

    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Somebody who was let in by a password or a cable, until revoked.
#[derive(Debug)]
pub struct PasswordLogin {
    pub(crate) state: Arc<LoginState>,
    role: Role,
}

impl PasswordLogin {
    pub(crate) fn new(device: DeviceId, role: Role, assurance: Assurance) -> Self {
        let state = LoginState { device, assurance, ended: AtomicBool::new(false), link: AtomicU64::new(0) };
        Self { state: Arc::new(state), role }
    }

    /// Who.
    pub fn device(&self) -> &DeviceId {
        &self.state.device
    }

    /// How sure we are of what it says.
    pub fn assurance(&self) -> Assurance {
        self.state.assurance
    }

    /// What it may do.
    pub const fn role(&self) -> &Role {
        &self.role
    }

    /// The login is on this link: a revocation names it.
    pub fn attach(&self, link: LinkId) {
        self.state.link.store(link.0, Ordering::Release);
    }

    /// Whether it still holds.
    pub fn is_live(&self) -> bool {
        !self.state.ended()
    }

    /// Marks what came on the login's link as said by its device.
    #[allow(clippy::disallowed_methods, reason = "this crate is the one that vouches")]
    pub fn vouch(&self, link: LinkId, payload: Payload) -> Result<Authentic<Payload>, LoginEnded> {
        if self.state.ended() {
            return Err(LoginEnded::Ended);
        }
        if self.role != Role::Hub {
            return Err(LoginEnded::Listener);
        }
        self.attach(link);
        Ok(Authentic::vouch(self.state.device.clone(), self.state.assurance, link, payload))
    }
}

/// Lets few through at a time, few wait, and nobody else: argon2 takes memory.
#[derive(Debug)]
pub(crate) struct Turnstile {
    inside_max: usize,
    waiting_max: usize,
    /// Inside, waiting.
    counts: Mutex<(usize, usize)>,
    left: Condvar,
}

impl Turnstile {
    pub fn new(inside_max: usize, waiting_max: usize) -> Self {
        Self { inside_max: inside_max.max(1), waiting_max, counts: Mutex::default(), left: Condvar::new() }
    }

    /// Acts when there is room; `None` if too many wait already.
    pub fn pass<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let mut counts = self.counts.lock();
        if counts.0 >= self.inside_max {
            if counts.1 >= self.waiting_max {
                return None;
            }
            counts.1 += 1;
            self.left.wait_while(&mut counts, |counts| counts.0 >= self.inside_max);
            counts.1 -= 1;
        }
        counts.0 += 1;
        drop(counts);
        let done = act();
        self.counts.lock().0 -= 1;
        self.left.notify_one();
        Some(done)
    }
}
