//! A session: two keys, two counters, a window, a lifetime.
//!
//! A gateway's session survives a restart. What it may accept and send is therefore bounded by [`Ceilings`] that were
//! stored before: a counter at or above its ceiling is neither accepted nor used until a higher ceiling is stored and
//! granted. After a restart everything below the stored ceilings counts as used, so no counter can come twice.

use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::frame::{FrameError, HEADER_BYTES, Header, Kind, PLAIN_BYTES_MAX, TAG_BYTES};
use crate::ids::{Counter, Millis, SessionId};
use crate::key::KEY_BYTES;
use crate::window::{Stale, Window};

mod snapshot;
#[cfg(test)]
mod tests;
pub use snapshot::{SNAPSHOT_BYTES, Snapshot, SnapshotError};

/// Longest life of a session.
pub const SESSION_AGE_MAX_MS: u64 = 2 * 3_600 * 1_000;
/// Most bytes of frames in one direction of a session.
pub const SESSION_BYTES_MAX: u64 = 1 << 30;
/// A device begins the next handshake this long before the end of the session.
pub const RENEW_BEFORE_MS: u64 = 10 * 60 * 1_000;
/// A device begins the next handshake with this many bytes left.
pub const RENEW_BEFORE_BYTES: u64 = 64 << 20;
/// Counters by which a stored ceiling is raised.
pub const CEILING_STRIDE: u64 = 1 << 16;
/// Bytes by which a stored ceiling is raised.
pub const CEILING_STRIDE_BYTES: u64 = 16 << 20;
/// Furthest a counter may jump ahead of the highest accepted.
pub const COUNTER_LEAP_MAX: u64 = 1 << 20;

/// The two traffic keys.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TrafficKeys {
    /// Device to gateway.
    pub up: [u8; KEY_BYTES],
    /// Gateway to device.
    pub down: [u8; KEY_BYTES],
}

impl fmt::Debug for TrafficKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrafficKeys(..)")
    }
}

/// Whose end of the session this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The device's.
    Device,
    /// The gateway's.
    Gateway,
}

/// How far a session may go before more must be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceilings {
    /// Counters below it may be accepted.
    pub receive: Counter,
    /// Counters below it may be sent.
    pub transmit: Counter,
    /// Bytes that may go either way.
    pub bytes: u64,
}

impl Ceilings {
    /// For an end that forgets its sessions when it restarts: a device.
    pub const VOLATILE: Self = Self { receive: Counter(u64::MAX), transmit: Counter(u64::MAX), bytes: u64::MAX };
    /// Of a session that has not been stored.
    pub const NONE: Self = Self { receive: Counter(0), transmit: Counter(0), bytes: 0 };
}

/// Why a frame was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More than [`PLAIN_BYTES_MAX`].
    #[error("{0} bytes do not fit in a frame, which carries at most {PLAIN_BYTES_MAX}")]
    TooLong(usize),
    /// HELLO, REPLY and REFUSED are not sealed.
    #[error("a {0:?} frame is not sealed")]
    NotSealed(Kind),
    /// Two hours or 1 GiB are over.
    #[error("the session is used up: a new handshake is needed")]
    Expired,
    /// Store and grant these first, then seal again.
    #[error("the session's ceilings must be stored first")]
    CeilingNotStored(Ceilings),
}

/// Why a frame was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not a sealed frame at all.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Sealed by another session.
    #[error("the frame is of another session")]
    Session,
    /// Accepted before, or too old to tell.
    #[error("the counter was {0}")]
    Replayed(Stale),
    /// Wrong key, or a changed byte. Nothing in the frame is true.
    #[error("the frame does not authenticate")]
    Forged,
    /// Two hours or 1 GiB are over.
    #[error("the session is used up: a new handshake is needed")]
    Expired,
    /// Genuine, but below what was accepted before a restart, perhaps: the device must move on to this counter.
    #[error("the counter lies below {0}, from which the session continues after a restart")]
    BelowFloor(Counter),
    /// Genuine, but further ahead than [`COUNTER_LEAP_MAX`].
    #[error("the counter is more than {COUNTER_LEAP_MAX} ahead")]
    Leap,
    /// Genuine, but these must be stored and granted first; then open it again.
    #[error("the session's ceilings must be stored first")]
    CeilingNotStored(Ceilings),
}

/// One end of a session.
pub struct Session {
    id: SessionId,
    role: Role,
    keys: TrafficKeys,
    sealer: ChaCha20Poly1305,
    opener: ChaCha20Poly1305,
    since: Millis,
    next: Counter,
    window: Window,
    /// Counters below it may have been accepted before a restart.
    floor: Counter,
    bytes_sealed: u64,
    bytes_opened: u64,
    ceilings: Ceilings,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

fn nonce(counter: Counter) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.0.to_le_bytes());
    bytes.into()
}

impl Session {
    /// A fresh session.
    pub fn new(id: SessionId, role: Role, keys: TrafficKeys, now: Millis) -> Self {
        let ceilings = match role {
            Role::Device => Ceilings::VOLATILE,
            Role::Gateway => Ceilings::NONE,
        };
        Self::at(id, role, keys, now, Counter(0), Window::default(), ceilings)
    }

    fn at(
        id: SessionId,
        role: Role,
        keys: TrafficKeys,
        since: Millis,
        next: Counter,
        window: Window,
        ceilings: Ceilings,
    ) -> Self {
        let (out, into) = match role {
            Role::Device => (&keys.up, &keys.down),
            Role::Gateway => (&keys.down, &keys.up),
        };
        let (sealer, opener) = (ChaCha20Poly1305::new(&Key::from(*out)), ChaCha20Poly1305::new(&Key::from(*into)));
        let floor = window.next();
        Self { id, role, keys, sealer, opener, since, next, window, floor, bytes_sealed: 0, bytes_opened: 0, ceilings }
    }

    /// Its number.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// When it began.
    pub const fn since(&self) -> Millis {
        self.since
    }

    /// Two hours or 1 GiB are over: nothing more is sealed or opened.
    pub fn is_expired(&self, now: Millis) -> bool {
        now.since(self.since) >= SESSION_AGE_MAX_MS || self.bytes_used() >= SESSION_BYTES_MAX
    }

    /// A device should begin the next handshake.
    pub fn wants_renewal(&self, now: Millis) -> bool {
        now.since(self.since) >= SESSION_AGE_MAX_MS - RENEW_BEFORE_MS
            || self.bytes_used() >= SESSION_BYTES_MAX - RENEW_BEFORE_BYTES
    }

    fn bytes_used(&self) -> u64 {
        self.bytes_sealed.max(self.bytes_opened)
    }

    /// From which counter the session continues after a restart.
    pub const fn floor(&self) -> Counter {
        self.floor
    }

    /// These ceilings were stored.
    pub fn grant(&mut self, stored: Ceilings) {
        self.ceilings = stored;
    }

    /// The device moves its counter on to `next`, as an ADVANCE frame asks; it never moves back.
    pub fn advance(&mut self, next: Counter) {
        self.next = self.next.max(next);
    }

    /// Ceilings one stride above what a frame of this length needs.
    fn wanted(&self, receive: Counter, transmit: Counter, bytes: u64) -> Ceilings {
        Ceilings {
            receive: self.ceilings.receive.max(Counter(receive.0.saturating_add(CEILING_STRIDE))),
            transmit: self.ceilings.transmit.max(Counter(transmit.0.saturating_add(CEILING_STRIDE))),
            bytes: self.ceilings.bytes.max(bytes.saturating_add(CEILING_STRIDE_BYTES)),
        }
    }

    /// The ceilings to store for a session about to be used, or used up to here.
    pub fn next_ceilings(&self) -> Ceilings {
        self.wanted(self.window.next(), self.next, self.bytes_used())
    }

    /// Seals a plaintext. The frame's counter is never used again, whatever becomes of the frame.
    pub fn seal(&mut self, kind: Kind, plain: &[u8], now: Millis) -> Result<Vec<u8>, SealError> {
        self.seal_parts(kind, &[plain], now)
    }

    /// Seals the parts, one after the other, as one plaintext.
    pub fn seal_parts(&mut self, kind: Kind, parts: &[&[u8]], now: Millis) -> Result<Vec<u8>, SealError> {
        if !kind.is_sealed() {
            return Err(SealError::NotSealed(kind));
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > PLAIN_BYTES_MAX {
            return Err(SealError::TooLong(length));
        }
        // The last counter is reserved by Noise (section 5.1).
        if self.is_expired(now) || self.next.0 == u64::MAX {
            return Err(SealError::Expired);
        }
        let bytes = self.bytes_sealed.saturating_add((HEADER_BYTES + length + TAG_BYTES) as u64);
        if self.next >= self.ceilings.transmit || bytes > self.ceilings.bytes {
            return Err(SealError::CeilingNotStored(self.wanted(self.window.next(), self.next, bytes)));
        }
        let header = Header { kind, session: self.id, counter: self.next }.to_bytes();
        let mut frame = Vec::with_capacity(HEADER_BYTES + length + TAG_BYTES);
        frame.extend_from_slice(&header);
        parts.iter().for_each(|part| frame.extend_from_slice(part));
        let nonce = nonce(self.next);
        let body = &mut frame[HEADER_BYTES..];
        let tag =
            self.sealer.encrypt_inout_detached(&nonce, &header, body.into()).map_err(|_| SealError::TooLong(length))?;
        frame.extend_from_slice(&tag);
        self.next.0 += 1;
        self.bytes_sealed = bytes;
        Ok(frame)
    }

    /// Opens a frame of the peer: its plaintext, once and never again.
    pub fn open(&mut self, frame: &[u8], now: Millis) -> Result<(Header, Vec<u8>), OpenError> {
        let header = Header::parse(frame)?;
        if header.session != self.id {
            return Err(OpenError::Session);
        }
        if self.is_expired(now) || header.counter.0 == u64::MAX {
            return Err(OpenError::Expired);
        }
        match self.window.check(header.counter) {
            Ok(()) => {}
            Err(_) if header.counter < self.floor => {
                self.decrypt(header.counter, frame)?;
                return Err(OpenError::BelowFloor(self.floor));
            }
            Err(stale) => return Err(OpenError::Replayed(stale)),
        }
        let plain = self.decrypt(header.counter, frame)?;
        if header.counter.0 - self.window.next().0.min(header.counter.0) > COUNTER_LEAP_MAX {
            return Err(OpenError::Leap);
        }
        let bytes = self.bytes_opened.saturating_add(frame.len() as u64);
        if header.counter >= self.ceilings.receive || bytes > self.ceilings.bytes {
            return Err(OpenError::CeilingNotStored(self.wanted(header.counter, self.next, bytes)));
        }
        self.window.mark(header.counter);
        self.bytes_opened = bytes;
        Ok((header, plain))
    }

    fn decrypt(&self, counter: Counter, frame: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (header, body) = frame.split_at_checked(HEADER_BYTES).ok_or(OpenError::Forged)?;
        let (body, tag) = body.split_last_chunk::<TAG_BYTES>().ok_or(OpenError::Forged)?;
        let mut plain = body.to_vec();
        self.opener
            .decrypt_inout_detached(&nonce(counter), header, plain.as_mut_slice().into(), &Tag::from(*tag))
            .map_err(|_| OpenError::Forged)?;
        Ok(plain)
    }
}
