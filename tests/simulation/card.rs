//! Enrolment files, as `pitchside device enrol` writes them. Read here without the gateway's code, as a firmware author
//! would.

use std::path::Path;

use anyhow::{Context as _, bail};
use pitchside_wire::{Class, Credential, PrivateKey, Psk, PublicKey};
use serde::Deserialize;

#[derive(Deserialize)]
struct Card {
    schema: String,
    device: String,
    class: String,
    psk: String,
    gateway: Option<String>,
    private: Option<String>,
}

/// Reads a device's name and secrets.
pub fn read(path: &Path) -> anyhow::Result<(String, Credential)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    // The error of the parser would show the line, and the line may be a key.
    let card: Card = toml::from_str(&text).map_err(|_| anyhow::anyhow!("{} is no enrolment file", path.display()))?;
    if card.schema != "pitchside/enrolment/1" {
        bail!("{} is of schema {:?}, not pitchside/enrolment/1", path.display(), card.schema);
    }
    let psk = Psk::new(key(&card.psk, "psk")?);
    let credential = match (class(&card.class)?, card.gateway, card.private) {
        (Class::P0, ..) => Credential::P0 { psk },
        (Class::P1, ..) => Credential::P1 { psk },
        (Class::P2, Some(gateway), Some(private)) => Credential::P2 {
            psk,
            private: PrivateKey::new(key(&private, "private")?),
            gateway: PublicKey(key(&gateway, "gateway")?),
        },
        (Class::P2, ..) => bail!("{}: class P2 needs `gateway` and `private`", path.display()),
    };
    Ok((card.device, credential))
}

fn class(name: &str) -> anyhow::Result<Class> {
    Ok(match name {
        "P0" => Class::P0,
        "P1" => Class::P1,
        "P2" => Class::P2,
        _ => bail!("class is P0, P1 or P2"),
    })
}

fn key(hex: &str, name: &str) -> anyhow::Result<[u8; 32]> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
    bytes.and_then(|b| b.try_into().ok()).with_context(|| format!("{name} is 64 hexadecimal digits"))
}
