//! All that is wrong with the syntax of a script. Rhai stops at the first error; here the smallest statement that holds it is blanked,
//! and Rhai asked again, until the rest parses.
//!
//! What is told behind the first error must be true by itself: the statement alone, without what stands around it, has the same
//! error at the same place. What only follows from another error (a brace that fits nothing any more, the end of a source
//! within a text nobody closed) is not told. The work is bounded: at most [`PROBLEMS_MAX`] rounds, each of which blanks something.
//!
//! | module | holds |
//! | --- | --- |
//! | `tree` | statements and blocks |
//! | `masked` | what is left of a source |

mod masked;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeSet;
use std::ops::Range;

use rhai::{Engine, LexError, ParseErrorType};

use crate::fault::line_column;
use crate::limits::Limits;
use crate::lint::token::{Kind, cut};
use crate::problem::{PROBLEMS_MAX, place};
use crate::sandbox::{FORBIDDEN, parser};
use masked::{Mask, Masked};
use tree::{TOP, Tree, tree};

/// What a statement within a block is put between to be read alone.
const WITHIN: (&str, &str) = ("fn f(){loop{", "\n}}");

/// An error of syntax.
#[derive(Debug, Clone)]
pub(crate) struct Flaw {
    /// Line and column, from 1.
    pub place: (usize, usize),
    pub error: ParseErrorType,
    pub help: Option<String>,
}

/// What to think of a name that nobody declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    None,
    /// It stands before an error in the same statement: perhaps it is no name at all.
    UnlessSimilar,
    /// It stands in what does not parse, which may declare it.
    Certain,
}

/// A script that does not parse.
#[derive(Debug, Clone)]
pub(crate) struct Recovered {
    /// In order of place; never none.
    pub flaws: Vec<Flaw>,
    /// The source, character for character, with blanks for what does not parse.
    pub sound: String,
    /// The same with what stands before an error in its statement, and with what is no statement for a brace that is missing.
    pub seen: String,
    /// All words that are not in `sound`.
    pub hidden: BTreeSet<String>,
    /// All words in what does not parse.
    lost: BTreeSet<String>,
    fragments: Vec<Range<(usize, usize)>>,
}

impl Recovered {
    pub fn doubt(&self, word: &str, place: (usize, usize)) -> Doubt {
        match self.fragments.iter().any(|fragment| fragment.contains(&place)) {
            _ if !self.lost.contains(word) || FORBIDDEN.iter().any(|(known, _)| *known == word) => Doubt::None,
            true => Doubt::UnlessSimilar,
            false => Doubt::Certain,
        }
    }
}

struct Work<'a> {
    parser: Engine,
    text: Masked<'a>,
    tree: Tree,
    flaws: Vec<Flaw>,
    fragments: Vec<Range<(usize, usize)>>,
    /// From here on text and code may have changed places.
    suspect: usize,
    /// How far errors were found.
    reached: Option<usize>,
    /// Whether braces fit as they are read.
    fits: bool,
    /// Whether a block is missing: Rhai took the one that is there for a value.
    wants_block: bool,
}

/// Every error of syntax; nothing if there is none.
pub(crate) fn recover(limits: &Limits, source: &str) -> Option<Recovered> {
    let parser = parser(limits);
    if parser.compile(source).is_ok() {
        return None;
    }
    let cut = cut(source);
    let tree = tree(&cut);
    let text = Masked::new(source, cut);
    let suspect = text.suspect();
    let (flaws, fragments) = (Vec::new(), Vec::new());
    let (reached, fits, wants_block) = (None, true, false);
    Some(Work { parser, text, tree, flaws, fragments, suspect, reached, fits, wants_block }.run())
}

impl Work<'_> {
    fn run(mut self) -> Recovered {
        let (mut last, mut first) = (0, None);
        for _ in 0..PROBLEMS_MAX {
            let text = self.text.rendered(0..self.text.source.len());
            let Some(((line, column), error)) = self.parse(&text) else { return self.done(first) };
            last = self.text.offset(line, column);
            first = first.or_else(|| Some((last, error.clone())));
            if !self.round(last, &error) {
                return self.done(first);
            }
        }
        self.give_up(last, Mask::Gone);
        self.done(first)
    }

    fn done(mut self, first: Option<(usize, ParseErrorType)>) -> Recovered {
        if let Some((at, error)) = first.filter(|_| self.flaws.is_empty()) {
            self.tell(self.text.snap(at), error, None);
        }
        self.flaws.sort_by_key(|flaw| flaw.place);
        let text = &self.text;
        let sound = text.shown(|at| matches!(text.mask[at], Mask::Kept | Mask::Named));
        let seen = text.shown(|at| text.mask[at] != Mask::Gone || text.seen[at]);
        let (hidden, lost) = (text.words(&[Mask::Apart, Mask::Gone]), text.words(&[Mask::Gone]));
        Recovered { flaws: self.flaws, sound, seen, hidden, lost, fragments: self.fragments }
    }

    fn parse(&self, text: &str) -> Option<((usize, usize), ParseErrorType)> {
        let error = self.parser.compile(text).err()?;
        Some((line_column(error.position()), error.err_type().clone()))
    }

    /// One error, told if it is no other's, and what holds it blanked; false if that is the last that can be said.
    fn round(&mut self, raw: usize, error: &ParseErrorType) -> bool {
        if let Some(comments) = self.text.comments(raw) {
            self.tell(raw, error.clone(), None);
            return self.text.blank(comments, Mask::Gone);
        }
        let at = self.text.snap(raw);
        let certain = self.flaws.is_empty() || self.fits;
        if at >= self.suspect {
            if self.flaws.is_empty() || matches!(error, ParseErrorType::BadInput(LexError::UnterminatedString)) {
                self.tell(at, error.clone(), None);
            }
            self.give_up(self.suspect, Mask::Gone);
            return false;
        }
        if let Some((function, brace)) = self.open_before(at).filter(|_| *error == ParseErrorType::WrongFnDefinition) {
            if certain {
                let wanted = "to terminate the block before this function".to_owned();
                self.tell(at, ParseErrorType::MissingToken("}".to_owned(), wanted), Some(self.see(brace)));
            }
            let mut open = self.tree.blocks[TOP].statements.iter().map(|s| &self.tree.statements[*s].tokens);
            let Some(bytes) = open.find(|tokens| tokens.end == function).map(|tokens| self.text.bytes(tokens)) else {
                return false;
            };
            return self.text.blank(bytes, Mask::Apart);
        }
        // Rhai wants a `;` first, though no statement needs one before a `}`.
        let missing = match error {
            ParseErrorType::MissingToken(token, _) if token == "}" => Some(error.clone()),
            ParseErrorType::MissingToken(token, _) if token == ";" => {
                Some(ParseErrorType::MissingToken("}".to_owned(), "to terminate this block".to_owned()))
            }
            _ => None,
        };
        if let (Some(brace), Some(missing)) = (self.tree.unclosed.filter(|_| at >= self.text.end()), missing) {
            if certain {
                self.tell(at, missing, Some(self.see(brace)));
            }
            self.give_up(at, Mask::Apart);
            return false;
        }
        if matches!(error, ParseErrorType::TooManyFunctions) {
            self.tell(at, error.clone(), None);
            self.give_up(at, Mask::Apart);
            return false;
        }
        self.statement(at, error)
    }

    /// An error of a statement.
    fn statement(&mut self, at: usize, error: &ParseErrorType) -> bool {
        self.wants_block = matches!(error, ParseErrorType::MissingToken(token, _) if token == "{");
        let chain = self.chain(at);
        let left = |(depth, statement): (usize, &usize)| {
            let whole = !self.skeleton(*statement).iter().any(|token| self.text.is_left(*token));
            (!whole || self.has_left(*statement)).then_some((depth, *statement, whole))
        };
        let Some((depth, statement, whole)) = chain.iter().enumerate().find_map(left) else {
            if self.flaws.is_empty() {
                self.tell(at, error.clone(), None);
            }
            self.give_up(at, Mask::Gone);
            return false;
        };
        let found = &self.tree.statements[statement];
        let (stray, crooked, bytes) = (found.stray, found.crooked, self.text.bytes(&found.tokens));
        let heads = || chain[depth + 1..].iter().all(|s| self.skeleton(*s).iter().all(|t| self.text.is_left(*t)));
        let own = match error {
            _ if stray => self.fits,
            ParseErrorType::AssignmentToConstant(_) | ParseErrorType::FnDuplicatedDefinition(..) => true,
            ParseErrorType::LoopBreak => heads() && !self.is_in_loop(&chain[depth + 1..], at),
            ParseErrorType::WrongFnDefinition => heads(),
            ParseErrorType::BadInput(LexError::ImproperSymbol(word, _)) if word == "this" => heads(),
            _ => self.is_alone(statement, chain.len() > depth + 1, at),
        };
        let beyond = self.reached.is_none_or(|reached| at > reached);
        let other = *error == ParseErrorType::LoopBreak && !own;
        let tells = (self.flaws.is_empty() && !other) || (depth == 0 && beyond && own);
        self.fits &= own && depth == 0 && !stray && !crooked;
        self.reached = self.reached.max(Some(at));
        if tells {
            match self.block_of_value(statement, at) {
                Some(brace) => {
                    self.tell(brace, ParseErrorType::BadInput(LexError::UnexpectedInput("{".to_owned())), None);
                }
                None => self.tell(at, error.clone(), None),
            }
            if self.rename(at) {
                return true;
            }
            self.text.seen[bytes.start..at.clamp(bytes.start, bytes.end)].fill(true);
            self.fragments.push(place(self.text.source, bytes.start)..place(self.text.source, at));
        }
        let kept = if whole || *error == ParseErrorType::ExprTooDeep { Vec::new() } else { self.kept(statement, at) };
        let (mut from, mut blanked) = (bytes.start, false);
        for block in kept {
            blanked |= self.text.blank(from..block.start, Mask::Gone);
            from = block.end;
        }
        self.text.blank(from..bytes.end, Mask::Gone) || blanked
    }

    /// Where a block is missing because Rhai took the one before for a value, as in `if a > { … }`: that one.
    fn block_of_value(&self, statement: usize, at: usize) -> Option<usize> {
        let mut blocks = self.tree.statements[statement].blocks.iter().map(|block| &self.tree.blocks[*block]);
        let before = |block: &&tree::Block| block.close.is_some_and(|close| self.text.start(close + 1) == at);
        let open = blocks.find(before).filter(|block| self.wants_block && block.sure)?.open?;
        (self.text.token(open.checked_sub(1)?).kind == Kind::Symbol).then_some(self.text.start(open))
    }

    /// Whether `at` is in the block of a loop, whatever Rhai takes that for.
    fn is_in_loop(&self, around: &[usize], at: usize) -> bool {
        for statement in around {
            let found = &self.tree.statements[*statement];
            let holds = |block: &&tree::Block| block.open.is_some_and(|open| self.text.start(open) < at);
            let block = found.blocks.iter().map(|block| &self.tree.blocks[*block]).rfind(holds);
            if block.is_none_or(|block| !block.sure) {
                return false;
            }
            if matches!(self.text.token(found.tokens.start).text.as_str(), "while" | "for" | "loop" | "do") {
                return true;
            }
        }
        false
    }

    /// Whether a statement ends where its tokens do.
    fn is_ended(&self, statement: usize) -> bool {
        let found = &self.tree.statements[statement];
        found.ended && !(self.wants_block && self.text.token(found.tokens.end - 1).text == "}")
    }

    /// The blocks of a statement that are read though the statement is not: what Rhai accepted, and what can be nothing else.
    fn kept(&self, statement: usize, at: usize) -> Vec<Range<usize>> {
        let statement = &self.tree.statements[statement];
        let bytes = |block: &usize| {
            let block = &self.tree.blocks[*block];
            let end = block.close.map_or(statement.tokens.end, |close| close + 1);
            let bytes = self.text.bytes(&(block.open.unwrap_or(0)..end));
            (block.sure || bytes.end <= at).then_some(bytes)
        };
        statement.blocks.iter().filter_map(bytes).collect()
    }

    fn tell(&mut self, at: usize, error: ParseErrorType, help: Option<String>) {
        let place = place(self.text.source, at);
        if self.flaws.iter().all(|flaw| flaw.place != place) {
            self.flaws.push(Flaw { place, error, help });
        }
        self.reached = self.reached.max(Some(at));
    }

    fn see(&self, brace: usize) -> String {
        let token = self.text.token(brace);
        format!("see the `{{` of line {}, column {}", token.line, token.column)
    }

    /// A call of a word that does not exist here is no other's mistake: it is read on as a call.
    fn rename(&mut self, at: usize) -> bool {
        let tokens = &self.text.cut.tokens;
        let token = tokens.partition_point(|token| token.span.end <= at);
        let called = tokens.get(token + 1).is_some_and(|next| next.kind == Kind::Open && next.text == "(");
        let is_forbidden = |text: &str| FORBIDDEN.iter().any(|(known, _)| *known == text);
        let Some(found) = tokens.get(token).filter(|found| called && found.kind == Kind::Name) else { return false };
        let renames = is_forbidden(&found.text) && self.text.mask[found.span.start] == Mask::Kept;
        if renames {
            self.text.mask[found.span.clone()].fill(Mask::Named);
        }
        renames
    }

    /// Nothing more is read from the statement at `from` on.
    fn give_up(&mut self, from: usize, by: Mask) {
        let statements = self.tree.blocks[TOP].statements.iter();
        let holds = |bytes: &Range<usize>| bytes.start <= from && from <= bytes.end;
        let held = statements.map(|s| self.text.bytes(&self.tree.statements[*s].tokens)).find(holds);
        self.text.blank(held.map_or(from, |bytes| bytes.start)..self.text.source.len(), by);
    }

    /// Whether a statement has its error at `at` also when it stands alone.
    fn is_alone(&self, statement: usize, within: bool, at: usize) -> bool {
        let found = &self.tree.statements[statement];
        let mut bytes = self.text.bytes(&found.tokens);
        let behind = self.text.cut.tokens.get(found.tokens.end).filter(|next| !within || next.kind != Kind::Close);
        if let Some(next) = behind.filter(|_| !self.is_ended(statement)) {
            bytes.end = next.span.end;
        }
        let (before, after) = if within { WITHIN } else { ("", "") };
        let text = format!("{before}{}{after}", self.text.rendered(bytes.clone()));
        let Some(((line, column), _)) = self.parse(&text) else { return false };
        let ((first, indent), (last, _)) = (self.text.line(bytes.start), self.text.line(bytes.end));
        let seen = match first + line.saturating_sub(1) {
            line if line == first => self.text.offset(line, (column + indent).saturating_sub(before.len())),
            line if line > last => bytes.end,
            line => self.text.offset(line, column),
        };
        self.text.snap(seen) == at
    }

    /// The statements around `at` of which something is left, the smallest first.
    fn chain(&self, at: usize) -> Vec<usize> {
        let text = &self.text;
        let owns = |statement: &usize| {
            let found = &self.tree.statements[*statement];
            let bytes = text.bytes(&found.tokens);
            let before_next = !self.is_ended(*statement) && at <= text.start(found.tokens.end);
            bytes.start <= at && (at < bytes.end || before_next) && self.has_left(*statement)
        };
        let holds = |block: &&usize| {
            let block = &self.tree.blocks[**block];
            let begins = block.open.is_some_and(|open| text.start(open) < at);
            begins && block.close.is_none_or(|close| at <= text.start(close))
        };
        let (mut list, mut chain) = (Some(TOP), Vec::new());
        while let Some(block) = list {
            let Some(statement) = self.tree.blocks[block].statements.iter().copied().find(owns) else { break };
            chain.push(statement);
            list = self.tree.statements[statement].blocks.iter().find(holds).copied();
        }
        chain.reverse();
        chain
    }

    /// The tokens of a statement that are in no block of it, without the braces.
    fn skeleton(&self, statement: usize) -> Vec<usize> {
        let statement = &self.tree.statements[statement];
        let (mut from, mut found) = (statement.tokens.start, Vec::new());
        for block in statement.blocks.iter().map(|block| &self.tree.blocks[*block]) {
            found.extend(from..block.open.unwrap_or(from));
            from = block.close.map_or(statement.tokens.end, |close| close + 1);
        }
        found.extend(from..statement.tokens.end);
        found
    }

    fn has_left(&self, statement: usize) -> bool {
        self.tree.statements[statement].tokens.clone().any(|token| self.text.is_left(token))
    }

    /// The function that begins at `at` though a block is open, and the brace of that.
    fn open_before(&self, at: usize) -> Option<(usize, usize)> {
        let starts = |(function, _): &&(usize, usize)| self.text.start(*function) == at;
        self.tree.unclosed_before.iter().find(starts).copied()
    }
}
