//! A source as statements and blocks, as far as brackets and the words that begin a statement tell. No parser: Rhai says what is
//! wrong; this says how much of the source goes with it.

use std::ops::Range;

use crate::compile::KEYWORDS;
use crate::lint::token::{Cut, Kind, Token};

/// The block that is the whole source.
pub(super) const TOP: usize = 0;

/// Words that begin a statement which ends with its last block.
const BLOCK_LEADS: &[&str] = &["if", "while", "loop", "for", "switch", "try", "fn", "private"];
/// Words that begin a statement, wherever they stand.
const STARTS: &[&str] = &["let", "const", "return", "throw", "break", "continue", "import", "export", "fn", "private"];
/// Words that begin a statement or, behind an operator, a value.
const MAYBE_STARTS: &[&str] = &["if", "while", "loop", "for", "switch", "try", "do"];
const ASSIGNMENTS: &[&str] = &["=", "+=", "-=", "*=", "/=", "%=", "**=", "<<=", ">>=", "|=", "&=", "^="];
/// What stands before a block that no head of `if`, `for` … leads to.
const OWN_BLOCK: &[&str] = &["else", "loop", "do", "try"];
/// What stands before the body of a closure or the arm of a `switch`.
const WITHIN: &[&str] = &["=>", "|", "||"];

/// A statement: its tokens, its `;` among them.
#[derive(Debug, Default)]
pub(super) struct Statement {
    pub tokens: Range<usize>,
    /// Whether it ends by a `;` or with its last block, and not only because something else begins.
    pub ended: bool,
    /// The blocks of statements that stand in it, but in no other block of it.
    pub blocks: Vec<usize>,
    /// Brackets may be missing in it though they seem to fit.
    pub crooked: bool,
    /// A `}` that closes nothing.
    pub stray: bool,
}

/// Statements between braces.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub open: Option<usize>,
    pub close: Option<usize>,
    pub statements: Vec<usize>,
    /// Whether it stands where only a block of statements can, as behind `if` and its condition.
    pub sure: bool,
    running: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Block(usize),
    Switch,
    Map,
    Round,
    Square,
    Quote,
}

/// All statements and blocks of a source.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub statements: Vec<Statement>,
    /// The first is [`TOP`].
    pub blocks: Vec<Block>,
    /// Every `fn` before which a block is not closed, with the brace that opens it.
    pub unclosed_before: Vec<(usize, usize)>,
    /// The brace of a block that is not closed before the source ends.
    pub unclosed: Option<usize>,
}

struct Builder<'a> {
    cut: &'a Cut,
    tree: Tree,
    /// What is open, with the token that opens it.
    stack: Vec<(Frame, usize)>,
    /// Which of the stack are braces, and which of these are blocks.
    braces: Vec<usize>,
    nearest: Vec<usize>,
    /// The `if`, `for` … whose block has not begun, with the block they stand in.
    heads: Vec<(usize, usize)>,
    /// Every opening brace, and of each token the brace that closes it.
    opens: Vec<usize>,
    closes: Vec<Option<usize>>,
    /// How far the line of each token is set in.
    indents: Vec<usize>,
    /// Whether a function closes what is open before it.
    resets: bool,
}

/// The statements of a source.
pub(super) fn tree(cut: &Cut) -> Tree {
    let plain = Builder::build(cut, false);
    // A function stands in no block: where braces do not fit, what is open before one is not closed.
    if plain.unclosed.is_some() && cut.unfinished.is_none() { Builder::build(cut, true) } else { plain }
}

impl<'a> Builder<'a> {
    fn build(cut: &'a Cut, resets: bool) -> Tree {
        let tree = Tree { blocks: vec![Block::default()], ..Tree::default() };
        let stack = vec![(Frame::Block(TOP), 0)];
        let end = cut.tokens.len();
        let (heads, opens, closes, indents) = (Vec::new(), Vec::new(), vec![None; end], Vec::with_capacity(end));
        let (braces, nearest) = (vec![0], vec![TOP]);
        let mut builder = Self { cut, tree, stack, braces, nearest, heads, opens, closes, indents, resets };
        for at in 0..end {
            let indent = if builder.first_of_line(at) { builder.token(at).column } else { builder.indents[at - 1] };
            builder.indents.push(indent);
            builder.step(at);
        }
        builder.tree.unclosed = builder.close_all(end);
        builder.end(TOP, end, false);
        builder.tree
    }

    fn token(&self, at: usize) -> &'a Token {
        &self.cut.tokens[at]
    }

    fn first_of_line(&self, at: usize) -> bool {
        at == 0 || self.token(at - 1).line < self.token(at).line
    }

    fn is(&self, at: usize, words: &[&str]) -> bool {
        let code = |token: &&Token| !matches!(token.kind, Kind::Text | Kind::Char);
        self.cut.tokens.get(at).filter(code).is_some_and(|token| words.contains(&token.text.as_str()))
    }

    fn block(&self) -> usize {
        self.nearest.last().copied().unwrap_or(TOP)
    }

    fn brace(&self) -> usize {
        self.braces.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Frame {
        self.stack.last().map_or(Frame::Block(TOP), |(frame, _)| *frame)
    }

    fn step(&mut self, at: usize) {
        let token = self.token(at);
        let first_of_line = self.first_of_line(at);
        match (token.kind, token.text.as_str()) {
            (Kind::Close, "}") => self.close_brace(at),
            (Kind::Close, _) => self.close(at),
            (Kind::Symbol, ";") => self.semicolon(at),
            (Kind::Open, _) => self.open(at),
            (Kind::Name, word) => {
                let is_function = matches!(word, "fn" | "private") && !(at > 0 && self.is(at - 1, &["private"]));
                if is_function && self.resets && first_of_line && self.braces.len() > 1 {
                    if let Some(brace) = self.close_all(at) {
                        self.tree.unclosed_before.push((at, brace));
                    }
                    self.end(TOP, at, false);
                } else if first_of_line && self.begins_statement(at) {
                    self.stack.truncate(self.brace() + 1);
                    self.end(self.block(), at, false);
                } else if self.top() == Frame::Map && STARTS.contains(&word) && first_of_line {
                    self.crook();
                }
                self.begin(at);
                if matches!(word, "if" | "while" | "until" | "for" | "switch") {
                    self.heads.push((self.block(), at));
                }
            }
            _ => {
                self.begin(at);
            }
        }
    }

    /// The statement that runs here, which begins with this token if none did.
    fn begin(&mut self, at: usize) -> usize {
        let block = self.block();
        if let Some(running) = self.tree.blocks[block].running {
            return running;
        }
        let statement = self.tree.statements.len();
        self.tree.statements.push(Statement { tokens: at..at + 1, ..Statement::default() });
        self.tree.blocks[block].statements.push(statement);
        self.tree.blocks[block].running = Some(statement);
        statement
    }

    /// Ends what runs in a block before this token.
    fn end(&mut self, block: usize, before: usize, ended: bool) {
        while self.heads.last().is_some_and(|(of, _)| *of == block) {
            self.heads.pop();
        }
        if let Some(statement) = self.tree.blocks[block].running.take().map(|s| &mut self.tree.statements[s]) {
            (statement.tokens.end, statement.ended) = (before, ended);
            let span = self.cut.tokens[statement.tokens.start].span.start..self.cut.tokens[before - 1].span.end;
            let from = self.cut.torn.partition_point(|torn| *torn < span.start);
            statement.crooked |= self.cut.torn.get(from).is_some_and(|torn| span.contains(torn));
        }
    }

    fn crook(&mut self) {
        if let Some(running) = self.tree.blocks[self.block()].running {
            self.tree.statements[running].crooked = true;
        }
    }

    /// Whether this word, the first of its line, begins a statement though no `;` ends the one before.
    fn begins_statement(&self, at: usize) -> bool {
        let block = self.block();
        let (Frame::Block(brace), _) = self.stack[self.brace()] else { return false };
        let Some(running) = self.tree.blocks[block].running.filter(|_| brace == block && at > 0) else { return false };
        let before = self.token(at - 1);
        let ends_value = match before.kind {
            Kind::Name => !KEYWORDS.contains(&before.text.as_str()) || self.is(at - 1, &["true", "false", "this"]),
            Kind::Open | Kind::Symbol => false,
            _ => true,
        };
        let word = self.token(at).text.as_str();
        let ends_do = matches!(word, "while" | "until") && self.is(self.tree.statements[running].tokens.start, &["do"]);
        (STARTS.contains(&word) && !self.is(at - 1, &["private", "else"]) && !self.is(at - 1, WITHIN))
            || (MAYBE_STARTS.contains(&word) && ends_value && !ends_do)
            || (self.is(at + 1, ASSIGNMENTS)
                && ends_value
                && !KEYWORDS.contains(&word)
                && self.stack.len() == self.brace() + 1)
    }

    fn open(&mut self, at: usize) {
        let running = self.begin(at);
        let frame = match self.token(at).text.as_str() {
            "(" => Frame::Round,
            "[" => Frame::Square,
            "`" => Frame::Quote,
            "${" => Frame::Block(self.new_block(running, at, false)),
            _ if at > 0 && self.is(at - 1, &["#"]) => Frame::Map,
            _ => self.brace_frame(running, at),
        };
        if matches!(frame, Frame::Block(_) | Frame::Switch | Frame::Map) {
            self.braces.push(self.stack.len());
            self.opens.push(at);
        }
        if let Frame::Block(block) = frame {
            self.nearest.push(block);
        }
        self.stack.push((frame, at));
    }

    fn brace_frame(&mut self, running: usize, at: usize) -> Frame {
        let first = self.tree.statements[running].tokens.start;
        if first == at {
            return Frame::Block(self.new_block(running, at, true));
        }
        let block = self.block();
        let within = self.is(at - 1, WITHIN);
        let own = within || self.is(at - 1, OWN_BLOCK);
        let head = if own { None } else { self.heads.pop_if(|(of, _)| *of == block).map(|(_, head)| head) };
        if head.is_some_and(|head| self.is(head, &["switch"])) {
            return Frame::Switch;
        }
        let leads = self.is(first, BLOCK_LEADS) || self.is(first, &["do"]);
        let plain = self.top() == Frame::Block(block) || head == Some(first);
        Frame::Block(self.new_block(running, at, leads && plain && !within))
    }

    fn new_block(&mut self, running: usize, at: usize, sure: bool) -> usize {
        let block = self.tree.blocks.len();
        self.tree.blocks.push(Block { open: Some(at), sure, ..Block::default() });
        self.tree.statements[running].blocks.push(block);
        block
    }

    /// `)`, `]` or the back quote behind code.
    fn close(&mut self, at: usize) {
        self.begin(at);
        let wanted = match self.token(at).text.as_str() {
            ")" => Frame::Round,
            "]" => Frame::Square,
            _ => Frame::Quote,
        };
        // One that is missing within is as good as closed; one that fits nothing is Rhai's concern.
        let of_brace = self.brace() + 1;
        let found = self.stack[of_brace..].iter().rev().take(2).position(|(frame, _)| *frame == wanted);
        if let Some(above) = found {
            self.stack.truncate(self.stack.len() - 1 - above);
        }
    }

    fn close_brace(&mut self, at: usize) {
        let brace = self.brace();
        let frame = self.stack[brace].0;
        if brace == 0 {
            self.stack.truncate(1);
            self.end(TOP, at, false);
            let stray = self.begin(at);
            self.tree.statements[stray].stray = true;
            return self.end(TOP, at + 1, true);
        }
        self.closes[self.stack[brace].1] = Some(at);
        self.stack.truncate(brace);
        self.braces.pop();
        if let Frame::Block(block) = frame {
            self.nearest.pop();
            self.end(block, at, false);
            self.tree.blocks[block].close = Some(at);
        }
        let parent = self.block();
        let Some(running) = self.tree.blocks[parent].running else { return };
        let first = self.tree.statements[running].tokens.start;
        let leads = self.is(first, BLOCK_LEADS) || self.is(first, &["{"]);
        let goes_on = match self.token(first).text.as_str() {
            "if" => self.is(at + 1, &["else"]),
            "try" => self.is(at + 1, &["catch"]),
            _ => false,
        };
        if frame != Frame::Map && leads && !goes_on && self.top() == Frame::Block(parent) {
            self.end(parent, at + 1, true);
        }
    }

    fn semicolon(&mut self, at: usize) {
        match self.stack[self.brace()].0 {
            Frame::Block(block) => {
                self.stack.truncate(self.brace() + 1);
                self.end(block, at + 1, true);
            }
            _ => self.crook(),
        }
    }

    /// Closes every brace; the one that is likeliest not to be closed, if there is one.
    fn close_all(&mut self, before: usize) -> Option<usize> {
        let open: Vec<usize> = self.braces.iter().skip(1).map(|brace| self.stack[*brace].1).collect();
        while let Some(block) = self.nearest.pop().filter(|block| *block != TOP) {
            self.end(block, before, false);
        }
        self.nearest = vec![TOP];
        self.stack.truncate(1);
        self.braces.truncate(1);
        let (outer, inner) = (*open.first()?, *open.last()?);
        // One whose line is set in further than the line of the brace that seems to close it.
        let odd = |open: &&usize| {
            let close = self.closes[**open].filter(|close| self.first_of_line(*close));
            **open > outer && close.is_some_and(|close| self.indents[close] < self.indents[**open])
        };
        Some(self.opens.iter().rev().find(odd).copied().unwrap_or(inner))
    }
}
