//! What each key means. A test holds the table complete.

/// Key, what it means.
const KEYS: &[(&str, &str)] = &[
    ("gateway.name", "What the box is called, in certificates and logs. A name: letters, digits, '-', '_', '.'."),
    ("gateway.data_dir", "Folder of the database: journal, blocks, devices, alerts. Only the service's user may read it."),
    ("gateway.key_dir", "Folder of the box's keys. Whoever reads it reads everything; back it up apart from the data."),
    ("gateway.silent_after_s", "Seconds without a word after which a stream is recorded as silent. Slow streams get eight times their usual interval."),
    ("mqtt.tcp", "Addresses for MQTT without TLS: loopback only, none by default."),
    ("mqtt.tls", "Address for MQTT with TLS, e.g. 0.0.0.0:8883. Clients trust keys/ca.pem."),
    ("mqtt.websocket", "Address for MQTT over WebSocket over TLS."),
    ("mqtt.connections_max", "MQTT connections at a time; further ones are refused."),
    ("serial", "Serial lines, one [[serial]] each: path, baud (115200), mode (ps1 or wired), device (for wired)."),
    ("serial.path", "Device file of the line, e.g. /dev/ttyUSB0. It may come and go."),
    ("serial.baud", "Bits a second."),
    ("serial.mode", "ps1: frames in COBS, authenticated. wired: lines of SenML-JSON from a device that can't authenticate."),
    ("serial.device", "For wired lines: the device every line is from."),
    ("http.address", "Where the page and its API listen, with TLS."),
    ("http.hosts", "Names and addresses the page may be asked for by; they also stand in its certificate."),
    ("ledger.address", "HOST:PORT of the ledger's ingest. Without a [ledger] section blocks stay on the box."),
    ("ledger.public_key", "The ledger's X25519 public key, 64 hexadecimal digits."),
    ("ledger.policy", "C2SP policy file that names the key the ledger signs checkpoints with."),
    ("blocks.interval_ms", "A block closes after so many milliseconds, if there is anything to seal."),
    ("blocks.bytes_max", "A block closes at so many bytes of readings."),
    ("journal.horizon_s", "Seconds for which sealed readings stay in the journal, so that a restart can rebuild what the rules know."),
    ("journal.reserve_bytes", "Bytes of disk that readings may not use up."),
    ("journal.database_bytes_max", "The database grows no larger than this; 0 is no limit."),
    ("clock.future_s", "Readings further ahead of the gateway's clock are flagged `future`."),
    ("clock.late_s", "Readings further behind the gateway's clock are flagged `late`."),
    ("rules.dir", "Folder of rules, one folder each. It is watched: a change takes hold within a second."),
    ("plugins.dir", "Folder of plugins, one folder each."),
];

/// What `key` means; for a section, all its keys.
pub fn explain(key: &str) -> Vec<(&'static str, &'static str)> {
    let exact: Vec<_> = KEYS.iter().filter(|(name, _)| *name == key).copied().collect();
    if !exact.is_empty() {
        return exact;
    }
    KEYS.iter().filter(|(name, _)| name.split('.').next() == Some(key)).copied().collect()
}

/// Every key.
pub fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(name, _)| *name)
}

/// The known key that `key` was probably meant to be.
pub fn nearest(key: &str) -> Option<&'static str> {
    let mut best: Option<(usize, &'static str)> = None;
    for name in keys() {
        let far = distance(key, name);
        if best.is_none_or(|(least, _)| far < least) {
            best = Some((far, name));
        }
    }
    best.filter(|(far, _)| *far <= 3).map(|(_, name)| name)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let cost = (*cell + 1).min(left + 1).min(diagonal + usize::from(x != y));
            diagonal = *cell;
            *cell = cost;
            left = cost;
        }
    }
    row.last().copied().unwrap_or(0)
}
