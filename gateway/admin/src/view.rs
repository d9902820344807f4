//! The traits through which the server sees the rest of the gateway. `gatewayd` implements them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pitchside_model::AlertId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{AlertView, BlockView, Health, Status};
use crate::events::Event;
use crate::password::PasswordHash;

/// The longest user name, in bytes.
pub const USER_NAME_BYTES_MAX: usize = 64;
/// The most rows one answer holds.
pub const PAGE_ROWS_MAX: u32 = 200;
/// The highest index a block can be asked for by: the store counts them in 63 bits.
pub const BLOCK_INDEX_MAX: u64 = i64::MAX as u64;

/// The name somebody signs in with: 1 to 64 bytes, no control characters, no space at either end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct UserName(Arc<str>);

impl UserName {
    /// Checks the text and makes it a name; none if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= USER_NAME_BYTES_MAX;
        (fits && text.trim() == text && !text.chars().any(char::is_control)).then(|| Self(Arc::from(text)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What somebody may do; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See the live page.
    Viewer,
    /// Acknowledge and reset alerts.
    Clinician,
    /// Read metrics.
    Admin,
}

impl Role {
    /// `viewer`, `clinician` or `admin`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "viewer" => Self::Viewer,
            "clinician" => Self::Clinician,
            "admin" => Self::Admin,
            _ => return None,
        })
    }

    /// The role as text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Clinician => "clinician",
            Self::Admin => "admin",
        }
    }
}
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which rows of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// At most so many, 1 to [`PAGE_ROWS_MAX`].
    pub rows: u32,
    /// Only blocks with a lower index than this, at most [`BLOCK_INDEX_MAX`].
    pub before: Option<u64>,
}

/// Why the gateway cannot show something.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The store did not answer. The text is for the log, not for the browser.
    #[error("the store did not answer: {0}")]
    Unavailable(String),
}

/// The most steps of alerts that a stream of events goes back for.
pub const STEPS_MAX: u32 = 1_000;

/// What the record holds of alerts after some step.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    /// What happened, and the number of the step on the record, rising.
    pub events: Vec<(u64, Event)>,
    /// The last step read, which need not have an event of its own.
    pub up_to: u64,
}

/// What the page shows besides the board: alerts, blocks, status.
///
/// Whoever changes one of them first makes the change visible here and then publishes the event, so that an answer
/// never lacks what its `last_event_id` promises.
#[async_trait]
pub trait View: Send + Sync + 'static {
    /// What the gateway is doing.
    async fn status(&self) -> Result<Status, ViewError>;
    /// Alerts not both acknowledged and cleared, newest first.
    async fn open_alerts(&self, rows: u32) -> Result<Vec<AlertView>, ViewError>;
    /// All alerts, newest first.
    async fn alerts(&self, rows: u32) -> Result<Vec<AlertView>, ViewError>;
    /// The number of the last step in any alert's life on the record; 0 if there is none. Numbers rise, over restarts too.
    async fn last_step(&self) -> Result<u64, ViewError>;
    /// Every step recorded after this one. None if that cannot be told: there are more than [`STEPS_MAX`], some are no longer
    /// kept, or there has been no such step.
    async fn steps_after(&self, step: u64) -> Result<Option<Steps>, ViewError>;
    /// Blocks, newest first.
    async fn blocks(&self, page: Page) -> Result<Vec<BlockView>, ViewError>;
    /// Whether readings can be accepted.
    async fn health(&self) -> Health;
}

/// The longest note of somebody who resets an alert, in characters.
pub const NOTE_CHARS_MAX: usize = 500;

/// A user as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUser {
    /// What they may do.
    pub role: Role,
    /// Their password, hashed with argon2id.
    pub password: PasswordHash,
}

/// Who may sign in.
pub trait Users: Send + Sync + 'static {
    /// Looks a user up. May block: it is called on a thread for blocking work. Checking the password, and spending
    /// the same effort on names that do not exist, is done by the caller.
    fn find(&self, name: &UserName) -> Result<Option<StoredUser>, ViewError>;
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such alert.
    #[error("there is no alert {0}")]
    UnknownAlert(AlertId),
    /// It is over: there is nothing to reset.
    #[error("alert {0} is over")]
    AlertOver(AlertId),
    /// It is the alert of a broken alert path, which only a drill ends.
    #[error("alert {0} is over once a drill proves the alert path")]
    NeedsDrill(AlertId),
    /// It is asked for, but the rules have not done it yet.
    #[error("alert {0} is to be reset, but the rules have not done it yet")]
    ResetWaits(AlertId),
    /// The store did not take it. The text is for the log, not for the browser.
    #[error("the store did not take it: {0}")]
    Unavailable(String),
}

/// What people may ask the gateway to do. Implementations record it and publish the event themselves.
#[async_trait]
pub trait Commands: Send + Sync + 'static {
    /// Marks an alert as seen by `by`. Doing so twice changes nothing: the first name stays.
    async fn acknowledge(&self, id: AlertId, by: &UserName) -> Result<AlertView, CommandError>;
    /// Resets a raised alert for `by`, e.g. one whose rule latches. `note`: why, at most [`NOTE_CHARS_MAX`].
    async fn reset(&self, id: AlertId, by: &UserName, note: Option<&str>) -> Result<AlertView, CommandError>;
}
