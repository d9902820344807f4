//! A publisher of firmware: signs apart, publishes and rolls out by the commands a publisher has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ledger_block::release::{
    Manifest, PolicyId, ReleaseKey, ReleasePolicy, SecurityCounter, SignedManifest, SignedPolicy, Target,
};
use pitchside_model::Timestamp;
use pitchside_release::manifest::ContentNames;
use pitchside_wire::firmware::Version;

use crate::board::Image;
use crate::ledger::Ledger;
use crate::patience::until;
use crate::program::{Answer, program, run};

/// A release key of a test.
pub fn key(seed: u8) -> ReleaseKey {
    ReleaseKey::new(&[seed; 32])
}

/// Two of three keys sign releases.
pub fn policy() -> SignedPolicy {
    let mut keys: Vec<[u8; 32]> = [1, 2, 3].map(|seed| key(seed).public()).to_vec();
    keys.sort_unstable();
    let policy = ReleasePolicy { number: 1, previous: PolicyId([0; 32]), threshold: 2, keys, single: false };
    let mut signed = SignedPolicy::draft(policy).expect("a policy");
    [1, 2].iter().for_each(|seed| signed.sign(&key(*seed)).expect("a signature"));
    signed
}

/// A release of an image for `strap-r2`, signed by two.
pub fn release(image: &Image, version: Version, counter: u32) -> SignedManifest {
    let names = ContentNames::of(image.bytes.as_slice()).expect("a small image");
    let manifest = Manifest {
        target: Target::Sensor,
        component: "strap-firmware".parse().expect("a name"),
        hardware: vec!["strap-r2".parse().expect("a name")],
        version: ledger_block::release::Version::new(version.major, version.minor, version.patch),
        counter: SecurityCounter(counter),
        size: names.size,
        sha256: names.sha256,
        blake3: names.blake3,
        from: None,
        expires: Timestamp::from_seconds(2_000_000_000),
    };
    let mut signed = SignedManifest::draft(manifest).expect("a manifest");
    [2, 3].iter().for_each(|seed| signed.sign(&key(*seed)).expect("a signature"));
    signed
}

/// Writes the first release policy into a folder.
pub fn write_policy(dir: &Path) -> PathBuf {
    let file = dir.join("first.policy");
    std::fs::write(&file, policy().to_bytes()).expect("a file is written");
    file
}

/// A publisher known to the ledger.
pub struct Maker {
    dir: PathBuf,
}

impl Maker {
    /// Makes one in a folder, and has it and the release policy entered.
    pub fn new(dir: &Path, ledger: &Ledger) -> Self {
        let first = write_policy(dir);
        let maker = Self { dir: dir.join("maker") };
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let mut args = words(&["firmware", "init", "--name", "maker", "--ledger"]);
        args.extend([ledger.ingest.to_string().into(), "--ledger-key".into(), ledger.channel.clone().into()]);
        args.extend(["--dir".into(), maker.dir.clone().into(), "--ledger-policy".into(), ledger.policy().into()]);
        args.extend(["--release-policy".into(), first.clone().into()]);
        run(&program("pitchside"), args).ok();
        ledger.enrol_publisher("maker", &maker.dir.join("keys"));
        ledger.release_policy(&first);
        maker
    }

    /// `pitchside firmware ...` at the publisher's place.
    pub fn firmware(&self, args: &[&str]) -> Answer {
        let config = self.dir.join("pitchside.toml");
        let args = ["firmware"].iter().chain(args).chain(&["--config"]).map(OsString::from);
        run(&program("pitchside"), args.chain([config.into_os_string()]))
    }

    /// Publishes a release, its image checked first. The ledger runs while its operator enters the release policy, and shows
    /// it within a second or two.
    pub async fn publish(&self, signed: &SignedManifest, image: &Image) {
        let (release, content) = (self.dir.join("strap.release"), self.dir.join("strap.bin"));
        std::fs::write(&release, signed.to_bytes()).expect("a file is written");
        std::fs::write(&content, &image.bytes).expect("a file is written");
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let answer = until("the ledger shows who signs releases", || {
            let answer = self.firmware(&["publish", &text(&release), "--content", &text(&content)]);
            Some(answer).filter(|answer| !answer.err.contains("no release policy stands in the ledger"))
        });
        answer.await.ok();
    }

    /// Rolls out to so many per cent of `strap-r2`.
    pub fn rollout(&self, signed: &SignedManifest, to: &str) {
        self.firmware(&["rollout", &signed.id().to_string(), "--hardware", "strap-r2", "--to", to]).ok();
    }

    /// Rolls out to all, step by step.
    pub fn rollout_to_all(&self, signed: &SignedManifest) {
        ["1", "10", "100"].iter().for_each(|to| self.rollout(signed, to));
    }
}
