//! Athletes' keys: wrapped in the store, unwrapped in a ring while the gateway runs.

use anyhow::Context as _;
use pitchside_model::AthleteId;
use pitchside_seal::{AthleteKey, Generation, Kek, KeyRing, Whose};
use pitchside_store::{AthleteKey as StoredKey, Tables};
use zeroize::Zeroizing;

use crate::identity::Identity;
use crate::random::OsRandom;

const KEK_LABEL: &str = "pitchside/1/athlete-keys";
const HOUSE_KEY: &str = "house-key";

fn kek(identity: &Identity) -> anyhow::Result<Kek> {
    Ok(Kek::new(*identity.derive(KEK_LABEL)?))
}

/// A fresh key for an athlete, wrapped for the store.
pub fn new_athlete_key(identity: &Identity, athlete: &AthleteId, generation: u32) -> anyhow::Result<StoredKey> {
    let key = AthleteKey::new(OsRandom.bytes()?);
    let whose = Whose::Athlete(athlete.clone());
    let wrapped = kek(identity)?.wrap(&key, &whose, Generation(generation), OsRandom.bytes()?)?;
    Ok(StoredKey { athlete: athlete.clone(), generation, wrapped })
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
    let house = match tables.secret(HOUSE_KEY)? {
        Some(bytes) => bytes.as_slice().try_into().context("the house key has a wrong length")?,
        None => {
            let fresh = Zeroizing::new(OsRandom.bytes::<32>()?);
            tables.set_secret(HOUSE_KEY, fresh.as_slice())?;
            *fresh
        }
    };
    ring.put(Whose::House, Generation(0), AthleteKey::new(house));
    Ok(ring)
}
