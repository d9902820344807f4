//! Versions of a rule: what differs between two of them, and putting two people's changes together.
//!
//! A version is the four files of a rule's folder, numbered 1, 2, 3 ... as they were published. Whoever publishes says which
//! version the draft began from; if another came in between, nothing is published, and [`merge`] puts both together: file by
//! file, line by line, as three-way merges do. What both changed is left for a person, between marks.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::id::hash_parts;

/// The files of a rule, in the order they are shown in.
pub const FILES: [&str; 4] = ["rule.toml", "rule.rhai", "cases.txt", "README.md"];

/// A rule as text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleTexts {
    /// `rule.toml`.
    pub manifest: String,
    /// `rule.rhai`.
    pub script: String,
    /// `cases.txt`.
    pub cases: String,
    /// `README.md`.
    pub readme: String,
}

impl RuleTexts {
    /// File names with their texts.
    pub fn files(&self) -> [(&'static str, &str); 4] {
        let texts: [&str; 4] = [&self.manifest, &self.script, &self.cases, &self.readme];
        std::array::from_fn(|at| (FILES[at], texts[at]))
    }

    /// From the texts of [`FILES`], in that order.
    pub fn from_files([manifest, script, cases, readme]: [String; 4]) -> Self {
        Self { manifest, script, cases, readme }
    }

    /// The rule's hash ([`crate::RuleSource::hash`]): manifest and script decide what it does.
    pub fn rule_hash(&self) -> [u8; 32] {
        hash_parts("pitchside rule v1", [self.manifest.as_bytes(), self.script.as_bytes()])
    }

    /// The hash of all four files.
    pub fn text_hash(&self) -> [u8; 32] {
        hash_parts("pitchside rule texts v1", self.files().map(|(_, text)| text.as_bytes()))
    }
}

/// The hash of a set of rules, given their names and hashes in the order of the names ([`crate::RuleSet::hash`]).
pub fn set_hash<'a>(rules: impl IntoIterator<Item = (&'a str, &'a [u8; 32])>) -> [u8; 32] {
    let parts: Vec<&[u8]> = rules.into_iter().flat_map(|(name, hash)| [name.as_bytes(), hash.as_slice()]).collect();
    hash_parts("pitchside rule set v1", parts)
}

/// With the line ends that Unix writes: editors write others, and what stands in the lines is the same.
fn unix(text: &str) -> Cow<'_, str> {
    if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) }
}

/// Whether most of its lines end as Windows writes them.
fn ends_as_windows(text: &str) -> bool {
    text.matches("\r\n").count() * 2 > text.matches('\n').count()
}

/// What differs, as a unified diff of each file that does; empty if nothing does. Of files that differ in how their lines end alone it says that.
pub fn diff(old: &RuleTexts, new: &RuleTexts, old_name: &str, new_name: &str) -> String {
    let mut out = String::new();
    for ((file, old), (_, new)) in old.files().into_iter().zip(new.files()) {
        let (old_lines, new_lines) = (unix(old), unix(new));
        if old != new && old_lines == new_lines {
            out.push_str(&format!("{old_name}/{file} and {new_name}/{file}: line ends differ\n"));
        } else if old != new {
            let mut options = diffy::DiffOptions::new();
            options.set_original_filename(format!("{old_name}/{file}"));
            options.set_modified_filename(format!("{new_name}/{file}"));
            out.push_str(&options.create_patch(&old_lines, &new_lines).to_string());
        }
    }
    out
}

/// Two drafts of one version, put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The texts; where both changed the same lines, both stand between marks.
    pub texts: RuleTexts,
    /// The files with such marks.
    pub conflicts: Vec<&'static str>,
}

/// Puts the changes from `base` to `ours` and from `base` to `theirs` together. How lines end is no change: they end as they do in `base`.
pub fn merge(base: &RuleTexts, ours: &RuleTexts, theirs: &RuleTexts) -> Merged {
    let mut conflicts = Vec::new();
    let files = base.files().into_iter().zip(ours.files()).zip(theirs.files());
    let merged: Vec<String> = files
        .map(|(((file, base), (_, ours)), (_, theirs))| {
            // A conflict in what is alike would only be noise.
            if ours == theirs {
                return ours.to_owned();
            }
            let (ours, theirs) = (unix(ours), unix(theirs));
            let merged = if ours == theirs {
                ours.into_owned()
            } else {
                diffy::merge(&unix(base), &ours, &theirs).unwrap_or_else(|marked| {
                    conflicts.push(file);
                    marked
                })
            };
            if ends_as_windows(base) { merged.replace('\n', "\r\n") } else { merged }
        })
        .collect();
    let texts = <[String; 4]>::try_from(merged).map(RuleTexts::from_files).unwrap_or_default();
    Merged { texts, conflicts }
}

/// What a merge puts around what both changed, at the beginning of a line; a name may follow.
const MARKS: [&str; 4] = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];

/// The first mark of a conflict that a text still holds, and its line, from 1.
pub fn conflict_mark(text: &str) -> Option<(usize, &'static str)> {
    let mark = |line: &str| MARKS.into_iter().find(|mark| line.strip_prefix(mark).is_some_and(ends_word));
    text.lines().enumerate().find_map(|(at, line)| Some((at + 1, mark(line)?)))
}

fn ends_word(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(char::is_whitespace)
}

/// The marks of conflicts that the files of a rule still hold, one a file, with their places.
pub fn conflict_marks(texts: &RuleTexts) -> Vec<String> {
    let marked = |(file, text): (&str, &str)| {
        let (line, mark) = conflict_mark(text)?;
        Some(format!("{file}:{line}: holds the marks of a merge ({mark})"))
    };
    texts.files().into_iter().filter_map(marked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(limit: &str, script: &str) -> RuleTexts {
        RuleTexts {
            manifest: format!(
                "name = \"hot\"\nversion = \"1.0.0\"\n\nsummary = \"x\"\n\n[params.limit]\ndefault = {limit}\n"
            ),
            script: script.to_owned(),
            cases: "case one\n".to_owned(),
            readme: "# hot\n".to_owned(),
        }
    }

    #[test]
    fn changes_to_different_lines_are_put_together_and_to_the_same_lines_are_left_to_a_person() {
        let base = texts("39.0", "value > limit\n");
        let (ours, theirs) = (texts("39.5", "value > limit\n"), texts("39.0", "value >= limit\n"));
        let merged = merge(&base, &ours, &theirs);
        assert_eq!((merged.texts, merged.conflicts), (texts("39.5", "value >= limit\n"), vec![]));
        let clash = merge(&base, &ours, &texts("40.0", "value > limit\n"));
        assert_eq!(clash.conflicts, ["rule.toml"]);
        assert!(conflict_mark(&clash.texts.manifest).is_some() && clash.texts.manifest.contains("39.5"));
        assert_eq!(merge(&base, &ours, &ours).conflicts, Vec::<&str>::new(), "the same change twice is no conflict");
    }

    fn windows(texts: &RuleTexts) -> RuleTexts {
        RuleTexts::from_files(texts.files().map(|(_, text)| text.replace('\n', "\r\n")))
    }

    #[test]
    fn how_lines_end_is_no_change_and_stays_as_in_the_base() {
        let base = texts("39.0", "value > limit\n");
        let (ours, theirs) = (texts("39.5", "value > limit\n"), texts("39.0", "value >= limit\n"));
        let both = texts("39.5", "value >= limit\n");
        for (ours, theirs) in [(windows(&ours), theirs.clone()), (ours.clone(), windows(&theirs))] {
            let merged = merge(&base, &ours, &theirs);
            assert_eq!((merged.texts, merged.conflicts), (both.clone(), vec![]));
            assert_eq!(merge(&windows(&base), &ours, &theirs).texts, windows(&both));
        }
        let clash = merge(&base, &windows(&ours), &texts("40.0", "value > limit\n"));
        assert_eq!(clash.conflicts, ["rule.toml"], "and no other file");
        assert!(!clash.texts.manifest.contains('\r'), "{:?}", clash.texts.manifest);
    }

    #[test]
    fn a_diff_shows_the_lines_that_differ_and_says_where_only_line_ends_do() {
        let (old, new) = (texts("39.0", "a\n"), texts("39.5", "a\n"));
        let text = diff(&old, &windows(&new), "a", "b");
        let changed =
            |line: &&str| line.starts_with(['-', '+']) && !line.starts_with("---") && !line.starts_with("+++");
        let lines: Vec<&str> = text.lines().filter(changed).collect();
        assert_eq!(lines, ["-default = 39.0", "+default = 39.5"], "{text}");
        assert!(text.contains("a/rule.rhai and b/rule.rhai: line ends differ\n"), "{text}");
        let same = diff(&old, &windows(&old), "a", "b");
        assert_eq!(same.lines().filter(|line| line.ends_with(": line ends differ")).count(), 4, "{same}");
    }

    #[test]
    fn whatever_a_merge_put_in_is_found_also_where_only_one_of_its_marks_was_left() {
        let base = texts("39.0", "value > limit\n");
        let clash = merge(&base, &texts("39.5", "value > limit\n"), &texts("40.0", "value > limit\n")).texts;
        assert_eq!(conflict_marks(&clash), ["rule.toml:7: holds the marks of a merge (<<<<<<<)"]);
        for mark in MARKS {
            let line = clash.manifest.lines().find(|line| line.starts_with(mark)).unwrap_or_default();
            let readme = format!("a\n{line}\n");
            assert_eq!(conflict_mark(&readme), Some((2, mark)), "{}", clash.manifest);
            assert_eq!(conflict_marks(&RuleTexts { readme, ..base.clone() }).len(), 1);
        }
        for innocent in ["# hot\n", "Title\n========\n", "a ======= b\n", "|a|b|\n|||||||||\n", "- <<<<<<< is a mark\n"]
        {
            assert_eq!(conflict_mark(innocent), None, "{innocent}");
        }
    }

    #[test]
    fn a_diff_names_the_files_that_differ_and_only_those() {
        let (old, new) = (texts("39.0", "a\n"), texts("39.5", "a\n"));
        let text = diff(&old, &new, "hot@1", "hot@2");
        assert!(text.contains("--- hot@1/rule.toml") && text.contains("+++ hot@2/rule.toml"), "{text}");
        assert!(text.contains("-default = 39.0") && text.contains("+default = 39.5"), "{text}");
        assert!(!text.contains("rule.rhai"));
        assert_eq!(diff(&old, &old, "a", "b"), "");
    }

    #[test]
    fn the_rule_hash_is_the_one_block_headers_stand_on() {
        let texts = texts("39.0", "value > limit\n");
        let texts = RuleTexts {
            manifest: format!("{}min = 38.0\nmax = 41.0\n", texts.manifest)
                .replace("summary", "priority = \"high\"\ninputs = [\"core_temperature\"]\nsummary"),
            ..texts
        };
        let rule = crate::RuleSource::parse("hot", &texts.manifest, &texts.script).unwrap();
        assert_eq!(rule.hash, texts.rule_hash());
        let hash = set_hash([("hot", &rule.hash)]);
        assert_eq!(crate::RuleSet::new([rule]).unwrap().hash(), hash);
    }
}
