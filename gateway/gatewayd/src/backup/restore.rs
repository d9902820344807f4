//! A backup onto a new box: all of it or nothing.
//!
//! What a power cut leaves at each step:
//!
//! 1. Everything is built in `.NAME.restoring` beside the target. Cut: the target is as it was; the next restore destroys
//!    the leftover and begins again.
//! 2. Every file and folder of it is synced. Cut: the same. An error up to here destroys what was built.
//! 3. The two change places in one rename, and the folder above is synced. Cut: either the old state or the new one.
//! 4. With `--force`, what was replaced now has the leftover's name, and is destroyed, keys first. Cut: the new box stands;
//!    the next restore, factory reset or `doctor` finds the leftover.

use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, ensure};
use pitchside_auth::Kek;
use pitchside_auth::enrol::rewrap;
use pitchside_config::{Loaded, Settings, Source};
use pitchside_model::AthleteId;
use pitchside_store::{ChainStart, RootKey, SnapshotRow, Tables};
use serde::Serialize;
use zeroize::Zeroize as _;

use super::create::{KEY_FILES, PUBLIC_FILES};
use super::destroy::{destroy_folder, sync_folder};
use super::record::Record;
use super::recovery::{RecoveryKey, RecoveryPublicFile};
use super::settings::{is_carried, source};
use super::target::Target;
use super::verify::read_all;
use crate::adapters::athletes::{new_athlete_key, set_house_generation};
use crate::adapters::keys::{record, row};
use crate::adapters::outbox::CHECKPOINT;
use crate::cli::SETTINGS_FILE;
use crate::files::{write_public, write_secret};
use crate::identity::Identity;
use crate::named;
use crate::pipeline::AUTH_KEK;

/// Rows put into the new database at a time.
const ROWS_AT_ONCE: usize = 1_000;
/// Bytes of packages and rules put into it at a time, but for the last of them.
const BYTES_AT_ONCE: usize = 8 << 20;

/// What is to be restored, and where.
#[derive(Debug)]
pub struct RestorePlan<'a> {
    /// The backup.
    pub file: &'a Path,
    /// The box's folder: settings, keys, data, rules, plugins.
    pub dir: &'a Path,
    /// Opens the backup.
    pub key: &'a RecoveryKey,
    /// Replace and destroy what is there.
    pub force: bool,
}

/// The steps of a restore, in order. Whoever is told of one may stop there, as a power cut would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Leftovers of an earlier attempt are gone.
    Cleared,
    /// Files and database are built beside the target.
    Built,
    /// They are durable.
    Synced,
    /// They have taken the target's place.
    Swapped,
    /// What was replaced is destroyed.
    Destroyed,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cleared, Self::Built, Self::Synced, Self::Swapped, Self::Destroyed];
}

/// What was restored.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// The settings of the new box: its file, or its folder if it has several.
    pub config: PathBuf,
    /// Devices.
    pub devices: u64,
    /// Athletes, under fresh keys.
    pub athletes: u64,
    /// Users.
    pub users: u64,
    /// Plugins, with packages, grants, settings and secrets.
    pub plugins: u64,
    /// Whether the chain waits for the ledger to say where it goes on.
    pub waits_for_ledger: bool,
    /// What the backup says that it does not hold, and why: a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What the settings name and is of no use, and why: a line each. The box runs without, as the one before it did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<String>,
}

/// Where a restore builds: beside the target (what a link leads to), so that one rename puts it in place.
pub fn staging(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let name = dir.file_name().and_then(|name| name.to_str()).context("the box's folder needs a name")?;
    let above = dir.parent().context("the box's folder lies in another one")?;
    Ok(above.join(format!(".{name}.restoring")))
}

/// Restores, and tells `at` of each step.
pub fn restore(plan: &RestorePlan<'_>, at: &mut dyn FnMut(Step) -> io::Result<()>) -> anyhow::Result<Restored> {
    let target = Target::look(plan.dir, plan.force)?;
    let staging = staging(&target.dir)?;
    destroy_folder(&staging).with_context(|| format!("clearing {}", staging.display()))?;
    at(Step::Cleared)?;
    let restored = or_cleared(&staging, build(plan, &staging, &std::path::absolute(plan.dir)?))?;
    at(Step::Built)?;
    or_cleared(&staging, sync_tree(&staging).with_context(|| format!("syncing {}", staging.display())))?;
    at(Step::Synced)?;
    or_cleared(&staging, target.put(&staging))?;
    // From here on the staging folder has what was replaced.
    target.dir.parent().map_or(Ok(()), sync_folder)?;
    at(Step::Swapped)?;
    if target.taken {
        destroy_folder(&staging).with_context(|| {
            format!("the box is restored, but what it replaced is still in {}: destroy it", staging.display())
        })?;
    }
    at(Step::Destroyed)?;
    Ok(restored)
}

/// Before the rename an error takes along what was built: it is no use, and holds the box's keys.
fn or_cleared<T>(staging: &Path, done: anyhow::Result<T>) -> anyhow::Result<T> {
    done.or_else(|error| {
        destroy_folder(staging).with_context(|| {
            format!("{error:#}; and clearing {0} failed: it may hold keys, destroy it", staging.display())
        })?;
        Err(error)
    })
}

/// A path of a backup, below the folder and nowhere else; only what a backup holds.
fn place(staging: &Path, path: &str) -> anyhow::Result<PathBuf> {
    let known = KEY_FILES.iter().chain(&PUBLIC_FILES).any(|name| path.strip_prefix("keys/") == Some(name))
        || is_carried(path)
        || ["rules/", "plugins/"].iter().any(|folder| path.starts_with(folder));
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(known && plain && !path.ends_with('/'), "the backup holds a file no backup has: {path:?}");
    Ok(staging.join(path))
}

struct Builder<'a> {
    staging: &'a Path,
    open: Option<(Identity, Tables, Kek)>,
    waiting: Vec<SnapshotRow>,
    waiting_bytes: usize,
    start: ChainStart,
    alive: Vec<(AthleteId, u32)>,
    checkpoint: Option<Vec<u8>>,
}

impl Builder<'_> {
    /// Keys and database, once the first row comes: the box's keys have come before.
    fn open(&mut self) -> anyhow::Result<&(Identity, Tables, Kek)> {
        if self.open.is_none() {
            let keys = self.staging.join("keys");
            for name in KEY_FILES.iter().chain(&PUBLIC_FILES) {
                ensure!(keys.join(name).is_file(), "the backup lacks {name}");
            }
            // Makes what is missing: the root key, which is in no backup.
            Identity::ensure(&keys)?;
            let identity = Identity::load(&keys)?;
            let root = RootKey::new(*identity.derive("pitchside/1/store")?);
            let tables = Tables::init(&self.staging.join("data"), root)?;
            // Its blocks are in the ledger alone: nothing else says yet whose they are.
            identity.claim_chain(&tables)?;
            let kek = Kek::new(*identity.derive(AUTH_KEK)?);
            self.open = Some((identity, tables, kek));
        }
        self.open.as_ref().context("the new database is open")
    }

    fn take(&mut self, record: Record) -> anyhow::Result<()> {
        match record {
            Record::About(_) | Record::End(_) => Ok(()),
            Record::Checkpoint(note) => {
                self.checkpoint = Some(note);
                Ok(())
            }
            Record::House(generation) => {
                let (_, tables, _) = self.open()?;
                set_house_generation(tables, generation.saturating_add(1))
            }
            Record::File { path, content } => {
                let target = place(self.staging, &path)?;
                let secret = KEY_FILES.iter().any(|name| path.strip_prefix("keys/") == Some(name));
                if secret { write_secret(&target, &content) } else { write_public(&target, &content) }
            }
            Record::Row(row) => self.row(row),
        }
    }

    fn row(&mut self, mut shown: SnapshotRow) -> anyhow::Result<()> {
        match &mut shown {
            SnapshotRow::Chain { last, receipted } => {
                self.start = ChainStart::Waiting { known: *last, receipted: *receipted };
            }
            SnapshotRow::Device(device, _) => {
                let secret = zeroize::Zeroizing::new(std::mem::take(&mut device.secret));
                let mut bare = record(device.clone()).map_err(|error| anyhow::anyhow!("{error}"))?;
                rewrap(&mut bare, &self.open()?.2, &secret)?;
                *device = row(bare);
            }
            SnapshotRow::Athlete(athlete) if athlete.erased_at.is_none() => {
                self.alive.push((athlete.id.clone(), athlete.generation));
            }
            SnapshotRow::Library(row) => self.waiting_bytes += row.bytes(),
            _ => {}
        }
        self.waiting.push(shown);
        if self.waiting.len() >= ROWS_AT_ONCE || self.waiting_bytes >= BYTES_AT_ONCE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        Ok(self.open()?.1.put_snapshot(rows)?)
    }
}

fn build(plan: &RestorePlan<'_>, staging: &Path, dir: &Path) -> anyhow::Result<Restored> {
    std::fs::create_dir(staging).with_context(|| format!("making {}", staging.display()))?;
    let mut builder = Builder {
        staging,
        open: None,
        waiting: Vec::new(),
        waiting_bytes: 0,
        start: ChainStart::Waiting { known: None, receipted: None },
        alive: Vec::new(),
        checkpoint: None,
    };
    let read = read_all(plan.file, plan.key, &mut |mut record| {
        let done = builder.take(record.clone());
        if let Record::Row(SnapshotRow::Device(device, _)) = &mut record {
            device.secret.zeroize();
        }
        done
    })?;
    builder.flush()?;
    let (start, alive, checkpoint) = (builder.start, std::mem::take(&mut builder.alive), builder.checkpoint.take());
    let (identity, tables, _) = builder.open()?;
    tables.set_chain_start(start)?;
    if let Some(note) = checkpoint {
        tables.set_meta(CHECKPOINT, &note)?;
    }
    let public = RecoveryPublicFile::read(identity.folder())?;
    for (athlete, generation) in &alive {
        // Their old keys are in no backup: what comes now is sealed under the next generation.
        let (key, copy) = new_athlete_key(identity, public.as_ref(), athlete, generation.saturating_add(1))?;
        tables.add_athlete_key(key, copy)?;
    }
    let settings = check_settings(staging)?;
    Ok(Restored {
        config: match source(staging) {
            Source::File(_) => dir.join(SETTINGS_FILE),
            Source::Folder(_) => dir.to_owned(),
        },
        devices: read.devices,
        athletes: read.athletes,
        users: read.users,
        plugins: read.plugins,
        waits_for_ledger: settings.ledger.is_some(),
        left_out: read.left_out,
        unusable: unusable(&settings, staging, dir),
    })
}

/// The restored settings must be ones this program starts with.
fn check_settings(staging: &Path) -> anyhow::Result<Settings> {
    // Empty folders are in no backup.
    for folder in ["rules", "plugins"] {
        std::fs::create_dir_all(staging.join(folder))?;
    }
    let loaded = Loaded::load_with(&source(staging), &[], &[]);
    let loaded = loaded.map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the settings in the backup do not fit this program: {}", problems.join("; "))
    })?;
    Ok(loaded.settings)
}

/// What the settings name and is of no use. It keeps nobody from being restored: it was so when the backup was made, and may be all
/// that is left of a box.
fn unusable(settings: &Settings, staging: &Path, dir: &Path) -> Vec<String> {
    let (built, there) = (staging.display().to_string(), dir.display().to_string());
    named::unusable(settings).iter().map(|one| one.to_string().replace(&built, &there)).collect()
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}
