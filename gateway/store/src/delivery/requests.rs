//! What became of each request that outputs made of a step: the log of delivery, and what waits to be tried again.

use pitchside_model::{AlertId, PluginName, Timestamp};
use rusqlite::params;

use super::{DeliveryStep, DeliveryStepId, KEPT_MAX, step};
use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

/// The most requests of one output that wait to be tried again.
pub const WAITING_MAX: u32 = 256;
/// The most requests one call lists.
pub const REQUESTS_MAX: u32 = 1_000;
/// Whom a request is for, as a hash.
pub type Target = [u8; 32];

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It could not be carried out yet, and is tried again.
    Waits,
    /// It was carried out.
    Done,
    /// It was refused, or tried for as long as it could help.
    GivenUp,
    /// Its script asks for it no longer, as it was set otherwise while this waited. Should it do so again, it waits again.
    Unasked,
    /// It has no room to wait: its step is kept, and asked for again. Its number is its own from here on.
    Owed,
}

impl Came {
    const fn from_codes(came: i64, unasked: i64) -> Option<Self> {
        match (came, unasked) {
            (0, _) => Some(Self::Waits),
            (DONE, _) => Some(Self::Done),
            (2, 0) => Some(Self::GivenUp),
            (2, 1) => Some(Self::Unasked),
            (2, 2) => Some(Self::Owed),
            _ => None,
        }
    }

    /// To an older program, what is asked for no longer is given up, and so is what is owed: it looks at no step that is kept.
    const fn codes(self) -> (i64, i64) {
        match self {
            Self::Waits => (0, 0),
            Self::Done => (DONE, 0),
            Self::GivenUp => (2, 0),
            Self::Unasked => (2, 1),
            Self::Owed => (2, 2),
        }
    }
}

/// How it is written that one was done, and of one that was done that it took the place of what was there.
const DONE: i64 = 1;
const REPLACES: i64 = 1;

/// What is written of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Of those its script made of the step, from 0.
    pub number: u32,
    /// What became of it.
    pub came: Came,
    /// Whom it is for; none if that is not known. What was known stays.
    pub target: Option<Target>,
    /// Once it is done, it stands in the place of what was there.
    pub replaces: bool,
}

/// A request that an output made of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRequest {
    /// Of which step.
    pub step: DeliveryStep,
    /// Which output.
    pub name: String,
    /// Of those its script made of the step, from 0.
    pub number: u32,
    /// What became of it.
    pub came: Came,
    /// Since when, by the gateway's clock.
    pub at: Timestamp,
}

impl Tables {
    /// What became of requests that an output made of a step: all, or none.
    pub fn note_requests(
        &self,
        name: &PluginName,
        step: DeliveryStepId,
        requests: Vec<Written>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let name = name.clone();
        self.write(move |connection| {
            let mut put = connection.prepare_cached(sql!("delivery/request_put"))?;
            requests.iter().try_for_each(|Written { number, came, target, replaces }| {
                let (target, (came, unasked)) = (target.as_ref().map(<[u8; 32]>::as_slice), came.codes());
                let unasked = if came == DONE && *replaces { REPLACES } else { unasked };
                put.execute(params![name.as_str(), step.0, number, came, at.0, target, unasked]).map(drop)
            })?;
            Ok(())
        })
    }

    /// What is written of the requests that an output made of a step, by number.
    pub fn requests_of_step(&self, name: &PluginName, step: DeliveryStepId) -> Result<Vec<Written>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/requests_of_step"))?;
            let mut rows = statement.query(params![name.as_str(), step.0])?;
            let mut requests = Vec::new();
            while let Some(row) = rows.next()? {
                let damaged = || StoreError::Damaged { table: "delivery_requests", row: step.0.to_string() };
                let (code, more) = (row.get(1)?, row.get(2)?);
                let came = Came::from_codes(code, more).ok_or_else(damaged)?;
                let replaces = (code, more) == (DONE, REPLACES);
                requests.push(Written { number: row.get(0)?, came, target: row.get(3)?, replaces });
            }
            Ok(requests)
        })
    }

    /// Requests of an output that wait to be tried again, the oldest step's first, with their numbers; at most [`WAITING_MAX`].
    pub fn requests_waiting(&self, name: &PluginName) -> Result<Vec<(DeliveryStep, u32)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/requests_waiting"))?;
            let mut rows = statement.query(params![WAITING_MAX, name.as_str()])?;
            let mut waiting = Vec::new();
            while let Some(row) = rows.next()? {
                waiting.push((step(row)?, row.get(5)?));
            }
            Ok(waiting)
        })
    }

    /// How many requests of an output wait to be tried again, by whom they are for.
    pub fn requests_by_target(&self, name: &PluginName) -> Result<Vec<(Option<Target>, u32)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/requests_by_target"))?;
            let waiting = statement.query_map([name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(waiting.collect::<Result<_, _>>()?)
        })
    }

    /// Requests to one receiver that an output owes of steps before this one, the oldest step's first; at most [`KEPT_MAX`].
    pub fn requests_owed(
        &self,
        name: &PluginName,
        target: Target,
        before: DeliveryStepId,
    ) -> Result<Vec<(DeliveryStepId, u32)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/requests_owed"))?;
            let owed = statement.query_map(params![name.as_str(), target.as_slice(), before.0, KEPT_MAX], |row| {
                Ok((DeliveryStepId(row.get(0)?), row.get(1)?))
            })?;
            Ok(owed.collect::<Result<_, _>>()?)
        })
    }

    /// Whether an output brought something of a later step than this one to a receiver.
    pub fn is_replaced(&self, name: &PluginName, target: Target, step: DeliveryStepId) -> Result<bool, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/is_replaced"))?;
            Ok(statement.query_row(params![name.as_str(), target.as_slice(), step.0], |row| row.get(0))?)
        })
    }

    /// Outputs that gave requests up since then, each with how many, and brought nothing of a later step there: what was replaced by
    /// something newer, is asked for no longer, or is owed, is not among them.
    pub fn requests_given_up(&self, since: Timestamp) -> Result<Vec<(String, u32)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/requests_given_up"))?;
            let given_up = statement.query_map([since.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(given_up.collect::<Result<_, _>>()?)
        })
    }

    /// The requests that outputs made of an alert, in the order in which they came to be what they are; at most [`REQUESTS_MAX`].
    pub fn requests_of(&self, alert: AlertId) -> Result<Vec<DeliveryRequest>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("delivery/requests_of"))?;
            let mut rows = statement.query(params![alert.0.as_slice(), REQUESTS_MAX])?;
            let mut requests = Vec::new();
            while let Some(row) = rows.next()? {
                let step = step(row)?;
                let came = Came::from_codes(row.get(7)?, row.get(8)?);
                let damaged = || StoreError::Damaged { table: "delivery_requests", row: step.id.0.to_string() };
                requests.push(DeliveryRequest {
                    name: row.get(5)?,
                    number: row.get(6)?,
                    came: came.ok_or_else(damaged)?,
                    at: Timestamp(row.get(9)?),
                    step,
                });
            }
            Ok(requests)
        })
    }
}
