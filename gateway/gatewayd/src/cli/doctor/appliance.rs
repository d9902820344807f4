//! What whoever stands before an appliance can do: it has no shell, so a command would mend nothing. images/README.md, "The stick".

use super::delivery::{AUTHORITIES, ROUTES};
use super::{Finding, firmware, ledger, machine, opening};

/// A box bears it that its power goes.
pub const RESTART: &str = "take its power away for ten seconds (it bears that) and start it again; if it stays so, call who looks after the box";

const CALL: &str = "give doctor.txt to who looks after the box";

/// Puts in the place of each mend what a stick, the power or a hand can do.
pub fn mends(findings: &mut [Finding]) {
    for finding in findings {
        if let (Some(mend), Some(other)) = (&mut finding.mend, here(finding.what)) {
            other.clone_into(mend);
        }
    }
}

/// The mend of a finding; `None` where its own needs no shell.
fn here(what: &str) -> Option<&'static str> {
    Some(match what {
        // Found on an appliance alone: see `machine`.
        "boot slots" => return None,
        "clock" | firmware::CLOCK => {
            "connect it to a network that reaches a time server: it sets its clock by itself, within minutes; one of your own: name it in \
             timeservers.txt on a stick"
        }
        "disk" | "inodes" => {
            "a box with a larger disk: backup.txt on a stick here, restore.backup and restore.key there"
        }
        opening::NEWER => "update.raucb of the newer version on a stick: nothing is lost",
        "certificate authority" | opening::KEYS | opening::DATABASE | opening::ROOT_KEY => {
            "change nothing and call who looks after the box; restore.backup and restore.key on a stick bring a backup back"
        }
        "listeners" => "name a way in, in settings.toml on a stick",
        machine::UNSERVED => "another port for one of the two, in settings.toml on a stick",
        "serial port" => "plug it in, or correct serial.path in settings.toml on a stick",
        "passive scan" => "ble.scan = \"active\" in settings.toml on a stick",
        "Bluetooth devices" => {
            "another radio, or ble.slots in settings.toml on a stick; one that fails again and again: revoke DEVICE in orders.txt, and bond it under another name"
        }
        "Bluetooth sensors that lost their bond" => {
            "if it was reset or the radio that it was bonded with is gone for good, and only then: forget DEVICE in orders.txt on a stick, and \
             make it ready to pair (its own pairing mode)"
        }
        "Bluetooth bonds kept" => {
            "make each forget this box (its own pairing mode): it pairs anew; one that shows a code: code DEVICE CODE in orders.txt on a \
             stick; if its radio is gone for good, as after a restore onto another box: forget DEVICE in orders.txt"
        }
        "gateway" | "file system" | "sealing" | "certificate" | "Bluetooth bonds" => RESTART,
        "alert path" => {
            "an output: set, secret or grant what it lacks, or disable PLUGIN, in orders.txt on a stick, then drill; else take its power away \
             for ten seconds and start it again"
        }
        AUTHORITIES => "authorities.pem on a stick, certificates in PEM; it counts at once",
        ROUTES => "settings.toml on a stick, with the name of an output: list in orders.txt tells which there are",
        "rules" => {
            "orders.txt on a stick: history RULE tells its versions, rollback RULE VERSION puts one in force again"
        }
        "rules at work" => {
            "orders.txt on a stick: history RULE tells its versions, rollback RULE VERSION puts one in force again; list tells which plugins \
             are off, enable PLUGIN switches one on"
        }
        "plugins" | "plugins at work" => {
            "orders.txt on a stick: list tells how they stand, settings PLUGIN what one lacks; set, secret, grant, enable or disable PLUGIN"
        }
        "devices" => "enrol or bond one: orders.txt on a stick",
        "refused payloads" => "ask the device's maker; give doctor.txt to who looks after the box",
        ledger::SECOND_BOX => {
            "another box of this name runs or ran: take one of the two out of use for good; if this one is to go on: backup.txt on a stick \
             here, then restore.backup and restore.key"
        }
        ledger::REFUSED => "give doctor.txt to who runs the ledger; it is tried again by itself",
        ledger::NOT_BELIEVED => "give doctor.txt to who runs the ledger; change nothing here",
        ledger::UNREADABLE_COPIES => {
            "give doctor.txt to who runs the ledger, whose log names the files; recovery-key in orders.txt on a stick has the keys that are here \
             copied anew"
        }
        ledger::BLOCKS_WAIT | ledger::CHAIN_WAITS => ledger::FIRST_THE_LEDGER,
        ledger::WAY | "ledger" => {
            "look at its network, and at [ledger] in settings.toml; a new ledger: ledger.policy and ledger.txt on a stick"
        }
        "chain" => {
            "bring the ledger into reach and restart the box; only if it is gone for good: take [ledger] out of settings.toml on a stick"
        }
        ledger::POLICY => {
            "ledger.policy on a stick, as who runs the ledger has it: the box looks at it, keeps it and starts anew"
        }
        ledger::KEY => "ledger.public_key in settings.toml on a stick, as in the channel.pub of who runs the ledger",
        "release policy" => {
            "release.policy on a stick, as the releases' publisher has it, where settings.toml names it"
        }
        "firmware releases" => "relearn in orders.txt on a stick",
        "firmware log" => "give doctor.txt to who runs the ledger, and to who looks after the box",
        "firmware signatures" => {
            "firmware.signatures_min in settings.toml on a stick, if fewer shall do; else ask the releases' publisher"
        }
        "firmware news" => "look at its network, and at its clock",
        "firmware contents" => {
            "look at its network, and at [firmware] in settings.toml (ledger_store, store_bytes_max); then take its power away for ten seconds and start it \
             again"
        }
        "box update" => {
            "nothing: what only was cut short, and a later release, are tried by themselves; or update.raucb on a stick"
        }
        "copies of keys" => "recovery-key in orders.txt on a stick, which then holds the new key: lock it away",
        "silent devices" => "look at its battery and range",
        _ => CALL,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stops_firmware_is_mended_by_who_can() {
        let named = [
            "release policy",
            "firmware releases",
            "firmware log",
            "firmware signatures",
            "firmware news",
            "firmware contents",
            firmware::CLOCK,
            ledger::POLICY,
            ledger::KEY,
        ];
        assert!(named.iter().all(|what| here(what).is_some_and(|mend| mend != CALL)));
    }

    #[test]
    fn a_sensor_that_lost_its_bond_is_mended_by_an_order_and_one_that_is_revoked_comes_back_under_another_name() {
        assert!(
            here("Bluetooth sensors that lost their bond")
                .is_some_and(|mend| mend.contains("forget DEVICE in orders.txt"))
        );
        assert!(here("Bluetooth devices").is_some_and(|mend| mend.contains("under another name")));
        assert!(here("firmware releases").is_some_and(|mend| mend.contains("relearn in orders.txt")));
        assert!(here("copies of keys").is_some_and(|mend| mend.contains("recovery-key in orders.txt")));
    }

    #[test]
    fn a_ledger_that_refuses_or_is_not_believed_is_none_of_the_networks() {
        let named =
            [ledger::SECOND_BOX, ledger::REFUSED, ledger::NOT_BELIEVED, ledger::BLOCKS_WAIT, ledger::CHAIN_WAITS];
        assert!(named.iter().all(|what| {
            here(what).is_some_and(|mend| mend != CALL && !mend.contains("network") && !mend.contains("take [ledger]"))
        }));
        assert!(here(opening::NEWER).is_some_and(|mend| mend.starts_with("update.raucb")));
    }

    #[test]
    fn a_clock_that_nobody_set_is_mended_by_the_network_or_by_time_servers_of_the_clinics_own() {
        for what in ["clock", firmware::CLOCK] {
            assert!(
                here(what).is_some_and(|mend| mend.contains("network") && mend.contains("timeservers.txt on a stick"))
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_mended_by_that_file() {
        let on_a_stick = |what: &str, file: &str| here(what).is_some_and(|mend| mend.starts_with(file));
        assert!(on_a_stick(ledger::POLICY, "ledger.policy on a stick"));
        assert!(on_a_stick("release policy", "release.policy on a stick"));
        assert!(on_a_stick(AUTHORITIES, "authorities.pem on a stick"));
        assert!(on_a_stick(ROUTES, "settings.toml on a stick"));
    }

    #[test]
    fn no_mend_on_an_appliance_asks_for_a_shell() {
        let words = ["clock", "disk", "key file", "database", "rules", "gateway", "ledger", "boot slots"];
        let command = "pitchside restore; systemctl restart pitchside";
        let mut findings: Vec<Finding> = words.map(|what| Finding::new(what, false, "sick", command)).into();
        findings.push(Finding::well("chain", "sound"));
        mends(&mut findings);
        for finding in &findings {
            let left = finding.mend.as_deref().is_some_and(|mend| mend.contains("systemctl"));
            assert_eq!(left, finding.what == "boot slots", "{finding:?}");
        }
        assert_eq!(findings.last().and_then(|well| well.mend.as_deref()), None);
    }
}
