//! The committed definitions (`*.d.rhai`) are what Rhai's language server reads: its grammar of definition files
//! (github.com/rhaiscript/lsp, `def.rs` and `ty.rs` among the parsers of `rhai-rowan`), as far as we write it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

/// Words that are no names there (`syntax.rs`).
const KEYWORDS: &[&str] = &[
    "let",
    "const",
    "for",
    "do",
    "until",
    "while",
    "in",
    "loop",
    "break",
    "continue",
    "if",
    "else",
    "switch",
    "fn",
    "private",
    "return",
    "throw",
    "try",
    "catch",
    "import",
    "export",
    "as",
    "var",
    "static",
    "goto",
    "exit",
    "match",
    "case",
    "public",
    "protected",
    "new",
    "use",
    "with",
    "module",
    "package",
    "super",
    "spawn",
    "thread",
    "go",
    "sync",
    "async",
    "await",
    "yield",
    "default",
    "void",
    "null",
    "nil",
    "true",
    "false",
];
/// Signs of several characters: the longest is taken.
const SIGNS: &[&str] =
    &["...", "..=", ">>=", "<<=", "..", "->", "=>", "==", ">>", ">=", "<<", "<=", "::", "||", "|=", "?.", "?[", "??"];

/// Words and signs with their lines; comments are left out.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with("//") {
            let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).map(|sign| sign.len());
            let one = rest.chars().next().map_or(0, char::len_utf8);
            let (token, after) = rest.split_at(if word > 0 { word } else { sign.unwrap_or(one) });
            found.push((number + 1, token));
            rest = after.trim_start();
        }
    }
    found
}

struct Reader<'a> {
    tokens: Vec<(usize, &'a str)>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).map_or("", |(_, token)| *token)
    }

    fn take(&mut self) -> &'a str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        let token = self.take();
        if token == wanted { Ok(()) } else { Err(format!("`{token}` where `{wanted}` belongs")) }
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let token = self.take();
        let is_led = token.trim_start_matches('_').starts_with(|c: char| c.is_ascii_alphabetic());
        if is_led && !KEYWORDS.contains(&token) { Ok(token) } else { Err(format!("`{token}` is no name")) }
    }

    /// Items with commas between, to the bracket that closes them.
    fn list(&mut self, close: &str, item: fn(&mut Self) -> Result<(), String>) -> Result<(), String> {
        while self.peek() != close {
            item(self)?;
            if self.peek() != close {
                self.expect(",")?;
            }
        }
        self.expect(close)
    }

    fn kind(&mut self) -> Result<(), String> {
        match self.peek() {
            "?" => self.expect("?")?,
            "(" => {
                self.take();
                self.list(")", Self::kind)?;
            }
            "[" => {
                self.take();
                self.list("]", Self::kind)?;
            }
            _ => {
                self.name()?;
                if self.peek() == "<" {
                    self.take();
                    self.list(">", Self::kind)?;
                }
            }
        }
        if self.peek() != "|" {
            return Ok(());
        }
        self.take();
        self.kind()
    }

    fn param(&mut self) -> Result<(), String> {
        if self.peek() == "..." {
            self.take();
        }
        if self.peek() == "_" {
            self.take();
        } else {
            self.name()?;
        }
        self.expect(":")?;
        self.kind()
    }

    fn statement(&mut self) -> Result<(), String> {
        match self.take() {
            "module" => self.expect("static")?,
            "let" => {
                self.name()?;
                self.expect(":")?;
                self.kind()?;
            }
            "fn" => {
                let name = self.name()?;
                // What is read or set after a dot.
                if matches!(name, "get" | "set") && self.peek() != "(" {
                    self.name()?;
                }
                self.expect("(")?;
                self.list(")", Self::param)?;
                if self.peek() == "->" {
                    self.take();
                    self.kind()?;
                }
            }
            token => return Err(format!("`{token}` begins no definition")),
        }
        self.expect(";")
    }
}

/// Every statement that is none, with its line.
fn wrong(text: &str) -> Vec<String> {
    let mut reader = Reader { tokens: tokens(text), at: 0 };
    let mut found = Vec::new();
    while let Some((line, _)) = reader.tokens.get(reader.at).copied() {
        if let Err(why) = reader.statement() {
            found.push(format!("line {line}: {why}"));
            while reader.at < reader.tokens.len() && reader.tokens[reader.at - 1].1 != ";" {
                reader.at += 1;
            }
        }
    }
    found
}

#[test]
fn editors_read_every_definition() {
    for file in ["rules/rules.d.rhai", "plugins/plugins.d.rhai", "plugins/outputs.d.rhai"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let found = wrong(&text);
        assert!(found.is_empty(), "{file}:\n{}", found.join("\n"));
        assert!(text.matches("\nfn ").count() > 300, "{file} is not all there");
        // Scripts know no such kinds.
        let rust = tokens(&text).into_iter().find(|(_, token)| matches!(*token, "i64" | "INT" | "f64" | "FLOAT"));
        assert_eq!(rust, None, "{file}");
    }
}

#[test]
fn what_editors_cannot_read_is_found() {
    for text in [
        "fn bits(value: int, range: range=) -> BitRange;",
        "fn append(string: String, mut item: ?) -> ();",
        "fn range(from: int, to: int) -> Range<i64;",
        "fn f(x: A<B<int>>) -> ();",
        "fn f(x) -> int;",
        "let in: ?;",
        "type_of(x: ?) -> String;",
        "fn f() -> int",
    ] {
        assert_eq!(wrong(&format!("module static;\nlet a: ?;\n{text}\n")).len(), 1, "{text}");
    }
    assert_eq!(wrong("module static;\nfn call(f: Fn, ...args: ?) -> ?;\nfn get age(_: Input) -> int | ();"), [""; 0]);
}
