//! Athletes' keys: wrapped in the store, unwrapped in a ring while the gateway runs, and copied for the clinic's recovery.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use ledger_block::ingest::is_readable;
use pitchside_model::AthleteId;
use pitchside_seal::key::{RecoveryPublic, RecoverySecret};
use pitchside_seal::{AthleteKey, Generation, Kek, KeyRing, Whose};
use pitchside_store::{Athlete, AthleteKey as StoredKey, CopyName, KeyCopy, StoreError, Tables};
use zeroize::Zeroizing;

use crate::backup::RecoveryPublicFile;
use crate::identity::Identity;
use crate::random::OsRandom;

const KEK_LABEL: &str = "pitchside/1/athlete-keys";
const HOUSE_KEY: &str = "house-key";
const HOUSE_GENERATION: &str = "house-generation";
/// Generations of an athlete's key that other restores of this box may have begun, beyond the newest one known here.
const GENERATIONS_BEYOND: u32 = 16;

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

/// Every key in the store, and the house's, which is made the first time. One that does not open is passed over: what is sealed under it stays
/// closed, and everybody else's is sealed and read all the same.
pub fn load_ring(tables: &Tables, identity: &Identity) -> anyhow::Result<KeyRing> {
    let kek = kek(identity)?;
    let mut ring = KeyRing::default();
    for athlete in tables.athletes()? {
        for generation in 0..=athlete.generation {
            let Some(stored) = tables.athlete_key(&athlete.id, generation)? else { continue };
            let whose = Whose::Athlete(athlete.id.clone());
            match kek.unwrap(&stored.wrapped, &whose, Generation(generation)) {
                Ok(key) => ring.put(whose, Generation(generation), key),
                Err(error) => tracing::error!(athlete = %athlete.id, generation, %error, "a key of theirs is damaged"),
            }
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

/// The ring to seal with. An athlete whose keys are gone, though nobody erased them, gets the next generation of one first: what comes is
/// theirs, and under anybody else's key would neither open as theirs nor go with them. `athlete recover` may bring the older ones back.
///
/// And whether everybody has a key: until then nothing after what is theirs in the journal is sealed, and it is to be asked for again.
pub fn sealing_ring(tables: &Tables, identity: &Identity) -> anyhow::Result<(KeyRing, bool)> {
    // Before the keys: of whoever is added meanwhile there is one by then.
    let mut lost = tables.athletes()?;
    let ring = load_ring(tables, identity)?;
    lost.retain(|athlete| athlete.erased_at.is_none() && !ring.holds(&Whose::Athlete(athlete.id.clone())));
    let mut has_all = true;
    for athlete in &lost {
        let id = &athlete.id;
        match renew_key(tables, identity, athlete) {
            Ok(true) => {
                tracing::error!(athlete = %id, "their key is gone, and nobody erased them: what comes is sealed under a new one");
            }
            // Erased meanwhile.
            Ok(false) => {}
            Err(error) => {
                has_all = false;
                tracing::error!(athlete = %id, %error, "their key is gone, and no new one could be made; it is tried again");
            }
        }
    }
    Ok((if lost.is_empty() { ring } else { load_ring(tables, identity)? }, has_all))
}

/// Gives an athlete the next generation of a key, with its copy; false if they were erased meanwhile.
fn renew_key(tables: &Tables, identity: &Identity, athlete: &Athlete) -> anyhow::Result<bool> {
    let recovery = RecoveryPublicFile::read(identity.folder())?;
    let next = athlete.generation.saturating_add(1);
    let (key, copy) = new_athlete_key(identity, recovery.as_ref(), &athlete.id, next)?;
    match tables.add_athlete_key(key, copy) {
        Err(StoreError::Conflict(_)) => Ok(false),
        added => Ok(added.map(|()| true)?),
    }
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
/// were put back; what is there already stays, and what the ledger could not read is passed over. That the ledger holds these
/// copies is remembered, so that an erasure finds them; those of erased athletes are to be deleted.
pub fn recover(
    tables: &Tables,
    identity: &Identity,
    secret: &RecoverySecret,
    copies: &[([u8; 32], Vec<u8>)],
) -> anyhow::Result<u64> {
    let public = secret.public();
    let mut wanted = HashMap::new();
    for athlete in tables.athletes()? {
        for generation in (0..=athlete.generation).map(Generation) {
            let whose = Whose::Athlete(athlete.id.clone());
            wanted.insert(public.copy_tag(&whose, generation), (whose, generation, athlete.erased_at.is_some()));
        }
    }
    for generation in (0..house_generation(tables)?).map(Generation) {
        wanted.insert(public.copy_tag(&Whose::House, generation), (Whose::House, generation, false));
    }
    let (mut recovered, mut known) = (0, Vec::new());
    for (name, body) in copies {
        let Some((whose, generation, erased)) = name.first_chunk::<16>().and_then(|tag| wanted.get(tag)) else {
            continue;
        };
        let readable = is_readable(body);
        if readable && public.copy_name(whose, *generation, body) != *name {
            anyhow::bail!("a copy of a key was changed: its name does not fit what it holds");
        }
        known.push(CopyName { name: *name, athlete: whose.athlete().cloned(), generation: generation.0 });
        if *erased || !readable {
            continue;
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
    tables.know_key_copies(known)?;
    Ok(recovered)
}

/// Of the copies that the ledger lists by their names, enters those of erased athletes as to be deleted: a restored box does not
/// know them all. Only those sealed to the present recovery key can be told; those sealed to an earlier one are known from
/// the backup, or from recovering with that one.
pub fn forget_listed(tables: &Tables, keys: &Path, names: &[[u8; 32]]) -> anyhow::Result<()> {
    let Some(public) = RecoveryPublicFile::read(keys)? else { return Ok(()) };
    let mut tags = HashMap::new();
    for athlete in tables.athletes()?.into_iter().filter(|athlete| athlete.erased_at.is_some()) {
        let whose = Whose::Athlete(athlete.id.clone());
        for generation in 0..=athlete.generation.saturating_add(GENERATIONS_BEYOND) {
            tags.insert(public.copy_tag(&whose, Generation(generation)), (athlete.id.clone(), generation));
        }
    }
    let of_erased = names.iter().filter_map(|name| {
        let (athlete, generation) = tags.get(name.first_chunk::<16>()?)?;
        Some(CopyName { name: *name, athlete: Some(athlete.clone()), generation: *generation })
    });
    Ok(tables.know_key_copies(of_erased.collect())?)
}

#[cfg(test)]
mod tests {
    use ledger_block::ingest::UNREADABLE;
    use pitchside_model::Timestamp;
    use pitchside_seal::AthleteKeys as _;
    use pitchside_store::RootKey;

    use super::*;
    use crate::backup::RecoveryKey;

    /// A box restored twice: its athletes have keys of the third generation, and their older copies lie in the ledger alone.
    struct Restored {
        dir: tempfile::TempDir,
        identity: Identity,
        tables: Tables,
        key: RecoveryKey,
        in_the_ledger: Vec<KeyCopy>,
    }

    fn athlete(name: &str) -> AthleteId {
        AthleteId::parse(name).unwrap()
    }

    impl Restored {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Identity::ensure(dir.path()).unwrap();
            let identity = Identity::load(dir.path()).unwrap();
            let key = RecoveryKey::make(identity.gateway()).unwrap();
            RecoveryPublicFile::write(dir.path(), &key).unwrap();
            let root = RootKey::new(*identity.derive("pitchside/1/store").unwrap());
            let tables = Tables::init(&dir.path().join("data"), root).unwrap();
            let (public, mut in_the_ledger) = (key.secret.public(), Vec::new());
            for name in ["ada", "ben"] {
                for generation in 0..2 {
                    let (_, copy) = new_athlete_key(&identity, Some(&public), &athlete(name), generation).unwrap();
                    in_the_ledger.extend(copy);
                }
                let (newest, copy) = new_athlete_key(&identity, Some(&public), &athlete(name), 2).unwrap();
                tables.add_athlete_with(newest, copy, Timestamp(0)).unwrap();
            }
            Self { dir, identity, tables, key, in_the_ledger }
        }

        fn leaving(&self) -> Vec<[u8; 32]> {
            let open = self.tables.open_key_copies(99).unwrap();
            open.into_iter().filter(|(_, body)| body.is_none()).map(|(name, _)| name).collect()
        }

        /// Names of what the ledger holds of one athlete.
        fn held_of(&self, name: &str) -> Vec<[u8; 32]> {
            let of = |copy: &&KeyCopy| copy.athlete.as_ref().is_some_and(|whose| whose.as_str() == name);
            let mut names: Vec<_> = self.in_the_ledger.iter().filter(of).map(|copy| copy.name).collect();
            names.sort_unstable();
            names
        }
    }

    #[test]
    fn copies_that_were_recovered_from_are_deleted_when_the_athlete_is_erased() {
        let it = Restored::new();
        let copies: Vec<_> = it.in_the_ledger.iter().map(|copy| (copy.name, copy.body.clone())).collect();
        assert_eq!(recover(&it.tables, &it.identity, &it.key.secret, &copies).unwrap(), 4);
        let counts = it.tables.key_copy_counts().unwrap();
        assert_eq!((counts.missing, counts.held, counts.waiting), (0, 4, 2), "every key that is back has its copy");
        it.tables.erase_athlete(&athlete("ada"), Timestamp(1)).unwrap();
        it.tables.forget_key_copies(&athlete("ada")).unwrap();
        let leaving = it.leaving();
        assert!(it.held_of("ada").iter().all(|name| leaving.contains(name)), "those of both older generations");
        assert_eq!(leaving.len(), 3, "and the newest, but none of ben's");
        // With the recovery key at hand no erased key comes back.
        assert_eq!(recover(&it.tables, &it.identity, &it.key.secret, &copies).unwrap(), 0);
        assert!(it.tables.athlete_key(&athlete("ada"), 0).unwrap().is_none());
    }

    #[test]
    fn a_copy_that_the_ledger_cannot_read_keeps_no_other_key_from_coming_back_and_is_deleted_with_its_athlete() {
        let it = Restored::new();
        let mut copies: Vec<_> = it.in_the_ledger.iter().map(|copy| (copy.name, copy.body.clone())).collect();
        let bad = copies.iter_mut().find(|(name, _)| it.held_of("ada").contains(name)).unwrap();
        bad.1 = UNREADABLE.to_vec();
        let bad = bad.0;
        assert_eq!(recover(&it.tables, &it.identity, &it.key.secret, &copies).unwrap(), 3);
        it.tables.erase_athlete(&athlete("ada"), Timestamp(1)).unwrap();
        it.tables.forget_key_copies(&athlete("ada")).unwrap();
        assert!(it.leaving().contains(&bad));
        // One that says something else than it said is no such copy.
        copies[0].1[9] ^= 1;
        let changed = recover(&it.tables, &it.identity, &it.key.secret, &copies);
        assert!(changed.unwrap_err().to_string().contains("was changed"));
    }

    #[test]
    fn an_athlete_whose_key_was_lost_or_damaged_gets_the_next_and_one_who_was_erased_gets_none() {
        let it = Restored::new();
        it.tables.erase_athlete(&athlete("ada"), Timestamp(1)).unwrap();
        // The house's own is made the first time.
        load_ring(&it.tables, &it.identity).unwrap();
        let before = it.tables.key_copy_counts().unwrap().waiting;
        let file = rusqlite::Connection::open(it.dir.path().join("data/pitchside.db")).unwrap();
        for (lose, next) in [("DELETE FROM athlete_keys", 3), ("UPDATE athlete_keys SET wrapped = zeroblob(73)", 4)] {
            file.execute(lose, []).unwrap();
            assert_renewed(&it, next);
        }
        let waiting = it.tables.key_copy_counts().unwrap().waiting;
        assert_eq!(waiting, before + 2, "with copies for the ledger");
    }

    /// Ben has the key of that generation, and ada none.
    fn assert_renewed(it: &Restored, next: u32) {
        let newest = |name: &str| {
            let (ring, _) = sealing_ring(&it.tables, &it.identity).unwrap();
            ring.sealing(&Whose::Athlete(athlete(name))).ok()
        };
        assert_eq!(newest("ada"), None);
        let (generation, key) = newest("ben").unwrap();
        assert_eq!(generation, Generation(next));
        assert_eq!(newest("ben"), Some((generation, key)), "one, and it stays");
    }

    #[test]
    fn of_what_the_ledger_lists_the_copies_of_erased_athletes_are_to_be_deleted_and_no_others() {
        let it = Restored::new();
        it.tables.erase_athlete(&athlete("ada"), Timestamp(1)).unwrap();
        let mut listed: Vec<_> = it.in_the_ledger.iter().map(|copy| copy.name).collect();
        listed.push([7; 32]);
        // Another restore of this box went further.
        let public = it.key.secret.public();
        let beyond = new_athlete_key(&it.identity, Some(&public), &athlete("ada"), 3).unwrap().1.unwrap().name;
        listed.push(beyond);
        forget_listed(&it.tables, it.dir.path(), &listed).unwrap();
        let mut expected = it.held_of("ada");
        expected.push(beyond);
        expected.sort_unstable();
        assert_eq!(it.leaving(), expected);
    }
}
