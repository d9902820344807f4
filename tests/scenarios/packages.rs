//! Plugins as packages: signed by somebody trusted, let in or refused with a reason, at work without a restart, tried before they
//! take over.

use std::path::{Path, PathBuf};

use pitchside_tests::program::{Answer, program, run};
use pitchside_tests::{Clinic, Running, Told, until};
use pitchside_wire::Content;

pub(super) const GOOD: &str = "[reading(\"heart_rate\", payload.u8(1), \"/min\")]\n";

/// Somebody who makes plugins, on a machine of their own.
pub(super) struct Maker {
    dir: tempfile::TempDir,
    key: PathBuf,
}

impl Maker {
    pub(super) fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("maker.key");
        let maker = Self { dir, key };
        maker.says(&["plugin", "key", "new", "--name", name, "--out", maker.key.to_str().unwrap()]).ok();
        maker
    }

    fn says(&self, args: &[&str]) -> Answer {
        run(&program("pitchside"), args)
    }

    pub(super) fn public(&self) -> String {
        format!("{}.pub", self.key.display())
    }

    /// Name and id of the key, as refusals say it.
    pub(super) fn signer(&self) -> String {
        let key = std::fs::read_to_string(self.public()).unwrap();
        key.splitn(3, '+').take(2).collect::<Vec<_>>().join("+")
    }

    /// An unsigned package of a decoder.
    fn packs(&self, version: &str, script: &str) -> PathBuf {
        let manifest = format!(
            "name = \"acme\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"decoder\"\noutputs = [\"heart_rate\"]\n"
        );
        self.packs_files("acme", &manifest, ("decode.rhai", script), "case cut\n  00 -> error short_payload\n")
    }

    /// A signed package of an output that asks for this.
    fn makes_output(&self, version: &str, capabilities: &[&str]) -> PathBuf {
        let manifest = format!(
            "name = \"lamp\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"output\"\ncapabilities = {capabilities:?}\n"
        );
        let package = self.packs_files("lamp", &manifest, ("output.rhai", "[]\n"), "case none\n  raised low x ->\n");
        self.signs(&package);
        package
    }

    pub(super) fn packs_files(&self, name: &str, manifest: &str, script: (&str, &str), cases: &str) -> PathBuf {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (file, text) in [("plugin.toml", manifest), script, ("cases.txt", cases), ("README.md", "# A test\n")] {
            std::fs::write(folder.join(file), text).unwrap();
        }
        let (folder, out) = (folder.to_str().unwrap(), self.dir.path().to_str().unwrap());
        let packed = self.says(&["--json", "plugin", "pack", folder, "--out", out]).ok().json();
        packed["file"].as_str().unwrap().into()
    }

    pub(super) fn signs(&self, package: &Path) {
        self.says(&["plugin", "sign", package.to_str().unwrap(), "--key", self.key.to_str().unwrap()]).ok();
    }

    /// A signed package.
    pub(super) fn makes(&self, version: &str, script: &str) -> PathBuf {
        let package = self.packs(version, script);
        self.signs(&package);
        package
    }
}

pub(super) fn plugin(clinic: &Running, args: &[&str]) -> Answer {
    clinic.pitchside(&[&["plugin"], args].concat())
}

pub(super) fn install(clinic: &Running, package: &Path) -> Answer {
    plugin(clinic, &["install", package.to_str().unwrap()])
}

pub(super) fn log(clinic: &Running) -> String {
    plugin(clinic, &["logs", "acme"]).ok().out
}

/// Version and state of the plugin, as the box has them.
pub(super) fn standing(clinic: &Running) -> (String, String, Option<String>) {
    let list = clinic.pitchside(&["--json", "plugin", "list"]).ok().json();
    let acme = list.as_array().unwrap().iter().find(|row| row["name"] == "acme").expect("acme is there").clone();
    let text = |key: &str| acme[key].as_str().map(str::to_owned);
    (text("version").unwrap(), text("state").unwrap(), text("trying"))
}

pub(super) fn waiting(clinic: &Running) -> u64 {
    clinic.tables().undecoded_waiting().expect("the database answers").payloads
}

#[tokio::test]
async fn what_is_unsigned_tampered_with_older_or_of_a_stranger_is_not_let_in() {
    let clinic = Clinic::new().start().await;
    let (maker, stranger) = (Maker::new("acme.example/plugins"), Maker::new("stranger.example"));
    plugin(&clinic, &["trust", &maker.public()]).ok();

    let unsigned = install(&clinic, &maker.packs("1.0.0", GOOD));
    assert_eq!(unsigned.code, 1);
    assert!(unsigned.err.contains("is not signed"), "{unsigned:?}");

    let package = maker.makes("1.0.0", GOOD);
    let strange = stranger.makes("1.0.0", GOOD);
    let refused = install(&clinic, &strange);
    assert!(refused.code == 1 && refused.err.contains("does not trust"), "{refused:?}");

    // One byte of the script, in the archive and under its old signature.
    let tampered = maker.dir.path().join("tampered.tar");
    let mut bytes = std::fs::read(&package).unwrap();
    let at = bytes.windows(8).position(|window| window == b"payload.").unwrap();
    bytes[at + 11] ^= 1;
    std::fs::write(&tampered, &bytes).unwrap();
    std::fs::copy(format!("{}.note", package.display()), format!("{}.note", tampered.display())).unwrap();
    let refused = install(&clinic, &tampered);
    assert_eq!(refused.code, 3, "{refused:?}");
    // One byte of a header: no package at all, and not what was signed.
    bytes[at + 11] ^= 1;
    bytes[104] ^= 1;
    std::fs::write(&tampered, &bytes).unwrap();
    let refused = install(&clinic, &tampered);
    assert!(refused.code == 3 && refused.err.contains("for another archive"), "{refused:?}");

    install(&clinic, &package).ok();
    let again = install(&clinic, &package);
    assert!(again.code == 1 && again.err.contains("installed already"), "{again:?}");
    for (version, script) in
        [("0.9.9", GOOD), ("1.0.0", "[reading(\"heart_rate\", payload.u8(1), \"/min\")] // other\n")]
    {
        let older = install(&clinic, &maker.makes(version, script));
        assert!(older.code == 1 && older.err.contains("a downgrade is refused"), "{older:?}");
    }
    let unasked = plugin(&clinic, &["install", maker.makes("1.1.0", GOOD).to_str().unwrap(), "--grant", "mqtt:hall"]);
    assert!(unasked.code == 1 && unasked.err.contains("does not ask for mqtt:hall"), "{unasked:?}");
    plugin(&clinic, &["distrust", &maker.public()]).ok();
    let refused = install(&clinic, &maker.makes("1.2.0", GOOD));
    assert!(refused.code == 1 && refused.err.contains("does not trust"), "{refused:?}");
    assert_eq!(standing(&clinic).0, "1.0.0", "nothing of all that came in");
}

#[tokio::test]
async fn a_plugin_stays_with_its_maker_until_an_admin_accepts_another_on_purpose() {
    let clinic = Clinic::new().plugin("lamp", GOOD).start().await;
    let (maker, other) = (Maker::new("acme.example/plugins"), Maker::new("other.example"));
    for trusted in [&maker, &other] {
        plugin(&clinic, &["trust", &trusted.public()]).ok();
    }
    install(&clinic, &maker.makes("1.0.0", GOOD)).ok();
    let theirs = other.makes("1.1.0", GOOD);
    let theirs = theirs.to_str().unwrap();
    for verb in ["install", "update"] {
        let refused = plugin(&clinic, &[verb, theirs]);
        let purpose = format!("pitchside plugin {verb} {theirs} --new-signer");
        for part in [maker.signer(), other.signer(), purpose] {
            assert!(refused.code == 1 && refused.err.contains(&part), "{part}: {refused:?}");
        }
    }
    assert_eq!((standing(&clinic), log(&clinic).contains("1.1.0")), (("1.0.0".into(), "on".into(), None), false));

    let recorded = |new: &Maker, old: &Maker| {
        let said = format!("(--new-signer: {} in place of what was signed by {})", new.signer(), old.signer());
        assert!(log(&clinic).contains(&said), "{said}: {}", log(&clinic));
    };
    plugin(&clinic, &["install", theirs, "--new-signer"]).ok();
    recorded(&other, &maker);
    // It is theirs now: what was its maker's is another's.
    let back = maker.makes("1.2.0", GOOD);
    let refused = install(&clinic, &back);
    assert!(refused.code == 1 && refused.err.contains("--new-signer"), "{refused:?}");
    plugin(&clinic, &["update", back.to_str().unwrap(), "--new-signer", "--within", "1000h"]).ok();
    recorded(&maker, &other);
    assert_eq!(standing(&clinic).2.as_deref(), Some("1.2.0"));
    plugin(&clinic, &["rollback", "acme"]).ok();

    let packed = |name: &str| {
        let named = format!("name = \"{name}\"\nversion = \"9.0.0\"\nsummary = \"A test.\"\nkind = \"decoder\"\n");
        let cut = "case cut\n  00 -> error short_payload\n";
        let package = other.packs_files(name, &(named + "outputs = [\"heart_rate\"]\n"), ("decode.rhai", GOOD), cut);
        other.signs(&package);
        package
    };
    let refused = install(&clinic, &packed("ACME"));
    assert!(refused.code == 1 && refused.err.contains("ACME is called as acme is"), "{refused:?}");
    let older = other.makes("1.0.5", GOOD);
    let older = older.to_str().unwrap();
    let refused = plugin(&clinic, &["install", older]);
    assert!(refused.code == 1 && refused.err.contains("--allow-downgrade"), "{refused:?}");
    plugin(&clinic, &["install", older, "--allow-downgrade"]).ok();
    assert!(log(&clinic).contains("1.0.5 was installed instead of 1.1.0, signed by other.example (--allow-downgrade)"));
    plugin(&clinic, &["rollback", "acme"]).ok();
    assert!(log(&clinic).contains("went back to the version before, 1.1.0, signed by other.example"));
    let habit = plugin(&clinic, &["install", other.makes("1.3.0", GOOD).to_str().unwrap(), "--new-signer"]);
    assert!(habit.code == 1 && habit.err.contains("needs no --new-signer"), "{habit:?}");

    // One of the library is the library's.
    let lamp = packed("lamp");
    let refused = install(&clinic, &lamp);
    assert!(refused.code == 1 && refused.err.contains("the lamp of this box is the library's"), "{refused:?}");
    plugin(&clinic, &["install", lamp.to_str().unwrap(), "--new-signer"]).ok();
}

#[tokio::test]
async fn a_plugin_that_asks_for_more_than_was_granted_is_not_let_in() {
    let clinic = Clinic::new().start().await;
    let maker = Maker::new("acme.example/plugins");
    plugin(&clinic, &["trust", &maker.public()]).ok();
    let first = maker.makes_output("1.0.0", &["mqtt:hall/lamp"]);
    let refused = install(&clinic, &first);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("was not granted: mqtt:hall/lamp") && refused.err.contains("--grant mqtt:hall/lamp"));
    let said = plugin(&clinic, &["install", first.to_str().unwrap(), "--grant", "mqtt:hall/lamp"]).ok();
    assert!(said.out.contains("it may mqtt:hall/lamp"), "shown to who grants it: {said:?}");
    let listed = plugin(&clinic, &["list"]).ok().out;
    assert!(listed.contains("mqtt:hall/lamp") && !listed.contains("not granted"), "{listed}");
    let more = maker.makes_output("1.1.0", &["mqtt:hall/lamp", "http:hooks.example.org"]);
    let refused = plugin(&clinic, &["update", more.to_str().unwrap()]);
    assert!(refused.code == 1 && refused.err.contains("was not granted: http:hooks.example.org"), "{refused:?}");
    plugin(&clinic, &["install", more.to_str().unwrap(), "--grant", "http:hooks.example.org"]).ok();
    plugin(&clinic, &["revoke", "lamp", "http:hooks.example.org"]).ok();
    assert!(plugin(&clinic, &["list"]).ok().out.contains("http:hooks.example.org (not granted)"));
}

#[tokio::test]
async fn a_plugin_is_installed_switched_off_and_on_and_removed_without_a_restart() {
    let clinic = Clinic::new().strap("s7").decoder("acme").start().await;
    let maker = Maker::new("acme.example/plugins");
    plugin(&clinic, &["trust", &maker.public()]).ok();
    let mut s7 = clinic.sensor("s7").await;
    assert_eq!(s7.says(Content::Vendor, [0, 70]).await, Told::Stored);
    assert_eq!(waiting(&clinic), 1, "kept until its plugin is there");
    install(&clinic, &maker.makes("1.0.0", GOOD)).ok();
    until("what waited is read", || (waiting(&clinic) == 0).then_some(())).await;

    plugin(&clinic, &["disable", "acme"]).ok();
    let mut kept = 0;
    until("the plugin is off", || {
        // Whether it still ran is seen by what becomes of a payload; each is kept or read, none lost.
        kept = waiting(&clinic);
        let troubles = clinic.pitchside(&["--json", "plugin", "list"]).json();
        troubles.to_string().contains("\"off\"").then_some(())
    })
    .await;
    let mut said = 1;
    while waiting(&clinic) == kept {
        assert_eq!(s7.says(Content::Vendor, [0, 71]).await, Told::Stored);
        said += 1;
    }
    plugin(&clinic, &["enable", "acme"]).ok();
    until("all is read", || (waiting(&clinic) == 0 && clinic.values("s7").len() == said).then_some(())).await;

    plugin(&clinic, &["remove", "acme"]).ok();
    until("it is gone", || {
        let list = clinic.pitchside(&["--json", "plugin", "list"]).ok().json();
        list.as_array().unwrap().is_empty().then_some(())
    })
    .await;
    for deed in ["was installed", "was switched off", "was switched on", "was removed"] {
        assert!(log(&clinic).contains(deed), "{deed}: {}", log(&clinic));
    }
}

#[tokio::test]
async fn a_plugin_that_was_switched_off_by_its_faults_is_mended_without_a_restart() {
    let clinic =
        Clinic::new().plugin("broken", "let list = [1];\nlist[7]\n").strap("s7").decoder("broken").start().await;
    let mut s7 = clinic.sensor("s7").await;
    for at in 0..8 {
        assert_eq!(s7.says(Content::Vendor, [0, 70 + at]).await, Told::Stored);
    }
    let troubles = || clinic.pitchside(&["plugin", "logs", "broken"]).ok().out;
    until("its faults are written down with their place", || troubles().contains("at line 2").then_some(())).await;
    clinic.write_plugin("broken", GOOD);
    until("all that waited is read", || (waiting(&clinic) == 0).then_some(())).await;
    assert_eq!(clinic.values("s7"), (0..8).map(|at| format!("heart_rate {}", 70 + at)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_new_version_reads_beside_the_old_one_and_takes_over_only_if_it_reads_alike() {
    let clinic = Clinic::new().strap("s7").decoder("acme").start().await;
    let maker = Maker::new("acme.example/plugins");
    plugin(&clinic, &["trust", &maker.public()]).ok();
    install(&clinic, &maker.makes("1.0.0", GOOD)).ok();
    let update = |version: &str, script: &str, more: &[&str]| {
        let package = maker.makes(version, script);
        let args = ["update", package.to_str().unwrap(), "--payloads", "5", "--within", "1000h"];
        plugin(&clinic, &[&args, more].concat())
    };
    let mut s7 = clinic.sensor("s7").await;
    let mut rate = 0;

    update("1.1.0", "[reading(\"heart_rate\", payload.u8(1) + 1, \"/min\")]\n", &[]).ok();
    assert_eq!(standing(&clinic).2.as_deref(), Some("1.1.0"));
    let busy = update("1.2.0", GOOD, &[]);
    assert!(busy.code == 1 && busy.err.contains("on trial already"), "{busy:?}");
    while standing(&clinic).2.is_some() {
        rate = 60 + (rate + 1) % 60;
        assert_eq!(s7.says(Content::Vendor, [0, rate]).await, Told::Stored);
    }
    assert_eq!(standing(&clinic).0, "1.0.0");
    assert!(log(&clinic).contains("1.1.0 is refused, 1.0.0 stays: it reads differently"), "{}", log(&clinic));

    // What its cases do not show: it may read differently, but not fail.
    let failing = "if payload.len() < 2 { throw \"short_payload\" }\n[1][7]\n";
    update("1.2.0", failing, &["--allow-differences"]).ok();
    while standing(&clinic).2.is_some() {
        assert_eq!(s7.says(Content::Vendor, [0, 60]).await, Told::Stored);
    }
    assert!(log(&clinic).contains("1.2.0 is refused, 1.0.0 stays: it fails"), "{}", log(&clinic));

    // Off, it reads nothing that could be compared: what is tried is tried on once it is on again.
    update("1.2.1", "[reading(\"heart_rate\", payload.u8(1) + 1, \"/min\")]\n", &[]).ok();
    plugin(&clinic, &["disable", "acme"]).ok();
    let before = waiting(&clinic);
    while waiting(&clinic) == before {
        assert_eq!(s7.says(Content::Vendor, [0, 60]).await, Told::Stored);
    }
    plugin(&clinic, &["enable", "acme"]).ok();
    while standing(&clinic).2.is_some() {
        assert_eq!(s7.says(Content::Vendor, [0, 60]).await, Told::Stored);
    }
    assert_eq!(standing(&clinic).0, "1.0.0");
    assert!(log(&clinic).contains("1.2.1 is refused, 1.0.0 stays: it reads differently"), "{}", log(&clinic));

    update("1.3.0", "let rate = payload.u8(1);\n[reading(\"heart_rate\", rate, \"/min\")]\n", &[]).ok();
    while standing(&clinic).2.is_some() {
        assert_eq!(s7.says(Content::Vendor, [0, 60]).await, Told::Stored);
    }
    assert_eq!(standing(&clinic).0, "1.3.0");
    plugin(&clinic, &["rollback", "acme"]).ok();
    assert_eq!(standing(&clinic).0, "1.0.0");
    until("what waited for a change is read", || (waiting(&clinic) == 0).then_some(())).await;
    assert!(clinic.values("s7").iter().all(|value| value.starts_with("heart_rate ")));
}
