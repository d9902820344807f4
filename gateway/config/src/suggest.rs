//! Did you mean.

/// The candidate nearest to `wrong`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    // Nobody types keys of hundreds of letters; and the distance costs their product.
    if wrong.len() > 64 {
        return None;
    }
    let near = |candidate: &&str| {
        let allowed = 1 + candidate.len() / 3;
        let contained = wrong.len() >= 3 && (candidate.contains(wrong.as_str()) || wrong.contains(*candidate));
        contained || distance(&wrong, candidate) <= allowed
    };
    candidates.into_iter().filter(near).min_by_key(|candidate| distance(&wrong, candidate))
}

/// Levenshtein: insertions, deletions and replacements from one to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found_and_the_far_are_not() {
        let keys = ["address", "hosts", "interval_s", "bytes_max"];
        assert_eq!(nearest("adress", keys), Some("address"));
        assert_eq!(nearest("INTERVAL", keys), Some("interval_s"));
        assert_eq!(nearest("interval_seconds", keys), Some("interval_s"));
        assert_eq!(nearest("host", keys), Some("hosts"));
        assert_eq!(nearest("colour", keys), None);
    }

    #[test]
    fn distances_are_counted_in_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
