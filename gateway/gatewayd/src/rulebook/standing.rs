//! How the rules that run are doing, as the gateway last wrote it down for whoever asks: commands, the doctor.

use pitchside_rules::RuleStatus;
use pitchside_store::{StoreError, Tables};
use serde::{Deserialize, Serialize};

/// Encrypted: a script may throw what it read.
const NAME: &str = "rules-standing";

/// How one rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its name.
    pub rule: String,
    /// The version its manifest states.
    pub version: String,
    /// Whether it was switched off for its faults.
    pub off: bool,
    /// Whether it is the stream of a plugin, and no rule.
    #[serde(default)]
    pub stream: bool,
    /// The last fault: of a rule that is off, what switched it off.
    pub last_fault: Option<String>,
}

impl From<RuleStatus> for Standing {
    fn from(status: RuleStatus) -> Self {
        let last_fault = status.last_fault.map(|fault| fault.to_string());
        Self {
            rule: status.rule.to_string(),
            version: status.version,
            off: status.off,
            stream: status.stream,
            last_fault,
        }
    }
}

/// Writes it down.
pub fn write(tables: &Tables, standing: &[Standing]) -> Result<(), StoreError> {
    let text = serde_json::to_vec(standing).map_err(|error| StoreError::Database(error.to_string()))?;
    tables.set_secret(NAME, &text)
}

/// What was last written down; nothing before the gateway first ran.
pub fn read(tables: &Tables) -> Result<Vec<Standing>, StoreError> {
    let Some(text) = tables.secret(NAME)? else { return Ok(Vec::new()) };
    serde_json::from_slice(&text).map_err(|_| StoreError::Damaged { table: "meta", row: NAME.to_owned() })
}
