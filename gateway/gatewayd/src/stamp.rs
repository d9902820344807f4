//! What a folder of folders looks like: another stamp, and there is something to read. No clock is trusted: a file that is put in
//! another's place is another file, whatever its time says.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A hash over names, lengths, times and numbers of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp([u8; 32]);

/// The stamp of the files one level below `folder`; of what cannot be read, nothing is in it.
pub fn of(folder: &Path) -> Stamp {
    let mut hasher = blake3::Hasher::new();
    for below in sorted(folder) {
        hasher.update(below.as_os_str().as_encoded_bytes()).update(&[0]);
        files(&mut hasher, &below);
    }
    Stamp(hasher.finalize().into())
}

/// The stamp of each folder in `folder`, by its name. It says which files lie there, not what they hold: the same text put there again has
/// another.
pub fn each(folder: &Path) -> BTreeMap<String, Stamp> {
    let one = |below: PathBuf| {
        let mut hasher = blake3::Hasher::new();
        files(&mut hasher, &below);
        let name = below.file_name()?.to_string_lossy().into_owned();
        Some((name, Stamp(hasher.finalize().into())))
    };
    sorted(folder).into_iter().filter_map(one).collect()
}

fn files(hasher: &mut blake3::Hasher, folder: &Path) {
    for file in sorted(folder) {
        let Ok(about) = std::fs::metadata(&file) else { continue };
        hasher.update(file.file_name().unwrap_or_default().as_encoded_bytes()).update(&[0]);
        for number in [about.len(), about.ino(), about.mtime() as u64, about.mtime_nsec() as u64] {
            hasher.update(&number.to_be_bytes());
        }
    }
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn what_is_put_in_place_is_seen_though_another_file_is_from_the_future() {
        let folder = tempfile::tempdir().unwrap();
        let rule = folder.path().join("rule");
        std::fs::create_dir(&rule).unwrap();
        std::fs::write(rule.join("a"), "1").unwrap();
        let ahead = File::create(rule.join("b")).unwrap();
        ahead.set_modified(UNIX_EPOCH + Duration::from_secs(4_000_000_000)).unwrap();
        let before = of(folder.path());
        assert_eq!(of(folder.path()), before);
        // As long as the file before, and of the same time.
        let time = std::fs::metadata(rule.join("a")).unwrap().modified().unwrap();
        std::fs::write(folder.path().join("new"), "2").unwrap();
        File::options().append(true).open(folder.path().join("new")).unwrap().set_modified(time).unwrap();
        std::fs::rename(folder.path().join("new"), rule.join("a")).unwrap();
        assert_ne!(of(folder.path()), before);
    }

    #[test]
    fn the_same_text_put_there_again_is_another_and_its_neighbour_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let put = |rule: &str, name: &str| {
            std::fs::create_dir_all(folder.path().join(rule)).unwrap();
            std::fs::write(folder.path().join(rule).join(name), "text").unwrap();
        };
        put("hot", "a");
        put("cold", "a");
        let before = each(folder.path());
        assert_eq!(each(folder.path()), before);
        // While the old one is there, so that it cannot be the same file.
        put("hot", "b");
        std::fs::rename(folder.path().join("hot/b"), folder.path().join("hot/a")).unwrap();
        let after = each(folder.path());
        assert_eq!(after.keys().collect::<Vec<_>>(), ["cold", "hot"]);
        assert_eq!((after["cold"] == before["cold"], after["hot"] == before["hot"]), (true, false));
    }
}
