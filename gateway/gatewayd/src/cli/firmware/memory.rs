//! What was seen of this ledger before: on a box what its gateway keeps, at a publisher's place the last checkpoint, in a file. Without it, an
//! older log or another one of the same name would be believed by whoever asks anew.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context as _;
use ledger_block::policy::Policy;
use pitchside_config::Settings;
use pitchside_release::known::{Anchors, Known};
use pitchside_store::{OpenError, RootKey, Tables};
use pitchside_sync::Fault;
use pitchside_sync::trust::Trust;

use crate::adapters::outbox::CHECKPOINT;
use crate::adapters::releases;
use crate::files::write_public;
use crate::identity::Identity;

/// What was seen last, and where it is kept.
pub(super) struct Memory {
    /// Of releases; at a publisher's place only the checkpoint.
    known: Known,
    /// Checkpoints that were verified.
    notes: Vec<Vec<u8>>,
    /// None on a box, whose gateway keeps it.
    file: Option<PathBuf>,
}

impl Memory {
    /// What was seen under these anchors.
    pub fn open(settings: &Settings, identity: &Identity, anchors: &Anchors) -> anyhow::Result<Self> {
        let data = &settings.gateway.data_dir;
        let root = RootKey::new(*identity.derive("pitchside/1/store")?);
        match Tables::attach(data, root) {
            Ok(tables) => Self::of_box(&tables, anchors),
            Err(OpenError::Missing(_)) => Self::of_place(data.join(format!("ledger-{}.note", anchors.name())), anchors),
            Err(error) => Err(error.into()),
        }
    }

    fn of_box(tables: &Tables, anchors: &Anchors) -> anyhow::Result<Self> {
        let known = releases::kept(tables, anchors).context("`pitchside firmware relearn` forgets it")?;
        let seen = known.seen().map(|seen| seen.note.clone());
        let notes = tables.meta(CHECKPOINT)?.into_iter().chain(seen).collect();
        Ok(Self { known, notes, file: None })
    }

    fn of_place(file: PathBuf, anchors: &Anchors) -> anyhow::Result<Self> {
        let note = match std::fs::read(&file) {
            Ok(note) => note,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Self { known: Known::default(), notes: Vec::new(), file: Some(file) });
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        let known = Known::since(note.clone(), anchors)
            .with_context(|| format!("{}, the last checkpoint seen of this ledger, is damaged", file.display()))?;
        Ok(Self { known, notes: vec![note], file: Some(file) })
    }

    /// What is known, to go on from.
    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// Goes on from the newest checkpoint that is still believed. One whose witnesses are asked for no more is not, and an older log is
    /// found all the same: by what is known.
    pub fn trust(&self, policy: &Policy) -> Result<Trust, Fault> {
        let believed = self.notes.iter().filter_map(|note| Trust::new(policy.clone(), Some(note)).ok());
        believed.max_by_key(Trust::size).map_or_else(|| Trust::new(policy.clone(), None), Ok)
    }

    /// Keeps what was seen now, where nobody else does.
    pub fn keep(&mut self, known: &Known) -> anyhow::Result<()> {
        let (Some(file), Some(seen)) = (&self.file, known.seen()) else { return Ok(()) };
        if self.notes.last() != Some(&seen.note) {
            write_public(file, &seen.note)?;
            self.notes = vec![seen.note.clone()];
        }
        Ok(())
    }
}
