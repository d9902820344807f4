//! The walk through a log: entries in order, everything else derived from them and compared.

use std::collections::{BTreeMap, BTreeSet};

use ledger_block::checkpoint::Checkpoint;
use ledger_block::merkle::{self, Frontier};
use ledger_block::note::{SignedNote, VerifierKey};

use super::{FaultKind, Report, Shown};
use crate::index::{Reads, Signed};
use crate::log::{CHECKPOINT, KnownContent, Storage};
use crate::machine::{self, Leaf, Verdict};
use crate::objects::{StorageError, TEMPORARY};
use crate::state::{Change, Contents, FactKind, State as _};
use crate::tile::{Kind, TILE_WIDTH, Tile};
use crate::tree::read_tile;

/// Checkpoints read from the index at a time.
const CHECKPOINTS_AT_ONCE: u32 = 4_096;

pub(super) struct Walk<'a> {
    storage: &'a Storage,
    reads: &'a dyn Reads,
    key: &'a VerifierKey,
    shown: &'a Shown,
    report: &'a mut Report,
    state: Contents,
    frontier: Frontier,
    /// Hashes of the unfinished tile of each level.
    open: BTreeMap<u8, Vec<merkle::Hash>>,
    checkpoints: Vec<Signed>,
    last_read: u64,
}

impl<'a> Walk<'a> {
    pub fn new(
        storage: &'a Storage,
        reads: &'a dyn Reads,
        key: &'a VerifierKey,
        shown: &'a Shown,
        report: &'a mut Report,
    ) -> Self {
        let (state, frontier, open) = (Contents::default(), Frontier::new(), BTreeMap::new());
        Self { storage, reads, key, shown, report, state, frontier, open, checkpoints: Vec::new(), last_read: 0 }
    }

    pub fn run(mut self) -> Result<(), StorageError> {
        if let Some(said) = self.reads.unsound()? {
            self.report.fault(FaultKind::Index, "index", said);
        }
        match self.reads.log()? {
            Some((origin, version)) if origin == self.key.name() && (1..=machine::VERSION).contains(&version) => {}
            Some((origin, version)) => {
                self.report.fault(FaultKind::Index, "index", format!("a log of {origin:?}, version {version}"));
            }
            None => self.report.fault(FaultKind::Index, "index", "it names no log"),
        }
        let size = self.reads.size()?;
        let mut place = 0;
        while place < size {
            let bundle = self.bundle(place / TILE_WIDTH, size)?;
            let end = size.min(place + TILE_WIDTH);
            let mut entries = bundle.into_iter();
            while place < end {
                self.leaf(place, entries.next())?;
                place += 1;
            }
        }
        self.tiles(size)?;
        self.published(size)?;
        self.contents()?;
        self.evidence()?;
        self.firmware()?;
        self.leftovers(size)
    }

    /// The entries of a bundle; fewer than there should be where it is broken.
    fn bundle(&mut self, index: u64, size: u64) -> Result<Vec<Vec<u8>>, StorageError> {
        let Some(tile) = Tile::of_tree(Kind::Entries, index, size) else { return Ok(Vec::new()) };
        self.report.tiles += 1;
        let path = tile.to_string();
        let Some(bytes) = read_tile(self.storage.objects.as_ref(), tile)? else {
            self.report.fault(FaultKind::Bundle, path, "missing");
            return Ok(Vec::new());
        };
        let Some(entries) = crate::bundle::entries(&bytes) else {
            self.report.fault(FaultKind::Bundle, path, "its lengths do not add up");
            return Ok(Vec::new());
        };
        if entries.len() != usize::from(tile.width) {
            let text = format!("{} entries instead of {}", entries.len(), tile.width);
            self.report.fault(FaultKind::Bundle, path.clone(), text);
        }
        let entries: Vec<Vec<u8>> = entries.into_iter().map(<[u8]>::to_vec).collect();
        // Older widths that are still served must be the beginning of this one.
        for older in self.storage.objects.paths(&format!("{}.p", tile.full()))? {
            let width = Tile::parse(&older).map(|tile| tile.width).filter(|width| *width < tile.width);
            let (Some(width), Some(held)) = (width, self.storage.objects.get(&older)?) else { continue };
            self.report.tiles += 1;
            if bytes.get(..held.len()) != Some(held.as_slice())
                || crate::bundle::entries(&held).map(|e| e.len()) != Some(usize::from(width))
            {
                self.report.fault(FaultKind::Bundle, older, "not the beginning of its successor");
            }
        }
        Ok(entries)
    }

    fn leaf(&mut self, place: u64, entry: Option<Vec<u8>>) -> Result<(), StorageError> {
        self.report.leaves += 1;
        let at = format!("leaf {place}");
        let placed = self.reads.hash_at(place)?;
        let Some(entry) = entry else {
            self.report.fault(FaultKind::Entry, at, "missing");
            // Go on with the hash the index has, so that one lost entry does not accuse everything after it.
            self.grow(placed.unwrap_or_default());
            return self.checkpoint_at(place + 1);
        };
        let hash = merkle::leaf_hash(&entry);
        if placed != Some(hash) {
            self.report.fault(FaultKind::Entry, at.clone(), "not the entry the index placed here");
        }
        self.grow(hash);
        match Leaf::read(&entry) {
            Err(refusal) => self.report.fault(FaultKind::Leaf, at, refusal.text),
            Ok(leaf) => match machine::admit(&self.state, self.key.name(), None, &leaf)? {
                Verdict::Admit(changes) => changes.into_iter().try_for_each(|change| self.change(place, change))?,
                Verdict::Refuse(refusal) | Verdict::Evidence { refusal, .. } => {
                    self.report.fault(FaultKind::Leaf, at, refusal.text);
                }
            },
        }
        self.checkpoint_at(place + 1)
    }

    fn change(&mut self, place: u64, mut change: Change) -> Result<(), StorageError> {
        change.at(place);
        if let Change::Block(block) = &change {
            let at = format!("payload of leaf {place}");
            match self.storage.payloads.measure(&block.payload)? {
                None => self.report.fault(FaultKind::Payload, at, "missing"),
                Some((hash, length)) => {
                    self.report.payloads += 1;
                    self.report.payload_bytes += length;
                    if length != block.payload_bytes {
                        let text = format!("{length} bytes instead of {}", block.payload_bytes);
                        self.report.fault(FaultKind::Payload, at, text);
                    } else if hash != block.payload {
                        self.report.fault(FaultKind::Payload, at, "changed: it has another BLAKE3");
                    }
                }
            }
        }
        self.state.apply(change);
        Ok(())
    }

    /// The contents of releases that are here. One that is not is no fault: its publisher has not uploaded it.
    fn firmware(&mut self) -> Result<(), StorageError> {
        for &content in &self.shown.contents {
            self.report.contents += 1;
            let at = format!("content {content}");
            match self.state.fact(FactKind::Content, &content.0)?.and_then(|fact| KnownContent::parse(&fact.value)) {
                None => self.report.fault(FaultKind::Content, at, "no release names it"),
                Some(known) if !self.storage.contents.is_sound(content, &known)? => {
                    self.report.fault(
                        FaultKind::Content,
                        at,
                        "changed: it has other hashes; its publisher uploads it again",
                    );
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn grow(&mut self, leaf: merkle::Hash) {
        self.frontier.push(leaf);
        let (mut level, mut hash) = (0, leaf);
        loop {
            let tile = self.open.entry(level).or_default();
            tile.push(hash);
            if !(tile.len() as u64).is_multiple_of(TILE_WIDTH) {
                return;
            }
            // Full: its root is one hash of the level above. Compare it at once, and keep only the count.
            let full = std::mem::take(tile);
            hash = merkle::root(&full);
            let spans = self.frontier.size() >> (8 * (u32::from(level) + 1));
            self.compare(Tile { kind: Kind::Hashes(level), index: spans - 1, width: 256 }, &full);
            level += 1;
        }
    }

    fn compare(&mut self, tile: Tile, hashes: &[merkle::Hash]) {
        self.report.tiles += 1;
        let path = tile.to_string();
        match read_tile(self.storage.objects.as_ref(), tile) {
            Ok(Some(held)) if held == hashes.concat() => {}
            Ok(Some(_)) => self.report.fault(FaultKind::Tile, path, "not what the entries make"),
            Ok(None) => self.report.fault(FaultKind::Tile, path, "missing"),
            Err(error) => self.report.fault(FaultKind::Tile, path, error.to_string()),
        }
        for older in self.storage.objects.paths(&format!("{}.p", tile.full())).unwrap_or_default() {
            let width = Tile::parse(&older).map(|tile| usize::from(tile.width));
            let Some(first) = width.and_then(|width| hashes.get(..width)) else { continue };
            if first.len() == usize::from(tile.width) {
                continue;
            }
            self.report.tiles += 1;
            match self.storage.objects.get(&older) {
                Ok(Some(held)) if held == first.concat() => {}
                // Forgotten since it was listed: the log goes on, and has published the full one.
                Ok(None) => {}
                Ok(Some(_)) => self.report.fault(FaultKind::Tile, older, "not what the entries make"),
                Err(error) => self.report.fault(FaultKind::Tile, older, error.to_string()),
            }
        }
    }

    /// The partial tiles at the right edge, in the width of the newest size.
    fn tiles(&mut self, size: u64) -> Result<(), StorageError> {
        for (level, hashes) in std::mem::take(&mut self.open) {
            let index = (size >> (8 * u32::from(level))) / TILE_WIDTH;
            if let Some(tile) = Tile::of_tree(Kind::Hashes(level), index, size) {
                self.compare(tile, &hashes);
            }
        }
        Ok(())
    }

    /// Checks the checkpoint signed for this size, if there is one.
    fn checkpoint_at(&mut self, size: u64) -> Result<(), StorageError> {
        if self.checkpoints.is_empty() {
            self.checkpoints = self.reads.checkpoints(self.last_read, CHECKPOINTS_AT_ONCE)?;
            self.checkpoints.reverse();
            if let Some(last) = self.checkpoints.first() {
                self.last_read = last.size;
            }
        }
        let Some(signed) = self.checkpoints.pop_if(|signed| signed.size == size) else { return Ok(()) };
        self.report.checkpoints += 1;
        let at = format!("checkpoint {size}");
        match verify(&signed.note, self.key) {
            Err(text) => self.report.fault(FaultKind::Signature, at, text),
            Ok(stated) if stated.size != size || stated.root != signed.root => {
                self.report.fault(FaultKind::Index, at, "the index says otherwise than its own note");
            }
            Ok(stated) if stated.root != self.frontier.root() => {
                self.report.fault(FaultKind::Root, at, "signed over other entries");
            }
            Ok(_) => {}
        }
        Ok(())
    }

    fn published(&mut self, size: u64) -> Result<(), StorageError> {
        let latest = self.reads.latest()?;
        match &latest {
            Some(latest) if latest.size == size => {}
            Some(latest) => {
                let text = format!("the newest checkpoint covers {} of {size} leaves", latest.size);
                self.report.fault(FaultKind::Index, CHECKPOINT, text);
            }
            None => self.report.fault(FaultKind::Index, CHECKPOINT, "no checkpoint was ever signed"),
        }
        let Some(note) = &self.shown.note else {
            // A crash before the first publication leaves none; opening the log publishes it.
            self.report.leftovers += 1;
            return Ok(());
        };
        let stated = match verify(note, self.key) {
            Ok(stated) => stated,
            Err(text) => {
                self.report.fault(FaultKind::Published, CHECKPOINT, text);
                return Ok(());
            }
        };
        let before = stated.size.saturating_sub(1);
        let signed = self.reads.checkpoints(before, 1)?.pop().filter(|signed| signed.size == stated.size);
        if signed.is_none_or(|signed| signed.note != *note) {
            self.report.fault(FaultKind::Published, CHECKPOINT, "the index never signed this note: one of them is old");
        }
        Ok(())
    }

    fn contents(&mut self) -> Result<(), StorageError> {
        let held = self.reads.contents()?;
        if held == self.state {
            return Ok(());
        }
        let (ours, theirs) = (&self.state, &held);
        let mut differ = Vec::new();
        for name in ours.members.keys().chain(theirs.members.keys()).collect::<BTreeSet<_>>() {
            if ours.members.get(name) != theirs.members.get(name) {
                differ.push(format!("member {name}"));
            }
        }
        for place in ours.blocks.keys().chain(theirs.blocks.keys()).collect::<BTreeSet<_>>() {
            if ours.blocks.get(place) != theirs.blocks.get(place) {
                differ.push(format!("block {} of {}", place.1, place.0));
            }
        }
        for fact in ours.facts.keys().chain(theirs.facts.keys()).collect::<BTreeSet<_>>() {
            if ours.facts.get(fact) != theirs.facts.get(fact) {
                differ.push(format!("fact {:?}", fact.0));
            }
        }
        for place in ours.firmware.symmetric_difference(&theirs.firmware) {
            differ.push(format!("firmware leaf {place}"));
        }
        for at in differ {
            self.report.fault(FaultKind::Index, at, "the index says otherwise than the leaves");
        }
        Ok(())
    }

    fn evidence(&mut self) -> Result<(), StorageError> {
        let gateways: Vec<_> = self.state.members.keys().cloned().collect();
        for gateway in gateways {
            for evidence in self.reads.evidence(&gateway, crate::index::EVIDENCE_MAX)? {
                let holds = merkle::leaf_hash(&evidence.entry) == evidence.hash
                    && matches!(Leaf::read(&evidence.entry), Ok(Leaf::Block(_)))
                    && self.reads.place_of(&evidence.hash)?.is_none();
                if !holds {
                    let at = format!("evidence against {gateway}");
                    self.report.fault(FaultKind::Evidence, at, "not a validly signed header that is not in the log");
                }
            }
        }
        Ok(())
    }

    /// Files below `tile/` that no published size needs.
    fn leftovers(&mut self, size: u64) -> Result<(), StorageError> {
        for path in self.storage.objects.paths("tile")? {
            match Tile::parse(&path) {
                Some(tile) if tile.is_within(size) => {}
                Some(_) => self.report.leftovers += 1,
                None if path.contains(TEMPORARY) => self.report.leftovers += 1,
                None => self.report.fault(FaultKind::Tile, path, "not a tile's name"),
            }
        }
        Ok(())
    }
}

fn verify(note: &[u8], key: &VerifierKey) -> Result<Checkpoint, String> {
    let note = SignedNote::parse(note).map_err(|error| error.to_string())?;
    note.verify(&[key]).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.origin == key.name() { Ok(checkpoint) } else { Err(format!("of origin {:?}", checkpoint.origin)) }
}
