//! The vectors in `vectors/`: computed again from their inputs, and compared byte for byte.
//!
//! `BLESS=1 cargo test -p pitchside-wire --test vectors` writes them anew after a deliberate change of the protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;
use std::path::Path;

use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use pitchside_wire::control::{Advance, Close, Ready};
use pitchside_wire::message::MessageHeader;
use pitchside_wire::waveform::Waveform;
use pitchside_wire::{
    Ceilings, Class, Content, Counter, Credential, Epoch, GatewayKeys, Hello, Initiator, Kind, Message, Millis,
    PrivateKey, Psk, RandomFailed, Reason, Receipt, Refused, Seq, Session, SessionId, Stamp, cobs,
};
use sha2::Sha256;

const DEVICE: &str = "strap-07";
const SESSION: SessionId = SessionId(0x8877_6655_4433_2211);
const STAMP: Stamp = Stamp(1_700_000_000_000);
const READY_US: i64 = 1_700_000_000_123_456;
const SENML: &[u8] = br#"[{"n":"heart_rate","u":"beat/min","t":1700000000,"v":72}]"#;

/// Ascending bytes from `first`.
fn bytes<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first.wrapping_add(i as u8))
}

/// Hands out exactly these bytes, once.
fn exactly(mut given: Vec<u8>) -> impl FnMut(&mut [u8]) -> Result<(), RandomFailed> {
    move |out: &mut [u8]| {
        out.copy_from_slice(&given.drain(..out.len()).collect::<Vec<_>>());
        Ok(())
    }
}

struct Page(String);

impl Page {
    fn new(title: &str) -> Self {
        Self(format!(
            "# {title}\n# `name: value` lines; values in hexadecimal unless in quotes. A line of `--` ends a group.\n"
        ))
    }
    fn group(&mut self, comment: &str) {
        write!(self.0, "--\ncomment: \"{comment}\"\n").unwrap();
    }
    fn put(&mut self, name: &str, value: impl AsRef<[u8]>) {
        writeln!(self.0, "{name}: {}", HEXLOWER.encode(value.as_ref())).unwrap();
    }
    fn text(&mut self, name: &str, value: impl std::fmt::Display) {
        writeln!(self.0, "{name}: \"{value}\"").unwrap();
    }
    fn check(self, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(file);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &self.0).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap();
        assert_eq!(stored, self.0, "{file} differs from what the code computes");
    }
}

fn handshake(page: &mut Page, class: Class) -> (Session, Session) {
    let (psk, device, gateway) = (Psk::new(bytes(0x40)), PrivateKey::new(bytes(0x60)), PrivateKey::new(bytes(0x80)));
    let credential = match class {
        Class::P0 => Credential::P0 { psk: psk.clone() },
        Class::P1 => Credential::P1 { psk: psk.clone() },
        Class::P2 => Credential::P2 { psk: psk.clone(), private: device.clone(), gateway: gateway.public() },
    };
    page.text("device", DEVICE);
    page.put("psk", psk.expose());
    let (ours, theirs): (Vec<u8>, Vec<u8>) = match class {
        Class::P0 => (bytes::<16>(0x00).into(), bytes::<16>(0x10).into()),
        Class::P1 | Class::P2 => (bytes::<32>(0xA0).into(), bytes::<32>(0xC0).into()),
    };
    if class == Class::P2 {
        page.put("device-private", device.expose());
        page.put("device-public", device.public().0);
        page.put("gateway-private", gateway.expose());
        page.put("gateway-public", gateway.public().0);
        page.put("stamp", STAMP.0.to_le_bytes());
    }
    let what = if class == Class::P0 { "nonce" } else { "ephemeral-private" };
    page.put(&format!("device-{what}"), &ours);
    page.put(&format!("gateway-{what}"), &theirs);
    page.put("session", SESSION.0.to_le_bytes());

    let mut initiator = Initiator::start(DEVICE, &credential, STAMP, &mut exactly(ours.clone())).unwrap();
    let public = device.public();
    let keys = GatewayKeys { psk: &psk, device: &public, private: &gateway };
    let answer = Hello::parse(initiator.hello()).unwrap();
    let answer = answer.answer(keys, SESSION, Millis(0), &mut exactly(theirs.clone())).unwrap();
    let session = initiator.finish(&answer.reply, Millis(0)).unwrap();
    let traffic = session.snapshot(Ceilings::NONE).keys;
    if class == Class::P0 {
        // Derived here a second time, from the text of the specification.
        let mut hello_key = [0; 32];
        let info = [b"ps/1/hello".as_slice(), DEVICE.as_bytes()].concat();
        Hkdf::<Sha256>::new(Some(&ours), psk.expose()).expand(&info, &mut hello_key).unwrap();
        page.put("hello-key", hello_key);
        let mut okm = [0; 96];
        let info = [b"ps/1/psk".as_slice(), DEVICE.as_bytes()].concat();
        Hkdf::<Sha256>::new(Some(&[ours, theirs].concat()), psk.expose()).expand(&info, &mut okm).unwrap();
        assert_eq!(okm[..64], [traffic.up, traffic.down].concat());
        page.put("confirm-key", &okm[64..]);
    }
    page.put("up-key", traffic.up);
    page.put("down-key", traffic.down);
    page.put("hello", initiator.hello());
    page.put("reply", &answer.reply);
    let mut gateway = answer.session;
    gateway.grant(Ceilings::VOLATILE);
    (session, gateway)
}

fn frames(page: &mut Page, device: &mut Session, gateway: &mut Session) {
    let now = Millis(0);
    let put = |page: &mut Page, from: &mut Session, to: &mut Session, kind: Kind, plain: &[u8]| {
        let word = format!("{kind:?}").to_lowercase();
        let frame = from.seal(kind, plain, now).unwrap();
        assert_eq!(to.open(&frame, now).unwrap().1, plain);
        page.put(&format!("{word}-plain"), plain);
        page.put(&word, frame);
    };
    put(page, device, gateway, Kind::Confirm, b"");
    put(page, gateway, device, Kind::Ready, &Ready { gateway_time_us: READY_US }.encode());
    let header = MessageHeader { epoch: Epoch(5), seq: Seq(0), content: Content::SenmlJson };
    let message = Message { header, body: SENML.to_vec() }.encode().unwrap();
    page.text("body", std::str::from_utf8(SENML).unwrap());
    put(page, device, gateway, Kind::Data, &message);
    put(page, gateway, device, Kind::Receipt, &receipt().pages().next().unwrap());
    put(page, gateway, device, Kind::Advance, &Advance { next: Counter(65_536) }.encode());
    device.advance(Counter(65_536));
    put(page, device, gateway, Kind::Close, &Close::Done.encode());
}

fn receipt() -> Receipt {
    let mut receipt = Receipt::default();
    for seq in 0..3u64 {
        receipt.add(5u64, seq);
    }
    receipt.refuse(5u64, 3u64, Reason::BAD_VALUE, "not a number");
    receipt
}

#[test]
fn p0() {
    let mut page = Page::new("PS/1 class P0: HKDF-SHA256 and HMAC-SHA256");
    page.group("a whole session: handshake, a message, its receipt, a restart of the gateway, goodbye");
    let (mut device, mut gateway) = handshake(&mut page, Class::P0);
    frames(&mut page, &mut device, &mut gateway);
    page.group("REFUSED, in answer to the hello above and to the data frame above; wait two seconds");
    let stored = page.0.clone();
    let line = |name: &str| {
        let text = stored.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap();
        HEXLOWER.decode(text.as_bytes()).unwrap()
    };
    page.put("refused-hello", Refused::answer(&line("hello"), 2).unwrap().encode());
    page.put("refused-data", Refused::answer(&line("data"), 2).unwrap().encode());
    page.check("p0.txt");
}

#[test]
fn p1() {
    let mut page = Page::new("PS/1 class P1: Noise_NNpsk0_25519_ChaChaPoly_SHA256");
    page.group("a whole session");
    let (mut device, mut gateway) = handshake(&mut page, Class::P1);
    frames(&mut page, &mut device, &mut gateway);
    page.check("p1.txt");
}

#[test]
fn p2() {
    let mut page = Page::new("PS/1 class P2: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s");
    page.group("a whole session");
    let (mut device, mut gateway) = handshake(&mut page, Class::P2);
    frames(&mut page, &mut device, &mut gateway);
    page.check("p2.txt");
}

#[test]
fn waveform() {
    let mut page = Page::new("PS/1 waveform bodies");
    let ecg: Vec<i32> = (0..130).map(|i: i32| (i * i * 7) % 311 - if i % 64 == 9 { 900 } else { 0 }).collect();
    let cases: [(&str, i8, i32, u64, i64, Vec<i32>); 5] = [
        ("one sample, no clock", 0, 0, 1_000_000_000, 0, vec![72]),
        ("a steady line: differences of width 0", -1, -512, 2_777_778, READY_US, vec![1_024; 66]),
        ("three blocks of different widths", -3, 100, 2_777_778, READY_US, ecg),
        ("differences that wrap around 32 bits", 0, 0, 1, -1, vec![i32::MIN, i32::MAX, i32::MIN, 0]),
        ("negative numbers and the largest exponent", 18, i32::MIN, u64::MAX, i64::MAX, vec![-1, -2, 0, 1]),
    ];
    for (comment, exponent, offset, period_ns, start_us, samples) in cases {
        let waveform = Waveform { quantity: 11, exponent, offset, period_ns, start_us, samples };
        page.group(comment);
        page.text("quantity", waveform.quantity);
        page.text("exponent", waveform.exponent);
        page.text("offset", waveform.offset);
        page.text("period-ns", waveform.period_ns);
        page.text("start-us", waveform.start_us);
        let samples: Vec<String> = waveform.samples.iter().map(i32::to_string).collect();
        page.text("samples", samples.join(" "));
        page.put("expect", waveform.encode().unwrap());
    }
    let good = Waveform { quantity: 11, exponent: 0, offset: 0, period_ns: 1, start_us: 0, samples: vec![1, 2, 4] };
    let good = good.encode().unwrap();
    let bent = |at: usize, byte: u8| {
        let mut body = good.clone();
        body[at] = byte;
        body
    };
    for (comment, body) in [
        ("an exponent of 19", bent(2, 19)),
        ("the reserved byte is set", bent(3, 1)),
        ("a period of 0", bent(8, 0)),
        ("no samples", bent(24, 0)),
        ("more samples than there are", bent(24, 66)),
        ("a width of 33", bent(30, 33)),
        ("an unused bit is set", bent(31, good[31] | 0x80)),
        ("a byte too many", [&good[..], &[0]].concat()),
        ("a byte too few", good[..good.len() - 1].to_vec()),
    ] {
        assert!(Waveform::parse(&body).is_err(), "{comment}");
        page.group(comment);
        page.put("malformed", body);
    }
    page.check("waveform.txt");
}

#[test]
fn receipts() {
    let mut page = Page::new("PS/1 receipt plaintexts");
    page.group("messages 0, 1, 2 of epoch 5 are durable; 3 was refused");
    page.put("expect", receipt().pages().next().unwrap());
    for (comment, plain) in [
        ("level 4", "0400000000"),
        ("a range of no messages", "00010000000500000000000000000000000000000000 00"),
        ("a count without its range", "0001000000"),
        ("bytes after the end", "000000000000"),
    ] {
        let plain = HEXLOWER.decode(plain.replace(' ', "").as_bytes()).unwrap();
        assert!(Receipt::parse(&plain).is_err(), "{comment}");
        page.group(comment);
        page.put("malformed", plain);
    }
    page.check("receipt.txt");
}

#[test]
fn lines() {
    let mut page = Page::new("PS/1 on a serial line: COBS, each frame followed by 00");
    let long: Vec<u8> = (1..=254).collect();
    for (comment, frame) in [
        ("one zero", vec![0]),
        ("no zeros", vec![0x11, 0x22, 0x33]),
        ("zeros inside and at the end", vec![0x11, 0x22, 0, 0, 0x33, 0]),
        ("254 bytes without a zero: nothing after the full block", long.clone()),
        ("the same and a zero", [&long[..], &[0]].concat()),
        ("the same and one more byte", [&long[..], &[0xFF]].concat()),
        ("a zero before it", [&[0], &long[..]].concat()),
    ] {
        page.group(comment);
        page.put("frame", &frame);
        let mut line = Vec::new();
        cobs::encode(&frame, &mut line);
        let mut back = Vec::new();
        cobs::Decoder::default().push(&line, |item| back.push(item.map(<[u8]>::to_vec)));
        assert_eq!(back, [Ok(frame)]);
        page.put("expect", line);
    }
    page.check("cobs.txt");
}

#[test]
fn the_readme_shows_what_the_vectors_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let vectors = std::fs::read_to_string(root.join("vectors/p0.txt")).unwrap();
    let (_, worked) = readme.split_once("## P0, worked through").unwrap();
    let lines: Vec<&str> = worked.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(lines.len() > 20);
    for line in lines {
        assert!(vectors.lines().any(|known| known == line), "{line} is not in vectors/p0.txt");
    }
}
