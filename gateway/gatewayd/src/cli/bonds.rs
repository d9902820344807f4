//! `pitchside device bonds`: how the host's devices are bonded, and a copy of that without keys for a gateway that is not root.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use pitchside_collect::ble::keys;
use pitchside_model::BleAddress;
use serde::Serialize;

use super::Outcome;
use super::output::Output;
use crate::files::write_public;

#[derive(Serialize)]
struct Row {
    adapter: String,
    device: String,
    bond: &'static str,
    code_compared: bool,
    key_bits: u16,
}

/// How often bonds are looked at: a gateway that has just bonded waits three seconds for the copy.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Copies bonds without keys whenever one changes. Returns only if it cannot go on.
pub fn follow(from: &Path, out: &Path) -> Outcome {
    // BlueZ makes the folder when it first has an adapter; until then, and between two adapters, there is nothing to copy.
    loop {
        if from.is_dir() {
            copy(from, out)?;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Everything without keys to `out`, and away with what is gone. Writes only what differs.
fn copy(from: &Path, out: &Path) -> anyhow::Result<()> {
    for (place, info) in infos(from)? {
        let (to, copy) = (out.join(&place), keys::without_keys(&info));
        if std::fs::read_to_string(&to).ok().as_deref() != Some(&copy) {
            // On the disk first: the gateway takes the copy for the bond, and the sensor believes in it from the moment it pairs.
            let source = from.join(&place);
            match keys::settled(&source, from) {
                Ok(info) => write_public(&to, keys::without_keys(&info).as_bytes())?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("making {} durable", source.display())),
            }
        }
    }
    forget(from, out)
}

/// What BlueZ wrote of each device, with its place below the folder. A bond that goes while it is looked at is left out.
fn infos(from: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for adapter in addresses(from)? {
        for device in addresses(&from.join(adapter.to_string())).unwrap_or_default() {
            let place = Path::new(&adapter.to_string()).join(device.to_string()).join("info");
            let path = from.join(&place);
            if std::fs::metadata(&path).is_ok_and(|meta| meta.len() > keys::INFO_BYTES_MAX) {
                continue;
            }
            if let Ok(info) = std::fs::read_to_string(path) {
                found.push((place, info));
            }
        }
    }
    Ok(found)
}

/// Lists bonds, and copies them.
pub fn bonds(from: &Path, out: Option<&Path>, output: &Output) -> Outcome {
    let mut rows = Vec::new();
    for (place, info) in infos(from)? {
        let mut names = place.iter().map(|name| name.to_string_lossy().into_owned());
        if let (Some(bond), Some(adapter), Some(device)) = (keys::parse(&info), names.next(), names.next()) {
            rows.push(Row {
                adapter,
                device,
                bond: if bond.secure_connections { "LE Secure Connections" } else { "legacy" },
                code_compared: bond.authenticated,
                key_bits: bond.key_bits,
            });
        }
    }
    if let Some(out) = out {
        copy(from, out)?;
    }
    output.table(&rows, &["ADAPTER", "DEVICE", "BOND", "CODE COMPARED", "BITS"], |row| {
        let compared = if row.code_compared { "yes" } else { "no" };
        vec![
            row.adapter.clone(),
            row.device.clone(),
            row.bond.to_owned(),
            compared.to_owned(),
            row.key_bits.to_string(),
        ]
    })?;
    Ok(())
}

/// Takes copies away whose bond is gone: what the copy still shows would let the device in.
fn forget(from: &Path, out: &Path) -> anyhow::Result<()> {
    if !out.is_dir() {
        return Ok(());
    }
    for adapter in addresses(out)? {
        for device in addresses(&out.join(adapter.to_string()))? {
            let place = Path::new(&adapter.to_string()).join(device.to_string()).join("info");
            if !from.join(&place).exists() && out.join(&place).exists() {
                std::fs::remove_file(out.join(&place)).with_context(|| format!("removing {}", place.display()))?;
            }
        }
    }
    Ok(())
}

fn addresses(folder: &Path) -> anyhow::Result<Vec<BleAddress>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut found: Vec<BleAddress> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_no_keys_and_forgets_what_bluez_forgot() {
        let (from, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let place = "01:01:01:01:01:01/F0:F1:F2:F3:F4:01";
        std::fs::create_dir_all(from.path().join(place)).unwrap();
        let info = from.path().join(place).join("info");
        std::fs::write(&info, "[LongTermKey]\nKey=AABB\nAuthenticated=3\nEncSize=16\n").unwrap();
        let output = Output::new(true);
        bonds(from.path(), Some(out.path()), &output).map_err(|_| "bonds").unwrap();
        let copied = out.path().join(place).join("info");
        let copy = std::fs::read_to_string(&copied).unwrap();
        assert!(copy.contains("Authenticated=3") && !copy.contains("AABB"), "{copy}");
        std::fs::remove_file(&info).unwrap();
        bonds(from.path(), Some(out.path()), &output).map_err(|_| "bonds").unwrap();
        assert!(!copied.exists());
    }

    #[test]
    fn what_the_disk_does_not_hold_is_not_copied() {
        let (from, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let place = "01:01:01:01:01:01/F0:F1:F2:F3:F4:01";
        std::fs::create_dir_all(from.path().join(place)).unwrap();
        // Readable, and on no disk.
        std::os::unix::fs::symlink("/proc/version", from.path().join(place).join("info")).unwrap();
        assert!(copy(from.path(), out.path()).is_err());
        assert!(!out.path().join(place).join("info").exists());
    }
}
