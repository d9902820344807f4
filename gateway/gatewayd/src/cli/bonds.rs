//! `pitchside device bonds`: how the host's devices are bonded, and a copy of that without keys for a gateway that is not root.

use std::path::Path;

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

/// Lists bonds, and copies them.
pub fn bonds(from: &Path, out: Option<&Path>, output: &Output) -> Outcome {
    let mut rows = Vec::new();
    for adapter in addresses(from)? {
        for device in addresses(&from.join(adapter.to_string()))? {
            let place = Path::new(&adapter.to_string()).join(device.to_string()).join("info");
            if std::fs::metadata(from.join(&place)).is_ok_and(|meta| meta.len() > keys::INFO_BYTES_MAX) {
                continue;
            }
            let Ok(info) = std::fs::read_to_string(from.join(&place)) else { continue };
            if let Some(out) = out {
                write_public(&out.join(&place), keys::without_keys(&info).as_bytes())?;
            }
            if let Some(bond) = keys::parse(&info) {
                rows.push(Row {
                    adapter: adapter.to_string(),
                    device: device.to_string(),
                    bond: if bond.secure_connections { "LE Secure Connections" } else { "legacy" },
                    code_compared: bond.authenticated,
                    key_bits: bond.key_bits,
                });
            }
        }
    }
    if let Some(out) = out {
        forget(from, out)?;
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
}
