//! Where a restore goes: what stands there, whether it may be replaced, and how it is.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use pitchside_config::Loaded;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::settings::source;
use crate::cli::SETTINGS_FILE;

/// In the data folder; a gateway holds it as long as it runs.
const LOCK: &str = "run.lock";
/// In the data folder.
const DATABASE: &str = "pitchside.db";

/// Where a restore goes.
pub(super) struct Target {
    /// The box's folder itself, whatever link leads there.
    pub(super) dir: PathBuf,
    /// Whether there is a box to be replaced.
    pub(super) taken: bool,
    /// Keeps every gateway off that box until it is gone.
    _held: Vec<File>,
}

impl Target {
    /// Looks at the folder, and refuses what must not or can't be replaced: before anything is built that could be left behind.
    pub(super) fn look(dir: &Path, force: bool) -> anyhow::Result<Self> {
        let dir = itself(dir)?;
        let mut entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { dir, taken: false, _held: Vec::new() });
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", dir.display())),
        };
        ensure!(
            !is_mounted(&dir).with_context(|| format!("looking at {}", dir.display()))?,
            "{0} is where a disk is mounted, and can't change places with another folder: restore into a folder on that disk, e.g. --dir {0}/box",
            dir.display()
        );
        if entries.next().is_none() {
            return Ok(Self { dir, taken: false, _held: Vec::new() });
        }
        ensure!(force, "{} is not empty: restore onto a new box, or destroy what is there with --force", dir.display());
        ensure!(
            dir.join(SETTINGS_FILE).exists() || dir.join("keys").exists(),
            "{} holds no box: --force replaces boxes, not other folders",
            dir.display()
        );
        let held = stopped(&dir)?;
        Ok(Self { dir, taken: true, _held: held })
    }

    /// Puts what was built in its place, in one rename.
    pub(super) fn put(&self, built: &Path) -> anyhow::Result<()> {
        let shown = self.dir.display();
        if !self.taken && self.dir.exists() {
            // Empty: looked at before. Whoever filled it since keeps it.
            std::fs::remove_dir(&self.dir).with_context(|| format!("{shown} is no longer empty, or in use"))?;
        }
        let flags = if self.taken { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        renameat_with(CWD, built, CWD, &self.dir, flags).map_err(io::Error::from).with_context(|| {
            format!("putting {shown} in place (it must be an ordinary folder, with nothing mounted on it)")
        })
    }
}

/// The folder itself: what is a link stays one. Makes what is missing above it.
fn itself(dir: &Path) -> anyhow::Result<PathBuf> {
    match dir.canonicalize() {
        Ok(real) => return Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.symlink_metadata().is_err() => {}
        Err(error) => return Err(error).with_context(|| format!("{} leads to no folder", dir.display())),
    }
    let dir = std::path::absolute(dir)?;
    let name = dir.file_name().context("the box's folder needs a name")?;
    let above = dir.parent().context("the box's folder lies in another one")?;
    std::fs::create_dir_all(above).with_context(|| format!("making {}", above.display()))?;
    let above = above.canonicalize().with_context(|| format!("looking at {}", above.display()))?;
    Ok(above.join(name))
}

fn is_mounted(dir: &Path) -> io::Result<bool> {
    let Some(above) = dir.parent() else { return Ok(true) };
    Ok(std::fs::metadata(dir)?.dev() != std::fs::metadata(above)?.dev())
}

/// Makes sure that no gateway runs on the box in this folder, or will as long as the files are held.
fn stopped(dir: &Path) -> anyhow::Result<Vec<File>> {
    let (data, keys) = match Loaded::load_with(&source(dir), &[], &[]) {
        Ok(loaded) => (loaded.settings.gateway.data_dir, loaded.settings.gateway.key_dir),
        Err(problems) => {
            // Its gateway may have started with them all the same: with others, or before they broke.
            let usual = (dir.join("data"), dir.join("keys"));
            let first = problems.first().map_or_else(String::new, ToString::to_string);
            ensure!(
                usual.0.join(DATABASE).is_file() && usual.1.is_dir(),
                "the settings of the box in {0} do not load ({first}), and its data and keys are not in {0}: so nobody can say whether a gateway runs on them. Mend its settings (pitchside config check --config {0}), or see to its gateway and data yourself and move {0} away",
                dir.display()
            );
            usual
        }
    };
    if let Some(outside) = [&data, &keys].into_iter().find(|path| !lies_in(path, dir)) {
        bail!(
            "the box in {} keeps {} elsewhere: run pitchside factory-reset there first",
            dir.display(),
            outside.display()
        );
    }
    // The usual folder in any case: its gateway may run with settings from elsewhere.
    let mut folders = Vec::new();
    for folder in [data, dir.join("data")] {
        match folder.canonicalize() {
            Ok(real) if !folders.contains(&real) => folders.push(real),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("reading {}", folder.display()));
            }
            _ => {}
        }
    }
    let each = folders.iter().map(|folder| {
        let held = hold(folder).with_context(|| format!("locking {}", folder.join(LOCK).display()))?;
        held.with_context(|| format!("a gateway runs on {}: stop it first (systemctl stop pitchside)", dir.display()))
    });
    each.collect()
}

/// Below the folder and on its disk: what changes places with it. What is not there lies where its name says.
fn lies_in(path: &Path, dir: &Path) -> bool {
    let disk = |path: &Path| std::fs::metadata(path).ok().map(|meta| meta.dev());
    match path.canonicalize() {
        Ok(real) => real.starts_with(dir) && disk(&real) == disk(dir),
        Err(_) => path.starts_with(dir),
    }
}

/// Keeps every gateway from this data folder as long as the file is held; none if one runs there.
pub fn hold(data: &Path) -> io::Result<Option<File>> {
    let path = data.join(LOCK);
    let lock = match File::options().write(true).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            // If the folder stays, whose it is must be able to run a gateway on it.
            let owner = std::fs::metadata(data)?.uid();
            if lock.metadata()?.uid() != owner {
                fchown(&lock, Some(owner), None)?;
            }
            lock
        }
        opened => opened?,
    };
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a gateway has this database open.
pub fn is_running(data: &Path) -> io::Result<bool> {
    let lock = match File::open(data.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
