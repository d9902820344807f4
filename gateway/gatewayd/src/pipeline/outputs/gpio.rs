//! Pulses on a line of a GPIO chip: a buzzer, a lamp. Through Linux' character devices (uAPI v2); while a pattern runs the line is
//! ours, and it goes off however that ends.

use std::time::Duration;

use gpiocdev::Request;
use gpiocdev::line::Value;

use super::carry::CarryError;

/// Something that is on or off.
pub trait Line {
    /// Sets it; why not, in a sentence.
    fn set(&self, on: bool) -> Result<(), String>;
}

/// A line of a chip, held.
struct ChipLine(Request);

impl Line for ChipLine {
    fn set(&self, on: bool) -> Result<(), String> {
        let value = if on { Value::Active } else { Value::Inactive };
        self.0.set_lone_value(value).map_err(|error| error.to_string())
    }
}

/// Off at the end, also when the one who pulses is stopped in the middle.
struct OffAtLast<'a, L: Line>(&'a L);

impl<L: Line> Drop for OffAtLast<'_, L> {
    fn drop(&mut self) {
        if let Err(error) = self.0.set(false) {
            tracing::warn!(%error, "a line could not be switched off");
        }
    }
}

/// Carries a pattern out: milliseconds on, off, on …
pub async fn pulse(line: &impl Line, pattern: &[i64]) -> Result<(), String> {
    let _off = OffAtLast(line);
    for (number, ms) in pattern.iter().enumerate() {
        line.set(number % 2 == 0)?;
        tokio::time::sleep(Duration::from_millis(ms.unsigned_abs())).await;
    }
    Ok(())
}

/// Carries a pattern out on a line of `/dev/CHIP`.
pub async fn pulse_chip(chip: &str, line: i64, active_low: bool, pattern: &[i64]) -> Result<(), CarryError> {
    let offset = u32::try_from(line).map_err(|_| CarryError::Never(format!("{line} is no line")))?;
    let mut builder = Request::builder();
    builder.on_chip(format!("/dev/{chip}")).with_consumer("pitchside").with_line(offset);
    if active_low {
        builder.as_active_low();
    }
    let held = builder.as_output(Value::Inactive).request();
    let held = held.map_err(|error| CarryError::Later(format!("/dev/{chip} line {line}: {error}")))?;
    pulse(&ChipLine(held), pattern).await.map_err(CarryError::Later)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::FutureExt as _;
    use parking_lot::Mutex;

    use super::*;

    /// Writes down what it is set to.
    #[derive(Default)]
    struct Noted {
        seen: Mutex<Vec<bool>>,
        fails_at: Option<usize>,
    }

    impl Line for Noted {
        fn set(&self, on: bool) -> Result<(), String> {
            let mut seen = self.seen.lock();
            seen.push(on);
            if Some(seen.len()) == self.fails_at { Err("the chip is gone".to_owned()) } else { Ok(()) }
        }
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "how long it took")]
    async fn a_pattern_is_on_and_off_in_turn_and_ends_off() {
        let (line, begun) = (Noted::default(), Instant::now());
        pulse(&line, &[10, 20, 30]).await.unwrap();
        assert_eq!(*line.seen.lock(), [true, false, true, false]);
        assert!(begun.elapsed() >= Duration::from_millis(60));
    }

    #[tokio::test]
    async fn it_goes_off_when_it_is_stopped_in_the_middle_or_fails() {
        let line = Noted::default();
        assert_eq!(pulse(&line, &[5_000]).now_or_never(), None, "it sounds");
        assert_eq!(*line.seen.lock(), [true, false]);
        let line = Noted { fails_at: Some(2), ..Noted::default() };
        assert_eq!(pulse(&line, &[10, 10, 10]).await, Err("the chip is gone".to_owned()));
        assert_eq!(*line.seen.lock(), [true, false, false]);
    }

    #[tokio::test]
    async fn a_chip_that_is_not_there_may_come() {
        let error = pulse_chip("gpiochip250", 1, false, &[10]).await.unwrap_err();
        assert!(matches!(&error, CarryError::Later(why) if why.contains("/dev/gpiochip250")), "{error:?}");
    }
}
