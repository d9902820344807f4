//! Releases as a publisher makes them, and a gateway that serves them.

use std::vec::Vec;

use blake3::hazmat::{HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root};
use ed25519_dalek::{Signer as _, SigningKey};
use pitchside_wire::Millis;
use pitchside_wire::firmware::{Chunk, Down, GROUP_BYTES, Noted, Pull, Report, Stage, Status, Up, Version};
use sha2::{Digest as _, Sha256};

use super::super::*;
use super::board::Board;

pub fn keys(threshold: u8, seeds: &[u8]) -> Keys {
    let publics: Vec<[u8; 32]> = seeds.iter().map(|seed| key(*seed).verifying_key().to_bytes()).collect();
    Keys::new(threshold, &publics).unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

#[derive(Clone)]
pub struct Plan {
    pub target: u64,
    pub component: &'static str,
    pub hardware: Vec<&'static str>,
    pub version: Version,
    pub counter: u32,
    pub from: Option<Version>,
    pub expires_us: u64,
    pub image: Vec<u8>,
    pub signers: Vec<u8>,
    pub size: Option<u64>,
}

pub fn image(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at as u8).wrapping_mul(31).wrapping_add((at >> 8) as u8) ^ seed).collect()
}

impl Plan {
    pub fn new(image: Vec<u8>) -> Self {
        Self {
            target: 0,
            component: "strap-firmware",
            hardware: Vec::from(["strap-r2", "strap-r3"]),
            version: Version::new(1, 1, 0),
            counter: 3,
            from: None,
            expires_us: 1_900_000_000_000_000,
            image,
            signers: Vec::from([1, 2]),
            size: None,
        }
    }

    pub fn manifest(&self) -> Vec<u8> {
        let mut out = Vec::new();
        head(&mut out, 5, 10 + u64::from(self.from.is_some()));
        uints(&mut out, &[0, 1, 1, self.target, 2]);
        text(&mut out, self.component);
        uints(&mut out, &[3]);
        head(&mut out, 4, self.hardware.len() as u64);
        self.hardware.iter().for_each(|name| text(&mut out, name));
        uints(&mut out, &[4]);
        version(&mut out, self.version);
        uints(&mut out, &[5, self.counter.into(), 6, self.size.unwrap_or(self.image.len() as u64), 7]);
        bytes(&mut out, &Sha256::digest(&self.image));
        uints(&mut out, &[8]);
        bytes(&mut out, blake3::hash(&self.image).as_bytes());
        uints(&mut out, &[9, self.expires_us]);
        if let Some(from) = self.from {
            uints(&mut out, &[10]);
            version(&mut out, from);
        }
        out
    }

    pub fn signed(&self) -> Vec<u8> {
        sign(&self.manifest(), &self.signers, b"pitchside/release/1")
    }

    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.image).as_bytes()
    }
}

pub fn sign(payload: &[u8], signers: &[u8], context: &[u8]) -> Vec<u8> {
    let mut signatures: Vec<([u8; 8], Vec<u8>)> = Vec::new();
    for seed in signers {
        let kid: [u8; 8] = Sha256::digest(key(*seed).verifying_key().to_bytes())[..8].try_into().unwrap();
        let protected = [&[0xA2, 0x01, 0x27, 0x04, 0x48], kid.as_slice()].concat();
        let mut signed = Vec::new();
        head(&mut signed, 4, 5);
        text(&mut signed, "Signature");
        bytes(&mut signed, &[]);
        bytes(&mut signed, &protected);
        bytes(&mut signed, context);
        bytes(&mut signed, payload);
        let mut one = Vec::new();
        head(&mut one, 4, 3);
        bytes(&mut one, &protected);
        head(&mut one, 5, 0);
        bytes(&mut one, &key(*seed).sign(&signed).to_bytes());
        signatures.push((kid, one));
    }
    signatures.sort();
    let mut out = Vec::from([0xD8, 98]);
    head(&mut out, 4, 4);
    bytes(&mut out, &[]);
    head(&mut out, 5, 0);
    bytes(&mut out, payload);
    head(&mut out, 4, signatures.len() as u64);
    signatures.iter().for_each(|(_, one)| out.extend_from_slice(one));
    out
}

fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.push(major | value as u8),
        24..=0xFF => out.extend_from_slice(&[major | 24, value as u8]),
        0x100..=0xFFFF => {
            out.push(major | 25);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xFFFF_FFFF => {
            out.push(major | 26);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

fn uints(out: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|value| head(out, 0, *value));
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    head(out, 2, value.len() as u64);
    out.extend_from_slice(value);
}

fn text(out: &mut Vec<u8>, value: &str) {
    head(out, 3, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

fn version(out: &mut Vec<u8>, version: Version) {
    head(out, 4, 3);
    uints(out, &[version.major.into(), version.minor.into(), version.patch.into()]);
}

fn subtree(image: &[u8], start: usize, length: usize) -> [u8; 32] {
    if length <= GROUP_BYTES as usize {
        let mut hasher = blake3::Hasher::new();
        return hasher.set_input_offset(start as u64).update(&image[start..start + length]).finalize_non_root();
    }
    let left = left_subtree_len(length as u64) as usize;
    merge_subtrees_non_root(&subtree(image, start, left), &subtree(image, start + left, length - left), Mode::Hash)
}

/// The hashes beside the way of the group at `offset`, the nearest first.
pub fn proof(image: &[u8], offset: usize) -> Vec<[u8; 32]> {
    let (mut start, mut length, mut beside) = (0, image.len(), Vec::new());
    while length > GROUP_BYTES as usize {
        let left = left_subtree_len(length as u64) as usize;
        if offset < start + left {
            beside.push(subtree(image, start + left, length - left));
            length = left;
        } else {
            beside.push(subtree(image, start, left));
            (start, length) = (start + left, length - left);
        }
    }
    beside.reverse();
    beside
}

/// What a gateway does with each word.
pub struct Gateway {
    pub plan: Plan,
    pub offers: bool,
    pub go: bool,
    pub proves: bool,
    /// Flips a bit of the chunk at this offset, so often.
    pub bend: Option<(u32, u32)>,
    pub chunk_max: usize,
    pub statuses: Vec<Status>,
    pub reports: Vec<Report>,
    pub pulls: Vec<Pull>,
}

impl Gateway {
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            offers: true,
            go: true,
            proves: true,
            bend: None,
            chunk_max: 4_096,
            statuses: Vec::new(),
            reports: Vec::new(),
            pulls: Vec::new(),
        }
    }

    pub fn answer(&mut self, word: &[u8]) -> Option<Vec<u8>> {
        let down = match Up::parse(word).unwrap() {
            Up::Status(status) => {
                let old = status.version < self.plan.version && status.willing;
                self.statuses.push(status);
                (self.offers && old).then(|| Down::Offer(self.plan.signed()))?
            }
            Up::Pull(pull) => {
                self.pulls.push(pull);
                Down::Chunk(self.chunk(pull)?)
            }
            Up::Report(report) => {
                let go = self.go && report.stage == Stage::Verified;
                let number = report.number;
                if self.reports.last() != Some(&report) {
                    self.reports.push(report);
                }
                Down::Noted(Noted { number, go, after_s: 30 })
            }
        };
        Some(down.encode().unwrap())
    }

    fn chunk(&mut self, pull: Pull) -> Option<Chunk> {
        let image = &self.plan.image;
        let at = pull.offset as usize;
        let group = GROUP_BYTES as usize - at % GROUP_BYTES as usize;
        let length = usize::from(pull.length).min(self.chunk_max).min(group).min(image.len().checked_sub(at)?);
        let mut bytes = image[at..at + length].to_vec();
        let ends = length == group || at + length == image.len();
        let proof = if ends && self.proves { proof(image, at) } else { Vec::new() };
        if let Some((offset, times)) = &mut self.bend
            && *offset == pull.offset
            && *times > 0
        {
            *times -= 1;
            bytes[length / 2] ^= 4;
        }
        Some(Chunk { digest: pull.digest, offset: pull.offset, proof, bytes })
    }

    pub fn told(&self) -> Vec<(Stage, u8)> {
        self.reports.iter().map(|report| (report.stage, report.reason.0)).collect()
    }
}

pub fn config(version: Version, counter: u32) -> UpdaterConfig {
    UpdaterConfig {
        hardware: "strap-r2".into(),
        component: "strap-firmware".into(),
        version,
        counter,
        keys: keys(2, &[1, 2, 3]),
        chunk_bytes_max: 1_024,
        window: 2,
    }
}

/// Carries words to and fro for so long; what happened on the device.
pub fn talk(updater: &mut Updater<Board>, gateway: &mut Gateway, now: &mut Millis, millis: u64) -> Vec<Happened> {
    let end = now.plus(millis);
    let mut happened = Vec::new();
    while *now < end {
        let words = updater.poll(*now);
        let quiet = words.is_empty();
        for word in words {
            if let Some(answer) = gateway.answer(&word) {
                happened.extend(updater.hear(&answer, None, *now));
            }
        }
        if happened.contains(&Happened::MayStart) {
            return happened;
        }
        if quiet {
            let at = updater.next_poll_at(*now).map_or(end, |at| at.max(now.plus(1)));
            *now = at.min(end);
        }
    }
    happened
}
