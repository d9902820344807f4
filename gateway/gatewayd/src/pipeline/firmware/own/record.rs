//! What the box remembers of its own updates, and how one that was handed over ended.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use ledger_block::release::Version;
use pitchside_model::Timestamp;
use pitchside_store::Tables;
use serde::{Deserialize, Serialize};

/// What is remembered of the last release tried.
pub(super) const TRIED: &str = "firmware-box";
/// What is remembered of the release that waits.
pub(super) const WAITS: &str = "firmware-box-waits";
/// An update that was not installed is tried so often, if another try may come to more.
const TRIES_MAX: u32 = 5;
/// The rest after the first try; after each further one twice as long.
const AGAIN_US: i64 = 3_600 * 1_000_000;
/// Bytes read of the installer's result.
const RESULT_BYTES_MAX: u64 = 4_096;

/// The last release this box tried, and the highest security counter it has accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Its id.
    pub release: String,
    /// The version it would bring.
    pub version: String,
    pub(super) counter: u32,
    /// Whether its end was seen.
    pub(super) settled: bool,
    /// When.
    #[serde(default)]
    pub(super) settled_us: i64,
    /// Why it was not installed, if it was not.
    #[serde(default)]
    pub failed: Option<String>,
    /// It was installed, and the machine went back: that speaks against the release.
    #[serde(default)]
    pub gave_way: bool,
    /// Whoever else had to hear of that will.
    #[serde(default)]
    pub(super) told: bool,
    /// It came to nothing by no fault of its own (a cut, no room): another try may come to more.
    #[serde(default)]
    pub(super) passing: bool,
    /// Which try this is.
    #[serde(default)]
    pub(super) tries: u32,
    /// The newer one that came to nothing before, and why: this one was only tried in its place.
    #[serde(default)]
    pub in_place_of: Option<String>,
}

impl Tried {
    /// One that is handed over now.
    pub(super) const fn new(release: String, version: String, counter: u32, tries: u32) -> Self {
        Self {
            release,
            version,
            counter,
            settled: false,
            settled_us: 0,
            failed: None,
            gave_way: false,
            told: false,
            passing: false,
            tries,
            in_place_of: None,
        }
    }

    /// What a release of this version is tried in place of: this one, if it came to nothing and is newer, or what this one stands for.
    pub(super) fn in_place_of(&self, version: Version) -> Option<String> {
        let newer = self.version.parse::<Version>().is_ok_and(|tried| tried > version);
        match &self.failed {
            Some(why) if newer => Some(format!("{} (release {}): {why}", self.version, self.release)),
            _ if self.version == version.to_string() => self.in_place_of.clone(),
            _ => None,
        }
    }

    /// Whether it came to nothing for good, and is left alone from now on.
    pub(super) const fn is_over(&self) -> bool {
        self.failed.is_some() && (!self.passing || self.tries >= TRIES_MAX)
    }

    /// When it is tried again, if it is.
    pub fn again_at(&self) -> Option<Timestamp> {
        if self.failed.is_none() || self.is_over() {
            return None;
        }
        let doublings = self.tries.saturating_sub(1).min(TRIES_MAX);
        Some(Timestamp(self.settled_us).plus_micros(AGAIN_US << doublings))
    }

    /// Whether that time has come. A clock that jumped back since begins no second wait.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.again_at().is_some_and(|at| now >= at || now.0 < self.settled_us)
    }
}

/// A release that waits for a time when nobody trains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its id.
    pub release: String,
    pub(super) since_us: i64,
}

impl Waiting {
    /// Since when.
    pub const fn since(&self) -> Timestamp {
        Timestamp(self.since_us)
    }
}

/// The last release this box tried, as the database remembers it.
///
/// # Errors
/// The database does not answer, or holds something else.
pub fn tried(tables: &Tables) -> anyhow::Result<Option<Tried>> {
    kept(tables, TRIED)
}

/// The release that waits, as the database remembers it.
///
/// # Errors
/// The database does not answer, or holds something else.
pub fn waiting(tables: &Tables) -> anyhow::Result<Option<Waiting>> {
    kept(tables, WAITS)
}

/// None was kept, or that there is none.
fn kept<T: serde::de::DeserializeOwned>(tables: &Tables, name: &str) -> anyhow::Result<Option<T>> {
    let Some(bytes) = tables.meta(name)? else { return Ok(None) };
    serde_json::from_slice(&bytes).with_context(|| format!("what is remembered under {name}"))
}

/// How an update that was handed over ended, as this folder and the version that now runs tell; none while it is under way.
pub(super) fn outcome(folder: &Path, running: &str, tried: &Tried) -> Option<Tried> {
    let settled = Tried { settled: true, ..tried.clone() };
    if tried.version == running {
        return Some(settled);
    }
    if ["request", "taken"].iter().any(|name| folder.join(name).exists()) {
        return None;
    }
    let said = result(folder);
    if said.starts_with("installed") {
        let why = "it was installed, did not prove healthy, and gave way to the image before it".to_owned();
        return Some(Tried { failed: Some(why), gave_way: true, ..settled });
    }
    if let Some(why) = said.strip_prefix("refused: ") {
        return Some(Tried { failed: Some(why.to_owned()), ..settled });
    }
    let why = said.strip_prefix("not now: ").unwrap_or("it was cut off before it was installed").to_owned();
    Some(Tried { failed: Some(why), passing: true, ..settled })
}

/// The installer's word: `refused: ` and why, for good; `not now: ` and why; or that it is installed. Nothing if it was cut off before.
fn result(folder: &Path) -> String {
    let mut said = Vec::new();
    if let Ok(file) = std::fs::File::open(folder.join("result")) {
        // What can't be read says nothing.
        let _ = file.take(RESULT_BYTES_MAX).read_to_end(&mut said);
    }
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned()
}

/// Whether the version that runs is older than the one that was tried: a newer one came some other way.
pub(super) fn is_older(running: &str, tried: &str) -> bool {
    running.parse::<Version>().ok().zip(tried.parse().ok()).is_some_and(|(running, tried)| running < tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_went_on_by_a_stick_did_not_go_back() {
        assert!(is_older("1.9.0", "1.10.0"));
        assert!(!is_older("1.10.0", "1.10.0") && !is_older("1.11.0", "1.10.0"));
    }

    #[test]
    fn an_update_ends_when_its_version_runs_or_the_installer_is_done_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (request, taken) = (dir.path().join("request"), dir.path().join("taken"));
        let tried = Tried::new("r".to_owned(), "1.1.0".to_owned(), 2, 1);
        let ended = |running: &str| outcome(dir.path(), running, &tried);
        let now = |running: &str| ended(running).map(|settled| (settled.failed, settled.gave_way));
        std::fs::write(&request, "release r").unwrap();
        assert_eq!(now("1.0.0"), None, "asked for");
        std::fs::rename(&request, &taken).unwrap();
        assert_eq!(now("1.0.0"), None, "the installer is at work");
        assert_eq!(now("1.1.0"), Some((None, false)), "it runs");
        std::fs::remove_file(&taken).unwrap();
        let (why, gave_way) = now("1.0.0").unwrap();
        assert!(why.unwrap().contains("cut off") && !gave_way, "that may have been the plug");
        assert!(!ended("1.0.0").unwrap().is_over(), "and comes back");
        std::fs::write(dir.path().join("result"), "installed, restarting into it\n").unwrap();
        let (why, gave_way) = now("1.0.0").unwrap();
        assert!(why.unwrap().contains("did not prove healthy") && gave_way);
        assert!(ended("1.0.0").unwrap().is_over());
        std::fs::write(dir.path().join("result"), "not now: no room\nmore\n").unwrap();
        assert_eq!(now("1.0.0"), Some((Some("no room".to_owned()), false)), "that is this box's own trouble");
        assert!(!ended("1.0.0").unwrap().is_over(), "and may pass");
        std::fs::write(dir.path().join("result"), "refused: another maker's signature\n").unwrap();
        assert!(ended("1.0.0").unwrap().is_over(), "that does not pass");
    }

    #[test]
    fn each_rest_is_twice_the_one_before_and_after_the_fifth_try_there_is_none() {
        const HOUR: i64 = 3_600_000_000;
        let rest = |tries: u32| {
            let tried = Tried::new("r".to_owned(), "1.1.0".to_owned(), 2, tries);
            let tried =
                Tried { settled: true, settled_us: HOUR, failed: Some("a cut".to_owned()), passing: true, ..tried };
            tried.again_at().map(|at| (at.0 / HOUR - 1, tried.is_due(at.plus_micros(-1)), tried.is_due(at)))
        };
        assert_eq!([1, 2, 3, 4].map(rest), [1, 2, 4, 8].map(|hours| Some((hours, false, true))));
        assert_eq!(rest(5), None);
    }
}
