//! Rules as text: every version that was published, every set that was in force, and what rules in the shadow said.

use pitchside_model::{AlertEvent, RuleName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::devices::limit;
use crate::error::StoreError;
use crate::firmware::ACT_BYTES_MAX;
use crate::sql;
use crate::tables::Tables;

/// The most bytes of the four files of a rule together.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// The most versions one call lists.
pub const VERSIONS_MAX: u32 = 10_000;
/// The most changes of the rules in force that are remembered.
pub const CHANGES_MAX: i64 = 10_000;
/// The most rows of the shadow log.
pub const SHADOW_ROWS_MAX: i64 = 10_000;
/// The most rules that wait to be put back.
pub const AGAIN_MAX: u32 = 1_000;
/// Characters of an author's name and of a note that are kept.
pub const AUTHOR_CHARS_MAX: usize = 64;
/// See [`AUTHOR_CHARS_MAX`].
pub const NOTE_CHARS_MAX: usize = 500;

/// A rule as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleText {
    /// Its name.
    pub name: String,
    /// `rule.toml`.
    pub manifest: String,
    /// `rule.rhai`.
    pub script: String,
    /// `cases.txt`.
    pub cases: String,
    /// `README.md`.
    pub readme: String,
    /// Of manifest and script.
    pub rule_hash: [u8; 32],
    /// Of all four files.
    pub text_hash: [u8; 32],
}

/// A published version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleVersion {
    /// Of which rule.
    pub name: String,
    /// 1, 2, 3 ...
    pub number: u32,
    /// Its texts.
    pub text_hash: [u8; 32],
    /// The version its manifest states.
    pub label: String,
    /// Who published it.
    pub author: String,
    /// Why.
    pub note: String,
    /// When.
    pub published_at: Timestamp,
    /// To be watched, not put in force.
    pub shadow: bool,
    /// Hash of the rules in force with it, as the ledger was told.
    pub set_hash: Option<[u8; 32]>,
    /// Hash of that transaction.
    pub leaf_hash: Option<[u8; 32]>,
}

/// What is to be published.
#[derive(Debug, Clone)]
pub struct NewRuleVersion {
    /// The texts.
    pub text: RuleText,
    /// The version its manifest states.
    pub label: String,
    /// Who publishes it.
    pub author: String,
    /// Why.
    pub note: String,
    /// When.
    pub at: Timestamp,
    /// To be watched, not put in force.
    pub shadow: bool,
    /// The version the draft began from; 0 for a rule that has none.
    pub base: u32,
    /// Hash of the rules in force with it.
    pub set_hash: [u8; 32],
    /// The signed transaction that tells the ledger, and its leaf hash; none without a ledger.
    pub act: Option<([u8; 32], Vec<u8>)>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It is this version.
    As(u32),
    /// Nothing was published: another version came after the one the draft began from.
    Overtaken(RuleVersion),
}

/// The rules that came into force at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleChange {
    /// By the gateway's clock.
    pub at: Timestamp,
    /// Hash of the set, as in block headers.
    pub set_hash: [u8; 32],
    /// Text hashes by name.
    pub rules: Vec<(String, [u8; 32])>,
    /// The evaluation's version.
    pub engine: String,
}

/// What a rule in the shadow said.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowRow {
    /// When, by the gateway's clock.
    pub at: Timestamp,
    /// Which rule.
    pub rule: String,
    /// What it said.
    pub event: AlertEvent,
}

pub(crate) fn version(row: &Row<'_>) -> rusqlite::Result<RuleVersion> {
    Ok(RuleVersion {
        name: row.get(0)?,
        number: row.get(1)?,
        text_hash: row.get(2)?,
        label: row.get(3)?,
        author: row.get(4)?,
        note: row.get(5)?,
        published_at: Timestamp(row.get(6)?),
        shadow: row.get(7)?,
        set_hash: row.get(8)?,
        leaf_hash: row.get(9)?,
    })
}

pub(crate) fn text(row: &Row<'_>) -> rusqlite::Result<RuleText> {
    Ok(RuleText {
        name: row.get(0)?,
        manifest: row.get(1)?,
        script: row.get(2)?,
        cases: row.get(3)?,
        readme: row.get(4)?,
        rule_hash: row.get(5)?,
        text_hash: row.get(6)?,
    })
}

pub(crate) fn put_text(connection: &Connection, text: &RuleText) -> Result<(), StoreError> {
    within(text)?;
    connection.prepare_cached(sql!("rules/text_put"))?.execute(params![
        text.text_hash,
        text.rule_hash,
        text.name,
        text.manifest,
        text.script,
        text.cases,
        text.readme
    ])?;
    Ok(())
}

pub(crate) fn change(row: &Row<'_>) -> Result<RuleChange, StoreError> {
    let at = Timestamp(row.get(0)?);
    let damaged = |_| StoreError::Damaged { table: "rule_changes", row: at.to_string() };
    let rules = postcard::from_bytes(&row.get::<_, Vec<u8>>(2)?).map_err(damaged)?;
    Ok(RuleChange { at, set_hash: row.get(1)?, rules, engine: row.get(3)? })
}

pub(crate) fn put_change(connection: &Connection, change: &RuleChange) -> Result<(), StoreError> {
    let rules = postcard::to_stdvec(&change.rules).map_err(|error| StoreError::Database(error.to_string()))?;
    let row = params![change.at.0, change.set_hash, rules, change.engine];
    connection.prepare_cached(sql!("rules/change"))?.execute(row)?;
    connection.prepare_cached(sql!("rules/trim_changes"))?.execute([CHANGES_MAX])?;
    Ok(())
}

pub(crate) fn put_version(connection: &Connection, version: &RuleVersion) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("rules/publish"))?.execute(params![
        version.name,
        version.number,
        version.text_hash,
        version.label,
        version.author,
        version.note,
        version.published_at.0,
        version.shadow,
        version.set_hash,
        version.leaf_hash
    ])?;
    Ok(())
}

fn newest(connection: &Connection, name: &str) -> Result<Option<RuleVersion>, StoreError> {
    Ok(connection.prepare_cached(sql!("rules/newest"))?.query_row([name], version).optional()?)
}

/// One line, and no longer than that.
fn trimmed(text: &str, chars: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(chars).collect()
}

fn within(text: &RuleText) -> Result<(), StoreError> {
    let all = [&text.manifest, &text.script, &text.cases, &text.readme];
    let size = all.iter().map(|text| text.len()).sum::<usize>();
    if size > TEXT_BYTES_MAX {
        return Err(StoreError::TooLarge { what: "a rule", size: size as u64, max: TEXT_BYTES_MAX as u64 });
    }
    Ok(())
}

impl Tables {
    /// Publishes a version of a rule, with the transaction that tells the ledger: both, or neither. Of two drafts that began
    /// from the same version the second is not published.
    pub fn publish_rule(&self, new: NewRuleVersion) -> Result<Published, StoreError> {
        within(&new.text)?;
        if let Some((_, leaf)) = &new.act {
            limit("a transaction", leaf, ACT_BYTES_MAX)?;
        }
        let (author, note) = (trimmed(&new.author, AUTHOR_CHARS_MAX), trimmed(&new.note, NOTE_CHARS_MAX));
        self.write(move |connection| {
            let before = newest(connection, &new.text.name)?;
            let number = before.as_ref().map_or(0, |version| version.number);
            if let Some(before) = before.filter(|_| number != new.base) {
                return Ok(Published::Overtaken(before));
            }
            put_text(connection, &new.text)?;
            let number = number + 1;
            let leaf = new.act.as_ref().map(|(hash, _)| *hash);
            put_version(
                connection,
                &RuleVersion {
                    name: new.text.name.clone(),
                    number,
                    text_hash: new.text.text_hash,
                    label: new.label.clone(),
                    author: author.clone(),
                    note: note.clone(),
                    published_at: new.at,
                    shadow: new.shadow,
                    set_hash: leaf.map(|_| new.set_hash),
                    leaf_hash: leaf,
                },
            )?;
            if let Some((hash, leaf)) = &new.act {
                let row = params![hash, new.set_hash, leaf, new.at.0];
                connection.prepare_cached(sql!("firmware/act_add"))?.execute(row)?;
            }
            Ok(Published::As(number))
        })
    }

    /// The version of a rule published last.
    pub fn newest_rule_version(&self, name: &str) -> Result<Option<RuleVersion>, StoreError> {
        self.read(|connection| newest(connection, name))
    }

    /// The version that was put in force last: what is only watched is left out.
    pub fn newest_live_rule_version(&self, name: &str) -> Result<Option<RuleVersion>, StoreError> {
        self.read(|connection| {
            Ok(connection.prepare_cached(sql!("rules/newest_live"))?.query_row([name], version).optional()?)
        })
    }

    /// One version.
    pub fn rule_version(&self, name: &str, number: u32) -> Result<Option<RuleVersion>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("rules/version"))?;
            Ok(statement.query_row(params![name, number], version).optional()?)
        })
    }

    /// Versions by name and number, of one rule or of all; at most [`VERSIONS_MAX`].
    pub fn rule_versions(&self, name: Option<&str>) -> Result<Vec<RuleVersion>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("rules/versions"))?;
            let rows = statement.query_map(params![name, VERSIONS_MAX], version)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// A rule's texts by the hash of all four.
    pub fn rule_text(&self, text_hash: &[u8; 32]) -> Result<Option<RuleText>, StoreError> {
        self.read(|connection| {
            Ok(connection.prepare_cached(sql!("rules/text"))?.query_row([text_hash.as_slice()], text).optional()?)
        })
    }

    /// Texts of a rule by the hash of manifest and script.
    pub fn text_of_rule(&self, hash: &[u8; 32]) -> Result<Option<RuleText>, StoreError> {
        self.read(|connection| {
            Ok(connection.prepare_cached(sql!("rules/text_of_rule"))?.query_row([hash.as_slice()], text).optional()?)
        })
    }

    /// Remembers which rules are in force from here on. The same set as before changes nothing; true if it is another.
    pub fn note_rules(&self, change: RuleChange, texts: Vec<RuleText>) -> Result<bool, StoreError> {
        texts.iter().try_for_each(within)?;
        self.write(move |connection| {
            let mut last = connection.prepare_cached(sql!("rules/last_change"))?;
            let last: Option<([u8; 32], String)> =
                last.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            texts.iter().try_for_each(|text| put_text(connection, text))?;
            if last.is_some_and(|(set, engine)| set == change.set_hash && engine == change.engine) {
                return Ok(false);
            }
            put_change(connection, &change)?;
            Ok(true)
        })
    }

    /// Every change of the rules in force, oldest first.
    pub fn rule_changes(&self) -> Result<Vec<RuleChange>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("rules/changes"))?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(change(row)?);
            }
            Ok(found)
        })
    }

    /// Asks for a rule that was switched off.
    pub fn ask_again(&self, rule: &RuleName) -> Result<(), StoreError> {
        let rule = rule.to_string();
        self.write(move |connection| {
            let waiting: u32 = connection.prepare_cached(sql!("rules/again_count"))?.query_row([], |row| row.get(0))?;
            if waiting >= AGAIN_MAX {
                let why = format!("{waiting} rules wait to be put back: is the gateway running?");
                return Err(StoreError::Conflict(why));
            }
            connection.prepare_cached(sql!("rules/again_put"))?.execute([&rule])?;
            Ok(())
        })
    }

    /// Which rules were asked for since the last call.
    pub fn take_again(&self) -> Result<Vec<String>, StoreError> {
        let waiting = |connection: &Connection| -> Result<u32, StoreError> {
            Ok(connection.prepare_cached(sql!("rules/again_count"))?.query_row([], |row| row.get(0))?)
        };
        // Looked at often: only what is there costs a write.
        if self.read(waiting)? == 0 {
            return Ok(Vec::new());
        }
        self.write(|connection| {
            let mut statement = connection.prepare_cached(sql!("rules/again_take"))?;
            let names = statement.query_map([], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
    }

    /// Writes down what rules in the shadow said. The oldest rows make room.
    pub fn log_shadow(&self, events: &[(RuleName, AlertEvent)], at: Timestamp) -> Result<(), StoreError> {
        let sealed: Vec<(String, Vec<u8>)> = events
            .iter()
            .map(|(rule, event)| {
                let plain = postcard::to_stdvec(event).map_err(|error| StoreError::Database(error.to_string()))?;
                let body = self.vault().shadow.seal_copy(self.boot(), &shadow_context(at, rule.as_str()), &plain)?;
                Ok((rule.to_string(), body))
            })
            .collect::<Result<_, StoreError>>()?;
        self.write(move |connection| {
            for (rule, body) in &sealed {
                connection.prepare_cached(sql!("rules/shadow_put"))?.execute(params![at.0, rule, body])?;
            }
            connection.prepare_cached(sql!("rules/shadow_trim"))?.execute([SHADOW_ROWS_MAX])?;
            Ok(())
        })
    }

    /// What rules in the shadow said, the latest first: of one, or of all.
    pub fn shadow_log(&self, rule: Option<&str>, rows: u32) -> Result<Vec<ShadowRow>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("rules/shadow_latest"))?;
            let mut rows = statement.query(params![rule, rows])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let (id, at, rule): (i64, _, String) = (row.get(0)?, Timestamp(row.get(1)?), row.get(2)?);
                let damaged = || StoreError::Damaged { table: "shadow_log", row: id.to_string() };
                let sealed: Vec<u8> = row.get(3)?;
                let plain = self.vault().shadow.open(&shadow_context(at, &rule), &sealed).map_err(|_| damaged())?;
                let event = postcard::from_bytes(&plain).map_err(|_| damaged())?;
                found.push(ShadowRow { at, rule, event });
            }
            Ok(found)
        })
    }
}

pub(crate) fn shadow_context(at: Timestamp, rule: &str) -> Vec<u8> {
    [&at.0.to_be_bytes()[..], rule.as_bytes()].concat()
}
