//! What sensors need to know of the clinic: where the gate is, and what time it is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use gatewayd::clock::Clock;
use pitchside_wire::Millis;

/// Where and when.
pub struct Site {
    mqtt: Mutex<SocketAddr>,
    clock: Clock,
    began_ms: i64,
    born: Instant,
    dir: PathBuf,
}

impl Site {
    /// A clinic in this folder.
    pub fn new(dir: &Path, mqtt: SocketAddr, clock: Clock) -> Self {
        let began_ms = clock.now().millis();
        Self { mqtt: Mutex::new(mqtt), clock, began_ms, born: Instant::now(), dir: dir.to_owned() }
    }

    /// The clinic's clock, milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.clock.now().millis()
    }

    /// An instant for `device-sdk`: the real time that went by, and what a clock turned by hand was turned.
    pub fn instant(&self) -> Millis {
        let turned = match self.clock {
            Clock::System => 0,
            Clock::Manual(_) => self.now_ms() - self.began_ms,
        };
        let turned = u64::try_from(turned).expect("the clock is turned forward");
        Millis(turned + u64::try_from(self.born.elapsed().as_millis()).expect("a short test"))
    }

    /// Where the gate listens without TLS.
    pub fn mqtt(&self) -> SocketAddr {
        *self.mqtt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It listens elsewhere now.
    pub fn moved(&self, mqtt: SocketAddr) {
        *self.mqtt.lock().unwrap_or_else(PoisonError::into_inner) = mqtt;
    }

    /// The gateway's end of a device's cable.
    pub fn cable(&self, id: &str) -> PathBuf {
        self.dir.join("tty").join(id)
    }
}
