//! Command lines as data: each `*.trycmd` file beside this is a conversation with `pitchside`, with its output and exit
//! codes. `TRYCMD=overwrite cargo test -p pitchside-tests --test cli` writes down what it says now.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use pitchside_tests::Clinic;
use pitchside_tests::program::program;

#[tokio::test]
async fn commands_say_what_is_written_down() {
    if std::env::var("TRYCMD").is_ok_and(|mode| mode == "overwrite") {
        write_evidence(Path::new("cli/evidence.in")).await;
    }
    trycmd::TestCases::new().register_bin("pitchside", program("pitchside")).case("cli/*.trycmd");
}

/// Evidence is signed with keys that are gone once it is made, so the conversation about it has it as files.
async fn write_evidence(folder: &Path) {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").ledger().start().await;
    clinic.sensor("s7").await.heart_rate(72).await;
    clinic.seal().await;
    clinic.synced().await;
    let readings = clinic.pitchside(&["--json", "readings", "--device", "s7"]).ok().json();
    let rate = readings.as_array().unwrap().iter().find(|row| row["value"] == "72").unwrap();
    let file = folder.join("reading");
    clinic.pitchside(&["evidence", "export", rate["id"].as_str().unwrap(), "--out", file.to_str().unwrap()]).ok();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(folder.join("tampered"), bytes).unwrap();
    std::fs::copy(clinic.ledger().policy(), folder.join("policy")).unwrap();
    let mut other = Clinic::new().ledger().start().await;
    std::fs::copy(other.ledger().policy(), folder.join("other-policy")).unwrap();
}
