//! Contents that are wanted and not here: since when, and why the store refused them, if it did. Kept for `doctor`, which asks from
//! outside, and over restarts: a box that is switched off every evening would otherwise never say that something does not come.

use std::collections::BTreeMap;

use anyhow::Context as _;
use pitchside_model::Timestamp;
use pitchside_release::content::ContentId;
use pitchside_store::{Store, Tables};
use serde::{Deserialize, Serialize};

/// Where they are kept.
const KEPT: &str = "firmware-missing";

/// A content that is wanted and not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its name.
    pub content: String,
    /// Since when.
    pub since: Timestamp,
    /// Why its last fetch came to nothing, if that will not pass by itself.
    pub why: Option<String>,
}

/// Those that were missing when the carrier last looked.
///
/// # Errors
/// The database does not answer, or holds something else.
pub fn missing(tables: &Tables) -> anyhow::Result<Vec<Missing>> {
    let Some(bytes) = tables.meta(KEPT)? else { return Ok(Vec::new()) };
    serde_json::from_slice(&bytes).with_context(|| format!("what is kept under {KEPT}"))
}

/// The carrier's book of them.
pub(super) struct Book {
    store: Store,
    rows: BTreeMap<ContentId, Missing>,
}

impl Book {
    /// Takes up what was kept. What cannot be read is missing from now on.
    pub fn open(store: &Store) -> Self {
        let kept = missing(store).unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "since when contents are missing is not known");
            Vec::new()
        });
        let rows = kept.into_iter().filter_map(|row| Some((row.content.parse().ok()?, row))).collect();
        Self { store: store.clone(), rows }
    }

    /// These are missing now, and no others. Blocks if that is new.
    pub fn are(&mut self, missing: impl Iterator<Item = ContentId>, now: Timestamp) {
        let fresh = |content: ContentId| Missing { content: content.to_string(), since: now, why: None };
        let row = |content: ContentId| (content, self.rows.get(&content).cloned().unwrap_or_else(|| fresh(content)));
        let rows: BTreeMap<_, _> = missing.map(row).collect();
        self.change(rows);
    }

    /// Why one of them does not come; none if it may. Blocks if that is new.
    pub fn because(&mut self, content: ContentId, why: Option<String>) {
        let mut rows = self.rows.clone();
        if let Some(row) = rows.get_mut(&content) {
            row.why = why;
        }
        self.change(rows);
    }

    fn change(&mut self, rows: BTreeMap<ContentId, Missing>) {
        if rows == self.rows {
            return;
        }
        self.rows = rows;
        let kept = serde_json::to_vec(&self.rows.values().collect::<Vec<_>>()).map_err(anyhow::Error::from);
        if let Err(error) = kept.and_then(|bytes| Ok(self.store.set_meta(KEPT, &bytes)?)) {
            tracing::warn!(error = format!("{error:#}"), "which contents are missing was not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use pitchside_store::RootKey;

    use super::*;

    #[test]
    fn what_is_missing_is_known_since_when_over_a_restart_until_it_is_here() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let [one, two] = [1, 2].map(|n| ContentId([n; 32]));
        let mut book = Book::open(&store);
        book.are([one].into_iter(), Timestamp(10));
        book.are([one, two].into_iter(), Timestamp(20));
        book.because(two, Some("no room".to_owned()));
        let mut book = Book::open(&store);
        book.are([one, two].into_iter(), Timestamp(30));
        let of = |rows: Vec<Missing>| rows.into_iter().map(|row| (row.since.0, row.why)).collect::<Vec<_>>();
        assert_eq!(of(missing(&store).unwrap()), [(10, None), (20, Some("no room".to_owned()))]);
        book.because(two, None);
        book.are([two].into_iter(), Timestamp(40));
        assert_eq!(of(missing(&store).unwrap()), [(20, None)]);
        // Somebody else's bytes lose the times, and nothing more.
        store.set_meta(KEPT, b"noise").unwrap();
        assert!(missing(&store).is_err());
        Book::open(&store).are([two].into_iter(), Timestamp(50));
        assert_eq!(of(missing(&store).unwrap()), [(50, None)]);
    }
}
