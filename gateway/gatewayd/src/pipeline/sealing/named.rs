//! Which rules and plugins a header names: those that were in force when what is in its block came. A change of either draws a line behind
//! what is unsealed by then; that is sealed, whenever it is, in blocks of its own, under what was in force before the line. The lines are kept
//! with what is in force, so a start after a crash seals by the same.
//!
//! Of alerts this is exact: those the rules raised are on the record before others come into force. A message that comes in the moment of a
//! change may stand on either side of its line.

use std::collections::VecDeque;

use ledger_block::Hash;
use pitchside_store::{AlertStep, AlertStepId, JournalRow, RowId, Store, StoreError};

use super::Sealing;
use crate::blocking;

/// Where the store keeps it.
const IN_FORCE: &str = "sealing/rules";
/// Lines at the most, of a box that can seal nothing for long. What comes between later changes is sealed without saying what was in force.
const LINES_MAX: usize = 256;
/// Bytes of a line as it is kept, and of what is in force.
const LINE_BYTES: usize = 16 + IN_FORCE_BYTES;
const IN_FORCE_BYTES: usize = 64;

/// What is in force besides this program; zeros if nothing is, or if that is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct InForce {
    /// Hash of the rules.
    pub rules: Hash,
    /// Hash of the plugins.
    pub plugins: Hash,
}

/// Up to where in the journal and in the record of alerts something was in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    rows: RowId,
    steps: AlertStepId,
    of: InForce,
}

/// How far journal and record of alerts are, and how much of both is sealed.
struct Reach {
    rows: RowId,
    steps: AlertStepId,
    sealed: RowId,
    /// The oldest step that is in no block.
    waits: Option<AlertStepId>,
}

/// What headers name.
#[derive(Debug)]
pub(super) struct Named {
    /// The oldest first.
    lines: VecDeque<Line>,
    now: InForce,
    /// What is in force; another than is named only while it is not known where it begins.
    wanted: InForce,
    /// It is in the store as it is here.
    is_kept: bool,
}

impl InForce {
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self { rules: *bytes.first_chunk()?, plugins: *bytes.last_chunk()? })
    }

    fn bytes(&self) -> [u8; IN_FORCE_BYTES] {
        let mut bytes = [0; IN_FORCE_BYTES];
        let (rules, plugins) = bytes.split_at_mut(IN_FORCE_BYTES / 2);
        rules.copy_from_slice(&self.rules);
        plugins.copy_from_slice(&self.plugins);
        bytes
    }
}

impl Line {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (rows, rest) = bytes.split_first_chunk()?;
        let (steps, of) = rest.split_first_chunk()?;
        let (rows, steps) = (RowId(i64::from_be_bytes(*rows)), AlertStepId(i64::from_be_bytes(*steps)));
        Some(Self { rows, steps, of: InForce::read(of)? })
    }
}

impl Reach {
    fn of(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            rows: store.journal_end()?.0,
            steps: store.alerts_end()?,
            sealed: store.sealed_up_to()?,
            waits: store.unsealed_alerts(1)?.first().map(|step| step.id),
        })
    }

    fn is_sealed(&self, rows: RowId, steps: AlertStepId) -> bool {
        rows <= self.sealed && self.waits.is_none_or(|waits| steps < waits)
    }
}

impl Named {
    /// What was in force as the last run ended.
    pub(super) fn of_the_last_run(store: &Store) -> Self {
        let kept = store.meta(IN_FORCE).map(|kept| kept.map(|bytes| Self::read(&bytes)));
        match kept {
            Ok(None) => Self::new(InForce::default()),
            Ok(Some(Some(named))) => named,
            Ok(Some(None)) => {
                tracing::error!(
                    "what was in force cannot be read; blocks name none until rules and plugins are loaded"
                );
                Self::new(InForce::default())
            }
            Err(error) => {
                tracing::error!(%error, "what was in force cannot be read; blocks name none until rules and plugins are loaded");
                Self::new(InForce::default())
            }
        }
    }

    fn new(now: InForce) -> Self {
        Self { lines: VecDeque::new(), now, wanted: now, is_kept: true }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        // As it was kept before there were lines: the rules alone.
        if let Ok(rules) = Hash::try_from(bytes) {
            return Some(Self::new(InForce { rules, ..InForce::default() }));
        }
        let (lines, now) = bytes.split_last_chunk::<IN_FORCE_BYTES>()?;
        if !lines.len().is_multiple_of(LINE_BYTES) {
            return None;
        }
        let lines = lines.chunks_exact(LINE_BYTES).map(Line::read).collect::<Option<VecDeque<_>>>()?;
        Some(Self { lines, ..Self::new(InForce::read(now)?) })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.lines.len() * LINE_BYTES + IN_FORCE_BYTES);
        for line in &self.lines {
            bytes.extend_from_slice(&line.rows.0.to_be_bytes());
            bytes.extend_from_slice(&line.steps.0.to_be_bytes());
            bytes.extend_from_slice(&line.of.bytes());
        }
        bytes.extend_from_slice(&self.now.bytes());
        bytes
    }

    /// Something else is in force. Where nothing came since the last change there is no line to draw: nothing is under what went.
    fn change(&mut self, next: InForce, reach: &Reach) {
        self.lines.retain(|line| !reach.is_sealed(line.rows, line.steps));
        let is_drawn = self.lines.back().is_some_and(|last| reach.rows <= last.rows && reach.steps <= last.steps);
        if !is_drawn && !reach.is_sealed(reach.rows, reach.steps) {
            let line = Line { rows: reach.rows, steps: reach.steps, of: self.now };
            if self.lines.len() < LINES_MAX {
                self.lines.push_back(line);
            } else if let Some(last) = self.lines.back_mut() {
                *last = Line { of: InForce::default(), ..line };
            }
        }
        self.now = next;
    }

    /// Of what is to be sealed next, what came under the same, and what that was. At least something of it stays.
    pub(super) fn narrow(&self, rows: &mut Vec<JournalRow>, steps: &mut Vec<AlertStep>) -> InForce {
        let (row, step) = (rows.first().map(|row| row.id), steps.first().map(|step| step.id));
        let Some(line) = self.line_of(row, step) else { return self.now };
        rows.retain(|row| row.id <= line.rows);
        steps.retain(|step| step.id <= line.steps);
        line.of
    }

    fn line_of(&self, row: Option<RowId>, step: Option<AlertStepId>) -> Option<&Line> {
        let before =
            |line: &&Line| row.is_some_and(|row| row <= line.rows) || step.is_some_and(|step| step <= line.steps);
        self.lines.iter().find(before)
    }
}

impl Sealing {
    /// Something else is in force from here on.
    pub(super) fn put_in_force(&self, change: impl FnOnce(InForce) -> InForce) {
        let kept = blocking::here(|| {
            let mut named = self.named.lock();
            let wanted = change(named.wanted);
            named.is_kept &= named.wanted == wanted;
            named.wanted = wanted;
            self.keep(&mut named)
        });
        if let Err(error) = kept {
            tracing::error!(%error, "what is in force could not be kept; it is tried again, and nothing is sealed before");
            // There, and then every second: whoever says what is in force has other things to do.
            self.resume();
        }
    }

    /// Tries again what could not be kept. Without it blocks would name nothing for good, and after a crash the next run what went.
    pub(super) fn keep_in_force(&self) -> Result<(), StoreError> {
        self.keep(&mut self.named.lock())
    }

    fn keep(&self, named: &mut Named) -> Result<(), StoreError> {
        if named.is_kept {
            return Ok(());
        }
        if named.now != named.wanted {
            let reach = Reach::of(&self.store).inspect_err(|_| {
                // Better nothing than what may be false.
                named.now = InForce::default();
            })?;
            named.change(named.wanted, &reach);
        }
        self.store.set_meta(IN_FORCE, &named.bytes())?;
        named.is_kept = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_force(number: u8) -> InForce {
        InForce { rules: [number; 32], plugins: [number + 100; 32] }
    }

    fn reach(rows: i64, steps: i64, sealed: i64, waits: Option<i64>) -> Reach {
        Reach { rows: RowId(rows), steps: AlertStepId(steps), sealed: RowId(sealed), waits: waits.map(AlertStepId) }
    }

    /// The rules that a row or a step is sealed under.
    fn of(named: &Named, row: Option<i64>, step: Option<i64>) -> u8 {
        let line = named.line_of(row.map(RowId), step.map(AlertStepId));
        line.map_or(named.now, |line| line.of).rules[0]
    }

    #[test]
    fn each_row_and_each_step_is_sealed_under_what_was_in_force_as_it_came_also_by_the_next_run() {
        let mut named = Named::new(in_force(1));
        named.change(in_force(2), &reach(10, 3, 4, Some(2)));
        named.change(in_force(3), &reach(10, 3, 4, Some(2)));
        named.change(in_force(4), &reach(12, 3, 4, Some(2)));
        let again = Named::read(&named.bytes()).unwrap();
        assert_eq!((&again.lines, again.now), (&named.lines, named.now));
        assert_eq!(again.lines.len(), 2, "nothing came under the second");
        for (row, step, under) in [
            (Some(5), None, 1),
            (Some(10), Some(4), 1),
            (None, Some(2), 1),
            (Some(13), Some(3), 1),
            (Some(11), Some(4), 3),
            (Some(13), Some(4), 4),
        ] {
            assert_eq!(of(&again, row, step), under, "row {row:?}, step {step:?}");
        }
    }

    #[test]
    fn a_box_with_nothing_unsealed_draws_no_line_and_lets_go_of_those_it_has_passed() {
        let mut named = Named::new(in_force(1));
        named.change(in_force(2), &reach(10, 3, 10, None));
        assert!(named.lines.is_empty());
        named.change(in_force(3), &reach(11, 3, 10, None));
        assert_eq!(named.lines.len(), 1);
        named.change(in_force(4), &reach(12, 4, 12, None));
        assert!(named.lines.is_empty() && named.now == in_force(4));
    }

    #[test]
    fn of_more_changes_than_a_box_that_cannot_seal_remembers_the_last_ones_are_not_named_falsely() {
        let mut named = Named::new(in_force(0));
        for change in 0..300 {
            named.change(in_force(u8::try_from(1 + change % 90).unwrap()), &reach(change + 1, 0, 0, None));
        }
        assert_eq!(named.lines.len(), LINES_MAX);
        assert_eq!(of(&named, Some(1), None), 0);
        assert_eq!(of(&named, Some(90), None), 89);
        assert_eq!([of(&named, Some(256), None), of(&named, Some(300), None)], [0, 0], "none, and not another");
        assert_eq!(of(&named, Some(301), None), named.now.rules[0]);
    }

    #[test]
    fn what_is_kept_is_read_whole_or_not_at_all() {
        let named = Named::read(&[7; 32]).unwrap();
        assert_eq!((named.now.rules, named.now.plugins), ([7; 32], [0; 32]), "as it was kept before");
        for length in [0, 31, 33, 63, 65, 143, 145] {
            assert!(Named::read(&vec![7; length]).is_none(), "{length} bytes");
        }
        assert!(Named::read(&[7; 64]).is_some_and(|named| named.lines.is_empty()));
        assert!(Named::read(&[7; 144]).is_some_and(|named| named.lines.len() == 1));
    }
}
