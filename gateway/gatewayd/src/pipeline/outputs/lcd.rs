//! A character display on an I2C bus: the bytes of [`super::hd44780`] through `/dev/i2c-N`. Scripts never write to the bus themselves:
//! clocks and power supplies sit on it, too.

use std::path::PathBuf;

use i2cdev::linux::LinuxI2CDevice;

use super::carry::CarryError;
use super::hd44780::{Act, show};

/// Bytes in one transfer: adapters that go through SMBus take no more than 32.
const TRANSFER_BYTES_MAX: usize = 32;

/// Something on a bus.
pub trait Bus {
    /// Writes; why not, in a sentence.
    fn write(&mut self, bytes: &[u8]) -> Result<(), String>;
}

impl Bus for LinuxI2CDevice {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        i2cdev::core::I2CDevice::write(self, bytes).map_err(|error| error.to_string())
    }
}

/// Does everything of a list, in this thread.
#[allow(clippy::disallowed_methods, reason = "the display's own times, in a thread made for waiting")]
pub fn carry_out(bus: &mut impl Bus, acts: &[Act]) -> Result<(), String> {
    for act in acts {
        match act {
            Act::Wait(time) => std::thread::sleep(*time),
            Act::Write(bytes) => bytes.chunks(TRANSFER_BYTES_MAX).try_for_each(|bytes| bus.write(bytes))?,
        }
    }
    Ok(())
}

/// Shows lines on the display at this address.
pub async fn display(bus: &str, address: i64, lines: &[String]) -> Result<(), CarryError> {
    let path = PathBuf::from(format!("/dev/{bus}"));
    let address = u16::try_from(address).map_err(|_| CarryError::Never(format!("{address} is no address")))?;
    let acts = show(lines);
    let shown = tokio::task::spawn_blocking(move || {
        let at = |why: String| format!("{} at 0x{address:02x}: {why}", path.display());
        // Refused by the kernel if a driver of its own sits at that address.
        let mut device = LinuxI2CDevice::new(&path, address).map_err(|error| at(error.to_string()))?;
        carry_out(&mut device, &acts).map_err(at)
    });
    match shown.await {
        Ok(shown) => shown.map_err(CarryError::Later),
        Err(error) => Err(CarryError::Later(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Noted(Vec<Vec<u8>>);

    impl Bus for Noted {
        fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
            self.0.push(bytes.to_vec());
            if self.0.len() > 99 { Err("nobody answers".to_owned()) } else { Ok(()) }
        }
    }

    #[test]
    fn transfers_are_short_and_in_order() {
        let lines = vec!["12345678901234567890".to_owned(); 4];
        let mut bus = Noted(Vec::new());
        carry_out(&mut bus, &show(&lines)).unwrap();
        assert!(bus.0.iter().all(|bytes| bytes.len() <= TRANSFER_BYTES_MAX));
        let all = show(&lines).into_iter().flat_map(|act| if let Act::Write(bytes) = act { bytes } else { Vec::new() });
        assert_eq!(bus.0.concat(), all.collect::<Vec<u8>>());
        let mut silent = Noted(vec![Vec::new(); 99]);
        assert_eq!(carry_out(&mut silent, &show(&lines)), Err("nobody answers".to_owned()));
    }

    #[tokio::test]
    async fn a_bus_that_is_not_there_may_come() {
        let error = display("i2c-250", 0x27, &[]).await.unwrap_err();
        assert!(matches!(&error, CarryError::Later(why) if why.contains("/dev/i2c-250")), "{error:?}");
    }
}
