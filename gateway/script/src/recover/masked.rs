//! A source of which parts are blanked, while lines and columns stay.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::lint::token::{Cut, Kind, Token};

/// What is left of a byte of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mask {
    Kept,
    /// A word that does not exist here, read as a function's name.
    Named,
    /// Not read as a statement; its names are.
    Apart,
    Gone,
}

pub(super) struct Masked<'a> {
    pub source: &'a str,
    pub cut: Cut,
    pub mask: Vec<Mask>,
    /// What is shown though it is gone.
    pub seen: Vec<bool>,
}

impl<'a> Masked<'a> {
    pub fn new(source: &'a str, cut: Cut) -> Self {
        Self { source, cut, mask: vec![Mask::Kept; source.len()], seen: vec![false; source.len()] }
    }

    pub fn token(&self, at: usize) -> &Token {
        &self.cut.tokens[at]
    }

    /// Where the last token ends.
    pub fn end(&self) -> usize {
        self.cut.tokens.last().map_or(0, |token| token.span.end)
    }

    /// Where a token begins, or the last ends.
    pub fn start(&self, token: usize) -> usize {
        self.cut.tokens.get(token).map_or(self.end(), |token| token.span.start)
    }

    /// The bytes of some tokens, of which there is at least one.
    pub fn bytes(&self, tokens: &Range<usize>) -> Range<usize> {
        self.token(tokens.start).span.start..self.token(tokens.end - 1).span.end
    }

    /// Whether Rhai still reads a token.
    pub fn is_left(&self, token: usize) -> bool {
        // What ends a text that nobody closed stands on no byte.
        let mask = self.mask.get(self.token(token).span.start);
        mask.is_some_and(|mask| matches!(mask, Mask::Kept | Mask::Named))
    }

    /// Blanks these bytes; whether that changed anything.
    pub fn blank(&mut self, bytes: Range<usize>, by: Mask) -> bool {
        let mut changes = false;
        for at in bytes {
            if matches!(self.mask[at], Mask::Kept | Mask::Named) {
                changes |= !self.source.as_bytes()[at].is_ascii_whitespace();
                self.mask[at] = by;
            }
        }
        changes
    }

    /// The comments between two tokens, if an error stands in one of them.
    pub fn comments(&self, at: usize) -> Option<Range<usize>> {
        let comments = &self.cut.comments;
        let first = comments.partition_point(|comment| comment.end <= at);
        let from = comments.get(first).filter(|comment| comment.contains(&at))?.start;
        let next = self.cut.tokens.partition_point(|token| token.span.start < from);
        let until = self.cut.tokens.get(next).map_or(self.source.len(), |token| token.span.start);
        let last = comments.partition_point(|comment| comment.start < until);
        Some(from..comments[first..last].last()?.end)
    }

    /// Where that is: in a token, or else at the next one, or at the end of the last.
    pub fn snap(&self, at: usize) -> usize {
        let next = self.cut.tokens.partition_point(|token| token.span.end <= at);
        self.cut.tokens.get(next).map_or(self.end(), |token| token.span.start.max(at))
    }

    /// Which of Rhai's lines a byte is in, from 1, and which character of it, from 0.
    pub fn line(&self, at: usize) -> (usize, usize) {
        let line = self.cut.lines.partition_point(|start| *start <= at).max(1);
        let start = self.cut.lines.get(line - 1).copied().unwrap_or(0);
        (line, self.source[start..at].chars().count())
    }

    /// The byte at Rhai's line and column.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let line_at = |line: usize| self.cut.lines.get(line).copied();
        let Some(start) = line.checked_sub(1).and_then(line_at) else { return self.source.len() };
        let end = line_at(line).unwrap_or(self.source.len());
        let mut characters = self.source[start..end].char_indices();
        characters.nth(column.saturating_sub(1)).map_or(end, |(at, _)| start + at)
    }

    /// What is left of the source, for Rhai: line by line and column by column where it was.
    pub fn rendered(&self, bytes: Range<usize>) -> String {
        let left = |(at, c): (usize, char)| match self.mask[bytes.start + at] {
            _ if c == '\n' => c,
            // A return that ends a line does so also when what it ends is gone.
            _ if c == '\r' && self.cut.lines.binary_search(&(bytes.start + at + 1)).is_ok() => '\n',
            Mask::Kept => c,
            Mask::Named => 'a',
            Mask::Apart | Mask::Gone => ' ',
        };
        self.source[bytes.clone()].char_indices().map(left).collect()
    }

    /// The source with blanks for all but these bytes.
    pub fn shown(&self, shows: impl Fn(usize) -> bool) -> String {
        self.source.char_indices().map(|(at, c)| if c == '\n' || shows(at) { c } else { ' ' }).collect()
    }

    /// The words in what is masked like that.
    pub fn words(&self, masks: &[Mask]) -> BTreeSet<String> {
        let text = self.shown(|at| masks.contains(&self.mask[at]));
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// Where a back-quoted text begins that may have swallowed code: one that is not closed, or an earlier one of several
    /// lines. Behind it text and code may have changed places.
    pub fn suspect(&self) -> usize {
        let Some(from) = self.cut.unfinished else { return usize::MAX };
        let quoted = |token: &&Token| match token.kind {
            Kind::Text => self.source[token.span.start..].starts_with('`'),
            Kind::Open | Kind::Close => token.text == "`",
            _ => false,
        };
        if self.cut.tokens.last().filter(quoted).is_none_or(|last| last.span.start != from) {
            return from;
        }
        let long = |token: &&Token| self.source[token.span.clone()].contains('\n');
        self.cut.tokens.iter().filter(quoted).find(long).map_or(from, |token| token.span.start.min(from))
    }
}
