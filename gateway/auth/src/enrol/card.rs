//! What a device is handed when it is enrolled: as text for a QR code, and as a file.
//!
//! ```text
//! PS1:<base32, RFC 4648, capitals, no padding> of
//! | version 1 | class 1 | flags 1 | length 1 | device id | psk 32 | gateway key 32 | private key 32 | check 4 |
//! ```
//!
//! Flag 1: gateway key, flag 2: private key are present. Check: the first bytes of SHA-256 over all before it.

use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use pitchside_model::DeviceId;
use pitchside_wire::{Class, Credential, PrivateKey, Psk, PublicKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const PREFIX: &str = "PS1:";
const VERSION: u8 = 1;
const SCHEMA: &str = "pitchside/enrolment/1";
const FLAG_GATEWAY: u8 = 1;
const FLAG_PRIVATE: u8 = 2;

/// A device's name and secrets. To be handed over once, and not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The device.
    pub device: DeviceId,
    /// Its class.
    pub class: Class,
    /// Its pre-shared key.
    pub psk: Psk,
    /// Class P2: the gateway's key.
    pub gateway: Option<PublicKey>,
    /// Class P2: the device's key, unless it made its own.
    pub private: Option<PrivateKey>,
}

/// Why a text or file is not a card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Not our text at all.
    #[error("an enrolment text begins with {PREFIX}, followed by the letters A to Z and digits 2 to 7")]
    Text,
    /// Mistyped or cut.
    #[error("the enrolment text is mistyped or cut short: its check does not fit")]
    Check,
    /// Made by another version.
    #[error("the enrolment was made by another version ({0})")]
    Version(u8),
    /// A part is missing or too much.
    #[error("the enrolment's parts do not fit its class")]
    Parts,
    /// A line of the file.
    #[error(
        "line {0} of the enrolment file: expected `name = \"value\"` with a known name, once, and hexadecimal keys"
    )]
    Line(usize),
    /// A name the file lacks.
    #[error("the enrolment file lacks `{0}`")]
    Missing(&'static str),
}

impl Card {
    /// The text of the QR code, which can also be typed.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(160));
        let flags = if self.gateway.is_some() { FLAG_GATEWAY } else { 0 }
            | if self.private.is_some() { FLAG_PRIVATE } else { 0 };
        // A device id has at most 48 bytes.
        bytes.extend_from_slice(&[VERSION, self.class as u8, flags, self.device.as_str().len() as u8]);
        bytes.extend_from_slice(self.device.as_str().as_bytes());
        bytes.extend_from_slice(self.psk.expose());
        if let Some(gateway) = &self.gateway {
            bytes.extend_from_slice(&gateway.0);
        }
        if let Some(private) = &self.private {
            bytes.extend_from_slice(private.expose());
        }
        let check = Sha256::digest(&*bytes);
        bytes.extend_from_slice(&check[..4]);
        Zeroizing::new(format!("{PREFIX}{}", *Zeroizing::new(BASE32_NOPAD.encode(&bytes))))
    }

    /// Reads the text; spaces and line ends do not matter, nor do small letters.
    pub fn parse_text(text: &str) -> Result<Self, CardError> {
        let text: Zeroizing<String> =
            Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect());
        let body = text.strip_prefix(PREFIX).ok_or(CardError::Text)?;
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(body.as_bytes()).map_err(|_| CardError::Text)?);
        let (head, check) = bytes.split_last_chunk::<4>().ok_or(CardError::Check)?;
        if Sha256::digest(head)[..4] != check[..] {
            return Err(CardError::Check);
        }
        let ([version, class, flags, length], rest) = head.split_first_chunk::<4>().ok_or(CardError::Parts)?;
        if *version != VERSION {
            return Err(CardError::Version(*version));
        }
        let (device, rest) = rest.split_at_checked(usize::from(*length)).ok_or(CardError::Parts)?;
        let device =
            std::str::from_utf8(device).ok().and_then(|id| DeviceId::parse(id).ok()).ok_or(CardError::Parts)?;
        let class = Class::from_code(*class).ok_or(CardError::Parts)?;
        let mut keys = Keys(rest);
        let psk = Psk::new(keys.next().ok_or(CardError::Parts)?);
        let gateway = keys.next_if(*flags & FLAG_GATEWAY != 0)?.map(PublicKey);
        let private = keys.next_if(*flags & FLAG_PRIVATE != 0)?.map(PrivateKey::new);
        if !keys.0.is_empty() || *flags > (FLAG_GATEWAY | FLAG_PRIVATE) {
            return Err(CardError::Parts);
        }
        Self { device, class, psk, gateway, private }.checked()
    }

    fn checked(self) -> Result<Self, CardError> {
        match self.class {
            Class::P0 | Class::P1 if self.gateway.is_none() && self.private.is_none() => Ok(self),
            Class::P2 if self.gateway.is_some() => Ok(self),
            _ => Err(CardError::Parts),
        }
    }

    /// The file: lines of `name = "value"`, which are also TOML.
    pub fn to_file(&self) -> Zeroizing<String> {
        let hex = |key: &[u8; 32]| Zeroizing::new(HEXLOWER.encode(key));
        let mut file = Zeroizing::new(String::with_capacity(512));
        file.push_str(
            "# Whoever has this file can speak as the device: keep it secret, and delete it when the device has it.\n",
        );
        let class = match self.class {
            Class::P0 => "P0",
            Class::P1 => "P1",
            Class::P2 => "P2",
        };
        for (name, value) in [("schema", SCHEMA), ("device", self.device.as_str()), ("class", class)] {
            file.push_str(&format!("{name} = \"{value}\"\n"));
        }
        let keys = [
            ("psk", Some(self.psk.expose())),
            ("gateway", self.gateway.as_ref().map(|key| &key.0)),
            ("private", self.private.as_ref().map(PrivateKey::expose)),
        ];
        for (name, key) in keys {
            if let Some(key) = key {
                file.push_str(name);
                file.push_str(" = \"");
                file.push_str(&hex(key));
                file.push_str("\"\n");
            }
        }
        file
    }

    /// Reads the file.
    pub fn parse_file(file: &str) -> Result<Self, CardError> {
        const NAMES: [&str; 6] = ["schema", "device", "class", "psk", "gateway", "private"];
        let mut found: [Option<(usize, &str)>; 6] = [None; 6];
        for (index, line) in file.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or(CardError::Line(number))?;
            let value =
                value.trim().strip_prefix('"').and_then(|v| v.strip_suffix('"')).ok_or(CardError::Line(number))?;
            let place = NAMES.iter().position(|known| *known == name.trim()).ok_or(CardError::Line(number))?;
            if found[place].replace((number, value)).is_some() {
                return Err(CardError::Line(number));
            }
        }
        let [schema, device, class, psk, gateway, private] = found;
        let (number, schema) = schema.ok_or(CardError::Missing("schema"))?;
        if schema != SCHEMA {
            return Err(CardError::Line(number));
        }
        let (number, device) = device.ok_or(CardError::Missing("device"))?;
        let device = DeviceId::parse(device).map_err(|_| CardError::Line(number))?;
        let (number, class) = class.ok_or(CardError::Missing("class"))?;
        let class = match class {
            "P0" => Class::P0,
            "P1" => Class::P1,
            "P2" => Class::P2,
            _ => return Err(CardError::Line(number)),
        };
        let psk = Psk::new(key(psk.ok_or(CardError::Missing("psk"))?)?);
        let gateway = gateway.map(key).transpose()?.map(PublicKey);
        let private = private.map(key).transpose()?.map(PrivateKey::new);
        Self { device, class, psk, gateway, private }.checked()
    }

    /// What the device needs for its handshakes; none for a P2 device that keeps its own private key.
    pub fn credential(&self) -> Option<Credential> {
        let psk = self.psk.clone();
        Some(match self.class {
            Class::P0 => Credential::P0 { psk },
            Class::P1 => Credential::P1 { psk },
            Class::P2 => Credential::P2 { psk, private: self.private.clone()?, gateway: self.gateway? },
        })
    }
}

fn key((number, text): (usize, &str)) -> Result<[u8; 32], CardError> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| CardError::Line(number))?;
    Zeroizing::new(bytes).as_slice().try_into().map_err(|_| CardError::Line(number))
}

struct Keys<'a>(&'a [u8]);

impl Keys<'_> {
    fn next(&mut self) -> Option<[u8; 32]> {
        let (key, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*key)
    }

    fn next_if(&mut self, present: bool) -> Result<Option<[u8; 32]>, CardError> {
        if present { self.next().map(Some).ok_or(CardError::Parts) } else { Ok(None) }
    }
}
