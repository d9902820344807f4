//! Athletes' keys: wrapped in the store, unwrapped in a ring while the gateway runs, and copied for the clinic's recovery.

use std::collections::HashMap;

use anyhow::Context as _;
use pitchside_model::AthleteId;
use pitchside_seal::key::{RecoveryPublic, RecoverySecret};
use pitchside_seal::{AthleteKey, Generation, Kek, KeyRing, Whose};
use pitchside_store::{AthleteKey as StoredKey, KeyCopy, Tables};
use zeroize::Zeroizing;

use crate::backup::RecoveryPublicFile;
use crate::identity::Identity;
use crate::random::OsRandom;

const KEK_LABEL: &str = "pitchside/1/athlete-keys";
const HOUSE_KEY: &str = "house-key";
const HOUSE_GENERATION: &str = "house-generation";

fn kek(identity: &Identity) -> anyhow::Result<Kek> {
    Ok(Kek::new(*identity.derive(KEK_LABEL)?))
}

/// A fresh key for an athlete, wrapped for the store, and its copy for the ledger to keep beside the log: sealed to the
/// clinic's recovery key, if the box has one.
pub fn new_athlete_key(
    identity: &Identity,
    recovery: Option<&RecoveryPublic>,
    athlete: &AthleteId,
    generation: u32,
) -> anyhow::Result<(StoredKey, Option<KeyCopy>)> {
    let key = AthleteKey::new(OsRandom.bytes()?);
    let whose = Whose::Athlete(athlete.clone());
    let copy = recovery.map(|recovery| copy(recovery, &key, &whose, Generation(generation))).transpose()?;
    Ok((wrapped(identity, &key, athlete, generation)?, copy))
}

/// An athlete's key under the box's own.
pub fn wrapped(
    identity: &Identity,
    key: &AthleteKey,
    athlete: &AthleteId,
    generation: u32,
) -> anyhow::Result<StoredKey> {
    let whose = Whose::Athlete(athlete.clone());
    let wrapped = kek(identity)?.wrap(key, &whose, Generation(generation), OsRandom.bytes()?)?;
    Ok(StoredKey { athlete: athlete.clone(), generation, wrapped })
}

/// A copy of a key for the ledger to keep.
pub fn copy(
    recovery: &RecoveryPublic,
    key: &AthleteKey,
    whose: &Whose,
    generation: Generation,
) -> anyhow::Result<KeyCopy> {
    let body = recovery.seal(key, whose, generation, OsRandom.bytes()?)?;
    let name = recovery.copy_name(whose, generation, &body);
    Ok(KeyCopy { name, athlete: whose.athlete().cloned(), generation: generation.0, body })
}

/// Every key in the store, and the house's, which is made the first time.
pub fn load_ring(tables: &Tables, identity: &Identity) -> anyhow::Result<KeyRing> {
    let kek = kek(identity)?;
    let mut ring = KeyRing::default();
    for athlete in tables.athletes()? {
        for generation in 0..=athlete.generation {
            let Some(stored) = tables.athlete_key(&athlete.id, generation)? else { continue };
            let whose = Whose::Athlete(athlete.id.clone());
            let key = kek
                .unwrap(&stored.wrapped, &whose, Generation(generation))
                .with_context(|| format!("the key of {} (generation {generation})", athlete.id))?;
            ring.put(whose, Generation(generation), key);
        }
    }
    let newest = house_generation(tables)?;
    for generation in 0..newest {
        if let Some(key) = tables.secret(&house_key_name(generation))? {
            ring.put(Whose::House, Generation(generation), AthleteKey::new(house_bytes(&key)?));
        }
    }
    let house = match tables.secret(HOUSE_KEY)? {
        Some(bytes) => house_bytes(&bytes)?,
        None => new_house_key(tables, identity, newest)?,
    };
    ring.put(Whose::House, Generation(newest), AthleteKey::new(house));
    Ok(ring)
}

fn house_bytes(bytes: &[u8]) -> anyhow::Result<[u8; 32]> {
    bytes.try_into().context("the house key has a wrong length")
}

fn new_house_key(tables: &Tables, identity: &Identity, generation: u32) -> anyhow::Result<[u8; 32]> {
    let fresh = Zeroizing::new(OsRandom.bytes::<32>()?);
    if let Some(recovery) = RecoveryPublicFile::read(identity.folder())? {
        let key = AthleteKey::new(*fresh);
        tables.add_key_copy(copy(&recovery, &key, &Whose::House, Generation(generation))?)?;
    }
    // After its copy: a key that seals has one.
    tables.set_secret(HOUSE_KEY, fresh.as_slice())?;
    Ok(*fresh)
}

/// Where a house key from before a restore is kept once it was recovered.
fn house_key_name(generation: u32) -> String {
    format!("{HOUSE_KEY}/{generation}")
}

/// Which of the house's keys seals now: each restore begins a new one.
pub fn house_generation(tables: &Tables) -> anyhow::Result<u32> {
    let Some(bytes) = tables.meta(HOUSE_GENERATION)? else { return Ok(0) };
    Ok(u32::from_be_bytes(bytes.as_slice().try_into().context("the house key's generation is damaged")?))
}

/// Sets it, on a box that has no house key yet.
pub fn set_house_generation(tables: &Tables, generation: u32) -> anyhow::Result<()> {
    Ok(tables.set_meta(HOUSE_GENERATION, &generation.to_be_bytes())?)
}

/// Puts back the keys that these copies hold: of known athletes who were not erased, and of the house. Returns how many
/// were put back; what is there already stays.
pub fn recover(
    tables: &Tables,
    identity: &Identity,
    secret: &RecoverySecret,
    copies: &[([u8; 32], Vec<u8>)],
) -> anyhow::Result<u64> {
    let public = secret.public();
    let mut wanted = HashMap::new();
    for athlete in tables.athletes()?.into_iter().filter(|athlete| athlete.erased_at.is_none()) {
        for generation in (0..=athlete.generation).map(Generation) {
            let whose = Whose::Athlete(athlete.id.clone());
            wanted.insert(public.copy_tag(&whose, generation), (whose, generation));
        }
    }
    for generation in (0..house_generation(tables)?).map(Generation) {
        wanted.insert(public.copy_tag(&Whose::House, generation), (Whose::House, generation));
    }
    let mut recovered = 0;
    for (name, body) in copies {
        let Some((whose, generation)) = name.first_chunk::<16>().and_then(|tag| wanted.get(tag)) else { continue };
        if public.copy_name(whose, *generation, body) != *name {
            anyhow::bail!("a copy of a key was changed: its name does not fit what it holds");
        }
        match whose {
            Whose::Athlete(athlete) => {
                let key = secret.open(body, whose, *generation).context("opening a copy of a key")?;
                recovered += u64::from(tables.put_recovered_key(wrapped(identity, &key, athlete, generation.0)?)?);
            }
            Whose::House => {
                let slot = house_key_name(generation.0);
                if tables.secret(&slot)?.is_none() {
                    let key = secret.open_house(body, *generation).context("opening a copy of the house's key")?;
                    tables.set_secret(&slot, key.as_slice())?;
                    recovered += 1;
                }
            }
        }
    }
    Ok(recovered)
}
