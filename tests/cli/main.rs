//! Command lines as data: each `*.trycmd` file beside this is a conversation with `pitchside`, with its output and exit
//! codes. `TRYCMD=overwrite cargo test -p pitchside-tests --test cli` writes down what it says now.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use pitchside_tests::Clinic;
use pitchside_tests::program::program;

#[test]
fn commands_say_what_is_written_down() {
    trycmd::TestCases::new().register_bin("pitchside", program("pitchside")).case("cli/*.trycmd");
}

/// Evidence is signed with keys that are gone when it is made, so it is kept as files.
#[tokio::test]
#[ignore = "writes the files of cli/evidence.in anew: run it when the format changes"]
async fn the_files_of_the_evidence_conversation_are_written() {
    let folder = Path::new("cli/evidence.in");
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
