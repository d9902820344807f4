//! The sections. Their comments are the manual: `pitchside config explain KEY` prints them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use pitchside_model::{DeviceId, PluginName};
use serde::Serialize;

use crate::delivery::{EscalateAfter, Every, EveryOf, LEVELS_MAX, Period, Route, Routes, Span, Waits, Zone};
use crate::pattern::BytePattern;
use crate::schema::section;
use crate::shape::{
    Adapter, At, DiscoverMode, Hello, Hex32, HostPort, Hosts, List, Loopback, Maybe, Mode, Name, OrOff, Pattern,
    ScanMode, Socket, Whole, ZeroOr,
};

/// The least of `firmware.serve_bytes_per_s_max`: two boxes that are served at once have what they need to bear it.
pub const SERVE_BYTES_PER_S_MIN: u64 = 64 << 10;

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Settings {
    /// The box itself.
    pub gateway: Gateway,
    /// The MQTT gate.
    pub mqtt: Mqtt,
    /// Serial lines. Written as none: `serial = []` would be in the way of the first `[[serial]]` somebody adds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub serial: Vec<SerialPort>,
    /// Bluetooth adapters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ble: Vec<BleAdapter>,
    /// Bluetooth as a whole.
    pub bluetooth: Bluetooth,
    /// The page and its API.
    pub http: Http,
    /// Where blocks go; none: they stay on the box.
    pub ledger: Option<Ledger>,
    /// When blocks close.
    pub blocks: Blocks,
    /// Firmware releases.
    pub firmware: Firmware,
    /// The journal.
    pub journal: Journal,
    /// What device clocks may do.
    pub clock: ClockTolerance,
    /// The clinic's rules.
    pub rules: Library,
    /// The integrators' plugins.
    pub plugins: Library,
    /// Who is told of alerts, and when.
    pub delivery: Delivery,
}

#[expect(clippy::expect_used, reason = "a constant; every test that loads settings parses it")]
fn default_name() -> DeviceId {
    DeviceId::parse("pitchside").expect("a name")
}

section! {
    all default
    /// The box itself.
    struct Gateway in "gateway" {
        /// What the box is called, in certificates and logs. A name: letters, digits, '-', '_', '.'.
        name: DeviceId = default_name(), Name;
        /// Folder of the database: journal, blocks, devices, alerts. Only the service's user may read it.
        data_dir: PathBuf = PathBuf::from("/var/lib/pitchside/data"), At;
        /// Folder of the box's keys. Whoever reads it reads everything; back it up apart from the data.
        key_dir: PathBuf = PathBuf::from("/var/lib/pitchside/keys"), At;
        /// Seconds without a word after which a stream is recorded as silent. Slow streams get eight times their
        /// usual interval.
        silent_after_s: u32 = 15, Whole { min: 1, max: 86_400 };
    }
}

section! {
    all default
    /// The MQTT gate.
    struct Mqtt in "mqtt" {
        /// Addresses for MQTT without TLS: loopback only, none by default.
        tcp: Vec<SocketAddr> = Vec::new(), List(Loopback);
        /// Address for MQTT with TLS, e.g. 0.0.0.0:8883, or "off". Clients trust keys/ca.pem.
        tls: Option<SocketAddr> = None, OrOff(Socket);
        /// Address for MQTT over WebSocket over TLS, or "off".
        websocket: Option<SocketAddr> = None, OrOff(Socket);
        /// MQTT connections at a time; further ones are refused.
        connections_max: u32 = 2_048, Whole { min: 1, max: 65_536 };
    }
}

/// What is spoken on a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SerialMode {
    /// PS/1 frames in COBS.
    Ps1,
    /// Lines of SenML-JSON from a device that can't authenticate: assurance `wired`.
    Wired,
    /// Packets of one length, from such a device.
    Packets,
}

section! {
    /// Serial lines, one [[serial]] each.
    struct SerialPort in "serial" {
        /// Device file of the line, e.g. /dev/ttyUSB0 or, the same after replugging, /dev/serial/by-id/... It may come
        /// and go.
        path: PathBuf, At;
        /// Bits a second.
        baud: u32 = 115_200, Whole { min: 300, max: 4_000_000 };
        /// ps1: frames in COBS, authenticated. wired: lines of text from a device that can't authenticate, SenML-JSON or what its
        /// decoder reads. packets: binary packets of one length, from such a device, for its decoder.
        mode: SerialMode = SerialMode::Ps1, Mode;
        /// For wired lines and packets: the device they are from.
        device: Option<DeviceId> = None, Maybe(Name);
        /// For packets: the bytes of each.
        packet_bytes: Option<u16> = None, Maybe(Whole { min: 2, max: 1_024 });
        /// For packets: how each begins, two hexadecimal digits a byte, ? for a digit that may be any, e.g. a0.
        packet_begins: Option<BytePattern> = None, Maybe(Pattern);
        /// For packets: how each ends, if that is fixed, e.g. c?.
        packet_ends: Option<BytePattern> = None, Maybe(Pattern);
        /// For packets: how many make one message; fewer do after a quarter of a second.
        packets_together: u8 = 25, Whole { min: 1, max: 100 };
        /// Said to the device when the line was opened, e.g. the command that makes it send.
        hello: Option<String> = None, Maybe(Hello);
    }
}

impl SerialPort {
    /// A line of PS/1 at the usual speed.
    pub fn ps1(path: PathBuf) -> Self {
        Self {
            path,
            baud: 115_200,
            mode: SerialMode::Ps1,
            device: None,
            packet_bytes: None,
            packet_begins: None,
            packet_ends: None,
            packets_together: 25,
            hello: None,
        }
    }
}

/// How an adapter listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BleScan {
    /// Listening only.
    Passive,
    /// Asking every device for more.
    Active,
}

section! {
    /// Bluetooth adapters, one [[ble]] each. Devices are enrolled with `pitchside device enrol --address`.
    struct BleAdapter in "ble" {
        /// The adapter: hci0, or its own address, the same after replugging. It may come and go.
        adapter: String, Adapter;
        /// Connections it may hold at a time; devices beyond that take turns. Few controllers hold more than 8.
        slots: u32 = 6, Whole { min: 1, max: 32 };
        /// passive: listen only; needs `Experimental = true` in /etc/bluetooth/main.conf, else the adapter scans actively.
        /// active: ask every device for more, all the time.
        scan: BleScan = BleScan::Passive, ScanMode;
    }
}

section! {
    all default
    /// Bluetooth as a whole.
    struct Bluetooth in "bluetooth" {
        /// Seconds a device keeps its connection before it may be asked to make room for one that waits.
        turn_s: u32 = 60, Whole { min: 5, max: 86_400 };
        /// Seconds without a word after which a connected stream (heart rate, oximeter) is disconnected and tried again.
        stall_s: u32 = 20, Whole { min: 2, max: 3_600 };
        /// Circumference in millimetres of the wheels that cycling sensors count, so that they have a speed; 0: not known.
        wheel_mm: u32 = 0, ZeroOr(Whole { min: 500, max: 4_000 });
        /// Time zone of sensors that keep local time and whose clock cannot be set, by its name in the IANA database, e.g.
        /// Europe/Berlin; unless it is set, that of `delivery.zone`. A clock that can be set is set to UTC, and read so.
        zone: Option<String> = None, Maybe(Zone);
        /// Folder with what BlueZ stored of bonds: /var/lib/bluetooth if the gateway may read it, else a copy without keys
        /// made by `pitchside device bonds --out`. What it does not show to be LE Secure Connections is refused.
        bonds: PathBuf = PathBuf::from("/var/lib/bluetooth"), At;
    }
}

section! {
    all default
    /// The page and its API.
    struct Http in "http" {
        /// Where the page and its API listen, with TLS.
        address: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8_443)), Socket;
        /// Names and addresses the page may be asked for by; they also stand in its certificate.
        hosts: Vec<String> = vec!["localhost".to_owned(), "127.0.0.1".to_owned()], Hosts;
    }
}

section! {
    /// Where blocks go. Without a [ledger] section they stay on the box.
    struct Ledger in "ledger" {
        /// HOST:PORT of the ledger's ingest.
        address: String, HostPort;
        /// The ledger's X25519 public key, 64 hexadecimal digits.
        public_key: String, Hex32;
        /// C2SP policy file that names the key the ledger signs checkpoints with.
        policy: PathBuf, At;
    }
}

section! {
    all default
    /// When blocks close. A high alert closes one at once.
    struct Blocks in "blocks" {
        /// A block closes after so many milliseconds, if there is anything to seal.
        interval_ms: u64 = 60_000, Whole { min: 100, max: 86_400_000 };
        /// A block closes at so many bytes of readings.
        bytes_max: u64 = 1 << 20, Whole { min: 4_096, max: 8 << 20 };
    }
}

/// How other boxes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discover {
    /// By mDNS.
    Mdns,
    /// Not at all.
    Off,
}

section! {
    all default
    /// Firmware releases.
    struct Firmware in "firmware" {
        /// File of the first release policy, as its signers made it. Without it no release is believed, and nothing is
        /// updated.
        release_policy: Option<PathBuf> = None, Maybe(At);
        /// Releases under a policy that asks for fewer signatures are refused. 1 accepts that one stolen key is enough.
        signatures_min: u8 = 2, Whole { min: 1, max: 16 };
        /// Hours after which a checkpoint the ledger has not confirmed again is stale: no update begins, since a halt may
        /// have been kept back.
        checkpoint_age_h_max: u32 = 168, Whole { min: 1, max: 8_760 };
        /// Seconds between two questions to the ledger about firmware: a pause or a halt is heard within that time.
        ask_s: u32 = 60, Whole { min: 1, max: 3_600 };
        /// Bytes of firmware kept on the disk; the oldest gives way to newer ones.
        store_bytes_max: u64 = 1 << 30, Whole { min: 1 << 20, max: 1 << 40 };
        /// HOST:PORT of the ledger's HTTP face, whose store has every release. Without it firmware comes only from boxes
        /// on the LAN.
        ledger_store: Option<String> = None, Maybe(HostPort);
        /// The ledger's store is asked for a release only after a random time up to this many seconds: boxes nearby may have
        /// it by then, and not all boxes ask at once.
        ledger_store_wait_s_max: u32 = 60, Whole { min: 0, max: 86_400 };
        /// Address where other boxes on the LAN ask for firmware, e.g. 0.0.0.0:7790, or "off". It answers for releases in
        /// the ledger and nothing else.
        listen: Option<SocketAddr> = None, OrOff(Socket);
        /// Whether boxes on the LAN are looked for, and this one announced, by mDNS: mdns or off. It takes `listen`.
        discover: Discover = Discover::Mdns, DiscoverMode;
        /// Addresses of boxes to ask beside those found by mDNS, where a network does not carry it.
        boxes: Vec<SocketAddr> = Vec::new(), List(Socket);
        /// Bytes a second fetched at most, over all sources.
        fetch_bytes_per_s_max: u64 = 4_000_000, Whole { min: 10_000, max: 1_000_000_000 };
        /// Bytes a second given to other boxes at most. A box that gets less than 32 KiB a second takes the giver for one that
        /// stalls, and asks it no more for an hour: to give nothing, leave `listen` off.
        serve_bytes_per_s_max: u64 = 12_500_000, Whole { min: SERVE_BYTES_PER_S_MIN, max: 1_000_000_000 };
        /// File in which the box's image says its hardware id, version and security counter. Where there is none the machine
        /// is no appliance, and is not updated from the ledger.
        box_image: PathBuf = PathBuf::from("/usr/lib/pitchside/firmware"), At;
    }
}

section! {
    all default
    /// The journal.
    struct Journal in "journal" {
        /// Seconds for which sealed readings stay in the journal, so that a restart can rebuild what the rules know.
        horizon_s: u32 = 1_800, Whole { min: 0, max: 2_592_000 };
        /// Bytes of disk that readings may not use up: receipts, alerts and deletions still need room.
        reserve_bytes: u64 = 64 << 20, Whole { min: 0, max: 1 << 40 };
        /// The database grows no larger than this; 0 is no limit.
        database_bytes_max: u64 = 0, ZeroOr(Whole { min: 16 << 20, max: 1 << 40 });
    }
}

section! {
    all default
    /// What device clocks may do before a reading is flagged, and how far the gateway's own is believed.
    struct ClockTolerance in "clock" {
        /// Readings further ahead of the gateway's clock, in seconds, are flagged `future`.
        future_s: u32 = 120, Whole { min: 0, max: 86_400 };
        /// Readings further behind the gateway's clock, in seconds, are flagged `late`.
        late_s: u32 = 3_600, Whole { min: 0, max: 31_622_400 };
        /// A file that is there while the machine's clock follows time servers: then block headers say so. The appliance keeps it;
        /// systemd-timesyncd's is /run/systemd/timesync/synchronized.
        synchronised_file: PathBuf = PathBuf::from("/run/pitchside-clock/synchronised"), At;
    }
}

/// A folder of rules or plugins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Library {
    /// The folder; without it there are none.
    pub dir: Option<PathBuf>,
}

section! {
    all default
    /// The clinic's rules.
    struct Rules in "rules" {
        /// Folder of rules, one folder each. It is watched: a change takes hold within a second.
        dir: Option<PathBuf> = None, Maybe(At);
    }
}

section! {
    all default
    /// The integrators' plugins.
    struct Plugins in "plugins" {
        /// Folder of plugins, one folder each. It is watched: a change takes hold within a second.
        dir: Option<PathBuf> = None, Maybe(At);
    }
}

section! {
    all default
    /// Who is told of alerts beyond the page and MQTT, and when.
    struct Delivery in "delivery" {
        /// After how long an alert that nobody has acknowledged escalates, by priority: { high = "5min", medium = "15min",
        /// low = "off" }, from 10s to 7d each. A rule may ask for it sooner (`escalate` in its manifest), not later.
        escalate_after: EscalateAfter = EscalateAfter::default(), Waits;
        /// How many levels it goes through, each after the same time again. 0: nothing escalates, whatever rules ask for.
        escalate_levels: u8 = 2, Whole { min: 0, max: LEVELS_MAX };
        /// Time zone of quiet hours, by its name in the IANA database, e.g. Europe/Berlin; also that of Bluetooth sensors that
        /// keep local time, unless `bluetooth.zone` names another.
        zone: String = "UTC".to_owned(), Zone;
        /// How often the alert path is proven with a synthetic reading, from 1min to 1d, or "off": then nobody notices when
        /// it is broken.
        drill_every: Every = Every(Some(Span(3_600))), EveryOf(Period { min: Span(60), max: Span(86_400) });
        /// Seconds within which every output that takes part in drills must have delivered one.
        drill_within_s: u32 = 60, Whole { min: 1, max: 600 };
        /// Certificate authorities in PEM that outputs trust beside those of the system, for receivers of the clinic's own (HTTPS
        /// and mail). Read anew for each connection.
        authorities: Option<PathBuf> = None, Maybe(At);
        /// What each output hears of, a table each: [delivery.routes.NAME] with min_priority ("low", "medium", "high"),
        /// categories (["physiological", "technical"]), from_level (0: from the beginning; n: once escalated to level n) and
        /// quiet ("22:00-07:00": what is below high priority waits until they are over). Without one it hears all.
        routes: BTreeMap<PluginName, Route> = BTreeMap::new(), Routes;
    }
}
