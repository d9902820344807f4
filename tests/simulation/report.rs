//! What a sensor says of itself: JSON lines on standard output, for whoever started it.

use std::io::Write as _;

use serde::Serialize;

use crate::source::Measured;

/// Everything counted so far. A reading is what the gateway counts as one: a waveform is one, with samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages measured.
    pub messages: u64,
    /// Readings in them.
    pub readings: u64,
    /// Waveform samples in them.
    pub samples: u64,
    /// Readings whose receipt has come: R0 inside the PS/1 session, the PUBACK for a hub.
    pub acknowledged: u64,
    /// Readings refused by the gateway, with a reason.
    pub refused: u64,
    /// Sessions begun or resumed.
    pub connected: u64,
}

impl Counts {
    /// One more message.
    pub fn add(&mut self, measured: &Measured) {
        self.messages += 1;
        self.readings += measured.readings;
        self.samples += measured.samples;
    }

    /// Readings of whose fate nothing is known.
    pub fn unknown(&self) -> u64 {
        self.readings - self.acknowledged - self.refused
    }
}

/// A line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// Ready to measure.
    Started {
        /// Device time of the first reading, microseconds since 1970.
        first_us: i64,
        /// Seconds of wall time until the last.
        duration_s: f64,
    },
    /// The gateway knows us.
    Connected,
    /// The line is down, or could not be had.
    Disconnected {
        /// Why.
        reason: &'a str,
    },
    /// Unplugged on purpose.
    Unplugged,
    /// The gateway refused a message.
    Refused {
        /// Its number.
        seq: u64,
        /// The reason's number.
        reason: u8,
        /// In words.
        text: &'a str,
    },
    /// About once a second.
    Progress(Counts),
    /// The last line.
    Finished {
        /// Everything counted.
        #[serde(flatten)]
        counts: Counts,
        /// Readings without receipt or refusal.
        lost: u64,
        /// Whether all was receipted.
        ok: bool,
    },
}

/// Prints a line.
pub fn say(device: &str, event: &Event<'_>) {
    #[derive(Serialize)]
    struct Line<'a> {
        device: &'a str,
        #[serde(flatten)]
        event: &'a Event<'a>,
    }
    // Nobody listening is no reason to stop measuring.
    if let Ok(line) = serde_json::to_string(&Line { device, event }) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}
