//! What a backup takes of the folders of rules and plugins: what is read from there, and what lies beside it. What is not read from
//! there and no backup can hold keeps no box from being backed up: it is left out, and said.

use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::record::RECORD_BYTES_MAX;

/// The lengths of a file's name and content, in its record.
const FIELDS_BYTES: u64 = 8;
/// Files of rules and plugins together.
const FILES_MAX: usize = 10_000;
/// Folders within folders.
const DEPTH_MAX: usize = 4;
/// Lines about what is left out, but for the last, which says how many more there would be.
const LINES_MAX: usize = 100;

/// What is taken, and what is not.
#[derive(Debug, Default)]
pub struct Walk {
    /// Files: the name in a backup, and where each lies here.
    pub files: Vec<(String, PathBuf)>,
    /// What is left out, and why: a line each.
    pub left_out: Vec<String>,
    more: usize,
}

/// Looks through folders of rules and plugins: the name in a backup, and where each lies here.
pub fn walk(libraries: &[(&'static str, PathBuf)]) -> anyhow::Result<Walk> {
    let mut walk = Walk::default();
    for (name, dir) in libraries {
        walk.folder(dir, name, 1)?;
    }
    if walk.more > 0 {
        walk.left_out.push(format!("and {} more", walk.more));
    }
    Ok(walk)
}

impl Walk {
    fn folder(&mut self, from: &Path, at: &str, depth: usize) -> anyhow::Result<()> {
        let entries = std::fs::read_dir(from).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.with_context(|| format!("reading {}", from.display()))?;
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            // Nobody's rules or plugins: what keeps versions or a desktop leaves such behind.
            if depth == 1 && name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let shown = format!("{at}/{}", name.to_string_lossy());
            if name.to_str().is_none() {
                self.leave(&shown, "its name is no text");
                continue;
            }
            self.entry(&entry, shown, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, at: String, depth: usize) -> anyhow::Result<()> {
        let path = entry.path();
        let what = || format!("reading {}", path.display());
        let is_link = entry.file_type().with_context(what)?.is_symlink();
        // Of what a link leads to.
        let meta = match std::fs::metadata(&path) {
            Err(_) if is_link => {
                self.leave(&at, "a link that leads nowhere");
                return Ok(());
            }
            meta => meta.with_context(what)?,
        };
        if meta.is_dir() {
            // The one link to a folder that is followed where it is read: a plugin.
            let is_plugin = depth == 1 && at.starts_with("plugins/") && path.join("plugin.toml").is_file();
            if is_link && !is_plugin {
                self.leave(&at, "a link to a folder");
            } else if depth == DEPTH_MAX {
                self.leave(&at, &format!("too deep: {DEPTH_MAX} folders within each other are taken"));
            } else {
                self.folder(&path, &at, depth + 1)?;
            }
        } else if !meta.is_file() {
            self.leave(&at, "neither a file nor a folder");
        } else if is_link && depth == 1 {
            self.leave(&at, "a link beside rules or plugins");
        } else if meta.len().saturating_add(at.len() as u64 + FIELDS_BYTES) > RECORD_BYTES_MAX as u64 {
            self.leave(&at, &format!("{} bytes: less than {} are taken", meta.len(), RECORD_BYTES_MAX));
        } else {
            ensure!(
                self.files.len() < FILES_MAX,
                "more than {FILES_MAX} files of rules and plugins: move what is neither to another place"
            );
            self.files.push((at, path));
        }
        Ok(())
    }

    fn leave(&mut self, at: &str, why: &str) {
        if self.left_out.len() < LINES_MAX {
            self.left_out.push(format!("{} ({why})", at.escape_debug()));
        } else {
            self.more += 1;
        }
    }
}
