//! Files that must be whole and, where they are secret, readable by this user alone.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use pitchside_script::files::open;
use zeroize::Zeroizing;

/// Writes a file only this user can read, whole or not at all.
pub fn write_secret(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write(path, content, 0o600)
}

/// Writes a file everybody may read, whole or not at all.
pub fn write_public(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write(path, content, 0o644)
}

/// The draft has a name nobody can foresee and did not exist before: whoever else may write in the folder can neither put a
/// link in its place nor keep it open. It is made for this user alone, and goes again if anything fails.
fn write(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let context = || format!("writing {}", path.display());
    let folder = path.parent().with_context(|| format!("{} has no folder", path.display()))?;
    make_folder(folder).with_context(context)?;
    let mut draft = tempfile::Builder::new()
        .prefix(".")
        .suffix(".new")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .with_context(context)?;
    draft.write_all(content).with_context(context)?;
    // Whatever the umask, and not before the content is there.
    draft.as_file().set_permissions(Permissions::from_mode(mode)).with_context(context)?;
    draft.as_file().sync_all().with_context(context)?;
    draft.persist(path).map_err(|error| error.error).with_context(context)?;
    sync_folder(folder).with_context(context)
}

/// Whether something stands there; what may not be looked at does.
pub fn is_there(path: &Path) -> bool {
    !std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Makes a folder and what is missing above it, each name durable.
pub fn make_folder(folder: &Path) -> std::io::Result<()> {
    // A path without any folder in it is in the current one.
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists()).collect();
    std::fs::create_dir_all(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    missing.into_iter().rev().filter_map(Path::parent).try_for_each(sync_folder)
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Reads a secret, and refuses one that others could have read.
pub fn read_secret(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let context = || format!("reading {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    // Of the file that is read, not of whatever stands there a moment later.
    let meta = file.metadata().with_context(context)?;
    let mode = meta.permissions().mode() & 0o077;
    anyhow::ensure!(
        mode == 0,
        "{} can be read by others (mode {mode:03o}); run: chmod 600 {}",
        path.display(),
        path.display()
    );
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0).saturating_add(1)));
    file.read_to_end(&mut content).with_context(context)?;
    Ok(content)
}

/// Reads a file that may not be longer than it can rightly be, whatever it says of its length: a pipe and `/dev/zero` say 0.
pub fn read_bounded(path: &Path, max: usize) -> anyhow::Result<Vec<u8>> {
    bounded(path, File::open(path), max)
}

/// The same of what somebody else may have laid there: a pipe would keep its reader waiting, so it must be a file.
pub fn read_file(path: &Path, max: usize) -> anyhow::Result<Vec<u8>> {
    bounded(path, open(path), max)
}

fn bounded(path: &Path, file: std::io::Result<File>, max: usize) -> anyhow::Result<Vec<u8>> {
    let context = || format!("reading {}", path.display());
    let (file, mut bytes) = (file.with_context(context)?, Vec::new());
    file.take(max as u64 + 1).read_to_end(&mut bytes).with_context(context)?;
    anyhow::ensure!(bytes.len() <= max, "{} has more than {max} bytes; no more are read", path.display());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_secret_is_its_owners_alone_and_a_public_file_everybodys() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = (dir.path().join("new/deep/a.key"), dir.path().join("b.pem"));
        write_secret(&secret, b"one").unwrap();
        write_public(&public, b"two").unwrap();
        assert_eq!((mode(&secret), mode(&public)), (0o600, 0o644));
        assert_eq!(read_secret(&secret).unwrap().as_slice(), b"one");
        assert!(read_secret(&public).unwrap_err().to_string().contains("chmod 600"));
        write_secret(&public, b"three").unwrap();
        assert_eq!((mode(&public), read_secret(&public).unwrap().as_slice()), (0o600, &b"three"[..]));
    }

    #[test]
    fn a_link_laid_where_a_draft_might_be_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, bait) = (dir.path().join("a.key"), dir.path().join("bait"));
        std::fs::write(&bait, b"mine").unwrap();
        std::os::unix::fs::symlink(&bait, dir.path().join("a.key.new")).unwrap();
        // A link in the file's own place is replaced, not written through.
        std::os::unix::fs::symlink(&bait, &file).unwrap();
        write_secret(&file, b"secret").unwrap();
        assert_eq!(std::fs::read(&bait).unwrap(), b"mine");
        assert!(!std::fs::symlink_metadata(&file).unwrap().is_symlink());
    }

    #[test]
    fn a_draft_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.key");
        std::fs::create_dir(&file).unwrap();
        assert!(write_secret(&file, b"secret").is_err(), "a folder is in its place");
        assert_eq!(names(dir.path()), ["a.key"]);
    }

    #[test]
    fn nobody_waits_for_whoever_may_write_into_a_pipe_where_a_file_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, file) = (dir.path().join("pipe"), dir.path().join("file"));
        mknodat(CWD, pipe.as_path(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // In a thread, so that a wait is a failure and no hanging test.
        let (told, heard) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || told.send(read_file(&pipe, 100).map_err(|error| format!("{error:#}"))));
        let refused = heard.recv_timeout(std::time::Duration::from_secs(10)).unwrap().unwrap_err();
        assert!(refused.ends_with("it is a pipe or a device, not a file"), "{refused}");
        std::fs::write(&file, [7_u8; 100]).unwrap();
        assert_eq!(read_file(&file, 100).unwrap(), [7_u8; 100]);
        assert!(read_file(&file, 99).is_err());
    }

    #[test]
    fn what_says_nothing_of_its_length_is_read_so_far_and_no_further() {
        let refused = read_bounded(Path::new("/dev/zero"), 100).unwrap_err();
        assert_eq!(refused.to_string(), "/dev/zero has more than 100 bytes; no more are read");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, [7_u8; 100]).unwrap();
        assert_eq!(read_bounded(&file, 100).unwrap(), [7_u8; 100]);
        assert!(read_bounded(&file, 99).is_err());
        assert!(read_bounded(dir.path(), 99).is_err(), "a folder is no file");
    }
}
