//! The running box, as of one moment, into a file.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use ledger_block::GatewayKey;
use pitchside_auth::Kek;
use pitchside_auth::enrol::unwrapped;
use pitchside_model::Timestamp;
use pitchside_seal::key::RecoveryPublic;
use pitchside_store::{LibraryRow, SnapshotRow, StoreError};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::Serialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::chain::ends;
use super::envelope::Sealer;
use super::record::Record;
use super::recovery::{PUBLIC_FILE, RecoveryPublicFile};
use super::settings::Carried;
use super::walk::{Walk, walk};
use crate::adapters::athletes::house_generation;
use crate::adapters::keys::{record, row};
use crate::adapters::outbox::CHECKPOINT;
use crate::cli::context::Context;
use crate::files::read_secret;
use crate::identity::Identity;
use crate::pipeline::AUTH_KEK;
use crate::random::OsRandom;
use crate::tls;

/// Keys of the box a backup takes. Not among them: the root key, which wraps athletes' keys and leaves the box never.
pub const KEY_FILES: [&str; 4] = ["sign.key", "noise.key", "ledger.psk", tls::CA_KEY_FILE];
/// Files beside them that are no secret.
pub const PUBLIC_FILES: [&str; 2] = [tls::CA_FILE, PUBLIC_FILE];

/// What a backup says of itself.
#[derive(Debug, Clone, Serialize)]
struct About {
    made_by: String,
    name: String,
    gateway: String,
    made_at: String,
    /// Of the folders of rules and plugins, and of what settings name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Records.
    pub records: u64,
    /// Devices among them.
    pub devices: u64,
    /// Athletes.
    pub athletes: u64,
    /// Users.
    pub users: u64,
    /// Plugins that were installed or switched.
    pub plugins: u64,
    /// Files: settings, keys, rules, plugins.
    pub files: u64,
    /// Bytes of the backup.
    pub bytes: u64,
    /// What lay in the folders of rules and plugins or is named by settings and is not in it, and why: a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

impl Written {
    pub(super) fn count(&mut self, record: &Record) {
        match record {
            Record::End(_) => return,
            Record::About(json) => self.left_out = left_out(json),
            Record::File { .. } => self.files += 1,
            Record::Row(SnapshotRow::Device(..)) => self.devices += 1,
            Record::Row(SnapshotRow::Athlete(_)) => self.athletes += 1,
            Record::Row(SnapshotRow::User(_)) => self.users += 1,
            Record::Row(SnapshotRow::Library(LibraryRow::Plugin(_))) => self.plugins += 1,
            _ => {}
        }
        self.records += 1;
    }
}

/// What a backup says that it does not hold; older ones say nothing.
fn left_out(about: &[u8]) -> Vec<String> {
    let about: serde_json::Value = serde_json::from_slice(about).unwrap_or_default();
    let lines = about["left_out"].as_array().into_iter().flatten();
    lines.filter_map(|line| line.as_str().map(str::to_owned)).collect()
}

/// Writes a backup to `file`, which must not exist: whole and durable, or not at all. The gateway may run.
pub fn create(context: &Context, file: &Path, now: Timestamp) -> anyhow::Result<Written> {
    let to = RecoveryPublicFile::read(context.identity.folder())?
        .context("this box has no recovery key; `pitchside backup key --out FILE` makes one")?;
    ensure!(!file.exists(), "{} exists; a backup never overwrites one", file.display());
    let mut draft = file.as_os_str().to_owned();
    draft.push(".part");
    let draft = PathBuf::from(draft);
    let written = write(context, &to, &draft, now);
    let placed = written.and_then(|written| place(&draft, file).map(|()| written));
    if placed.is_err() {
        // What was begun is no backup. If it can't even be removed, its name says so.
        let _begun = std::fs::remove_file(&draft);
    }
    placed
}

/// Gives a whole draft its name, and replaces nothing.
fn place(draft: &Path, file: &Path) -> anyhow::Result<()> {
    let what = || format!("writing {}", file.display());
    match renameat_with(CWD, draft, CWD, file, RenameFlags::NOREPLACE) {
        // Some file systems of sticks can't promise that: then what was looked at before must do.
        Err(Errno::INVAL | Errno::NOSYS) => {
            ensure!(!file.exists(), "{} exists; a backup never overwrites one", file.display());
            std::fs::rename(draft, file).with_context(what)?;
        }
        placed => placed.map_err(std::io::Error::from).with_context(what)?,
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    super::destroy::sync_folder(folder).with_context(what)
}

fn write(context: &Context, to: &RecoveryPublic, draft: &Path, now: Timestamp) -> anyhow::Result<Written> {
    let Context { settings, identity, files: read, .. } = context;
    let mut carried = Carried::of(settings, read)?;
    let Walk { files: library, left_out: beside, .. } = walk(&carried.libraries)?;
    let mut left_out = std::mem::take(&mut carried.left_out);
    left_out.extend(beside);
    // One that a crash left behind is no backup: it has no tail.
    let out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(draft);
    let out = BufWriter::new(out.with_context(|| format!("writing {}", draft.display()))?);
    let file_key = Zeroizing::new(OsRandom.bytes()?);
    let mut pen = Pen { out: Sealer::start(out, to, &file_key, OsRandom.bytes()?)?, written: Written::default() };
    let about = About {
        made_by: format!("pitchside {}", env!("CARGO_PKG_VERSION")),
        name: settings.gateway.name.to_string(),
        gateway: GatewayKey::new(&identity.sign).id().to_string(),
        made_at: now.to_string(),
        left_out,
    };
    pen.put(&Record::About(serde_json::to_vec(&about)?))?;
    files(&mut pen, identity, carried, library)?;
    rows(&mut pen, context)?;
    let count = pen.written.records;
    pen.put(&Record::End(count))?;
    let Pen { out, mut written } = pen;
    let mut out = out.finish()?;
    out.flush()?;
    let out: File = out.into_inner().map_err(|error| anyhow::anyhow!("writing {}: {error}", draft.display()))?;
    out.sync_all()?;
    written.bytes = out.metadata()?.len();
    Ok(written)
}

struct Pen<W: std::io::Write> {
    out: Sealer<W>,
    written: Written,
}

impl<W: std::io::Write> Pen<W> {
    fn put(&mut self, record: &Record) -> anyhow::Result<()> {
        record.write(&mut self.out)?;
        self.written.count(record);
        Ok(())
    }

    fn file(&mut self, path: &str, content: Zeroizing<Vec<u8>>) -> anyhow::Result<()> {
        self.put(&Record::File { path: path.to_owned(), content }).with_context(|| path.to_owned())
    }
}

fn files<W: std::io::Write>(
    pen: &mut Pen<W>,
    identity: &Identity,
    carried: Carried,
    library: Vec<(String, PathBuf)>,
) -> anyhow::Result<()> {
    let keys = identity.folder();
    for name in KEY_FILES {
        pen.file(&format!("keys/{name}"), read_secret(&keys.join(name))?)?;
    }
    for name in PUBLIC_FILES {
        let content = std::fs::read(keys.join(name)).with_context(|| format!("reading {name}"))?;
        pen.file(&format!("keys/{name}"), content.into())?;
    }
    for (name, text) in carried.files {
        pen.file(&name, text.into_bytes().into())?;
    }
    for (name, path) in carried.named.into_iter().chain(library) {
        let content = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        pen.file(&name, content.into())?;
    }
    Ok(())
}

#[derive(Debug)]
struct Stopped(anyhow::Error);

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

fn rows<W: std::io::Write>(pen: &mut Pen<W>, context: &Context) -> anyhow::Result<()> {
    let kek = Kek::new(*context.identity.derive(AUTH_KEK)?);
    if let Some(note) = context.tables.meta(CHECKPOINT)? {
        pen.put(&Record::Checkpoint(note))?;
    }
    pen.put(&Record::House(house_generation(&context.tables)?))?;
    let (lost, beyond) = (context.tables.lost_end()?, context.tables.went_on_beyond()?);
    let mut write = |mut shown: SnapshotRow| -> anyhow::Result<()> {
        if let SnapshotRow::Chain { last, receipted } = &mut shown {
            (*last, *receipted) = ends((*last, *receipted), lost.as_ref(), beyond);
        }
        if let SnapshotRow::Device(device, _) = &mut shown {
            let record = record(device.clone()).map_err(|error| anyhow::anyhow!("{error}"))?;
            let secret = unwrapped(&record, &kek).with_context(|| format!("the secret of device {}", device.id))?;
            *device = row(record);
            device.secret = secret.to_vec();
        }
        let mut record = Record::Row(shown);
        let done = pen.put(&record);
        if let Record::Row(SnapshotRow::Device(device, _)) = &mut record {
            device.secret.zeroize();
        }
        done
    };
    context.tables.snapshot(&mut |row| write(row).map_err(Stopped)).map_err(|Stopped(error)| error)
}
