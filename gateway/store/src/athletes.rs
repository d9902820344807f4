//! Athletes, their wrapped keys, and which device measures whom.

use std::sync::Arc;

use pitchside_model::{AthleteId, DeviceId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::connection::{BUSY_WAIT, empty_log, overwriting};
use crate::copies::KeyCopy;
use crate::devices::{device_id, limit};
use crate::erasure::Eraser;
use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

/// The most athletes one gateway knows, erased ones included.
pub const ATHLETES_MAX: u64 = 10_000;
/// The most bytes a wrapped key may have.
pub const WRAPPED_BYTES_MAX: usize = 1 << 10;

/// An athlete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Athlete {
    /// The clinic's pseudonym.
    pub id: AthleteId,
    /// Since when they are known.
    pub added_at: Timestamp,
    /// Generation of the newest key.
    pub generation: u32,
    /// Since when their keys are gone.
    pub erased_at: Option<Timestamp>,
}

/// One generation of an athlete's key (AK), wrapped under the box's KEK.
#[derive(Clone, PartialEq, Eq)]
pub struct AthleteKey {
    /// Whose.
    pub athlete: AthleteId,
    /// Which; rises by one.
    pub generation: u32,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

impl std::fmt::Debug for AthleteKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AthleteKey({}, generation {})", self.athlete, self.generation)
    }
}

/// A device measures an athlete for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The device.
    pub device: DeviceId,
    /// The athlete.
    pub athlete: AthleteId,
    /// From when.
    pub from: Timestamp,
    /// Until when, exclusive; none while it lasts.
    pub to: Option<Timestamp>,
}

pub(crate) fn athlete_id(text: &str, table: &'static str) -> Result<AthleteId, StoreError> {
    AthleteId::parse(text).map_err(|_| StoreError::Damaged { table, row: text.to_owned() })
}

fn unknown(what: &'static str, name: impl ToString) -> StoreError {
    StoreError::Unknown { what, name: name.to_string() }
}

pub(crate) fn athlete(row: &Row<'_>) -> Result<Athlete, StoreError> {
    Ok(Athlete {
        id: athlete_id(&row.get::<_, String>(0)?, "athletes")?,
        added_at: Timestamp(row.get(1)?),
        generation: row.get(2)?,
        erased_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
    })
}

pub(crate) fn assignment(row: &Row<'_>) -> Result<Assignment, StoreError> {
    Ok(Assignment {
        device: device_id(&row.get::<_, String>(0)?, "assignments")?,
        athlete: athlete_id(&row.get::<_, String>(1)?, "assignments")?,
        from: Timestamp(row.get(2)?),
        to: row.get::<_, Option<i64>>(3)?.map(Timestamp),
    })
}

fn each<T>(
    connection: &Connection,
    statement: &str,
    params: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(statement)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

impl Tables {
    /// Adds an athlete with the first generation of their key.
    pub fn add_athlete(&self, key: AthleteKey, now: Timestamp) -> Result<(), StoreError> {
        self.add_athlete_with(key, None, now)
    }

    /// The same, with a copy of that key for the ledger: both or neither.
    pub fn add_athlete_with(&self, key: AthleteKey, copy: Option<KeyCopy>, now: Timestamp) -> Result<(), StoreError> {
        limit("a wrapped key", &key.wrapped, WRAPPED_BYTES_MAX)?;
        self.write(move |connection| {
            let count: i64 = connection.prepare_cached(sql!("athletes/count"))?.query_row([], |row| row.get(0))?;
            if count.cast_unsigned() >= ATHLETES_MAX {
                return Err(StoreError::TooLarge {
                    what: "the number of athletes",
                    size: ATHLETES_MAX + 1,
                    max: ATHLETES_MAX,
                });
            }
            let id = key.athlete.as_str();
            if connection.prepare_cached(sql!("athletes/add"))?.execute(params![id, now.0, key.generation])? == 0 {
                return Err(StoreError::Exists { what: "athlete", name: key.athlete.to_string() });
            }
            connection.prepare_cached(sql!("athletes/add_key"))?.execute(params![id, key.generation, key.wrapped])?;
            copy.iter().try_for_each(|copy| crate::copies::add(connection, copy))
        })
    }

    /// Adds the next generation of an athlete's key, with a copy of it for the ledger: both or neither.
    pub fn add_athlete_key(&self, key: AthleteKey, copy: Option<KeyCopy>) -> Result<(), StoreError> {
        limit("a wrapped key", &key.wrapped, WRAPPED_BYTES_MAX)?;
        self.write(move |connection| {
            let id = key.athlete.as_str();
            if connection.prepare_cached(sql!("athletes/next_generation"))?.execute(params![id, key.generation])? == 0 {
                return Err(StoreError::Conflict(format!(
                    "{} is unknown or erased, or generation {} does not follow the newest one",
                    key.athlete, key.generation
                )));
            }
            connection.prepare_cached(sql!("athletes/add_key"))?.execute(params![id, key.generation, key.wrapped])?;
            copy.iter().try_for_each(|copy| crate::copies::add(connection, copy))
        })
    }

    /// All athletes by name, erased ones included.
    pub fn athletes(&self) -> Result<Vec<Athlete>, StoreError> {
        self.read(|connection| each(connection, sql!("athletes/all"), [], athlete))
    }

    /// One athlete.
    pub fn athlete(&self, id: &AthleteId) -> Result<Option<Athlete>, StoreError> {
        self.read(|connection| Ok(each(connection, sql!("athletes/get"), [id.as_str()], athlete)?.pop()))
    }

    /// One generation of an athlete's key; none once erased.
    pub fn athlete_key(&self, id: &AthleteId, generation: u32) -> Result<Option<AthleteKey>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("athletes/key"))?;
            let wrapped = statement.query_row(params![id.as_str(), generation], |row| row.get(0)).optional()?;
            Ok(wrapped.map(|wrapped| AthleteKey { athlete: id.clone(), generation, wrapped }))
        })
    }

    /// Destroys all generations of an athlete's key, and takes out what the box's own key could still open of them: alerts and what happened
    /// to them, what their entries in the journal say, payloads that wait or were refused, assignments. The bytes are overwritten in the
    /// database and its log is emptied; pages that fell free before are not gone through, and keep what they held under the root key until they
    /// are used again. The journal is gone through after that, a few rows at a time, for readings wait for the same disk: cut
    /// off in it, erase them again. What a flash disk keeps of old sectors is beyond a file system's reach, and
    /// rests on the root key.
    pub fn erase_athlete(&self, id: &AthleteId, now: Timestamp) -> Result<(), StoreError> {
        let (id, eraser) = (id.clone(), Arc::new(Eraser::new(self, id)));
        let small = Arc::clone(&eraser);
        self.write(move |connection: &Connection| {
            overwriting(connection, |connection| {
                if connection.prepare_cached(sql!("athletes/erase"))?.execute(params![id.as_str(), now.0])? == 0 {
                    return Err(unknown("athlete", &id));
                }
                connection.prepare_cached(sql!("athletes/drop_keys"))?.execute([id.as_str()])?;
                connection.prepare_cached(sql!("states/drop_of_athlete"))?.execute([id.as_str()])?;
                small.erase(connection)
            })
        })?;
        self.blank_journal(&eraser)?;
        self.write_then(|_| Ok(()), |connection| empty_log(connection, BUSY_WAIT))
    }

    /// From `from` on, `device` measures `athlete`; whom it measured until then, it no longer does. Refused if the
    /// device is revoked, or has a later assignment.
    pub fn assign(&self, device: &DeviceId, athlete: &AthleteId, from: Timestamp) -> Result<(), StoreError> {
        let (device, athlete) = (device.clone(), athlete.clone());
        self.write(move |connection| {
            let known: (bool, bool, bool) = connection
                .prepare_cached(sql!("assignments/known"))?
                .query_row([device.as_str(), athlete.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            match known {
                (false, ..) => return Err(unknown("device", &device)),
                (_, false, _) => return Err(unknown("athlete", &athlete)),
                (.., true) => return Err(StoreError::Conflict(format!("{device} is revoked and measures nobody"))),
                _ => end(connection, &device, from)?,
            };
            connection.prepare_cached(sql!("assignments/begin"))?.execute(params![
                device.as_str(),
                athlete.as_str(),
                from.0
            ])?;
            Ok(())
        })
    }

    /// From `at` on, `device` measures nobody.
    pub fn unassign(&self, device: &DeviceId, at: Timestamp) -> Result<(), StoreError> {
        let device = device.clone();
        self.write(move |connection| end(connection, &device, at))
    }

    /// The assignments that last, by device.
    pub fn assignments(&self) -> Result<Vec<Assignment>, StoreError> {
        self.read(|connection| each(connection, sql!("assignments/lasting"), [], assignment))
    }

    /// Whom a device measured at that time.
    pub fn assignment_at(&self, device: &DeviceId, at: Timestamp) -> Result<Option<Assignment>, StoreError> {
        self.read(|connection| {
            Ok(each(connection, sql!("assignments/at"), params![device.as_str(), at.0], assignment)?.pop())
        })
    }
}

/// Ends what lasts. Assignments of one device never overlap: nothing may begin before the last one began or ended.
fn end(connection: &Connection, device: &DeviceId, at: Timestamp) -> Result<(), StoreError> {
    let later: i64 = connection
        .prepare_cached(sql!("assignments/later"))?
        .query_row(params![device.as_str(), at.0], |row| row.get(0))?;
    if later > 0 {
        return Err(StoreError::Conflict(format!("{device} has an assignment that begins or ends after {at}")));
    }
    // What was kept of the device until now is not its next wearer's.
    crate::states::forget_device(connection, device)?;
    // One that began at this very instant has measured nothing.
    connection.prepare_cached(sql!("assignments/drop_empty"))?.execute(params![device.as_str(), at.0])?;
    connection.prepare_cached(sql!("assignments/end"))?.execute(params![device.as_str(), at.0])?;
    Ok(())
}
