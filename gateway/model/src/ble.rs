//! Bluetooth Low Energy devices: their address, how they are bonded, and what they are asked for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A device's address as its label and every tool show it: `F0:F1:F2:F3:F4:01`. For a device that changes its address it is
/// the identity address, which it tells when it bonds (Core 5.4, vol. 3 part H, 3.6.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BleAddress(pub [u8; 6]);

/// What an address is if it is a random one, by its two highest bits (Core 5.4, vol. 6 part B, 1.3.2). Whether it is one, rather than
/// public, the address does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RandomAddress {
    /// Kept until the device is switched off, at least.
    Static,
    /// Changed every few minutes; whoever bonded with the device recognises it all the same.
    Resolvable,
    /// Changed, and recognised by nobody.
    NonResolvable,
    /// None: such an address is public.
    Reserved,
}

impl BleAddress {
    /// What it is if it is a random one.
    pub const fn if_random(self) -> RandomAddress {
        match self.0[0] >> 6 {
            0b11 => RandomAddress::Static,
            0b01 => RandomAddress::Resolvable,
            0b00 => RandomAddress::NonResolvable,
            _ => RandomAddress::Reserved,
        }
    }
}

/// Not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a Bluetooth address has six pairs of hexadecimal digits: F0:F1:F2:F3:F4:01")]
pub struct BleAddressError;

impl FromStr for BleAddress {
    type Err = BleAddressError;

    fn from_str(text: &str) -> Result<Self, BleAddressError> {
        let mut bytes = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair =
                pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or(BleAddressError)?;
        }
        if pairs.next().is_some() { Err(BleAddressError) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for BleAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{g:02X}")
    }
}
impl fmt::Debug for BleAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bits of the key a bonded link must be encrypted with.
pub const BOND_KEY_BITS: u16 = 128;

/// The bond a link is encrypted with, as the host's own store of keys says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bond {
    /// Made by LE Secure Connections (P-256), not by legacy pairing, whose keys an eavesdropper can compute.
    pub secure_connections: bool,
    /// Nobody stood in the middle: a code was compared or typed in.
    pub authenticated: bool,
    /// Length of the key.
    pub key_bits: u16,
}

/// How a device is bonded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// The device has neither display nor keyboard: nobody listens in later, but who stood in the middle of the pairing
    /// is not known. Pair it where nobody else is.
    JustWorks,
    /// Six digits: printed on the device, or shown by it while pairing. Without them the gateway waits for somebody to
    /// read them off and tell it.
    Code(Option<u32>),
}

/// The greatest code, of six digits.
pub const CODE_MAX: u32 = 999_999;

impl fmt::Debug for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JustWorks => "JustWorks",
            Self::Code(Some(_)) => "Code(hidden)",
            Self::Code(None) => "Code(to be read off)",
        })
    }
}

bitflags::bitflags! {
    /// What a bonded device is asked for: services of the Bluetooth SIG.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Profiles: u32 {
        /// Heart Rate, 0x180D.
        const HEART_RATE = 1;
        /// Health Thermometer, 0x1809.
        const THERMOMETER = 2;
        /// Blood Pressure, 0x1810.
        const BLOOD_PRESSURE = 4;
        /// Pulse Oximeter, 0x1822.
        const PULSE_OXIMETER = 8;
        /// Cycling Speed and Cadence, 0x1816.
        const CYCLING_SPEED = 16;
        /// Cycling Power, 0x1818.
        const CYCLING_POWER = 32;
        /// Running Speed and Cadence, 0x1814.
        const RUNNING_SPEED = 64;
        /// Environmental Sensing, 0x181A.
        const ENVIRONMENT = 128;
        /// Battery, 0x180F.
        const BATTERY = 256;
        /// Device Information, 0x180A.
        const DEVICE_INFORMATION = 512;
    }
}

/// What is asked of a bonded device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bonding {
    /// How it is bonded.
    pub pairing: Pairing,
    /// Services it is asked for; what else it offers is left alone.
    pub profiles: Profiles,
}

impl Serialize for BleAddress {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for BleAddress {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_six_pairs_and_nothing_else() {
        let address: BleAddress = "f0:F1:f2:F3:f4:01".parse().unwrap();
        assert_eq!(address.to_string(), "F0:F1:F2:F3:F4:01");
        for wrong in
            ["", "F0:F1:F2:F3:F4", "F0:F1:F2:F3:F4:01:02", "F0-F1-F2-F3-F4-01", "+0:F1:F2:F3:F4:01", "F0:F1:F2:F3:F4:1"]
        {
            assert_eq!(wrong.parse::<BleAddress>(), Err(BleAddressError), "{wrong}");
        }
    }

    #[test]
    fn the_highest_bits_say_what_a_random_address_is() {
        let what = |text: &str| text.parse::<BleAddress>().unwrap().if_random();
        assert_eq!(what("F0:F1:F2:F3:F4:01"), RandomAddress::Static);
        assert_eq!(what("4A:F1:F2:F3:F4:01"), RandomAddress::Resolvable);
        assert_eq!(what("7F:FF:FF:FF:FF:FF"), RandomAddress::Resolvable);
        assert_eq!(what("3A:F1:F2:F3:F4:01"), RandomAddress::NonResolvable);
        assert_eq!(what("8A:F1:F2:F3:F4:01"), RandomAddress::Reserved);
    }

    #[test]
    fn a_code_is_never_printed() {
        assert!(!format!("{:?}", Pairing::Code(Some(123_456))).contains("123"));
    }
}
