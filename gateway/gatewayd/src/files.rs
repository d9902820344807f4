//! Files that must be whole and, where they are secret, readable by this user alone.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use zeroize::Zeroizing;

/// Writes a file only this user can read, whole or not at all.
pub fn write_secret(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write(path, content, 0o600)
}

/// Writes a file everybody may read, whole or not at all.
pub fn write_public(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write(path, content, 0o644)
}

fn write(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let context = || format!("writing {}", path.display());
    let folder = path.parent().with_context(|| format!("{} has no folder", path.display()))?;
    // A bare name lies in the folder we were started in.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::fs::create_dir_all(folder).with_context(context)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&draft)
        .with_context(context)?;
    // A draft left by a crash may have been made under another mode.
    file.set_permissions(std::fs::Permissions::from_mode(mode)).with_context(context)?;
    file.write_all(content).with_context(context)?;
    file.sync_all().with_context(context)?;
    std::fs::rename(&draft, path).with_context(context)?;
    std::fs::File::open(folder).and_then(|f| f.sync_all()).with_context(context)
}

/// Reads a secret, and refuses one that others could have read.
pub fn read_secret(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let meta = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
    let mode = meta.permissions().mode() & 0o077;
    anyhow::ensure!(
        mode == 0,
        "{} can be read by others (mode {mode:03o}); run: chmod 600 {}",
        path.display(),
        path.display()
    );
    Ok(Zeroizing::new(std::fs::read(path).with_context(|| format!("reading {}", path.display()))?))
}
