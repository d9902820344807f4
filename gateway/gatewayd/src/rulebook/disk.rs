//! A rule's folder: read whole, and swapped in one step.

use std::fs::{File, TryLockError};
use std::io::{Read as _, read_to_string};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use pitchside_rules::history::{FILES, RuleTexts};
use pitchside_script::files;
use rustix::fs::{Access, CWD, RenameFlags, renameat_with};

use crate::files::write_public;

/// Where a draft's folder says which version it began from.
pub const BASE_FILE: &str = ".base";
/// The most bytes of one file of a rule.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// The four files of a rule's folder.
pub fn read_texts(folder: &Path) -> anyhow::Result<RuleTexts> {
    let mut texts = FILES.map(str::to_owned);
    for text in &mut texts {
        let path = folder.join(&*text);
        let file = files::open(&path).with_context(|| format!("reading {}", path.display()))?;
        text.clear();
        let length = file.take(FILE_BYTES_MAX + 1).read_to_string(text).with_context(|| path.display().to_string())?;
        if length as u64 > FILE_BYTES_MAX {
            bail!("{} is larger than {FILE_BYTES_MAX} bytes", path.display());
        }
    }
    Ok(RuleTexts::from_files(texts))
}

/// Writes the four files into a draft's folder.
pub fn write_draft(folder: &Path, texts: &RuleTexts) -> anyhow::Result<()> {
    texts.files().iter().try_for_each(|(file, text)| write_public(&folder.join(file), text.as_bytes()))
}

/// Notes which version a draft began from.
pub fn write_base(folder: &Path, number: u32) -> anyhow::Result<()> {
    write_public(&folder.join(BASE_FILE), format!("{number}\n").as_bytes())
}

/// Which version a draft says it began from.
pub fn base_of(folder: &Path) -> anyhow::Result<Option<u32>> {
    let path = folder.join(BASE_FILE);
    match files::open(&path).and_then(read_to_string) {
        Ok(text) => Ok(Some(text.trim().parse().with_context(|| format!("{} holds no number", path.display()))?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Held while rules are published: who comes second waits, and then sees what the first did.
pub struct Lock {
    /// The lock goes when this is closed.
    _folder: File,
}

impl Lock {
    /// Waits for it.
    pub fn take(rules: &Path) -> anyhow::Result<Self> {
        let folder = File::open(rules).with_context(|| format!("opening {}", rules.display()))?;
        folder.lock().with_context(|| format!("locking {}", rules.display()))?;
        Ok(Self { _folder: folder })
    }

    /// The same for whoever must not wait; none while another holds it.
    pub fn try_take(rules: &Path) -> anyhow::Result<Option<Self>> {
        let folder = File::open(rules).with_context(|| format!("opening {}", rules.display()))?;
        match folder.try_lock() {
            Ok(()) => Ok(Some(Self { _folder: folder })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", rules.display())),
        }
    }
}

/// Whose rules are staged. Each has its own place: following a library must not throw away what a publication, cut off, has recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A version that is published.
    Publication,
    /// What a library brings, and what is taken away.
    Other,
}

/// Beside the rules' folder and on its file system, so that a rename is one step, and where nobody looks for rules.
pub(super) fn staging(rules: &Path, whose: For) -> anyhow::Result<PathBuf> {
    let rules = std::path::absolute(rules).with_context(|| rules.display().to_string())?;
    let name = rules.file_name().context("the rules' folder has no name")?.to_string_lossy().into_owned();
    let ending = match whose {
        For::Publication => "new",
        For::Other => "other",
    };
    Ok(rules.with_file_name(format!(".{name}.{ending}")))
}

pub(super) fn clear(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// A rule that lies beside the rules' folder, whole and on the disk, and is not in force yet. Goes again if nobody puts it there.
pub struct Staged {
    rules: PathBuf,
    staging: PathBuf,
    name: String,
}

/// Writes a rule beside the rules' folder: all that a full or a read-only disk could refuse. The lock is held by the caller.
pub(super) fn stage(rules: &Path, name: &str, texts: &RuleTexts, whose: For) -> anyhow::Result<Staged> {
    let staged = Staged::left(rules, name, whose)?;
    let refused = || format!("{} takes no rule", rules.display());
    clear(&staged.staging).with_context(refused)?;
    write_draft(&staged.folder(), texts).with_context(refused)?;
    rustix::fs::access(rules, Access::WRITE_OK | Access::EXEC_OK).with_context(refused)?;
    Ok(staged)
}

impl Staged {
    /// One that was staged before.
    pub(super) fn left(rules: &Path, name: &str, whose: For) -> anyhow::Result<Self> {
        Ok(Self { rules: rules.to_owned(), staging: staging(rules, whose)?, name: name.to_owned() })
    }

    /// Where it lies.
    pub fn folder(&self) -> PathBuf {
        self.staging.join(&self.name)
    }

    /// Puts it in place of its predecessor in one step: whoever reads the folder finds the old rule or the new one.
    pub fn put(self) -> anyhow::Result<()> {
        let (new, place) = (self.folder(), self.rules.join(&self.name));
        let flags = if place.exists() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        renameat_with(CWD, &new, CWD, &place, flags)
            .with_context(|| format!("putting {} in place", place.display()))?;
        File::open(&self.rules)
            .and_then(|folder| folder.sync_all())
            .with_context(|| self.rules.display().to_string())?;
        clear(&self.staging)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What cannot be removed now is when the next rule is staged.
        let _left = clear(&self.staging);
    }
}

/// Puts a rule in place of its predecessor in one step. The lock is held by the caller.
pub fn write_rule(rules: &Path, name: &str, texts: &RuleTexts) -> anyhow::Result<()> {
    stage(rules, name, texts, For::Publication)?.put()
}

/// Takes a rule away in one step.
pub fn remove_rule(rules: &Path, name: &str) -> anyhow::Result<()> {
    let staging = staging(rules, For::Other)?;
    clear(&staging)?;
    std::fs::create_dir_all(&staging).with_context(|| staging.display().to_string())?;
    let place = rules.join(name);
    std::fs::rename(&place, staging.join(name)).with_context(|| format!("taking {} away", place.display()))?;
    clear(&staging)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> RuleTexts {
        RuleTexts { script: script.to_owned(), ..RuleTexts::default() }
    }

    #[test]
    fn a_rule_is_swapped_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let rules = dir.path().join("rules");
        std::fs::create_dir(&rules).unwrap();
        for script in ["one", "two"] {
            let _lock = Lock::take(&rules).unwrap();
            write_rule(&rules, "hot", &texts(script)).unwrap();
            assert_eq!(read_texts(&rules.join("hot")).unwrap(), texts(script));
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft stays");
        }
        remove_rule(&rules, "hot").unwrap();
        assert_eq!(std::fs::read_dir(&rules).unwrap().count(), 0);
    }

    #[test]
    fn a_draft_remembers_where_it_began() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(base_of(dir.path()).unwrap(), None);
        write_base(dir.path(), 7).unwrap();
        assert_eq!(base_of(dir.path()).unwrap(), Some(7));
        std::fs::write(dir.path().join(BASE_FILE), "seven").unwrap();
        assert!(base_of(dir.path()).is_err());
    }
}
