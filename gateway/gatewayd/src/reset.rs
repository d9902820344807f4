//! Resetting an alert by hand: what may be reset, and what became of it. Asked here, by a command beside the gateway or by the page; done
//! by the rules' task of the running gateway.

use std::time::Duration;

use pitchside_model::{AlertId, Timestamp};
use pitchside_rules::drill::PATH_RULE;
use pitchside_store::{AlertRow, Asked, Reset, StoreError, Tables};

/// How long the rules may take; they look twice a second.
pub const WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether they are done.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why an alert cannot be reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// There is none of this id.
    #[error("there is no alert {0}: `pitchside alerts` lists them")]
    Unknown(AlertId),
    /// It is not raised any more.
    #[error("{0}")]
    Over(String),
    /// It says that the alert path is broken.
    #[error("{0} says that the alert path is broken; it is over once a drill proves the path: pitchside alerts drill")]
    NeedsDrill(AlertId),
    /// The database did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks for a raised alert to be reset.
pub fn ask(tables: &Tables, id: AlertId, reset: &Reset, now: Timestamp) -> Result<(), ResetError> {
    let row = tables.alert(id)?.ok_or(ResetError::Unknown(id))?;
    if row.alert.rule.as_str() == PATH_RULE && row.cleared.is_none() {
        return Err(ResetError::NeedsDrill(id));
    }
    match tables.ask_reset(id, reset, now) {
        Ok(Asked::Waits) => Ok(()),
        Ok(Asked::Over) => Err(ResetError::Over(over(&tables.alert(id)?.unwrap_or(row)))),
        Err(StoreError::Unknown { .. }) => Err(ResetError::Unknown(id)),
        Err(error) => Err(error.into()),
    }
}

/// The alert, once it is over.
pub fn done(tables: &Tables, id: AlertId) -> Result<Option<AlertRow>, StoreError> {
    Ok(tables.alert(id)?.filter(|row| row.cleared.is_some()))
}

/// How an alert came to its end.
pub fn over(row: &AlertRow) -> String {
    let (id, at) = (row.alert.id, row.cleared.map(|at| format!(" at {at}")).unwrap_or_default());
    match &row.reset {
        Some(Reset { by, .. }) => format!("{id} is over: {by} reset it{at}"),
        None => format!("{id} is over: its condition ended{at}"),
    }
}
