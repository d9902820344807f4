//! Three clocks: the recording's, the wall's and the device's.
//!
//! At speed 1 the device's clock is the wall's. At speed S a recording runs S times faster than the wall, but its readings
//! must stay spaced as they were recorded, or a rule that looks at minutes would see seconds. So the sensor behaves as one
//! that was out of reach and catches up: it dates its first reading (S - 1) x duration into the past, and its last one now.
//! Early readings of such a run arrive flagged as late, which is what they would be; none is ever ahead of the gateway.

/// Where the recording stands against the wall.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Wall time at the start, microseconds since 1970.
    pub start_us: i64,
    /// Seconds of recording a second.
    pub speed: f64,
    /// Seconds of wall time the replay takes.
    pub duration_s: f64,
    /// How far the device's clock is ahead of the truth, in microseconds.
    pub skew_us: i64,
}

impl Pace {
    /// Device time of something `played_us` into the replay.
    pub fn device_us(&self, played_us: i64) -> i64 {
        let behind_s = (self.speed - 1.0).max(0.0) * self.duration_s;
        self.start_us - (behind_s * 1e6) as i64 + played_us + self.skew_us
    }

    /// Wall time, in microseconds since the start, at which it happens.
    pub fn wall_us(&self, played_us: i64) -> i64 {
        (played_us as f64 / self.speed) as i64
    }

    /// How much of the recording is replayed, in microseconds.
    pub fn length_us(&self) -> i64 {
        (self.duration_s * self.speed * 1e6) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_replay_is_spaced_as_recorded_and_ends_now() {
        let pace = Pace { start_us: 1_000_000_000, speed: 10.0, duration_s: 60.0, skew_us: 0 };
        assert_eq!(pace.device_us(1_000_000) - pace.device_us(0), 1_000_000);
        assert_eq!(pace.device_us(pace.length_us()), pace.start_us + pace.wall_us(pace.length_us()));
        assert!((0..600).all(|s| pace.device_us(s * 1_000_000) <= pace.start_us + pace.wall_us(s * 1_000_000)));
    }

    #[test]
    fn at_speed_one_the_device_has_the_right_time() {
        let pace = Pace { start_us: 5, speed: 1.0, duration_s: 60.0, skew_us: 7 };
        assert_eq!(pace.device_us(3_000_000), 3_000_012);
        assert_eq!(pace.wall_us(3_000_000), 3_000_000);
    }
}
