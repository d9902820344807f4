//! A file from a stranger is refused in memory of a small multiple of its size. Alone in this program: the peak is that of a process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use data_encoding::HEXLOWER;
use ledger_block::GatewayKey;
use ledger_block::cose::CoseError;
use ledger_block::evidence::alert::{AlertEvidence, AlertFault, READINGS_MAX, verify};
use ledger_block::evidence::{EVIDENCE_BYTES_MAX, Evidence};
use ledger_block::policy::Policy;
use pitchside_model::Timestamp;

const VECTORS: &str = include_str!("../vectors/block.txt");
/// What a refusal may take beside a few copies of the file.
const BESIDE: usize = 8 << 20;

fn vector(name: &str) -> Vec<u8> {
    let line = VECTORS.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    HEXLOWER.decode(line.unwrap_or_else(|| panic!("no {name}")).as_bytes()).unwrap()
}

/// The most memory this process ever held, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("this test needs Linux's /proc");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1_024
}

/// What a file is refused for.
fn refused(bytes: &[u8]) -> AlertFault {
    let policy = Policy::parse(&vector("policy")).unwrap();
    let before = peak();
    let fault = verify(bytes, &policy).unwrap_err();
    let grown = peak().saturating_sub(before);
    assert!(grown < 10 * bytes.len() + BESIDE, "{} bytes took {grown}: {fault}", bytes.len());
    fault
}

/// Evidence of as many readings as there may be, all of them one, under a checkpoint with one long signature line of a key that nobody
/// knows: what they share is most of a gigabyte if each has it for itself.
fn of_one_reading_for_all(key: &GatewayKey) -> Vec<u8> {
    let mut reading = Evidence::parse(&vector("evidence-reading")).unwrap();
    let line = format!("\u{2014} nobody.example {}\n", "A".repeat(EVIDENCE_BYTES_MAX / 4));
    reading.checkpoint.extend_from_slice(line.as_bytes());
    let said = AlertEvidence {
        alert: Evidence::parse(&vector("evidence-alert")).unwrap(),
        readings: std::iter::repeat_n(reading, READINGS_MAX).collect(),
        rules: Vec::new(),
        manifest: String::new(),
        script: String::new(),
        streams: Vec::new(),
        engine: String::new(),
        before: None,
        log: Vec::new(),
        made_at: Timestamp(0),
    };
    said.to_bytes(key).unwrap()
}

#[test]
fn a_file_that_points_thousands_of_times_at_something_long_is_refused_in_little_memory() {
    let key = GatewayKey::new(&vector("gateway-secret").try_into().unwrap());
    let signed = of_one_reading_for_all(&key);
    assert!(signed.len() < 2 << 20, "{} bytes", signed.len());
    let mut unsigned = signed.clone();
    *unsigned.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&unsigned), AlertFault::Statement(CoseError::Signature));
    // Nor does it help to have signed it.
    assert_eq!(refused(&signed), AlertFault::Twice(1));
    // A list of four million numbers, where the payload should be.
    let mut nested = vec![0xd9, 0xd9, 0xf7, 0xa2, 0x01, 0x02, 0x02, 0x5a];
    nested.extend_from_slice(&(12u32 + (4 << 20)).to_be_bytes());
    nested.extend_from_slice(&[0xd2, 0x84, 0x43, 0xa1, 0x01, 0x27, 0xa0, 0x9a]);
    nested.extend_from_slice(&(4u32 << 20).to_be_bytes());
    nested.resize(nested.len() + (4 << 20), 0);
    assert_eq!(refused(&nested), AlertFault::Statement(CoseError::Form));
}
