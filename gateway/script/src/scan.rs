//! The words of a script: names, calls and plain text literals, with their places.
//!
//! Not a parser: Rhai parses. This finds what Rhai would tell only at run time (a function that does not exist) and what
//! the native side wants to know before the first reading (the spans of the windows a rule asks for).

/// A word or literal and its place, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What kind it is.
    pub kind: WordKind,
    /// The text; of a literal, what stands between its quotes.
    pub text: String,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// What a [`Word`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordKind {
    /// A name that is not called.
    Name,
    /// A name after `.` or `?.` that is not called.
    Property,
    /// A name followed by `(`.
    Call,
    /// A name after `.` followed by `(`.
    Method,
    /// `"…"` or `` `…` ``, as written.
    Text,
}

struct Cursor<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.line += 1;
            self.column = 0;
        } else {
            self.column += 1;
        }
        Some(c)
    }
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }
}

/// All words of a source text, comments left out. What stands in `${…}` of a back-quoted text is code, too.
pub fn words(source: &str) -> Vec<Word> {
    words_and_open_comment(source).0
}

/// The words, and line and column of a comment that nobody closes: Rhai takes the rest of the source for a part of it, and says
/// nothing.
pub(crate) fn words_and_open_comment(source: &str) -> (Vec<Word>, Option<(usize, usize)>) {
    let mut cursor = Cursor { rest: source.chars().peekable(), line: 1, column: 0 };
    let mut words: Vec<Word> = Vec::new();
    let mut open_comment = None;
    let mut after_dot = false;
    // Whether the last word is a name that only white space separates from here.
    let mut open = false;
    // Of each `${` that is open: the braces open within it.
    let mut nested: Vec<usize> = Vec::new();
    while let Some(c) = cursor.next() {
        let (line, column) = (cursor.line, cursor.column);
        match c {
            '/' if cursor.peek() == Some('/') => {
                // To Rhai a carriage return ends a line, too.
                while cursor.peek().is_some_and(|c| c != '\n' && c != '\r') {
                    cursor.next();
                }
            }
            '/' if cursor.peek() == Some('*') => {
                cursor.next();
                // The star of a documentation comment closes nothing: `/**/` is open.
                if cursor.peek() == Some('*') {
                    cursor.next();
                }
                if !block_comment(&mut cursor) {
                    open_comment = Some((line, column));
                }
            }
            '#' if matches!(cursor.peek(), Some('"' | '#')) => {
                let text = raw_text(&mut cursor);
                words.push(Word { kind: WordKind::Text, text, line, column });
                (after_dot, open) = (false, false);
            }
            '"' | '`' | '}' if c != '}' || nested.last() == Some(&0) => {
                if c == '}' {
                    nested.pop();
                }
                let (text, code) = literal(&mut cursor, if c == '}' { '`' } else { c });
                words.push(Word { kind: WordKind::Text, text, line, column });
                if code {
                    nested.push(0);
                }
                (after_dot, open) = (false, false);
            }
            '{' | '}' => {
                if let Some(braces) = nested.last_mut() {
                    *braces = if c == '{' { *braces + 1 } else { braces.saturating_sub(1) };
                }
                (after_dot, open) = (false, false);
            }
            '\'' => {
                literal(&mut cursor, c);
                (after_dot, open) = (false, false);
            }
            _ if c.is_ascii_digit() => {
                // 1.0e5, 0xff, 1_000: not names. A range such as `0..n` ends the number at its first dot.
                while let Some(next) = cursor.peek() {
                    let mut ahead = cursor.rest.clone();
                    ahead.next();
                    let fraction = next == '.' && ahead.peek().is_some_and(char::is_ascii_digit);
                    if !next.is_ascii_alphanumeric() && next != '_' && !fraction {
                        break;
                    }
                    cursor.next();
                }
                (after_dot, open) = (false, false);
            }
            _ if c.is_alphabetic() || c == '_' => {
                let mut text = String::from(c);
                while let Some(next) = cursor.peek().filter(|c| c.is_alphanumeric() || *c == '_') {
                    text.push(next);
                    cursor.next();
                }
                let kind = if after_dot { WordKind::Property } else { WordKind::Name };
                words.push(Word { kind, text, line, column });
                (after_dot, open) = (false, true);
            }
            '(' => {
                if let (true, Some(last)) = (open, words.last_mut()) {
                    last.kind = if last.kind == WordKind::Property { WordKind::Method } else { WordKind::Call };
                }
                (after_dot, open) = (false, false);
            }
            '.' => {
                after_dot = cursor.peek() != Some('.');
                if !after_dot {
                    cursor.next();
                }
                open = false;
            }
            _ if c.is_whitespace() => {}
            _ => (after_dot, open) = (false, false),
        }
    }
    (words, open_comment)
}

/// Rhai's block comments nest. Whether this one ends before the source does.
fn block_comment(cursor: &mut Cursor<'_>) -> bool {
    let mut depth = 1;
    while let Some(c) = cursor.next() {
        match (c, cursor.peek()) {
            ('*', Some('/')) => {
                cursor.next();
                depth -= 1;
                if depth == 0 {
                    return true;
                }
            }
            ('/', Some('*')) => {
                cursor.next();
                depth += 1;
            }
            _ => {}
        }
    }
    false
}

/// A text between `#"` and `"#`, with as many `#` before as behind: what stands in it is only text. The first `#` was read.
fn raw_text(cursor: &mut Cursor<'_>) -> String {
    let mut hashes = 1;
    while cursor.peek() == Some('#') {
        cursor.next();
        hashes += 1;
    }
    cursor.next();
    let end = format!("\"{}", "#".repeat(hashes));
    let mut text = String::new();
    while !text.ends_with(&end) {
        match cursor.next() {
            Some(c) => text.push(c),
            None => return text,
        }
    }
    text.truncate(text.len() - end.len());
    text
}

/// The text up to its closing quote, and whether it stopped at a `${` instead.
fn literal(cursor: &mut Cursor<'_>, quote: char) -> (String, bool) {
    let mut text = String::new();
    // Without its quote, a text ends with its line.
    while quote == '`' || cursor.peek() != Some('\n') {
        let Some(c) = cursor.next() else { break };
        match c {
            '\\' if quote != '`' => {
                text.push(c);
                if cursor.peek() == Some('\r') {
                    text.extend(cursor.next());
                }
                text.extend(cursor.next());
            }
            '\\' if cursor.peek() == Some('$') => {
                text.push(c);
                text.extend(cursor.next());
            }
            '$' if quote == '`' && cursor.peek() == Some('{') => {
                cursor.next();
                return (text, true);
            }
            _ if c == quote => return (text, false),
            _ => text.push(c),
        }
    }
    (text, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<(WordKind, String)> {
        words(source).into_iter().map(|w| (w.kind, w.text)).collect()
    }

    #[test]
    fn calls_methods_and_texts_are_told_apart() {
        let found = kinds("let x = heart_rate.mean(\"5min\") // slope(\n + f (1.5e3) /* /* g( */ h( */ .. x.y");
        let expected = [
            (WordKind::Name, "let"),
            (WordKind::Name, "x"),
            (WordKind::Name, "heart_rate"),
            (WordKind::Method, "mean"),
            (WordKind::Text, "5min"),
            (WordKind::Call, "f"),
            (WordKind::Name, "x"),
            (WordKind::Property, "y"),
        ];
        assert_eq!(found, expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn an_unfinished_text_or_comment_ends_with_the_source() {
        assert_eq!(kinds("\"abc"), [(WordKind::Text, "abc".to_owned())]);
        assert_eq!(kinds("/* abc"), []);
        assert_eq!(kinds("'\\'' q"), [(WordKind::Name, "q".to_owned())]);
        let found = kinds("\"abc\nd 'e\nf");
        assert_eq!(found.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["abc", "d", "f"]);
    }

    #[test]
    fn a_comment_that_nobody_closes_is_found_where_it_begins() {
        let open = |source: &str| words_and_open_comment(source).1;
        assert_eq!(open("a > 1\n  /* b\n && c"), Some((2, 3)));
        assert_eq!(open("a /* b /* c */"), Some((1, 3)));
        assert_eq!(open("a /**/ b"), Some((1, 3)));
        for closed in ["a /* b */", "/* /* */ */", "/** b */", "// /*", "\"/*\"", "`/*`", "#\"/*\"#", "'/' * a"] {
            assert_eq!(open(closed), None, "{closed}");
        }
    }

    #[test]
    fn text_and_comments_end_where_they_end_for_rhai() {
        let names = |source: &str| -> Vec<String> {
            words(source).into_iter().filter(|word| word.kind != WordKind::Text).map(|word| word.text).collect()
        };
        assert_eq!(names("#\"\\\"# a // \""), ["a"]);
        assert_eq!(names("##\"b \"# c\"## a"), ["a"]);
        assert_eq!(names("#{ a: b }"), ["a", "b"]);
        assert_eq!(names("`\\${b` + a // }`"), ["a"]);
        assert_eq!(names("`\\$ ${a}`"), ["a"]);
        assert_eq!(names("// b\ra"), ["a"]);
        assert_eq!(names("/**/ b */ a"), ["a"]);
        assert_eq!(words("#\"b"), [Word { kind: WordKind::Text, text: "b".to_owned(), line: 1, column: 1 }]);
    }

    #[test]
    fn code_within_a_text_is_code() {
        let found = kinds("`a ${b.c({ 1 })} d ${`e ${f}`}` g");
        let expected = [
            (WordKind::Text, "a "),
            (WordKind::Name, "b"),
            (WordKind::Method, "c"),
            (WordKind::Text, " d "),
            (WordKind::Text, "e "),
            (WordKind::Name, "f"),
            (WordKind::Text, ""),
            (WordKind::Text, ""),
            (WordKind::Name, "g"),
        ];
        assert_eq!(found, expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_scanned_to_its_end(source in ".{0,200}") {
            for word in words(&source) {
                proptest::prop_assert!(word.line >= 1 && word.column >= 1);
            }
        }
    }
}
