//! Services and characteristics of the Bluetooth SIG (Assigned Numbers), and how each is listened to.

use pitchside_model::Profiles;

/// How the values of a characteristic come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Notified, at least every few seconds: silence means something is wrong.
    Streams,
    /// Notified or indicated when there is something to say.
    Speaks,
    /// Read when connected, and again now and then unless it notifies, and may be relied on to do so.
    Read,
    /// Read once when connected.
    ReadOnce,
    /// The same, and what it says decides how the others are read: without it nothing is subscribed to.
    ReadFirst,
}

/// A characteristic that is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Characteristic {
    /// 16-bit UUID.
    pub uuid: u16,
    /// How its values come.
    pub manner: Manner,
}

/// A service and what of it is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// 16-bit UUID.
    pub uuid: u16,
    /// Which bit of an enrolment asks for it.
    pub profile: Profiles,
    /// As the command line has it.
    pub word: &'static str,
    /// What is listened to.
    pub characteristics: &'static [Characteristic],
}

const fn of(uuid: u16, manner: Manner) -> Characteristic {
    Characteristic { uuid, manner }
}

use Manner::{Read, ReadFirst, ReadOnce, Speaks, Streams};

/// All services that are listened to.
pub const SERVICES: &[Service] = &[
    Service {
        uuid: 0x180D,
        profile: Profiles::HEART_RATE,
        word: "heart-rate",
        characteristics: &[of(0x2A37, Streams), of(0x2A38, ReadOnce)],
    },
    Service {
        uuid: 0x1809,
        profile: Profiles::THERMOMETER,
        word: "thermometer",
        characteristics: &[of(0x2A1D, ReadFirst), of(0x2A1C, Speaks), of(0x2A1E, Speaks)],
    },
    Service {
        uuid: 0x1810,
        profile: Profiles::BLOOD_PRESSURE,
        word: "blood-pressure",
        characteristics: &[of(0x2A49, ReadOnce), of(0x2A35, Speaks), of(0x2A36, Speaks)],
    },
    Service {
        uuid: 0x1822,
        profile: Profiles::PULSE_OXIMETER,
        word: "pulse-oximeter",
        characteristics: &[of(0x2A5E, Speaks), of(0x2A5F, Streams)],
    },
    // Speed, power and running sensors fall silent when nothing turns.
    Service {
        uuid: 0x1816,
        profile: Profiles::CYCLING_SPEED,
        word: "cycling-speed",
        characteristics: &[of(0x2A5B, Speaks)],
    },
    Service {
        uuid: 0x1818,
        profile: Profiles::CYCLING_POWER,
        word: "cycling-power",
        characteristics: &[of(0x2A63, Speaks)],
    },
    Service {
        uuid: 0x1814,
        profile: Profiles::RUNNING_SPEED,
        word: "running-speed",
        characteristics: &[of(0x2A54, ReadOnce), of(0x2A53, Speaks)],
    },
    Service {
        uuid: ENVIRONMENT,
        profile: Profiles::ENVIRONMENT,
        word: "environment",
        characteristics: &[
            of(0x2A6E, Read),
            of(0x2A6F, Read),
            of(0x2A6D, Read),
            of(0x2A6C, Read),
            of(0x2A70, Read),
            of(0x2A71, Read),
            of(0x2A72, Read),
            of(0x2A73, Read),
            of(0x2A74, Read),
            of(0x2A75, Read),
            of(0x2A76, Read),
            of(0x2A77, Read),
            of(0x2A78, Read),
            of(0x2A79, Read),
            of(0x2A7A, Read),
            of(0x2A7B, Read),
        ],
    },
    Service { uuid: 0x180F, profile: Profiles::BATTERY, word: "battery", characteristics: &[of(0x2A19, Read)] },
    // What it says is for the log (`TEXTS`, `information`): it is no reading.
    Service { uuid: 0x180A, profile: Profiles::DEVICE_INFORMATION, word: "device-information", characteristics: &[] },
];

/// Date Time: the clock of a device, in whatever service it has one. Set when connected.
pub const DATE_TIME: u16 = 0x2A08;
/// Current Time: the same, with the day of the week and parts of a second (Current Time Service 1.1, 3.1).
pub const CURRENT_TIME: u16 = 0x2A2B;
/// Local Time Information: what that clock is ahead of UTC (Current Time Service 1.1, 3.2).
pub const LOCAL_TIME: u16 = 0x2A0F;
/// Its value for a clock that keeps UTC: no quarters of an hour, no daylight saving.
pub const LOCAL_TIME_IS_UTC: [u8; 2] = [0, 0];

/// Whether a characteristic shows a clock: what it shows decides in whose time the device dates.
pub const fn is_clock(characteristic: u16) -> bool {
    matches!(characteristic, DATE_TIME | CURRENT_TIME)
}

/// Texts of Device Information, and what they tell: read for the log.
pub const TEXTS: &[(u16, &str)] = &[
    (0x2A29, "manufacturer"),
    (0x2A24, "model"),
    (0x2A25, "serial"),
    (0x2A27, "hardware"),
    (0x2A26, "firmware"),
    (0x2A28, "software"),
];

/// The service whose values notify only as a setting of each says.
pub const ENVIRONMENT: u16 = 0x181A;

/// The service whose values are shown in the log alone.
pub const DEVICE_INFORMATION: u16 = 0x180A;

/// System ID and PnP ID: Device Information that is no text.
const SYSTEM_ID: u16 = 0x2A23;
const PNP_ID: u16 = 0x2A50;

/// The most bytes of such a text that are shown.
pub const TEXT_BYTES_MAX: usize = 64;

/// What `characteristic` of `service` is listened to for, if a device with these profiles is asked for it.
pub fn wanted(profiles: Profiles, service: u16, characteristic: u16) -> Option<Characteristic> {
    let service = SERVICES.iter().find(|known| known.uuid == service && profiles.contains(known.profile))?;
    service.characteristics.iter().find(|known| known.uuid == characteristic).copied()
}

/// Profiles by their words, separated by commas; the first that is not one.
pub fn parse(words: &str) -> Result<Profiles, String> {
    words.split(',').map(str::trim).try_fold(Profiles::empty(), |profiles, word| {
        let service = SERVICES.iter().find(|service| service.word == word).ok_or_else(|| word.to_owned())?;
        Ok(profiles | service.profile)
    })
}

/// The words of profiles.
pub fn words(profiles: Profiles) -> Vec<&'static str> {
    SERVICES.iter().filter(|service| profiles.contains(service.profile)).map(|service| service.word).collect()
}

/// Whether a characteristic of Device Information is shown in the log.
pub fn is_information(characteristic: u16) -> bool {
    matches!(characteristic, SYSTEM_ID | PNP_ID) || TEXTS.iter().any(|(known, _)| *known == characteristic)
}

/// What a value of Device Information tells, and its text for the log (DIS 1.1, 3; GATT Specification Supplement).
pub fn information(characteristic: u16, bytes: &[u8]) -> Option<(&'static str, String)> {
    match characteristic {
        SYSTEM_ID => Some(("system id", system_id(bytes))),
        PNP_ID => Some(("pnp id", pnp_id(bytes))),
        _ => TEXTS.iter().find(|(known, _)| *known == characteristic).map(|(_, what)| (*what, text(bytes))),
    }
}

/// A 40-bit number of the manufacturer and its 24-bit OUI, least significant octet first; shown the other way round, as an EUI-64
/// is written.
fn system_id(bytes: &[u8]) -> String {
    match <[u8; 8]>::try_from(bytes) {
        Ok(octets) => octets.iter().rev().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join("-"),
        Err(_) => format!("{} bytes where there are 8", bytes.len()),
    }
}

/// Who numbers vendors (1: Bluetooth SIG, 2: USB-IF), vendor and product, and a version 0xJJMN that is JJ.M.N.
fn pnp_id(bytes: &[u8]) -> String {
    let Ok([source, v0, v1, p0, p1, minor, major]) = <[u8; 7]>::try_from(bytes) else {
        return format!("{} bytes where there are 7", bytes.len());
    };
    let by = match source {
        1 => "bluetooth".to_owned(),
        2 => "usb".to_owned(),
        other => format!("source {other}"),
    };
    let (vendor, product) = (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([p0, p1]));
    format!("{by} vendor {vendor:04x} product {product:04x} version {major:x}.{:x}.{:x}", minor >> 4, minor & 0x0F)
}

/// A text as shown in the log: what a device says of itself is not to be trusted with line ends or the terminal.
pub fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    String::from_utf8_lossy(shown).chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_profiles_are_the_same_thing() {
        let all = words(Profiles::all());
        assert_eq!(all.len(), SERVICES.len());
        assert_eq!(parse(&all.join(", ")), Ok(Profiles::all()));
        assert_eq!(parse("heart-rate,hart-rate"), Err("hart-rate".to_owned()));
    }

    #[test]
    fn only_what_was_enrolled_is_listened_to() {
        let strap = Profiles::HEART_RATE;
        assert_eq!(wanted(strap, 0x180D, 0x2A37).map(|known| known.manner), Some(Streams));
        assert_eq!(wanted(strap, 0x180F, 0x2A19), None, "not asked for");
        assert_eq!(wanted(strap, 0x180F, 0x2A37), None, "in the wrong service");
    }

    #[test]
    fn device_information_is_shown_octet_by_octet() {
        // Of the Bluetooth address 12:34:56:9A:BC:DE: OUI, FFFE, the rest (DIS 1.1, 3.6).
        let shown = |uuid, bytes: &[u8]| information(uuid, bytes).unwrap();
        let system = shown(0x2A23, &[0xDE, 0xBC, 0x9A, 0xFE, 0xFF, 0x56, 0x34, 0x12]);
        assert_eq!(system, ("system id", "12-34-56-ff-fe-9a-bc-de".to_owned()));
        let pnp = shown(0x2A50, &[1, 0x6B, 0, 0x2A, 1, 0x13, 2]);
        assert_eq!(pnp, ("pnp id", "bluetooth vendor 006b product 012a version 2.1.3".to_owned()));
        assert_eq!(shown(0x2A50, &[2, 0x34, 0x12, 0, 0, 0, 0x10]).1, "usb vendor 1234 product 0000 version 10.0.0");
        assert_eq!(shown(0x2A50, &[0; 7]).1, "source 0 vendor 0000 product 0000 version 0.0.0");
        assert_eq!(shown(0x2A50, &[1]).1, "1 bytes where there are 7");
        assert_eq!(shown(0x2A23, &[]).1, "0 bytes where there are 8");
        assert_eq!(shown(0x2A24, b"H10"), ("model", "H10".to_owned()));
        assert!((0x2A00..0x2B00).all(|uuid| is_information(uuid) == information(uuid, &[]).is_some()));
    }

    #[test]
    fn a_device_cannot_write_lines_into_the_log() {
        assert_eq!(text(b"Strap\n\x1b[2J9 \xff"), "Strap[2J9 \u{fffd}");
        assert_eq!(text(&[b'x'; 600]).len(), TEXT_BYTES_MAX);
    }
}
