//! An init that is under way. It is written down before the first key is made and struck out once what it hands over was handed over,
//! so that one that was cut off can be told from a box, and only that is completed.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use pitchside_store::{RootKey, Tables};

use super::FIRST_USER;
use crate::backup::destroy::{destroy_file, sync_folder};
use crate::backup::recovery::PUBLIC_FILE;
use crate::files::{is_there, make_folder};
use crate::identity::{FILES, Identity};
use crate::tls::{CA_FILE, CA_KEY_FILE};

/// Says that an init is under way, below the key folder.
const MARKER: &str = "init.begun";
/// The database, below the data folder.
const DATABASE: &str = "pitchside.db";
/// What mends it if only what was shown at a box's making is lost.
const SHOWN_IS_LOST: &str =
    "if what its making showed is lost: pitchside user password admin, and pitchside backup key --out FILE";

/// An init under way on these folders; no other is as long as this lives.
#[derive(Debug)]
pub struct Begun {
    keys: PathBuf,
    /// Locked.
    marker: File,
    again: bool,
}

/// What says that an init was begun with these keys, and did not come to its end; none if none did.
pub fn begun_at(keys: &Path) -> Option<PathBuf> {
    Some(keys.join(MARKER)).filter(|marker| is_there(marker))
}

/// The first thing that only a box has, if there is one: a key of it, or its database.
pub fn part_of_a_box(keys: &Path, data: &Path) -> Option<PathBuf> {
    let names = FILES.into_iter().chain([CA_KEY_FILE, CA_FILE, PUBLIC_FILE]);
    names.map(|name| keys.join(name)).chain([data.join(DATABASE)]).find(|path| is_there(path))
}

impl Begun {
    /// Begins one, or goes on with one that was cut off: then what it can have shown counts no more. Refused, with nothing changed,
    /// wherever a box is or may be: another recovery key in the place of its own, and nobody opens its later backups.
    pub fn begin(keys: &Path, data: &Path, settings: &Path) -> anyhow::Result<Self> {
        let again = begun_at(keys).is_some();
        if !again {
            refuse_a_box(keys, data, settings)?;
            make_folder(keys).with_context(|| format!("making {}", keys.display()))?;
        }
        let path = keys.join(MARKER);
        // Made by nobody else meanwhile, or there still.
        let marker = File::options().write(true).create_new(!again).mode(0o600).open(&path);
        let marker = marker.with_context(|| format!("opening {}", path.display()))?;
        marker.try_lock().context("another `pitchside init` is under way here")?;
        let begun = Self { keys: keys.to_owned(), marker, again };
        ensure!(begun_at(keys).is_some(), "another `pitchside init` has just made a box here; nothing was changed");
        begun.marker.sync_all()?;
        sync_folder(keys)?;
        if again {
            ensure_unused(keys, data)?;
            for name in [CA_FILE, CA_KEY_FILE] {
                destroy_file(&keys.join(name)).with_context(|| format!("removing {name}"))?;
            }
        }
        Ok(begun)
    }

    /// Whether it goes on with one that was cut off.
    pub const fn again(&self) -> bool {
        self.again
    }

    /// All was made and handed over: from now on this is a box.
    pub fn finish(self) -> anyhow::Result<()> {
        let path = self.keys.join(MARKER);
        std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        sync_folder(&self.keys).with_context(|| format!("removing {}", path.display()))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // Not left to the file's end: a child between its fork and its exec shares the file, and would hold the lock on.
        if let Err(error) = self.marker.unlock() {
            tracing::warn!(%error, "the lock of an init could not be given back");
        }
    }
}

fn refuse_a_box(keys: &Path, data: &Path, settings: &Path) -> anyhow::Result<()> {
    let shown = settings.display();
    if is_there(settings) {
        bail!("{shown} exists: there is a box here already; nothing was changed ({SHOWN_IS_LOST})");
    }
    let Some(part) = part_of_a_box(keys, data) else { return Ok(()) };
    if !is_there(&data.join(DATABASE)) {
        // Older versions did not write down that an init is under way: one that was cut off then leaves keys and nothing else.
        bail!(
            "{} exists, {shown} and a database in {} do not: if an init was cut off here and no box ever ran with these keys, move {} away \
             and run pitchside init again; if there is a box, its settings and data lie elsewhere (name the settings with --config) or are \
             lost (pitchside backup restore); nothing was changed",
            part.display(),
            data.display(),
            keys.display()
        );
    }
    bail!(
        "{} exists and {shown} does not: there is a box here already whose settings lie elsewhere (name them with --config) or are lost \
         (write {shown} again, with [gateway] name, data_dir and key_dir; or pitchside backup restore); nothing was changed ({SHOWN_IS_LOST})",
        part.display()
    )
}

/// Nothing may hang yet on what a cut-off init has made: it was never started, and knows nobody.
fn ensure_unused(keys: &Path, data: &Path) -> anyhow::Result<()> {
    if !is_there(&data.join(DATABASE)) {
        return Ok(());
    }
    // A key made now would open nothing of it.
    let identity = Identity::load(keys).context("the keys of an init that was cut off")?;
    let tables = Tables::attach(data, RootKey::new(*identity.derive("pitchside/1/store")?))?;
    let others = tables.users()?.iter().any(|user| user.name != FIRST_USER);
    let used = tables.boot() > 0 || others || !tables.devices()?.is_empty() || !tables.athletes()?.is_empty();
    ensure!(
        !used,
        "there is a box in {} already, and it is in use; nothing was changed ({SHOWN_IS_LOST})",
        data.display()
    );
    Ok(())
}
