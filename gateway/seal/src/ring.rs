//! Whose keys the box holds.

use std::collections::BTreeMap;
use std::fmt;

use pitchside_model::{AlertId, AthleteId};

use crate::key::{AthleteKey, Generation};

/// Whose a reading is: an athlete's, or nobody's. What is nobody's is sealed under a key of the house.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// Readings of a device that was not assigned, and alerts about such.
    House,
    /// An athlete's.
    Athlete(AthleteId),
}

impl Whose {
    /// From the assignment of an entry.
    pub fn of(athlete: Option<&AthleteId>) -> Self {
        athlete.map_or(Self::House, |athlete| Self::Athlete(athlete.clone()))
    }

    /// The athlete, if it is one's.
    pub const fn athlete(&self) -> Option<&AthleteId> {
        match self {
            Self::House => None,
            Self::Athlete(athlete) => Some(athlete),
        }
    }

    /// The form that wrapping and recovery copies are bound to: 0 for the house, 1 and the name for an athlete.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::House => vec![0],
            Self::Athlete(athlete) => {
                let name = athlete.as_str().as_bytes();
                // A name has at most 48 bytes; its length keeps what follows apart from it.
                let mut bytes = vec![1, u8::try_from(name.len()).unwrap_or(u8::MAX)];
                bytes.extend_from_slice(name);
                bytes
            }
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::House => f.write_str("the house"),
            Self::Athlete(athlete) => write!(f, "athlete {athlete}"),
        }
    }
}

/// There is no key to seal under.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no key for {0}: it was erased, or never made")]
pub struct NoKey(pub Whose);

/// Where sealing and opening find keys.
pub trait AthleteKeys {
    /// The key to seal under now: theirs, and never another's. A segment does not open under a name it was not sealed for, and two
    /// under one key, of one quantity and hour, would share a nonce.
    fn sealing(&self, whose: &Whose) -> Result<(Generation, AthleteKey), NoKey>;

    /// Every key held, of every generation, for opening.
    fn opening(&self) -> Vec<(Whose, Generation, AthleteKey)>;

    /// Whom an earlier alert is about. The rules clear alerts by their id alone; knowing the athlete lets the clearing be
    /// erased with the rest. What is not known goes to the house.
    fn alert_subject(&self, id: &AlertId) -> Option<AthleteId> {
        let _ = id;
        None
    }
}

/// Keys in memory.
#[derive(Debug, Clone, Default)]
pub struct KeyRing(BTreeMap<(Whose, Generation), AthleteKey>);

impl KeyRing {
    /// Adds or replaces a key.
    pub fn put(&mut self, whose: Whose, generation: Generation, key: AthleteKey) {
        self.0.insert((whose, generation), key);
    }

    /// Forgets every generation of somebody's key; the memory is overwritten. True if there was one.
    pub fn erase(&mut self, whose: &Whose) -> bool {
        let before = self.0.len();
        self.0.retain(|(owner, _), _| owner != whose);
        self.0.len() < before
    }

    /// Whether there is a key.
    pub fn holds(&self, whose: &Whose) -> bool {
        self.sealing(whose).is_ok()
    }
}

impl AthleteKeys for KeyRing {
    fn sealing(&self, whose: &Whose) -> Result<(Generation, AthleteKey), NoKey> {
        let all = (whose.clone(), Generation(0))..=(whose.clone(), Generation(u32::MAX));
        let newest = self.0.range(all).next_back();
        newest.map(|((_, generation), key)| (*generation, key.clone())).ok_or_else(|| NoKey(whose.clone()))
    }

    fn opening(&self) -> Vec<(Whose, Generation, AthleteKey)> {
        self.0.iter().map(|((whose, generation), key)| (whose.clone(), *generation, key.clone())).collect()
    }
}
