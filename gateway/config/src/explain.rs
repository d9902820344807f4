//! What each key means, from the comments in [`crate::settings`]; and what an unknown key was meant to be.

use std::sync::LazyLock;

use crate::load::CHAPTERS;

/// Key, what it means.
static KEYS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let sections = CHAPTERS.iter().map(|chapter| (chapter.name.to_owned(), joined(chapter.about)));
    let keys = CHAPTERS
        .iter()
        .flat_map(|chapter| chapter.keys.iter().map(|key| (format!("{}.{}", chapter.name, key.name), joined(key.doc))));
    sections.chain(keys).collect()
});

/// A comment's lines as one.
fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// What `key` means; for a section, the section and all its keys. Empty if there is no such key.
pub fn explain(key: &str) -> Vec<(&'static str, &'static str)> {
    let of_section = |name: &str| name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    KEYS.iter().filter(|(name, _)| of_section(name)).map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

/// Every key, without the sections.
pub fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(name, _)| name.as_str()).filter(|name| name.contains('.'))
}

/// The known key or section that `key` was probably meant to be.
pub fn nearest(key: &str) -> Option<&'static str> {
    let key = key.to_lowercase();
    // Nobody types keys of hundreds of letters; and the distance costs their product.
    if key.len() > 64 {
        return None;
    }
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key.as_str()));
    // First the right key in the wrong section, or without one: that is no matter of letters.
    let misplaced =
        keys().find(|known| known.rsplit_once('.').is_some_and(|(home, known)| known == name && home != section));
    let distance = |known: &str| distance(&key, known);
    let near = |known: &&str| {
        let (_, tail) = known.rsplit_once('.').unwrap_or(("", known));
        let begun = section.len() + 1 < known.len()
            && known.starts_with(section)
            && (tail.starts_with(name) || name.starts_with(tail));
        distance(known) <= 1 + tail.len() / 4 || (name.len() >= 3 && begun)
    };
    let spelt = KEYS.iter().map(|(name, _)| name.as_str()).filter(near).min_by_key(|known| distance(known));
    spelt.or(misplaced)
}

/// What to say of an unknown key.
pub(crate) fn hint(key: &str) -> String {
    nearest(key)
        .map_or_else(|| "`pitchside config show` lists all".to_owned(), |known| format!("did you mean {known}?"))
}

/// Insertions, deletions, replacements and swaps of neighbours from one to the other (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut table = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = table[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                let swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
                let swapped = if swapped { table[i - 2][j - 2] + 1 } else { usize::MAX };
                replaced.min(swapped).min(table[i - 1][j] + 1).min(table[i][j - 1] + 1)
            };
        }
    }
    table[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found_and_the_far_are_not() {
        for (wrong, meant) in [
            ("mqtt.tsl", "mqtt.tls"),
            ("mqtt.connection_max", "mqtt.connections_max"),
            ("mqqt", "mqtt"),
            ("blocks.interval", "blocks.interval_ms"),
            ("data_dir", "gateway.data_dir"),
            ("mqtt.hosts", "http.hosts"),
            ("HTTP.ADRESS", "http.address"),
        ] {
            assert_eq!(nearest(wrong), Some(meant), "{wrong}");
        }
        assert_eq!(nearest("colour"), None);
        assert_eq!(nearest(&"x".repeat(1_000)), None);
    }

    #[test]
    fn distances_are_counted_in_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("tsl", "tls"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
