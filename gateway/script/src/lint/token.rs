//! A script as tokens, with the places where brackets close. Rhai parses; this is for what Rhai tells only when it runs.

/// One token and its place, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    /// As written; of a text or character, what stands between its quotes.
    pub text: String,
    pub line: usize,
    pub column: usize,
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

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
    tokens: Vec<Token>,
    /// Of each back-quoted text that is open in code: the braces open within its `${`.
    quoted: Vec<usize>,
}

/// All tokens of a source, comments left out.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: source, line: 1, column: 1, tokens: Vec::new(), quoted: Vec::new() };
    while lexer.step() {}
    lexer.tokens
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
    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while self.rest.chars().next().is_some_and(&wanted) {
            text.extend(self.bump());
        }
        text
    }

    fn push(&mut self, kind: Kind, text: String, (line, column): (usize, usize)) {
        self.tokens.push(Token { kind, text, line, column });
    }

    fn step(&mut self) -> bool {
        let place = (self.line, self.column);
        let Some(c) = self.rest.chars().next() else { return false };
        if c.is_whitespace() {
            self.bump();
        } else if self.rest.starts_with("//") {
            self.take(|c| c != '\n');
        } else if self.rest.starts_with("/*") {
            self.comment();
        } else if c.is_alphabetic() || c == '_' {
            let name = self.take(|c| c.is_alphanumeric() || c == '_');
            self.push(Kind::Name, name, place);
        } else if c.is_ascii_digit() {
            self.number(place);
        } else if c == '"' || c == '\'' {
            self.bump();
            let text = self.until(c);
            self.push(if c == '"' { Kind::Text } else { Kind::Char }, text, place);
        } else if c == '`' {
            self.bump();
            self.back_quoted(place, true);
        } else if c == '}' && self.quoted.last() == Some(&0) {
            self.quoted.pop();
            self.bump();
            self.push(Kind::Close, "}".to_owned(), place);
            self.back_quoted(place, false);
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

    /// Block comments nest.
    fn comment(&mut self) {
        let mut depth = 0;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.bump();
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.bump();
            }
            if self.bump().is_none() || depth == 0 {
                return;
            }
        }
    }

    /// `1.5e3`, `0xff`, `1_000`. The first dot of `0..n` is none of its own.
    fn number(&mut self, place: (usize, usize)) {
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

    fn until(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some(c) = self.bump() {
            if c == quote {
                break;
            }
            text.push(c);
            if c == '\\' {
                text.extend(self.bump());
            }
        }
        text
    }

    /// What follows a back quote, or the `}` that ended code within one.
    fn back_quoted(&mut self, place: (usize, usize), first: bool) {
        let mut text = String::new();
        loop {
            if self.rest.starts_with("${") {
                if first {
                    self.push(Kind::Open, "`".to_owned(), place);
                }
                let here = (self.line, self.column);
                self.bump();
                self.bump();
                self.quoted.push(0);
                self.push(Kind::Open, "${".to_owned(), here);
                return;
            }
            match self.bump() {
                Some('`') | None if first => return self.push(Kind::Text, text, place),
                Some('`') | None => return self.push(Kind::Close, "`".to_owned(), place),
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
