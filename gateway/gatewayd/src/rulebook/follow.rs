//! A library of rules that comes with the box, and the box's own rules, which began as a copy of it.
//!
//! A rule that is copied from the library carries a mark in its folder: the hash of what was copied. As long as the rule is what its
//! mark says it follows the library, to its next version or out of the box. Publishing swaps the whole folder, and the mark goes with
//! it: from then on the rule is the clinic's and stays as it is, also when it was put back to the library's very words. So is a rule
//! that was changed by hand, or came with a backup of a box that follows no library.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use pitchside_model::RuleName;
use pitchside_rules::history::RuleTexts;
use serde::Serialize;

use super::disk::{For, Lock, read_texts, remove_rule, stage, staging};
use crate::files::write_public;

/// In a rule's folder: the hash of the texts that were copied from the library.
const MARK: &str = ".library";

/// What following the library did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Followed {
    /// Rules that came or changed.
    pub taken: Vec<String>,
    /// Rules that the library no longer has.
    pub gone: Vec<String>,
    /// The clinic's own, of which the library has another.
    pub kept: Vec<String>,
}

fn mark(texts: &RuleTexts) -> String {
    format!("{}\n", data_encoding::HEXLOWER.encode(&texts.text_hash()))
}

/// Whether a rule with these texts is as it was copied from a library.
pub fn follows(folder: &Path, texts: &RuleTexts) -> bool {
    std::fs::read_to_string(folder.join(MARK)).is_ok_and(|found| found == mark(texts))
}

/// The names of the rules below a folder.
pub(super) fn names(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let reading = || format!("reading {}", folder.display());
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let name = entry.file_name().into_string().ok().filter(|name| RuleName::parse(name).is_ok());
        if let Some(name) = name.filter(|_| entry.path().is_dir()) {
            found.insert(name);
        }
    }
    Ok(found)
}

/// Brings the rules that follow the library to what it holds; makes the folder if there is none. Each rule is swapped in one step: a
/// power cut leaves some of them for the next time.
pub fn follow(library: &Path, rules: &Path) -> anyhow::Result<Followed> {
    let offered = names(library)?;
    std::fs::create_dir_all(rules).with_context(|| format!("making {}", rules.display()))?;
    let same = |path: &Path| path.canonicalize().with_context(|| path.display().to_string());
    anyhow::ensure!(same(library)? != same(rules)?, "{} cannot follow itself", rules.display());
    let _lock = Lock::take(rules)?;
    // What a publication was cut off over is the clinic's, and comes into force when there is a database to ask.
    let published = staging(rules, For::Publication)?;
    let mut done = Followed::default();
    for name in &offered {
        if published.join(name).exists() {
            done.kept.push(name.clone());
            continue;
        }
        let new = read_texts(&library.join(name))?;
        let place = rules.join(name);
        if place.exists() {
            let old = read_texts(&place);
            if old.as_ref().is_ok_and(|old| *old == new) {
                continue;
            }
            if !old.is_ok_and(|old| follows(&place, &old)) {
                done.kept.push(name.clone());
                continue;
            }
        }
        let staged = stage(rules, name, &new, For::Other)?;
        write_public(&staged.folder().join(MARK), mark(&new).as_bytes())?;
        staged.put()?;
        done.taken.push(name.clone());
    }
    for name in names(rules)?.difference(&offered) {
        let place = rules.join(name);
        if !published.join(name).exists() && read_texts(&place).is_ok_and(|texts| follows(&place, &texts)) {
            remove_rule(rules, name)?;
            done.gone.push(name.clone());
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::disk::{write_draft, write_rule};
    use super::*;

    fn texts(script: &str) -> RuleTexts {
        RuleTexts { script: script.to_owned(), ..RuleTexts::default() }
    }

    /// A library, and a box's rules.
    struct Shelf(TempDir);

    impl Shelf {
        fn of(rules: &[(&str, &str)]) -> Self {
            let shelf = Self(tempfile::tempdir().unwrap());
            shelf.holds(rules);
            shelf
        }

        fn holds(&self, rules: &[(&str, &str)]) {
            let library = self.0.path().join("library");
            let _ = std::fs::remove_dir_all(&library);
            for (name, script) in rules {
                write_draft(&library.join(name), &texts(script)).unwrap();
            }
        }

        fn follow(&self) -> Followed {
            follow(&self.0.path().join("library"), &self.0.path().join("rules")).unwrap()
        }

        fn script(&self, name: &str) -> Option<String> {
            read_texts(&self.0.path().join("rules").join(name)).ok().map(|texts| texts.script)
        }

        fn publish(&self, name: &str, script: &str) {
            write_rule(&self.0.path().join("rules"), name, &texts(script)).unwrap();
        }
    }

    #[test]
    fn what_nobody_changed_follows_the_library_to_its_next_version_and_out_of_the_box() {
        let shelf = Shelf::of(&[("hot", "hot 1"), ("cold", "cold 1")]);
        assert_eq!(shelf.follow().taken, ["cold", "hot"]);
        assert_eq!(shelf.follow(), Followed::default());
        shelf.holds(&[("hot", "hot 2"), ("wet", "wet 1")]);
        let done = shelf.follow();
        assert_eq!((done.taken, done.gone), (vec!["hot".to_owned(), "wet".to_owned()], vec!["cold".to_owned()]));
        assert_eq!(shelf.script("hot").as_deref(), Some("hot 2"));
        assert_eq!((shelf.script("cold"), shelf.script("wet").as_deref()), (None, Some("wet 1")));
        assert_eq!(std::fs::read_dir(shelf.0.path()).unwrap().count(), 2, "no draft stays");
    }

    #[test]
    fn what_was_published_stays_whatever_the_library_becomes() {
        let shelf = Shelf::of(&[("hot", "hot 1"), ("cold", "cold 1"), ("wet", "wet 1")]);
        shelf.follow();
        shelf.publish("hot", "ours");
        // Back to the library's own words: that was decided here, too.
        shelf.publish("cold", "cold 1");
        shelf.publish("own", "own 1");
        std::fs::write(shelf.0.path().join("rules/wet/rule.rhai"), "by hand").unwrap();
        shelf.holds(&[("hot", "hot 2"), ("cold", "cold 2")]);
        let done = shelf.follow();
        assert_eq!((done.kept, done.taken, done.gone), (vec!["cold".to_owned(), "hot".to_owned()], vec![], vec![]));
        for (name, script) in [("hot", "ours"), ("cold", "cold 1"), ("own", "own 1"), ("wet", "by hand")] {
            assert_eq!(shelf.script(name).as_deref(), Some(script));
        }
    }

    #[test]
    fn a_publication_that_was_cut_off_is_neither_thrown_away_nor_overtaken_by_the_library() {
        let shelf = Shelf::of(&[("hot", "hot 1"), ("cold", "cold 1"), ("wet", "wet 1")]);
        shelf.follow();
        let left = |name: &str| shelf.0.path().join(".rules.new").join(name);
        for name in ["hot", "cold"] {
            write_draft(&left(name), &texts("ours")).unwrap();
        }
        shelf.holds(&[("hot", "hot 2"), ("wet", "wet 2")]);
        let done = shelf.follow();
        assert_eq!((done.kept, done.taken, done.gone), (vec!["hot".to_owned()], vec!["wet".to_owned()], vec![]));
        assert_eq!((shelf.script("hot").as_deref(), shelf.script("cold").as_deref()), (Some("hot 1"), Some("cold 1")));
        assert_eq!(read_texts(&left("hot")).unwrap(), texts("ours"));
    }

    #[test]
    fn a_folder_does_not_follow_itself_and_a_library_that_is_not_there_takes_nothing_away() {
        let shelf = Shelf::of(&[("hot", "hot 1")]);
        shelf.follow();
        let (library, rules) = (shelf.0.path().join("library"), shelf.0.path().join("rules"));
        assert!(follow(&rules, &rules).unwrap_err().to_string().contains("cannot follow itself"));
        std::fs::remove_dir_all(&library).unwrap();
        assert!(follow(&library, &rules).is_err());
        assert_eq!(shelf.script("hot").as_deref(), Some("hot 1"));
    }
}
