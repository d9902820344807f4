//! What this clinic has that firmware is made for. Remembered, so that a release is here before a sensor asks for it.

use std::collections::BTreeSet;

use ledger_block::release::{Component, HardwareId, Target};
use parking_lot::Mutex;
use pitchside_store::{Store, StoreError};
use tokio::sync::watch;

/// Lines remembered: no clinic has so many kinds of hardware.
pub const LINES_MAX: usize = 64;
/// Where they are kept: one a line, `sensor strap-firmware strap-r2`.
const KEPT: &str = "firmware-lines";

/// Target, component, hardware: what has versions that only rise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Sensor or box.
    pub target: Target,
    /// Which of its components.
    pub component: Component,
    /// Its board.
    pub hardware: HardwareId,
}

impl Line {
    fn text(&self) -> String {
        format!("{} {} {}", self.target.word(), self.component, self.hardware)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let target = words.next()?;
        let target = [Target::Sensor, Target::Box].into_iter().find(|known| known.word() == target)?;
        let (component, hardware) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        words.next().is_none().then_some(Self { target, component, hardware })
    }
}

/// The lines of this clinic.
pub struct Lines {
    store: Store,
    lines: Mutex<BTreeSet<Line>>,
    changed: watch::Sender<()>,
}

impl Lines {
    /// Takes up those remembered. What cannot be read is learnt again from the devices.
    pub fn open(store: &Store) -> Self {
        let text = store.meta(KEPT).unwrap_or_else(|error| {
            tracing::warn!(%error, "which hardware this clinic has is not known; devices will say it again");
            None
        });
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let lines = text.lines().filter_map(Line::parse).take(LINES_MAX).collect();
        Self { store: store.clone(), lines: Mutex::new(lines), changed: watch::Sender::new(()) }
    }

    /// This clinic has such a thing. Durable when it returns; blocks if it is new.
    ///
    /// # Errors
    /// The store refused; it is known until the next start.
    pub fn has(&self, line: Line) -> Result<(), StoreError> {
        let text = {
            let mut lines = self.lines.lock();
            if lines.contains(&line) {
                return Ok(());
            }
            if lines.len() >= LINES_MAX {
                tracing::warn!(
                    line = line.text(),
                    "too many kinds of hardware; firmware for this one is fetched only by others"
                );
                return Ok(());
            }
            lines.insert(line);
            lines.iter().map(|line| line.text() + "\n").collect::<String>()
        };
        self.changed.send_replace(());
        self.store.set_meta(KEPT, text.as_bytes())
    }

    /// All of them.
    pub fn all(&self) -> Vec<Line> {
        self.lines.lock().iter().cloned().collect()
    }

    /// Changes with each new one.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_written_and_nothing_else_reads() {
        let line =
            Line { target: Target::Sensor, component: "strap".parse().unwrap(), hardware: "r2".parse().unwrap() };
        assert_eq!(Line::parse(&line.text()), Some(line));
        for bad in ["", "sensor", "sensor strap", "lamp strap r2", "sensor strap r2 more", "sensor ../x r2"] {
            assert_eq!(Line::parse(bad), None, "{bad}");
        }
    }
}
