//! Bluetooth: who is connected, who waits for a slot, whether the host can tell how devices are bonded.

use pitchside_config::Settings;

use super::Finding;
use crate::adapters::bonds;
use crate::cli::context::Context;
use crate::pipeline::bluetooth::{self, DeviceReport, Report};

/// Where bluetoothd is told how to behave.
const MAIN_CONF: &str = "/etc/bluetooth/main.conf";

/// Everything about Bluetooth, if the settings name an adapter.
pub fn findings(settings: &Settings) -> Vec<Finding> {
    if settings.ble.is_empty() {
        return Vec::new();
    }
    let mut findings = vec![bonds(settings)];
    if settings.ble.iter().any(|adapter| adapter.scan == pitchside_config::BleScan::Passive) {
        findings.push(passive());
    }
    let report = bluetooth::read(&settings.gateway.data_dir);
    if let Ok(Some(report)) = &report {
        findings.extend(without_bond(report));
    }
    findings.push(match report {
        Ok(Some(report)) => devices(&report),
        Ok(None) => Finding::new(
            "Bluetooth devices",
            false,
            "the gateway has not run with Bluetooth yet",
            "systemctl start pitchside",
        ),
        Err(error) => Finding::new("Bluetooth devices", false, format!("{error:#}"), "systemctl restart pitchside"),
    });
    findings
}

fn bonds(settings: &Settings) -> Finding {
    let folder = &settings.bluetooth.bonds;
    let evidence = |what: String| format!("{}: {what}", folder.display());
    match std::fs::read_dir(folder) {
        Ok(_) => Finding::well("Bluetooth bonds", evidence("readable".to_owned())),
        Err(error) => Finding::new(
            "Bluetooth bonds",
            false,
            evidence(format!("{error}; without it no bonded device is let in")),
            "as root: pitchside device bonds --out DIR, and set bluetooth.bonds to DIR",
        ),
    }
}

/// Devices that believe in a bond this box no longer holds: after a power cut, or a restore onto another box.
pub fn lost(context: &Context) -> Vec<Finding> {
    let folder = &context.settings.bluetooth.bonds;
    // Unreadable, it says nothing; that is a finding of its own.
    if context.settings.ble.is_empty() || std::fs::read_dir(folder).is_err() {
        return Vec::new();
    }
    let name = "Bluetooth bonds kept";
    vec![match bonds::lost(&context.tables, folder) {
        Ok(lost) if lost.is_empty() => Finding::well(name, "none is lost"),
        Ok(lost) => {
            let lost: Vec<String> = lost.iter().map(ToString::to_string).collect();
            Finding::new(
                name,
                false,
                format!("bonded once, and the host has no bond with them: {}", lost.join(", ")),
                "make each forget this box (its own pairing mode): it pairs anew; with a code: pitchside device code DEVICE; if its adapter \
                 is gone for good: pitchside device forget DEVICE",
            )
        }
        Err(error) => Finding::new(name, false, error.to_string(), "systemctl restart pitchside"),
    }]
}

/// Devices that answer without their side of the bond (reset, or somebody plays their address), and those whose bond went with its adapter.
fn without_bond(report: &Report) -> Option<Finding> {
    let named: Vec<&str> =
        report.devices.iter().filter(|device| device.bond_lost).map(|device| device.device.as_str()).collect();
    let first = named.first()?;
    Some(Finding::new(
        "Bluetooth sensors that lost their bond",
        false,
        format!(
            "they do not know their bond with this box, or the adapter that it was made with is gone: {}",
            named.join(", ")
        ),
        format!(
            "if it was reset or that adapter is gone for good, and only then: pitchside device forget {first}, and make it ready to pair"
        ),
    ))
}

fn passive() -> Finding {
    let text = std::fs::read_to_string(MAIN_CONF).unwrap_or_default();
    let set = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .any(|(key, value)| key.trim() == "Experimental" && value.trim() == "true");
    let evidence =
        if set { "Experimental = true" } else { "without Experimental = true bluetoothd only scans actively" };
    Finding::new(
        "passive scan",
        set,
        format!("{MAIN_CONF}: {evidence}"),
        format!("set Experimental = true in {MAIN_CONF} and: systemctl restart bluetooth; or ble.scan = \"active\""),
    )
}

fn devices(report: &Report) -> Finding {
    let of = |state: &str| -> Vec<String> {
        let there = report.devices.iter().filter(|device| device.state == state);
        let name = |device: &DeviceReport| match &device.facts[..] {
            [] => device.device.to_string(),
            facts => format!("{} ({})", device.device, facts.join("; ")),
        };
        there.map(name).collect()
    };
    let mut parts = Vec::new();
    for state in ["connected", "waiting", "resting", "connecting", "leaving", "absent"] {
        let devices = of(state);
        if !devices.is_empty() {
            parts.push(format!("{state}: {}", devices.join(", ")));
        }
    }
    let evidence = if parts.is_empty() { "none enrolled".to_owned() } else { parts.join("; ") };
    let waiting = !of("waiting").is_empty();
    let failing = report.devices.iter().any(|device| device.state == "resting" && device.failures >= 5);
    let mend = if waiting {
        "add an adapter, or raise ble.slots if it can hold more"
    } else {
        "journalctl -u pitchside --grep 'BLE: refused'"
    };
    Finding::new("Bluetooth devices", !waiting && !failing, format!("{evidence} (since {})", report.at), mend)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitchside_model::{DeviceId, Timestamp};

    #[test]
    fn whoever_waits_for_a_slot_is_named() {
        let device = |id: &str, state: &str| DeviceReport {
            device: DeviceId::parse(id).unwrap(),
            state: state.to_owned(),
            adapter: None,
            failures: 0,
            bond_lost: false,
            facts: vec!["body_location: chest".to_owned()],
        };
        let report = |devices| Report { at: Timestamp(0), devices };
        let well = devices(&report(vec![device("s1", "connected"), device("s2", "absent")]));
        assert!(well.ok && well.evidence.contains("connected: s1 (body_location: chest)"), "{well:?}");
        let sick = devices(&report(vec![device("s1", "connected"), device("s2", "waiting")]));
        assert!(!sick.ok && sick.evidence.contains("waiting: s2"), "{sick:?}");
        assert!(without_bond(&report(vec![device("s1", "resting")])).is_none());
        let lost = DeviceReport { bond_lost: true, ..device("s2", "resting") };
        let lost = without_bond(&report(vec![device("s1", "connected"), lost])).unwrap();
        assert!(!lost.ok && lost.evidence.ends_with(": s2"), "{lost:?}");
    }
}
