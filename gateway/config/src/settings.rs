//! Every section and key. These comments are the manual; `pitchside config explain` prints them.

use std::path::PathBuf;

use pitchside_model::DeviceId;

use crate::schema::{Unset, section};
use crate::value::{
    Address, Bytes, Count, Endpoint, FilePath, HostName, Listen, Loopback, Millis, Name, Seconds, SerialMode, VerifierKey,
};

/// All settings, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[mqtt]`
    pub mqtt: Mqtt,
    /// `[[serial]]`, one a port; none by default.
    pub serial: Vec<SerialPort>,
    /// `[tls]`
    pub tls: Tls,
    /// `[http]`
    pub http: Http,
    /// `[ledger]`; none if there is no such section: the gateway then works alone.
    pub ledger: Option<Ledger>,
    /// `[blocks]`
    pub blocks: Blocks,
    /// `[rules]`
    pub rules: Rules,
    /// `[plugins]`
    pub plugins: Plugins,
    /// `[clock]`
    pub clock: Clock,
    /// `[journal]`
    pub journal: Journal,
}

section! {
    /// The box itself.
    struct Gateway in "gateway" {
        /// Folder of the database and, unless keys_dir says otherwise, of the keys. Made if it is missing, for this
        /// user only.
        data_dir: FilePath = "/var/lib/pitchside", "a folder";
        /// Folder of the box's keys. Without it, keys/ below data_dir.
        keys_dir: Option<FilePath> = Unset, "a folder";
        /// What the box is called: in its certificate, in logs, to the ledger.
        name: Name = "pitchside", "a name: letters, digits, - _ .";
    }
}

impl Gateway {
    /// Folder of the box's keys.
    pub fn keys_path(&self) -> PathBuf {
        self.keys_dir.as_ref().map_or_else(|| self.data_dir.as_path().join("keys"), |dir| dir.as_path().to_owned())
    }
}

section! {
    /// Where devices, hubs and apps connect.
    struct Mqtt in "mqtt" {
        /// Addresses without encryption. Only this machine's own: passwords and alerts would travel in the clear.
        tcp: Vec<Loopback> = [], "a list of loopback addresses";
        /// Address with TLS, or "off".
        tls: Listen = "0.0.0.0:8883", "an address or \"off\"";
        /// Address for MQTT over WebSocket with TLS, for browsers, or "off".
        websocket: Listen = "off", "an address or \"off\"";
        /// Connections at a time.
        connections_max: Count<1, 65_536> = 2_048, "a number";
        /// Connections at a time from one address; this machine's own count without bound.
        connections_per_address_max: Count<1, 65_536> = 256, "a number";
        /// Connections at a time that have not proven who they are.
        unauthenticated_max: Count<1, 65_536> = 256, "a number";
        /// From the accepted connection to that proof: TLS, CONNECT and first handshake together.
        authenticate_within_s: Seconds<1, 300> = 10, "seconds";
        /// The largest MQTT packet.
        packet_bytes_max: Bytes<16_384, 1_048_576> = 65_536, "bytes";
        /// Messages of one connection that are neither stored nor refused yet. Beyond it, the gate stops reading.
        in_flight_max: Count<1, 65_535> = 1_024, "a number";
    }
}

section! {
    /// A serial port. One [[serial]] table a port.
    struct SerialPort in "serial" {
        /// The port's file. Prefer /dev/serial/by-id/...: it stays when devices are plugged in another order.
        path: FilePath = Unset, "a file";
        /// Bits a second.
        baud: Count<300, 4_000_000> = 115_200, "a number";
        /// What is spoken: "ps1" (PS/1 frames; who sends is proven by the handshake) or "lines" (SenML-JSON, one pack
        /// a line, from whatever holds the cable: assurance `wired`).
        mode: SerialMode = "ps1", "\"ps1\" or \"lines\"";
        /// For "lines": the device whose readings they are.
        device: Option<DeviceId> = Unset, "a device id";
    }
}

section! {
    /// The certificate that the web page and MQTT are served with. Without one, the box signs its own.
    struct Tls in "tls" {
        /// The clinic's certificate chain (PEM), the box's own certificate first.
        certificate_file: Option<FilePath> = Unset, "a file";
        /// Its private key (PEM), readable by this user alone.
        key_file: Option<FilePath> = Unset, "a file";
    }
}

section! {
    /// The web page and API, always over TLS.
    struct Http in "http" {
        /// Where to listen.
        address: Address = "0.0.0.0:8443", "an address";
        /// Names and addresses by which the box is called. Requests for any other are refused, and the box's own
        /// certificate names them.
        hosts: Vec<HostName> = ["localhost", "127.0.0.1", "pitchside.local"], "a list of host names";
    }
}

section! {
    /// The ledger that blocks are synced to. All four keys, or no such section.
    struct LedgerKeys in "ledger" {
        /// Its host and port for gateways.
        address: Option<Endpoint> = Unset, "a host and port";
        /// File with its X25519 public key, as `ledgerd` prints it.
        public_key_file: Option<FilePath> = Unset, "a file";
        /// Its verifier key (C2SP signed-note), with which its checkpoints are checked.
        vkey: Option<VerifierKey> = Unset, "NAME+HASH+KEY";
        /// File with the 32 bytes shared with it at enrolment, readable by this user alone.
        psk_file: Option<FilePath> = Unset, "a file";
    }
}

/// The ledger that blocks are synced to.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// Its host and port for gateways.
    pub address: Endpoint,
    /// File with its X25519 public key.
    pub public_key_file: FilePath,
    /// Its verifier key, with which its checkpoints are checked.
    pub vkey: VerifierKey,
    /// File with the secret shared with it.
    pub psk_file: FilePath,
}

section! {
    /// When a block is sealed. A high alert seals one at once.
    struct Blocks in "blocks" {
        /// A block is sealed after so long.
        interval_s: Seconds<1, 3_600> = 60, "seconds";
        /// A block is sealed when it holds so much.
        bytes_max: Bytes<65_536, 8_388_608> = 1_048_576, "bytes";
    }
}

section! {
    /// The rules that raise alerts.
    struct Rules in "rules" {
        /// Folder with one folder a rule. Read again when it changes.
        dir: FilePath = "/usr/share/pitchside/rules", "a folder";
        /// After a restart the rules see the journal of so long again; so long it is kept. At least the longest
        /// window of any rule.
        replay_s: Seconds<60, 604_800> = 3_600, "seconds";
    }
}

section! {
    /// The decoders of vendor payloads.
    struct Plugins in "plugins" {
        /// Folder with one folder a plugin.
        dir: FilePath = "/usr/share/pitchside/plugins", "a folder";
    }
}

section! {
    /// How far a device's clock may be from the gateway's.
    struct Clock in "clock" {
        /// A reading further ahead is marked `future`.
        future_tolerance_s: Seconds<0, 86_400> = 5, "seconds";
        /// A reading further behind is marked `late`.
        late_tolerance_s: Seconds<0, 31_622_400> = 60, "seconds";
        /// A reading further ahead is refused.
        future_refused_s: Seconds<1, 604_800> = 86_400, "seconds";
        /// A reading further behind is refused. A month without internet does not make readings late: only how long
        /// the device kept them does.
        late_refused_s: Seconds<1, 63_244_800> = 31_622_400, "seconds";
    }
}

section! {
    /// How readings are made durable.
    struct Journal in "journal" {
        /// Messages in one commit.
        group_entries_max: Count<1, 1_024> = 1_024, "a number";
        /// The longest a message waits for others to share its commit.
        group_wait_ms_max: Millis<0, 5> = 5, "milliseconds";
        /// Messages waiting for the disk, in bytes. Beyond it, senders wait.
        queue_bytes_max: Bytes<1_048_576, 268_435_456> = 8_388_608, "bytes";
        /// With less left on the disk, readings are refused: receipts, alerts and deletions still need room.
        disk_reserve_bytes: Bytes<0, 1_099_511_627_776> = 33_554_432, "bytes";
        /// The largest the database may grow. Without it, as large as the disk allows.
        database_bytes_max: Option<Bytes<16_777_216, 1_099_511_627_776>> = Unset, "bytes";
        /// Refused payloads kept for inspection; the oldest makes room.
        quarantine_rows_max: Count<0, 100_000> = 1_000, "a number";
    }
}
