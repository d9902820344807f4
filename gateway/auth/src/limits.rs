//! Bounds and rates. The defaults suit a clinic with some hundred devices.

use crate::enrol::PasswordCost;

/// A token bucket's measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// As many at once.
    pub burst: u32,
    /// Then one in so many milliseconds.
    pub refill_ms: u32,
}

/// Bounds and rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Handshakes and refused frames of one link. Beyond it the link should be closed.
    pub link: Rate,
    /// Genuine handshakes of one device, but for the link its live session is on.
    pub device: Rate,
    /// Wrong passwords in one name from one address. A right one costs nothing, here and in the next two.
    pub password: Rate,
    /// Wrong passwords from one address, in whatever names.
    pub password_peer: Rate,
    /// Wrong passwords in all.
    pub password_all: Rate,
    /// Ceilings stored for one session: a device that leaps through its counters is held back.
    pub ceiling: Rate,
    /// Handshakes begun and not confirmed, of all devices.
    pub pending_max: usize,
    /// The same, of one device.
    pub pending_per_device_max: usize,
    /// How long one may take to be confirmed.
    pub pending_ms: u32,
    /// Links with something to remember.
    pub links_max: usize,
    /// Password verifications at a time; each takes 19 MiB for some 50 ms.
    pub verifications_max: usize,
    /// Password verifications that may wait for their turn.
    pub verifications_waiting_max: usize,
    /// Work of a verification for a name that is not known: that of [`crate::enrol::password`]'s default.
    pub password_cost: PasswordCost,
    /// What a refused device is told to wait.
    pub retry_after_s: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            link: Rate { burst: 16, refill_ms: 1_000 },
            device: Rate { burst: 30, refill_ms: 1_000 },
            password: Rate { burst: 5, refill_ms: 4_000 },
            password_peer: Rate { burst: 64, refill_ms: 1_000 },
            password_all: Rate { burst: 256, refill_ms: 100 },
            ceiling: Rate { burst: 16, refill_ms: 250 },
            pending_max: 1_024,
            pending_per_device_max: 4,
            pending_ms: 10_000,
            links_max: 16_384,
            verifications_max: 1,
            verifications_waiting_max: 64,
            password_cost: PasswordCost::RECOMMENDED,
            retry_after_s: 2,
        }
    }
}
