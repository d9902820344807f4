//! The machine below: clock, disk, key files, serial ports, boot slots.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ledger_block::ClockState;
use pitchside_config::{BleAdapter, Settings};
use pitchside_model::Timestamp;

use super::{Finding, appliance};
use crate::backup::create::KEY_FILES;
use crate::clock::{self, Clock, ClockJudge};
use crate::tls;

/// Fewer free inodes than this, and files can't be made much longer.
const INODES_MIN: u64 = 1_000;
/// Other boxes ask here for firmware in vain: another listener has the place.
pub const UNSERVED: &str = "firmware for other boxes";
/// Where the kernel lists Bluetooth adapters; not there before the first.
const RADIOS: &str = "/sys/class/bluetooth";

/// Everything about the machine.
pub fn findings(settings: &Settings, now: Timestamp) -> Vec<Finding> {
    let state = ClockJudge::new(settings.clock.synchronised_file.clone(), clock::floor()).state(&Clock::System);
    let mut findings = vec![clock(state, now)];
    findings.extend(disk(settings));
    findings.extend(keys(settings));
    findings.push(listeners(settings));
    findings.extend(settings.unserved().map(|why| {
        Finding::new(UNSERVED, false, why, "pitchside config explain firmware.listen, then systemctl restart pitchside")
    }));
    findings.extend(serial_ports(settings.serial.iter().map(|port| port.path.as_path()), is_appliance()));
    findings.extend(radios(&settings.ble, Path::new(RADIOS), is_appliance()));
    findings.extend(slots());
    findings
}

/// Where devices can come in.
fn listeners(settings: &Settings) -> Finding {
    let mqtt = &settings.mqtt;
    let mqtt = mqtt.tcp.iter().chain(&mqtt.tls).chain(&mqtt.websocket).map(ToString::to_string);
    let ports = settings.serial.iter().map(|port| port.path.display().to_string());
    let listed: Vec<_> = mqtt.chain(ports).chain(settings.ble.iter().map(|radio| radio.adapter.to_string())).collect();
    if listed.is_empty() {
        let mend = "set mqtt.tls, or mqtt.tcp on loopback, or [[serial]] in the settings";
        return Finding::new("listeners", false, "none configured: no device can send anything", mend);
    }
    Finding::well("listeners", listed.join(", "))
}

/// Whether this is an image of ours, which nobody can sign in to: only those have slots.
pub fn is_appliance() -> bool {
    has("rauc")
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn clock(state: ClockState, now: Timestamp) -> Finding {
    let word = match state {
        ClockState::Unset => "was never set",
        ClockState::Free => "runs free",
        ClockState::Synchronised => "follows time servers",
    };
    Finding::new("clock", state != ClockState::Unset, format!("the system's clock says {now}, and {word}"), set_clock())
}

/// What mends a clock that was never set, or is behind.
pub fn set_clock() -> &'static str {
    if has("chronyc") { "chronyc makestep" } else { "timedatectl set-ntp true" }
}

/// What mends a disk that is full, or nearly so.
pub fn make_room(folder: &Path) -> String {
    format!(
        "du -xah \"$(df --output=target {} | tail -n 1)\" | sort -h | tail, and delete what is not Pitchside's (never pitchside.db or what lies beside it)",
        folder.display()
    )
}

fn disk(settings: &Settings) -> Vec<Finding> {
    let folder = &settings.gateway.data_dir;
    let shown = folder.display();
    let fs = match rustix::fs::statvfs(folder) {
        Ok(fs) => fs,
        Err(error) => {
            return vec![Finding::new(
                "disk",
                false,
                format!("{shown}: {error}"),
                "pitchside config explain gateway.data_dir",
            )];
        }
    };
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    let writable = !fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    let enough = free > settings.journal.reserve_bytes.saturating_mul(2);
    // Some file systems count none.
    let inodes = fs.f_files == 0 || fs.f_favail > INODES_MIN;
    vec![
        Finding::new("disk", enough, format!("{} MiB free in {shown}", free >> 20), make_room(folder)),
        Finding::new("inodes", inodes, format!("{} free in {shown}", fs.f_favail), format!("df -i {shown}")),
        Finding::new(
            "file system",
            writable,
            format!("{shown} is {}", if writable { "writable" } else { "mounted read-only" }),
            remount(folder),
        ),
    ]
}

/// Makes what is mounted read-only writable again: by the name of where it is mounted, mount(8) knows no other.
fn remount(folder: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    match mount_point(&folder, &mounts) {
        Some(point) => format!("dmesg (why is it so?); mount -o remount,rw {}", point.display()),
        None => format!("findmnt --target {} names where it is mounted; mount -o remount,rw there", folder.display()),
    }
}

/// Where a folder's file system is mounted: the deepest mount above it, and of several at one place the last (proc(5), mountinfo).
fn mount_point(folder: &Path, mounts: &str) -> Option<PathBuf> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    points.filter(|point| folder.starts_with(point)).max_by_key(|point| point.components().count())
}

/// The kernel writes a space, a tab, a line's end and a backslash as a backslash and three octal digits.
fn unescaped(field: &str) -> PathBuf {
    let known = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(known.into_iter().fold(field.to_owned(), |text, (written, meant)| text.replace(written, meant)))
}

fn keys(settings: &Settings) -> Vec<Finding> {
    let folder = &settings.gateway.key_dir;
    let open = |path: &Path, mask: u32| std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & mask != 0);
    let mut findings = Vec::new();
    for name in ["root.key"].into_iter().chain(KEY_FILES) {
        let path = folder.join(name);
        if open(&path, 0o077) {
            let mend = format!("chmod 600 {}", path.display());
            findings.push(Finding::new("key file", false, format!("{} can be read by others", path.display()), mend));
        }
    }
    for path in [folder, &settings.gateway.data_dir] {
        if open(path, 0o022) {
            let mend = format!("chmod 700 {}", path.display());
            findings.push(Finding::new("key file", false, format!("others may write in {}", path.display()), mend));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::well("key file", format!("keys in {} are for their owner alone", folder.display())));
    }
    let authority = folder.join(tls::CA_FILE);
    let there = std::fs::read_to_string(&authority).is_ok_and(|text| text.contains("BEGIN CERTIFICATE"));
    findings.push(Finding::new(
        "certificate authority",
        there,
        authority.display().to_string(),
        "pitchside backup restore FILE --dir DIR --recovery-key FILE",
    ));
    findings
}

/// Serial lines. An appliance's settings name the sockets it may have, where something is plugged in or nothing; any other name is that of one
/// adapter, which is missed.
fn serial_ports<'a>(paths: impl Iterator<Item = &'a Path>, appliance: bool) -> Vec<Finding> {
    let (sockets, adapters): (Vec<&Path>, Vec<&Path>) =
        paths.partition(|path| appliance && path.parent() == Some(Path::new("/dev")));
    let mut findings: Vec<Finding> = adapters.into_iter().map(serial).collect();
    if !sockets.is_empty() {
        let listed = |there: bool| {
            let found = sockets.iter().filter(|path| path.exists() == there).map(|path| path.display().to_string());
            let found: Vec<String> = found.collect();
            if found.is_empty() { "none".to_owned() } else { found.join(", ") }
        };
        findings.push(Finding::well("serial port", format!("plugged in: {}; empty: {}", listed(true), listed(false))));
    }
    findings
}

fn serial(path: &Path) -> Finding {
    let there = path.exists();
    let evidence = format!("{} is {}", path.display(), if there { "there" } else { "not there" });
    Finding::new("serial port", there, evidence, "ls -l /dev/serial/by-id (plug it in, or correct serial.path)")
}

/// Bluetooth adapters. As for sockets: an appliance's settings name the first radio there may be, and a box without one lacks nothing.
/// One that is named by its own address is not looked for here: the kernel lists names.
fn radios(adapters: &[BleAdapter], kernel: &Path, appliance: bool) -> Vec<Finding> {
    let named = adapters.iter().map(|radio| radio.adapter.as_str()).filter(|name| name.starts_with("hci"));
    let finding = |name: &str| {
        let there = kernel.join(name).exists();
        let evidence = if there { format!("{name} is there") } else { format!("no radio: {name} is not there") };
        Finding::new("Bluetooth radio", there || appliance, evidence, "plug it in, or correct ble.adapter")
    };
    named.map(finding).collect()
}

/// Boot slots, on the appliance: which is booted, and which would not boot.
fn slots() -> Vec<Finding> {
    if !is_appliance() {
        return Vec::new();
    }
    let asked =
        Command::new("rauc").args(["status", "--detailed", "--output-format=json"]).stdin(Stdio::null()).output();
    let parsed = asked.ok().filter(|done| done.status.success());
    let parsed = parsed.and_then(|done| serde_json::from_slice::<serde_json::Value>(&done.stdout).ok());
    let Some(status) = parsed else {
        return vec![Finding::new("boot slots", false, "rauc does not answer", appliance::RESTART)];
    };
    let mut findings = slot_findings(&status);
    if findings.is_empty() {
        findings.push(Finding::new("boot slots", false, "rauc names no slot", appliance::RESTART));
    }
    findings
}

/// RAUC's `slots`: a list of objects with one key each, the slot's name.
fn slot_findings(status: &serde_json::Value) -> Vec<Finding> {
    let slots = status["slots"].as_array().map(Vec::as_slice).unwrap_or_default();
    let each = slots.iter().filter_map(serde_json::Value::as_object).flatten();
    each.filter_map(|(name, slot)| {
        let state = slot["boot_status"].as_str()?;
        let booted = slot["state"].as_str() == Some("booted");
        // As it left the factory: there is nothing in it that could be bad.
        if !booted && state != "good" && slot["slot_status"]["installed"].is_null() {
            return Some(Finding::well("boot slots", format!("{name} is spare: no update went into it yet")));
        }
        let evidence = format!("{name} is {state}{}", if booted { ", booted" } else { "" });
        // The booted one confirms itself once it is healthy; the other is replaced by the next update.
        let mend = if booted {
            "wait a quarter of an hour: it confirms itself, or gives way; if it stays so, call who looks after the box"
        } else {
            "the version in it did not prove itself: update.raucb on a stick, that one again or a later one"
        };
        Some(Finding::new("boot slots", state == "good", evidence, mend))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_whose_version_failed_is_found_with_its_mend() {
        let installed = serde_json::json!({"installed": {"timestamp": "2026-11-01T00:00:00Z", "count": 1}});
        let status = serde_json::json!({"booted": "A", "slots": [
            {"rootfs.0": {"state": "booted", "boot_status": "good", "slot_status": {"bundle": {}}}},
            {"rootfs.1": {"state": "inactive", "boot_status": "bad", "slot_status": installed}},
            {"data.0": {"state": "inactive", "boot_status": null}}
        ]});
        let found = slot_findings(&status);
        assert_eq!(found.iter().map(|f| f.ok).collect::<Vec<_>>(), [true, false]);
        assert!(found[1].mend.as_deref().is_some_and(|mend| mend.contains("update.raucb")), "{found:?}");
    }

    #[test]
    fn a_spare_slot_that_nothing_went_into_is_well_and_a_booted_one_that_is_bad_is_not() {
        let empty = serde_json::json!({"bundle": {"compatible": null}});
        let status = serde_json::json!({"booted": "A", "slots": [
            {"rootfs.0": {"state": "booted", "boot_status": "bad", "slot_status": empty}},
            {"rootfs.1": {"state": "inactive", "boot_status": "bad", "slot_status": empty}}
        ]});
        let found = slot_findings(&status);
        assert_eq!(found.iter().map(|f| f.ok).collect::<Vec<_>>(), [false, true]);
        assert!(found[1].evidence.contains("spare"), "{found:?}");
    }

    #[test]
    fn an_empty_socket_of_an_appliance_lacks_nothing_and_a_named_adapter_does() {
        let paths = ["/dev/null", "/dev/no-such-socket", "/dev/serial/by-id/no-such-adapter"].map(Path::new);
        let found = serial_ports(paths.into_iter(), true);
        assert_eq!(found.iter().map(|f| f.ok).collect::<Vec<_>>(), [false, true]);
        assert_eq!(found[1].evidence, "plugged in: /dev/null; empty: /dev/no-such-socket");
        let elsewhere = serial_ports(paths.into_iter(), false);
        assert_eq!(elsewhere.iter().map(|f| f.ok).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn an_appliance_without_a_radio_lacks_nothing_and_says_so() {
        let kernel = tempfile::tempdir().unwrap();
        let radio = |adapter: &str| BleAdapter {
            adapter: adapter.to_owned(),
            slots: 6,
            scan: pitchside_config::BleScan::Passive,
        };
        let listed = [radio("hci0"), radio("C0:FF:EE:00:00:01")];
        let found = |appliance| radios(&listed, kernel.path(), appliance);
        let seen = |found: &[Finding]| found.iter().map(|f| (f.ok, f.evidence.clone())).collect::<Vec<_>>();
        let missing = "no radio: hci0 is not there".to_owned();
        assert_eq!(seen(&found(true)), [(true, missing.clone())]);
        assert_eq!(seen(&found(false)), [(false, missing)], "elsewhere somebody wrote that name by hand");
        std::fs::create_dir(kernel.path().join("hci0")).unwrap();
        assert_eq!(seen(&found(false)), [(true, "hci0 is there".to_owned())]);
    }

    #[test]
    fn a_read_only_file_system_is_mended_by_its_mount_point() {
        let mounts = "25 1 8:2 / / rw - ext4 /dev/root rw\n\
                      31 25 8:4 / /srv/match\\040day ro,relatime shared:1 - ext4 /dev/sda4 ro\n\
                      32 25 8:5 / /srv/match rw - ext4 /dev/sda5 rw\n";
        let point = |folder: &str| mount_point(Path::new(folder), mounts);
        assert_eq!(point("/srv/match day/box/data"), Some(PathBuf::from("/srv/match day")));
        assert_eq!(point("/srv/matches/data"), Some(PathBuf::from("/")), "a name that only begins alike");
        assert_eq!(mount_point(Path::new("/srv"), ""), None);
        let here = tempfile::tempdir().unwrap();
        assert!(remount(here.path()).contains("mount -o remount,rw /"));
    }

    #[test]
    fn a_clock_that_was_never_set_is_found() {
        assert!(!clock(ClockState::Unset, Timestamp(0)).ok);
        assert!([ClockState::Free, ClockState::Synchronised].iter().all(|state| clock(*state, Timestamp(0)).ok));
    }
}
