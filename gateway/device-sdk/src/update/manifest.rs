//! A signed manifest, as drawn in `ledger/block/README.md`, "Releases": COSE_Sign (RFC 9052, 4.1) with Ed25519 over one
//! small CBOR map. Read here a second time, in what a sensor can afford; `tests` holds both readers to each other.

use alloc::vec::Vec;

use ed25519_dalek::{Signature, VerifyingKey};
use pitchside_wire::firmware::{OFFER_BYTES_MAX, Reason, Version};
use sha2::{Digest as _, Sha256};

use super::cbor::{Items, Unexpected, put_bytes};

/// The most keys a device knows.
pub const KEYS_MAX: usize = 16;
const SIGNATURES_MAX: u64 = 32;
const HARDWARE_MAX: u64 = 16;
const CONTEXT: &[u8] = b"pitchside/release/1";
const COSE_SIGN: u64 = 98;
/// `{1: -8, 4: kid}` up to the kid.
const PROTECTED: [u8; 5] = [0xA2, 0x01, 0x27, 0x04, 0x48];
const SENSOR: u64 = 0;

/// The keys burnt into an image, and how many of them must sign the next.
#[derive(Clone)]
pub struct Keys {
    threshold: usize,
    keys: Vec<([u8; 8], VerifyingKey)>,
}

/// Keys that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// No keys, too many, or two with the same id.
    #[error("a device knows 1 to {KEYS_MAX} different release keys")]
    Number,
    /// One that is none.
    #[error("key {0} is not an Ed25519 public key")]
    Key(usize),
    /// Nobody, or more than there are, would have to sign.
    #[error("{threshold} signatures of {keys} keys cannot be asked for")]
    Threshold {
        /// As stated.
        threshold: u8,
        /// How many keys there are.
        keys: usize,
    },
}

impl Keys {
    /// `threshold` of these Ed25519 public keys must have signed a release.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn new(threshold: u8, publics: &[[u8; 32]]) -> Result<Self, KeysError> {
        let mut keys: Vec<([u8; 8], VerifyingKey)> = Vec::with_capacity(publics.len());
        for (place, public) in publics.iter().enumerate() {
            let key = VerifyingKey::from_bytes(public).map_err(|_| KeysError::Key(place))?;
            if key.is_weak() {
                return Err(KeysError::Key(place));
            }
            let kid = kid_of(public);
            if keys.len() >= KEYS_MAX || keys.iter().any(|(known, _)| *known == kid) {
                return Err(KeysError::Number);
            }
            keys.push((kid, key));
        }
        let threshold_fits = (1..=keys.len()).contains(&usize::from(threshold));
        match (keys.is_empty(), threshold_fits) {
            (true, _) => Err(KeysError::Number),
            (_, false) => Err(KeysError::Threshold { threshold, keys: keys.len() }),
            _ => Ok(Self { threshold: usize::from(threshold), keys }),
        }
    }
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Keys({} of {})", self.threshold, self.keys.len())
    }
}

fn kid_of(public: &[u8; 32]) -> [u8; 8] {
    let hash = Sha256::digest(public);
    let mut kid = [0; 8];
    kid.copy_from_slice(&hash[..8]);
    kid
}

/// What a device must know of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// SHA-256 of the manifest without the signatures: the release's name.
    pub release: [u8; 32],
    /// It is for a sensor, this component and this hardware.
    pub fits: bool,
    /// Its version.
    pub version: Version,
    /// Its security counter.
    pub counter: u32,
    /// Bytes of the image.
    pub size: u64,
    /// SHA-256 of the image.
    pub sha256: [u8; 32],
    /// BLAKE3 of the image.
    pub blake3: [u8; 32],
    /// If set, only this version or a later one can be updated.
    pub from: Option<Version>,
    /// After this, microseconds since 1970, nobody begins to install it.
    pub expires_us: i64,
}

/// The name of the release an offer is about, if it has the form of one. Nothing is checked.
pub fn release_of(offer: &[u8]) -> Option<[u8; 32]> {
    envelope(offer).ok().map(|(payload, _)| Sha256::digest(payload).into())
}

/// Reads a signed manifest. Signatures come first: of what nobody signed, nothing is read.
///
/// # Errors
/// It is malformed, or not signed by enough of the keys. Signatures of keys the device does not know count for nothing; one
/// of a known key that does not hold spoils the whole.
pub fn read(offer: &[u8], keys: &Keys, component: &str, hardware: &str) -> Result<Manifest, Reason> {
    if offer.len() > OFFER_BYTES_MAX {
        return Err(Reason::MALFORMED);
    }
    let (payload, signatures) = envelope(offer).map_err(|Unexpected| Reason::MALFORMED)?;
    let mut valid = 0;
    for (kid, signature) in &signatures {
        let Some((_, key)) = keys.keys.iter().find(|(known, _)| known == kid) else { continue };
        let signed = to_be_signed(kid, payload);
        key.verify_strict(&signed, &Signature::from_bytes(signature)).map_err(|_| Reason::SIGNATURES)?;
        valid += 1;
    }
    if valid < keys.threshold {
        return Err(Reason::SIGNATURES);
    }
    manifest(payload, component, hardware).map_err(|Unexpected| Reason::MALFORMED)
}

/// RFC 9052, 4.4: `["Signature", body_protected, sign_protected, external_aad, payload]`.
fn to_be_signed(kid: &[u8; 8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    out.extend_from_slice(b"\x85\x69Signature\x40");
    put_bytes(&mut out, &[PROTECTED.as_slice(), kid].concat());
    put_bytes(&mut out, CONTEXT);
    put_bytes(&mut out, payload);
    out
}

type Signatures = Vec<([u8; 8], [u8; 64])>;

/// The payload, and its signatures in ascending order of their key ids: a key counts once because it can stand here once.
fn envelope(offer: &[u8]) -> Result<(&[u8], Signatures), Unexpected> {
    let mut items = Items(offer);
    let right = items.tag()? == COSE_SIGN && items.array()? == 4 && items.bytes()?.is_empty() && items.map()? == 0;
    let payload = items.bytes()?;
    let count = items.array()?;
    if !right || count > SIGNATURES_MAX {
        return Err(Unexpected);
    }
    let mut signatures = Signatures::new();
    for _ in 0..count {
        if items.array()? != 3 {
            return Err(Unexpected);
        }
        let kid = items.bytes()?.strip_prefix(&PROTECTED).ok_or(Unexpected)?.try_into().map_err(|_| Unexpected)?;
        if items.map()? != 0 || signatures.last().is_some_and(|(last, _)| *last >= kid) {
            return Err(Unexpected);
        }
        signatures.push((kid, items.bytes()?.try_into().map_err(|_| Unexpected)?));
    }
    items.end()?;
    Ok((payload, signatures))
}

fn manifest(payload: &[u8], component: &str, hardware: &str) -> Result<Manifest, Unexpected> {
    let mut items = Items(payload);
    let fields = items.map()?;
    let mut next = 0;
    let mut key = |items: &mut Items<'_>| {
        let right = items.uint()? == next;
        next += 1;
        if right { Ok(()) } else { Err(Unexpected) }
    };
    key(&mut items)?;
    if items.uint()? != 1 {
        return Err(Unexpected);
    }
    key(&mut items)?;
    let mut fits = items.uint()? == SENSOR;
    key(&mut items)?;
    fits &= items.text()? == component;
    key(&mut items)?;
    let count = items.array()?;
    if count == 0 || count > HARDWARE_MAX {
        return Err(Unexpected);
    }
    let mut found = false;
    for _ in 0..count {
        found |= items.text()? == hardware;
    }
    key(&mut items)?;
    let version = version(&mut items)?;
    key(&mut items)?;
    let counter = items.u32()?;
    key(&mut items)?;
    let size = items.uint()?;
    key(&mut items)?;
    let sha256 = items.hash()?;
    key(&mut items)?;
    let blake3 = items.hash()?;
    key(&mut items)?;
    let expires_us = items.int()?;
    let from = match fields {
        10 => None,
        11 => {
            key(&mut items)?;
            Some(self::version(&mut items)?)
        }
        _ => return Err(Unexpected),
    };
    items.end()?;
    let release = Sha256::digest(payload).into();
    Ok(Manifest { release, fits: fits && found, version, counter, size, sha256, blake3, from, expires_us })
}

fn version(items: &mut Items<'_>) -> Result<Version, Unexpected> {
    if items.array()? != 3 {
        return Err(Unexpected);
    }
    Ok(Version::new(items.u32()?, items.u32()?, items.u32()?))
}
