//! Files overwritten, unlinked, and their folders synced.
//!
//! On flash this is no promise about single sectors: the medium writes elsewhere and keeps the old ones for a while. What
//! counts is that the root key is gone everywhere it can be reached: everything else at rest hangs on it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Bytes written at a time.
const PIECE: usize = 64 * 1_024;

/// Overwrites a file with zeros, syncs, and unlinks it; durable once the folder is synced. What is not there is gone.
pub fn destroy_file(path: &Path) -> io::Result<()> {
    let kind = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // A link's target is not ours; a socket has no bytes.
    if kind.is_file() {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let mut left = file.metadata()?.len();
        let zeros = [0; PIECE];
        while left > 0 {
            let piece = usize::try_from(left.min(PIECE as u64)).unwrap_or(PIECE);
            file.write_all(zeros.get(..piece).unwrap_or_default())?;
            left -= piece as u64;
        }
        file.sync_all()?;
    }
    std::fs::remove_file(path)
}

/// Makes what was renamed or unlinked in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Destroys everything below a folder but what `keep` says, folders included; links are unlinked, not followed. The
/// folder itself stays.
pub fn destroy_below(folder: &Path, keep: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if keep(&path) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            destroy_below(&path, keep)?;
            std::fs::remove_dir(&path)?;
        } else {
            destroy_file(&path)?;
        }
    }
    sync_folder(folder)
}

/// Destroys a folder and everything below it.
pub fn destroy_folder(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    destroy_below(folder, &|_| false)?;
    std::fs::remove_dir(folder)?;
    folder.parent().filter(|parent| parent.is_dir()).map_or(Ok(()), sync_folder)
}
