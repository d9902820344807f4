//! The script of the demo: eight athletes, what they wear, and what happens to them.

use std::path::Path;

use super::report::Expected;
use crate::cli::args::ClassArg;

/// How a sensor gets to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// MQTT over loopback TCP.
    Mqtt,
    /// MQTT over TLS.
    Tls,
    /// A serial line (a pseudo-terminal).
    Serial,
}

/// One sensor.
#[derive(Debug, Clone, Copy)]
pub struct Wearable {
    /// Its device id.
    pub device: &'static str,
    /// Who wears it.
    pub athlete: &'static str,
    /// How it proves who it is.
    pub class: ClassArg,
    /// How it gets to the gateway.
    pub way: Way,
    /// The `[sensor]` table of its specification, `{recordings}` standing for their folder.
    sensor: &'static str,
    /// Seconds into the recording, or into the exercise, at the start.
    offset_s: u32,
    /// Cut off in the middle of the run.
    unplugged: bool,
    /// The plugin that reads its payloads.
    pub decoder: Option<&'static str>,
    /// What it is, in plain words.
    pub what: &'static str,
}

const STRAP_RIDE: &str = "kind = \"chest-strap\"\nrecording = \"{recordings}/ride-1hz.csv\"";
const STRAP_RUN: &str = "kind = \"chest-strap\"\nrecording = \"{recordings}/run-1hz.csv\"";
const POWER: &str = "kind = \"power-meter\"\nrecording = \"{recordings}/ride-1hz.csv\"";
const ECG: &str = "kind = \"ecg-patch\"\nrecording = \"{recordings}/ecg-360hz.csv\"";
const PILL: &str = "kind = \"core-pill\"";
const HUB: &str = "kind = \"hub\"\nrecording = \"{recordings}/run-1hz.csv\"";

const fn strap(device: &'static str, athlete: &'static str, sensor: &'static str, offset_s: u32) -> Wearable {
    Wearable {
        device,
        athlete,
        class: ClassArg::P1,
        way: Way::Mqtt,
        sensor,
        offset_s,
        unplugged: false,
        decoder: None,
        what: "a chest strap",
    }
}

/// The squad.
pub const SQUAD: &[Wearable] = &[
    strap("strap-ada", "ada", STRAP_RUN, 200),
    Wearable {
        class: ClassArg::P0,
        sensor: PILL,
        offset_s: PILL_OFFSET_S,
        what: "a core-temperature pill; her core temperature will rise",
        ..strap("pill-ada", "ada", PILL, 0)
    },
    strap("strap-ben", "ben", STRAP_RIDE, 300),
    Wearable { what: "a power meter", ..strap("power-ben", "ben", POWER, 300) },
    Wearable {
        class: ClassArg::P0,
        way: Way::Serial,
        what: "a chest strap on a serial line, pre-shared key only",
        ..strap("strap-cai", "cai", STRAP_RIDE, 2_400)
    },
    Wearable {
        class: ClassArg::P2,
        way: Way::Tls,
        what: "a chest strap with its own key pair, over TLS",
        ..strap("strap-dee", "dee", STRAP_RUN, 900)
    },
    Wearable { what: "an ECG patch at 360 Hz", ..strap("ecg-eva", "eva", ECG, 0) },
    Wearable {
        unplugged: true,
        what: "a chest strap that will lose its link",
        ..strap("strap-fay", "fay", STRAP_RUN, 1_500)
    },
    Wearable {
        class: ClassArg::Password,
        way: Way::Tls,
        decoder: Some("sports-hub-json"),
        what: "a hub that has only a password, over TLS",
        ..strap("hub-gus", "gus", HUB, 2_000)
    },
    Wearable {
        way: Way::Serial,
        what: "a chest strap on a serial line; his heart rate will pass the ceiling",
        ..strap("strap-hal", "hal", STRAP_RIDE, 1_725)
    },
];

/// Minutes into the exercise at which the heat-balance model has the wearer close to the limit.
const PILL_OFFSET_S: u32 = 3_600;

/// When the link of the unlucky strap is cut, and for how long, in seconds on the wall.
const CUT_AT_S: u32 = 15;
const CUT_FOR_S: u32 = 8;

/// The alerts the script implies, at a speed.
pub fn expected(speed: u32) -> Vec<Expected> {
    vec![
        Expected { rule: "heart-rate-ceiling", athlete: "hal", after_s: 60 },
        Expected { rule: "heat-illness", athlete: "ada", after_s: 420 },
        // On the wall: the link is cut, and the gap must have come through.
        Expected { rule: "sensor-silent", athlete: "fay", after_s: u64::from((CUT_AT_S + 10) * speed) },
    ]
}

/// Where a sensor finds what it needs.
pub struct Places<'a> {
    /// Folder of the recordings.
    pub recordings: &'a Path,
    /// Its secret.
    pub secret: &'a Path,
    /// The gate's plain address.
    pub mqtt: std::net::SocketAddr,
    /// The gate's TLS address.
    pub tls: std::net::SocketAddr,
    /// The box's certificate authority.
    pub authority: &'a Path,
    /// Where it plugs in, if it is serial.
    pub terminal: &'a Path,
}

/// How the run is played.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Times faster than life.
    pub speed: u32,
    /// Seconds on the wall, if bounded.
    pub length_s: Option<f64>,
    /// Wall time of the common start.
    pub start_unix_ms: i64,
}

impl Wearable {
    /// The sensor's specification (TOML).
    pub fn specification(&self, places: &Places<'_>, pace: Pace) -> String {
        let quoted = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
        let to = match self.way {
            Way::Tls => format!("to = {{ address = \"{}\", ca_file = {} }}", places.tls, quoted(places.authority)),
            Way::Mqtt | Way::Serial => format!("to = {{ address = \"{}\" }}", places.mqtt),
        };
        let secret = quoted(places.secret);
        let link = match (self.class, self.way) {
            (ClassArg::Password, _) => format!("over = \"password\"\npassword_file = {secret}\n{to}"),
            (_, Way::Serial) => {
                format!("over = \"serial\"\nsecret_file = {secret}\npath = {}", quoted(places.terminal))
            }
            _ => format!("over = \"mqtt\"\nsecret_file = {secret}\n{to}"),
        };
        let recordings = places.recordings.display().to_string();
        let sensor = self.sensor.replace("{recordings}", &recordings);
        let length = pace.length_s.map_or_else(String::new, |length| format!("duration_s = {length}\n"));
        let faults = if self.unplugged {
            let (at, long) = (CUT_AT_S * pace.speed, CUT_FOR_S * pace.speed);
            format!("\n[faults]\nunplugged = {{ at_s = {at}.0, for_s = {long}.0 }}\n")
        } else {
            String::new()
        };
        format!(
            "device = \"{}\"\n\n[link]\n{link}\n\n[sensor]\n{sensor}\n\n[replay]\nspeed = {}.0\noffset_s = {}.0\n{length}start_unix_ms = {}\n{faults}",
            self.device, pace.speed, self.offset_s, pace.start_unix_ms
        )
    }
}
