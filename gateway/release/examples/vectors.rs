//! Prints the test vectors of releases: `cargo run -q -p pitchside-release --example vectors > gateway/release/vectors/release.txt`.
//!
//! Every input is in the file, so that a sensor's firmware can be tested against it. `tests/vectors.rs` compares the file
//! with this output.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use ledger_block::cbor::Deterministic as _;
use ledger_block::ingest::Cohort;
use ledger_block::release::{
    Kid, Manifest, PolicyId, ReleaseKey, ReleasePolicy, SecurityCounter, SignedManifest, SignedPolicy, Target, Version,
};
use pitchside_model::Timestamp;
use pitchside_release::manifest::ContentNames;
use pitchside_release::rollout;

fn main() {
    print!("{}", vectors());
}

/// The content: byte i is i modulo 251.
pub fn content() -> Vec<u8> {
    (0..40_000u32).map(|i| (i % 251) as u8).collect()
}

/// The whole file.
pub fn vectors() -> String {
    let mut out = String::from(
        "# Test vectors of firmware releases. Bytes are in hexadecimal. See ledger/block/README.md, \"Releases\".\n",
    );
    let mut put = |name: &str, value: &str| writeln!(out, "{name}: {value}").unwrap();
    let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
    put("\n# Release keys: Ed25519 secrets of 32 equal bytes, their public halves, their ids.\nthreshold", "2");
    let keys: Vec<ReleaseKey> = [0x61, 0x62, 0x63].into_iter().map(|seed| ReleaseKey::new(&[seed; 32])).collect();
    for (at, key) in keys.iter().enumerate() {
        put(&format!("secret-{at}"), &hex(&[0x61 + at as u8; 32]));
        put(&format!("public-{at}"), &hex(&key.public()));
        put(&format!("kid-{at}"), &Kid::of(&key.public()).to_string());
    }
    let mut public: Vec<[u8; 32]> = keys.iter().map(ReleaseKey::public).collect();
    public.sort_unstable();
    let policy = ReleasePolicy { number: 1, previous: PolicyId([0; 32]), threshold: 2, keys: public, single: false };
    let mut signed = SignedPolicy::draft(policy.clone()).unwrap();
    keys.iter().take(2).for_each(|key| signed.sign(key).unwrap());
    put("\n# The first release policy: any two of the three. Signed by keys 0 and 1.\npolicy", &hex(&policy.to_cbor()));
    put("policy-id", &policy.id().to_string());
    put("signed-policy", &hex(&signed.to_bytes()));

    let names = ContentNames::of(content().as_slice()).unwrap();
    let manifest = Manifest {
        target: Target::Sensor,
        component: "strap-firmware".parse().unwrap(),
        hardware: ["strap-r2", "strap-r3"].map(|id| id.parse().unwrap()).to_vec(),
        version: Version::new(1, 4, 0),
        counter: SecurityCounter(3),
        size: names.size,
        sha256: names.sha256,
        blake3: names.blake3,
        from: Some(Version::new(1, 2, 0)),
        // 2027-06-30T23:59:59Z
        expires: Timestamp::from_seconds(1_814_399_999),
    };
    let mut release = SignedManifest::draft(manifest.clone()).unwrap();
    keys.iter().skip(1).for_each(|key| release.sign(key).unwrap());
    put("\n# A release of 40,000 bytes; byte i is i modulo 251. Signed by keys 1 and 2.\nsha256", &hex(&names.sha256));
    put("blake3", &hex(&names.blake3));
    put("manifest", &hex(&manifest.to_cbor()));
    put("release-id", &release.id().to_string());
    put("signed-manifest", &hex(&release.to_bytes()));
    let mut short = SignedManifest::draft(manifest.clone()).unwrap();
    short.sign(&keys[0]).unwrap();
    put(
        "\n# To be refused: one signature of two; a key nobody names; the first byte of a signature changed.\none-signature",
        &hex(&short.to_bytes()),
    );
    let mut stranger = SignedManifest::draft(manifest.clone()).unwrap();
    [&keys[0], &keys[1], &ReleaseKey::new(&[0x64; 32])].into_iter().for_each(|key| stranger.sign(key).unwrap());
    put("stranger", &hex(&stranger.to_bytes()));
    let mut changed = release.to_bytes();
    let first = changed.len() - 64;
    changed[first] ^= 1;
    put("changed", &hex(&changed));
    let small = Manifest { from: None, hardware: vec!["box-amd64".parse().unwrap()], target: Target::Box, ..manifest };
    put("\n# A manifest for the box itself, over any version.\nbox-manifest", &hex(&small.to_cbor()));
    put("box-release-id", &small.id().to_string());

    put("\n# Cohorts of the release above: place (hexadecimal), and the narrowest step that reaches it.\ndevices", "8");
    for n in 0..8 {
        let device = format!("strap-{n}");
        let step = Cohort::STEPS.into_iter().find(|cohort| rollout::is_in(&release.id(), &device, *cohort)).unwrap();
        let place = rollout::place(&release.id(), &device);
        put(&device, &format!("{place:016x} {}", step.percent()));
    }
    out
}
