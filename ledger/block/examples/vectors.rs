//! Prints the test vectors of this crate: `cargo run -q -p ledger-block --example vectors > ledger/block/vectors/block.txt`.
//!
//! Every input is in the file, so a stranger can follow each step. `tests/vectors.rs` compares the file with this output.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use ledger_block::cbor::Deterministic as _;
use ledger_block::checkpoint::Checkpoint;
use ledger_block::evidence::Evidence;
use ledger_block::evidence::alert::{AlertEvidence, Happened, LogLine};
use ledger_block::merkle::{inclusion_proof, leaf_hash, root};
use ledger_block::note::{KeyKind, SignerKey};
use ledger_block::receipt::{Included, Sequenced};
use ledger_block::record::{AlertRecord, ReadingRecord, Record};
use ledger_block::segment::{self, BlockPlace, Content, HourKey, SealedSegment, SegmentKeys, SegmentTag, Subject};
use ledger_block::{
    BlockIndex, ClockState, GatewayKey, Header, Incarnation, SeenCheckpoint, SignedHeader, header::GENESIS, payload,
};
use pitchside_model::{
    Alert, AlertEvent, AlertId, Assurance, AthleteId, Decimal, DeviceId, Epoch, Priority, Quality, Quantity, Reading,
    RuleName, Seq, Timestamp, Value,
};

fn main() {
    print!("{}", vectors());
}

const GATEWAY_SECRET: [u8; 32] = [0x11; 32];
const LOG_SECRET: [u8; 32] = [0x22; 32];
const WITNESS_SECRET: [u8; 32] = [0x33; 32];
const READINGS_HOUR_KEY: [u8; 32] = [0x44; 32];
const ALERTS_HOUR_KEY: [u8; 32] = [0x55; 32];
const SALT: [u8; 24] = [0x66; 24];
const ORIGIN: &str = "ledger.example/pitchside";
/// 2026-11-21T09:00:00Z in microseconds.
const START_US: i64 = 1_795_251_600_000_000;
const RULE: [&str; 2] = ["name = \"heat-illness\"\nversion = \"1.0.0\"\n", "value > 39.3\n"];
const STREAM: [&str; 2] = ["name = \"core-slope\"\n", "value\n"];

struct Text(String);

impl Text {
    fn comment(&mut self, text: &str) {
        self.0.push('\n');
        for line in text.lines() {
            writeln!(self.0, "# {line}").unwrap();
        }
    }
    fn hex(&mut self, name: &str, bytes: &[u8]) {
        writeln!(self.0, "{name}: {}", HEXLOWER.encode(bytes)).unwrap();
    }
    fn text(&mut self, name: &str, text: &str) {
        writeln!(self.0, "{name}: {text}").unwrap();
    }
}

fn athlete() -> AthleteId {
    AthleteId::parse("athlete-3").unwrap()
}

fn readings() -> Vec<ReadingRecord> {
    (0i64..5)
        .map(|n| ReadingRecord {
            device: DeviceId::parse("pill-3").unwrap(),
            athlete: Some(athlete()),
            assurance: Assurance::Noise,
            epoch: Epoch(0x0123_4567_89ab_cdef),
            seq: Seq(40 + n as u64),
            item: 0,
            reading: Reading {
                quantity: Quantity::CORE_TEMPERATURE,
                unit: Quantity::CORE_TEMPERATURE.unit(),
                device_time: Timestamp(START_US + n * 10_000_000),
                gateway_time: Timestamp(START_US + n * 10_000_000 + (5 + n % 3) * 1_000),
                quality: Quality::empty(),
                value: Value::Number(Decimal { mantissa: 3_920 + n * n, exponent: -2 }),
            },
        })
        .collect()
}

fn of_parts<'a>(context: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let led = |part: &[u8]| [&(part.len() as u64).to_le_bytes()[..], part].concat();
    blake3::derive_key(context, &parts.into_iter().map(led).collect::<Vec<_>>().concat())
}

/// Names and hashes of the rules in force, and the hash of them all.
fn rules() -> (Vec<(String, [u8; 32])>, [u8; 32]) {
    let hash = |texts: [&'static str; 2]| of_parts("pitchside rule v1", texts.map(str::as_bytes));
    let rules = vec![("heat-illness".to_owned(), hash(RULE)), ("derived/core-slope".to_owned(), hash(STREAM))];
    let set =
        of_parts("pitchside rule set v1", rules.iter().flat_map(|(name, hash)| [name.as_bytes(), hash.as_slice()]));
    (rules, set)
}

fn alert_id(last: &ReadingRecord) -> AlertId {
    let name = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    let (quantity, time) = (Quantity::CORE_TEMPERATURE.code().to_le_bytes(), last.reading.device_time.0.to_le_bytes());
    let about = [&name("heat-illness")[..], &[0], &name(athlete().as_str()), &quantity, &time].concat();
    let hash = blake3::derive_key("pitchside alert id v1", &about);
    AlertId(std::array::from_fn(|at| hash[at]))
}

fn alert() -> Record {
    let last = readings().pop().unwrap();
    Record::Alert(AlertRecord(AlertEvent::Raised(Alert {
        id: alert_id(&last),
        rule: RuleName::parse("heat-illness").unwrap(),
        rule_version: "1.0.0".to_owned(),
        priority: Priority::High,
        athlete: last.athlete,
        device: last.device,
        quantity: Quantity::CORE_TEMPERATURE,
        value: Some(Decimal { mantissa: 3_936, exponent: -2 }),
        unit: Quantity::CORE_TEMPERATURE.unit(),
        event_time: last.reading.device_time,
        message: "Core temperature 39.36 Cel and still rising.".to_owned(),
    })))
}

fn seal(out: &mut Text, tag: SegmentTag, content: &Content<'_>, hour: [u8; 32], place: &BlockPlace) -> SealedSegment {
    let keys = SegmentKeys::derive(&HourKey::new(hour), place, tag);
    let plaintext = segment::plaintext(tag, content).unwrap();
    out.hex("tag", &tag.to_bytes());
    out.hex("hour-key", &hour);
    out.hex("plaintext", &plaintext);
    let sealed = segment::seal(tag, content, plaintext, &keys).unwrap();
    out.hex("commitment", &sealed.commitment);
    out.hex("ciphertext", &sealed.ciphertext);
    let opened = segment::open(&sealed, &keys, tag, Some(&athlete())).unwrap();
    for at in 0..opened.records().len() {
        let disclosed = opened.disclose(at).unwrap();
        out.hex(&format!("record-{at}"), &disclosed.record);
        out.hex(&format!("blind-{at}"), &disclosed.blind);
    }
    out.hex("root", &sealed.root);
    sealed
}

/// The whole file.
pub fn vectors() -> String {
    let mut out = Text(String::from(
        "# Test vectors of Pitchside blocks, version 1. Bytes are in hexadecimal. See ../README.md.\n",
    ));
    let gateway = GatewayKey::new(&GATEWAY_SECRET);
    let log = SignerKey::new(ORIGIN, KeyKind::Ed25519, &LOG_SECRET).unwrap();
    let witness = SignerKey::new("witness.example/1", KeyKind::Cosignature, &WITNESS_SECRET).unwrap();
    let place = BlockPlace { gateway: gateway.id(), incarnation: Incarnation(1), index: BlockIndex(300), salt: SALT };
    out.comment("Who and where. A gateway is named by its Ed25519 public key.");
    out.hex("gateway-secret", &GATEWAY_SECRET);
    out.hex("gateway", &gateway.id().0);
    out.text("incarnation", "1");
    out.text("index", "300");
    out.hex("salt", &SALT);

    let hour = Timestamp(START_US).hour();
    out.comment("A segment of five readings of core temperature of athlete-3.");
    let records = readings();
    let content = Content::Readings(records.iter().map(ReadingRecord::as_ref).collect());
    let tag = SegmentTag { subject: Subject::Readings(Quantity::CORE_TEMPERATURE), hour, part: 0 };
    let readings_segment = seal(&mut out, tag, &content, READINGS_HOUR_KEY, &place);
    let readings_keys = SegmentKeys::derive(&HourKey::new(READINGS_HOUR_KEY), &place, tag);
    let opened_readings = segment::open(&readings_segment, &readings_keys, tag, Some(&athlete())).unwrap();

    out.comment(
        "The rule that raises the alert, and a stream of a plugin that it names as an input: texts of which only the hashes\ncount here, and the id that follows from rule, athlete, quantity and time. See gateway/rules/README.md.",
    );
    let (rules, set) = rules();
    for (file, text) in ["rule.toml", "rule.rhai", "plugin.toml", "derive.rhai"].iter().zip(RULE.iter().chain(&STREAM))
    {
        out.hex(file, text.as_bytes());
    }
    out.hex("rule-hash", &rules[0].1);
    out.hex("stream-hash", &rules[1].1);
    out.hex("rule-set-hash", &set);
    out.hex("alert-id", &alert_id(&records[4]).0);

    out.comment("A segment of one alert of athlete-3.");
    let content = Content::Alerts(vec![alert().to_bytes()]);
    let tag = SegmentTag { subject: Subject::Alerts, hour, part: 0 };
    let alerts_segment = seal(&mut out, tag, &content, ALERTS_HOUR_KEY, &place);
    let alerts_keys = SegmentKeys::derive(&HourKey::new(ALERTS_HOUR_KEY), &place, tag);
    let opened_alerts = segment::open(&alerts_segment, &alerts_keys, tag, Some(&athlete())).unwrap();

    out.comment("The payload of both, and the header over it.");
    let built = payload::build(&SALT, vec![readings_segment.clone(), alerts_segment.clone()]).unwrap();
    out.hex("payload", &built.bytes);
    out.hex("payload-digest", &built.digest);
    out.hex("segment-root", &built.segment_root);
    let header = Header {
        gateway: gateway.id(),
        incarnation: place.incarnation,
        index: place.index,
        previous: [0x77; 32],
        sealed_at: Timestamp(START_US + 60_000_000),
        clock: ClockState::Synchronised,
        segment_root: built.segment_root,
        payload_length: built.bytes.len() as u64,
        payload_digest: built.digest,
        rules: set,
        plugins: [0x99; 32],
        firmware: GENESIS,
        checkpoint: Some(SeenCheckpoint { size: 9, root: [0xaa; 32] }),
    };
    out.hex("header", &header.to_cbor());
    let block = SignedHeader::sign(header, &gateway).unwrap();
    out.hex("signed-header", block.bytes());
    out.hex("block-hash", &block.hash());

    out.comment("A log of eleven leaves; the block is number 6, the others are the single bytes 0 to 10.");
    let mut leaves: Vec<[u8; 32]> = (0..11u8).map(|n| leaf_hash(&[n])).collect();
    leaves[6] = block.hash();
    let mut note = Checkpoint::new(ORIGIN, 11, root(&leaves)).sign(&log, 0).unwrap();
    note.sign(&witness, 1_795_251_700).unwrap();
    out.hex("checkpoint", note.to_string().as_bytes());
    let policy = format!("log {}\nwitness w1 {}\nquorum w1\n", log.verifier(), witness.verifier());
    out.text("log-key", &log.verifier().to_string());
    out.text("witness-key", &witness.verifier().to_string());
    out.hex("policy", policy.as_bytes());

    let included = Included {
        sequenced: Sequenced { leaf: block.hash(), leaf_index: 6 },
        checkpoint: note.to_string().into_bytes(),
        path: inclusion_proof(&leaves, 6).unwrap(),
    };
    let payload = payload::verify(block.header(), &built.bytes).unwrap();
    let evidence = |opened: &segment::OpenSegment, sealed: &SealedSegment, at: usize| {
        let found = payload.find(&sealed.commitment).unwrap();
        Evidence::assemble(opened.disclose(at).unwrap(), &payload, found, &block, &included).unwrap().to_bytes()
    };
    out.comment("Evidence of reading 3 and of the alert. A verifier must accept both under the policy, and refuse them with\nany bit changed.");
    out.hex("evidence-reading", &evidence(&opened_readings, &readings_segment, 3));
    let alone = evidence(&opened_alerts, &alerts_segment, 0);
    out.hex("evidence-alert", &alone);

    out.comment("Evidence of the alert with its readings and its rule: version 2. The same holds.");
    let reading = |at| Evidence::parse(&evidence(&opened_readings, &readings_segment, at)).unwrap();
    let texts = |[manifest, script]: [&str; 2]| (manifest.to_owned(), script.to_owned());
    let (manifest, script) = texts(RULE);
    let line = |what, at: Option<i64>, by: Option<&str>| LogLine {
        what,
        at: at.map(|at| Timestamp(START_US + at)),
        by: by.map(str::to_owned),
    };
    let said = AlertEvidence {
        alert: Evidence::parse(&alone).unwrap(),
        readings: (0..5).map(reading).collect(),
        rules,
        manifest,
        script,
        streams: vec![texts(STREAM)],
        engine: "pitchside-rules/0.1.0".to_owned(),
        before: None,
        log: vec![
            line(Happened::Recorded, Some(40_010_000), None),
            line(Happened::Delivered, None, Some("page and MQTT")),
            line(Happened::Acknowledged, Some(55_000_000), Some("ann")),
        ],
        made_at: Timestamp(START_US + 70_000_000),
    };
    out.hex("evidence-with-readings", &said.to_bytes(&gateway).unwrap());
    out.0
}
