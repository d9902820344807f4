//! What BlueZ stored of a bond, read without the keys.
//!
//! BlueZ tells over D-Bus that a device is bonded, not how: legacy pairing, whose key an eavesdropper can compute, looks like
//! LE Secure Connections. Its store tells: `<folder>/<adapter>/<device>/info`, an ini file with a group for each long-term key.
//! Every such key must be one of Secure Connections, or the bond counts as legacy.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use pitchside_model::{BleAddress, Bond};

/// Where BlueZ keeps it.
pub const FOLDER: &str = "/var/lib/bluetooth";
/// The file of one device is small; anything longer is not one.
pub const INFO_BYTES_MAX: u64 = 64 * 1024;
/// How often a file that is replaced while it is made durable is begun with again.
const READS_MAX: u32 = 3;

/// Groups of long-term keys, by their names now and before BlueZ 5.64.
const GROUPS: [&str; 3] = ["LongTermKey", "PeripheralLongTermKey", "SlaveLongTermKey"];
/// `Authenticated` of keys made by Secure Connections: without and with a code compared (BlueZ mgmt-api, Load Long Term Keys).
const SECURE: u32 = 2;
const SECURE_AUTHENTICATED: u32 = 3;

/// Why nothing is known of a bond.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error(
        "cannot read how it is bonded from {path}, or not keep it: {error}; run as root, or let a root service copy it with `pitchside device bonds --out DIR` and set bluetooth.bonds"
    )]
    Unreadable {
        /// Which file.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// No long-term key in it.
    #[error("{0} holds no long-term key")]
    NoKey(String),
}

fn place(folder: &Path, adapter: BleAddress, device: BleAddress) -> PathBuf {
    folder.join(adapter.to_string()).join(device.to_string()).join("info")
}

fn bond_in(path: &Path, read: std::io::Result<String>) -> Result<Bond, KeysError> {
    let shown = path.display().to_string();
    match read {
        Ok(text) => parse(&text).ok_or(KeysError::NoKey(shown)),
        Err(error) => Err(KeysError::Unreadable { path: shown, error }),
    }
}

/// The bond of an adapter with a device, as it is shown now.
pub fn bond(folder: &Path, adapter: BleAddress, device: BleAddress) -> Result<Bond, KeysError> {
    let path = place(folder, adapter, device);
    let read = File::open(&path).and_then(|mut file| read(&mut file));
    bond_in(&path, read)
}

/// The same, once it outlives a power cut: the device believes in its bond from the moment it pairs.
pub fn durable_bond(folder: &Path, adapter: BleAddress, device: BleAddress) -> Result<Bond, KeysError> {
    let path = place(folder, adapter, device);
    bond_in(&path, settled(&path, folder))
}

fn read(file: &mut File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(INFO_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > INFO_BYTES_MAX {
        return Err(std::io::Error::other("longer than such a file is"));
    }
    Ok(text)
}

/// Reads a file below `folder` once it and every folder down to it are on the disk. BlueZ waits for neither.
///
/// # Errors
/// It cannot be read, or not be made durable; or it is replaced faster than that.
pub fn settled(path: &Path, folder: &Path) -> std::io::Result<String> {
    for _ in 0..READS_MAX {
        let mut file = File::open(path)?;
        let text = read(&mut file)?;
        file.sync_all()?;
        for above in path.ancestors().skip(1).take_while(|above| above.starts_with(folder)) {
            File::open(above)?.sync_all()?;
        }
        // BlueZ puts a new file in the place of the old one.
        let (was, is) = (file.metadata()?, std::fs::metadata(path)?);
        if (was.dev(), was.ino()) == (is.dev(), is.ino()) {
            return Ok(text);
        }
    }
    Err(std::io::Error::other("it is replaced faster than it can be kept"))
}

/// The bond in an `info` file; none if there is no long-term key. What is not understood makes the bond weaker, never
/// stronger.
pub fn parse(info: &str) -> Option<Bond> {
    let mut found: Option<Bond> = None;
    for (_, lines) in groups(info).filter(|(group, _)| GROUPS.contains(group)) {
        let number =
            |key: &str| lines.iter().find(|(name, _)| *name == key).and_then(|(_, value)| value.parse::<u32>().ok());
        let kind = number("Authenticated").unwrap_or(0);
        let bytes =
            number("EncSize").and_then(|bytes| u16::try_from(bytes).ok()).filter(|bytes| *bytes <= 16).unwrap_or(0);
        let bond = Bond {
            secure_connections: matches!(kind, SECURE | SECURE_AUTHENTICATED),
            authenticated: kind == SECURE_AUTHENTICATED,
            key_bits: bytes * 8,
        };
        found = Some(found.map_or(bond, |other| Bond {
            secure_connections: bond.secure_connections && other.secure_connections,
            authenticated: bond.authenticated && other.authenticated,
            key_bits: bond.key_bits.min(other.key_bits),
        }));
    }
    found
}

/// The groups of long-term keys with all but the keys: what a copy for others to read may hold.
pub fn without_keys(info: &str) -> String {
    let mut copy = String::new();
    for (group, lines) in groups(info).filter(|(group, _)| GROUPS.contains(group)) {
        copy.push_str(&format!("[{group}]\n"));
        for (name, value) in lines.iter().filter(|(name, _)| matches!(*name, "Authenticated" | "EncSize")) {
            copy.push_str(&format!("{name}={value}\n"));
        }
        copy.push('\n');
    }
    copy
}

fn groups(info: &str) -> impl Iterator<Item = (&str, Vec<(&str, &str)>)> {
    let mut groups: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for line in info.lines().map(str::trim) {
        if let Some(group) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            groups.push((group, Vec::new()));
        } else if let (Some((name, value)), Some((_, lines))) = (line.split_once('='), groups.last_mut()) {
            lines.push((name.trim(), value.trim()));
        }
    }
    groups.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(keys: &[(&str, u32, u32)]) -> String {
        let mut text = "[General]\nName=Strap-1\nTrusted=false\n\n".to_owned();
        for (group, kind, bytes) in keys {
            text.push_str(&format!(
                "[{group}]\nKey=00112233445566778899AABBCCDDEEFF\nAuthenticated={kind}\nEncSize={bytes}\nEDiv=0\nRand=0\n\n"
            ));
        }
        text
    }

    #[test]
    fn secure_connections_is_told_from_legacy_pairing() {
        let strong = Bond { secure_connections: true, authenticated: true, key_bits: 128 };
        assert_eq!(parse(&info(&[("LongTermKey", 3, 16)])), Some(strong));
        assert_eq!(parse(&info(&[("PeripheralLongTermKey", 2, 16)])), Some(Bond { authenticated: false, ..strong }));
        for legacy in [0, 1, 4, 5, 99] {
            let bond = parse(&info(&[("SlaveLongTermKey", legacy, 16)])).unwrap();
            assert!(!bond.secure_connections && !bond.authenticated, "{legacy}");
        }
        assert_eq!(parse(&info(&[])), None);
        assert_eq!(parse("[LongTermKey]\nKey=1\n").map(|bond| bond.key_bits), Some(0));
    }

    #[test]
    fn the_weakest_key_counts() {
        let bond = parse(&info(&[("LongTermKey", 3, 16), ("PeripheralLongTermKey", 1, 7)])).unwrap();
        assert_eq!(bond, Bond { secure_connections: false, authenticated: false, key_bits: 56 });
    }

    #[test]
    fn a_copy_holds_no_key_and_says_the_same() {
        let whole = info(&[("LongTermKey", 3, 16), ("IdentityResolvingKey", 0, 16)]);
        let copy = without_keys(&whole);
        assert!(!copy.contains("0011") && !copy.contains("Strap"));
        assert_eq!(parse(&copy), parse(&whole));
    }

    #[test]
    fn what_cannot_be_made_durable_is_no_bond_yet() {
        let folder = tempfile::tempdir().unwrap();
        let (adapter, device) = (BleAddress([1; 6]), BleAddress([2; 6]));
        let file = place(folder.path(), adapter, device);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, info(&[("LongTermKey", 3, 16)])).unwrap();
        assert_eq!(
            durable_bond(folder.path(), adapter, device).unwrap(),
            bond(folder.path(), adapter, device).unwrap()
        );
        // Readable, and on no disk: nothing can be synced there.
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/proc/version", &file).unwrap();
        assert!(matches!(bond(folder.path(), adapter, device), Err(KeysError::NoKey(_))));
        assert!(matches!(durable_bond(folder.path(), adapter, device), Err(KeysError::Unreadable { .. })));
    }

    #[test]
    fn a_file_whose_folder_may_be_lost_is_not_settled() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "here").unwrap();
        assert_eq!(settled(&file, folder.path()).unwrap(), "here");
        // The same file, reached through a folder that cannot be synced.
        let own = File::open(folder.path()).unwrap();
        let way = folder.path().join("way");
        std::os::unix::fs::symlink("/proc/self/fd", &way).unwrap();
        let around = way.join(std::os::fd::AsRawFd::as_raw_fd(&own).to_string()).join("file");
        assert_eq!(std::fs::read_to_string(&around).unwrap(), "here");
        assert!(settled(&around, folder.path()).is_err());
    }

    #[test]
    fn it_is_read_where_bluez_puts_it_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let (adapter, device) = (BleAddress([1; 6]), BleAddress([0xF0, 1, 2, 3, 4, 5]));
        assert!(matches!(bond(folder.path(), adapter, device), Err(KeysError::Unreadable { .. })));
        let place = folder.path().join("01:01:01:01:01:01/F0:01:02:03:04:05");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("info"), info(&[])).unwrap();
        assert!(matches!(bond(folder.path(), adapter, device), Err(KeysError::NoKey(_))));
        std::fs::write(place.join("info"), info(&[("LongTermKey", 2, 16)])).unwrap();
        assert!(bond(folder.path(), adapter, device).unwrap().secure_connections);
    }
}
