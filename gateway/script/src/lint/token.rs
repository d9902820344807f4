//! A script as tokens, with the places where brackets close. Rhai parses; this is for what Rhai tells only when it runs, and for
//! what stands behind a syntax error.

use std::ops::Range;

/// One token and its place, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    /// As written; of a text or character, what stands between its quotes.
    pub text: String,
    pub line: usize,
    pub column: usize,
    /// The bytes it stands on.
    pub span: Range<usize>,
}

/// What a [`Token`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Name,
    Integer,
    Float,
    Text,
    Char,
    /// `(`, `[`, `{`, `${`, or a back quote that holds code.
    Open,
    Close,
    Symbol,
}

const SYMBOLS: &[&str] = &[
    "<<=", ">>=", "**=", "..=", "==", "!=", "<=", ">=", "&&", "||", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=",
    "<<", ">>", "**", "=>", "..", "::", "??", "?.",
];

/// A source, cut into tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut {
    pub tokens: Vec<Token>,
    /// The bytes of the comments.
    pub comments: Vec<Range<usize>>,
    /// Where lines begin for Rhai, to which a carriage return may end one, too.
    pub lines: Vec<usize>,
    /// Where texts begin that their line ends, not their quote.
    pub torn: Vec<usize>,
    /// Where a text or comment begins that runs to the end of the source.
    pub unfinished: Option<usize>,
}

/// Line, column, byte.
type Place = (usize, usize, usize);

struct Lexer<'a> {
    source: &'a str,
    rest: &'a str,
    line: usize,
    column: usize,
    cut: Cut,
    /// Of each back-quoted text that is open in code: the braces open within its `${`.
    quoted: Vec<usize>,
}

/// All tokens of a source, comments left out.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    cut(source).tokens
}

/// The tokens of a source, and what stands between them.
pub(crate) fn cut(source: &str) -> Cut {
    let cut = Cut { lines: vec![0], ..Cut::default() };
    let mut lexer = Lexer { source, rest: source, line: 1, column: 1, cut, quoted: Vec::new() };
    while lexer.step() {}
    lexer.cut
}

/// Of every opening token, where it closes: its index, or the end.
pub(crate) fn closings(tokens: &[Token]) -> Vec<usize> {
    let mut closings = vec![tokens.len(); tokens.len()];
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Open => open.push(at),
            Kind::Close => {
                if let Some(slot) = open.pop().and_then(|from: usize| closings.get_mut(from)) {
                    *slot = at;
                }
            }
            _ => {}
        }
    }
    closings
}

impl Lexer<'_> {
    fn at(&self) -> usize {
        self.source.len() - self.rest.len()
    }

    fn place(&self) -> Place {
        (self.line, self.column, self.at())
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
            self.cut.lines.push(self.at());
        } else {
            self.column += 1;
        }
        Some(c)
    }

    /// A carriage return by itself, where it ends a line for Rhai.
    fn line_of_return(&mut self) {
        if self.rest.starts_with('\r') && !self.rest.starts_with("\r\n") {
            self.bump();
            self.cut.lines.push(self.at());
        }
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while self.rest.chars().next().is_some_and(&wanted) {
            text.extend(self.bump());
        }
        text
    }

    fn push(&mut self, kind: Kind, text: String, (line, column, from): Place) {
        let span = from..self.at();
        self.cut.tokens.push(Token { kind, text, line, column, span });
    }

    fn step(&mut self) -> bool {
        let place = self.place();
        let Some(c) = self.rest.chars().next() else { return false };
        if c.is_ascii_whitespace() {
            self.bump();
        } else if self.rest.starts_with("//") {
            self.take(|c| c != '\n' && c != '\r');
            self.cut.comments.push(place.2..self.at());
            self.line_of_return();
        } else if self.rest.starts_with("/*") {
            self.comment();
            self.cut.comments.push(place.2..self.at());
        } else if c.is_alphabetic() || c == '_' {
            let name = self.take(|c| c.is_alphanumeric() || c == '_');
            self.push(Kind::Name, name, place);
        } else if c.is_ascii_digit() {
            self.number(place);
        } else if c == '"' || c == '\'' {
            self.bump();
            let text = self.until(c, place.2);
            self.push(if c == '"' { Kind::Text } else { Kind::Char }, text, place);
        } else if c == '#' {
            self.raw(place);
        } else if c == '`' {
            self.bump();
            self.line_of_return();
            self.back_quoted(place, true);
        } else if c == '}' && self.quoted.last() == Some(&0) {
            self.quoted.pop();
            self.bump();
            self.push(Kind::Close, "}".to_owned(), place);
            self.back_quoted(self.place(), false);
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol)) {
            for _ in symbol.chars() {
                self.bump();
            }
            self.push(Kind::Symbol, (*symbol).to_owned(), place);
        } else {
            self.bump();
            if let Some(braces) = self.quoted.last_mut() {
                *braces += usize::from(c == '{');
                *braces -= usize::from(c == '}');
            }
            let kind = match c {
                '(' | '[' | '{' => Kind::Open,
                ')' | ']' | '}' => Kind::Close,
                _ => Kind::Symbol,
            };
            self.push(kind, c.to_string(), place);
        }
        true
    }

    /// Block comments nest. The star of a documentation comment closes nothing: `/**/` is open.
    fn comment(&mut self) {
        let from = self.at();
        self.bump();
        self.bump();
        if self.rest.starts_with('*') {
            self.bump();
        }
        let mut depth = 1;
        while depth > 0 {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.bump();
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.bump();
            }
            if self.bump().is_none() {
                self.cut.unfinished = Some(from);
                return;
            }
        }
    }

    /// `1.5e3`, `0xff`, `1_000`. The first dot of `0..n` is none of its own.
    fn number(&mut self, place: Place) {
        let mut text = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
        let after = |at: usize| self.rest.as_bytes().get(at).copied();
        let mut float = false;
        if after(0) == Some(b'.') && after(1).is_some_and(|b| b.is_ascii_digit()) {
            float = true;
            text.extend(self.bump());
            text.push_str(&self.take(|c| c.is_ascii_alphanumeric() || c == '_'));
        }
        let exponent = !text.starts_with("0x") && text.contains(['e', 'E']);
        if exponent && text.ends_with(['e', 'E']) && self.rest.starts_with(['+', '-']) {
            text.extend(self.bump());
            text.push_str(&self.take(|c| c.is_ascii_digit()));
        }
        self.push(if float || exponent { Kind::Float } else { Kind::Integer }, text, place);
    }

    /// Up to the quote, which stands on the same line, unless that ends in `\`. Where there is none, the brackets and
    /// semicolons at the end of the line are taken for code: somebody forgot the quote before them.
    fn until(&mut self, quote: char, from: usize) -> String {
        let mut text = String::new();
        let mut code = (self.rest, self.line, self.column, 0);
        while !self.rest.is_empty() && !self.rest.starts_with('\n') {
            let Some(c) = self.bump() else { break };
            if c == quote {
                return text;
            }
            text.push(c);
            if c == '\\' {
                if self.rest.starts_with("\r\n") {
                    text.extend(self.bump());
                }
                text.extend(self.bump());
            }
            if !matches!(c, ';' | ',' | '(' | ')' | '[' | ']' | '{' | '}') && !c.is_ascii_whitespace() {
                code = (self.rest, self.line, self.column, text.len());
            }
        }
        self.cut.torn.push(from);
        text.truncate(code.3);
        (self.rest, self.line, self.column) = (code.0, code.1, code.2);
        text
    }

    /// A text between `#"` and `"#`, with as many `#` before as behind; or these `#` alone.
    fn raw(&mut self, place: Place) {
        let hashes = self.take(|c| c == '#');
        if !self.rest.starts_with('"') {
            let (line, column, from) = place;
            self.cut.tokens.extend((0..hashes.len()).map(|at| Token {
                kind: Kind::Symbol,
                text: "#".to_owned(),
                line,
                column: column + at,
                span: from + at..from + at + 1,
            }));
            return;
        }
        self.bump();
        let end = format!("\"{hashes}");
        let length = self.rest.find(&end);
        let text = self.rest[..length.unwrap_or(self.rest.len())].to_owned();
        let left = length.map_or(0, |length| self.rest.len() - length - end.len());
        while self.rest.len() > left {
            self.bump();
        }
        if length.is_none() {
            self.cut.unfinished = Some(place.2);
        }
        self.push(Kind::Text, text, place);
    }

    /// What follows a back quote, or the `}` that ended code within one.
    fn back_quoted(&mut self, place: Place, first: bool) {
        let mut text = String::new();
        loop {
            if self.rest.starts_with("${") {
                if first {
                    self.push(Kind::Open, "`".to_owned(), place);
                }
                let here = self.place();
                self.bump();
                self.bump();
                self.quoted.push(0);
                self.push(Kind::Open, "${".to_owned(), here);
                return;
            }
            let c = self.bump();
            if c.is_none() {
                self.cut.unfinished = Some(place.2);
            }
            match c {
                Some('`') | None if first => return self.push(Kind::Text, text, place),
                Some('`') | None => return self.push(Kind::Close, "`".to_owned(), place),
                // `\${` is text.
                Some('\\') if self.rest.starts_with("${") => text.extend(self.bump()),
                Some(c) => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn code_and_texts_are_told_apart() {
        assert_eq!(
            texts("a.b(\"c // d\", 1.5e-3) >= 0..9 // e"),
            ["a", ".", "b", "(", "c // d", ",", "1.5e-3", ")", ">=", "0", "..", "9"]
        );
        assert_eq!(
            texts("`x ${a + `y ${#{b: 1}}`} z` + c"),
            ["`", "${", "a", "+", "`", "${", "#", "{", "b", ":", "1", "}", "}", "`", "}", "`", "+", "c"]
        );
        assert_eq!(texts("/* a /* b */ c */ 'x' `plain`"), ["x", "plain"]);
        assert_eq!(texts("/**/ a */ b // c\rd"), ["b", "d"]);
        assert_eq!(texts("#\"a \" b\"# c ##\"d\"# e\"## f #{}"), ["a \" b", "c", "d\"# e", "f", "#", "{", "}"]);
        assert_eq!(texts("`a \\${b}` c"), ["a ${b}", "c"]);
    }

    #[test]
    fn a_text_without_its_quote_ends_with_its_line_and_leaves_the_brackets_behind_it() {
        assert_eq!(texts("f(\"a b);\nc"), ["f", "(", "a b", ")", ";", "c"]);
        assert_eq!(texts("if a == \"b {\n'c\nd"), ["if", "a", "==", "b", "{", "c", "d"]);
        assert_eq!(texts("\"a \\\n  b\" c"), ["a \\\n  b", "c"]);
        let found = cut("a = \"b;\nc = `d\ne");
        assert_eq!((found.torn, found.unfinished), (vec![4], Some(12)));
        assert_eq!(cut("a /* b /* c */").unfinished, Some(2));
        assert_eq!(cut("a #\"b\"").unfinished, Some(2));
    }

    #[test]
    fn tokens_know_the_bytes_they_stand_on_and_lines_where_rhai_begins_them() {
        let source = "ä = `x ${b} y`;\n// c\rd";
        let found = cut(source);
        let spans: Vec<&str> = found.tokens.iter().map(|token| &source[token.span.clone()]).collect();
        assert_eq!(spans, ["ä", "=", "`x ", "${", "b", "}", " y`", ";", "d"]);
        assert_eq!(found.lines, [0, 17, 22]);
        assert_eq!(found.comments.first(), Some(&(17..21)));
    }

    #[test]
    fn brackets_know_where_they_close() {
        let found = tokens("f(a[1], `${b}`)");
        let closings = closings(&found);
        assert_eq!(closings[1], found.len() - 1);
        assert_eq!(closings[3], 5);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_to_its_end(source in "[ -~\n`${}]{0,120}") {
            let found = tokens(&source);
            proptest::prop_assert_eq!(closings(&found).len(), found.len());
        }
    }
}
