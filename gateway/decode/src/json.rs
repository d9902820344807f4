//! A strict reader of JSON text (RFC 8259) that keeps numbers as they were written: `37.60` is not `37.6`. Common JSON
//! crates turn numbers into floats first, or need a feature that would change them for every other crate.

use std::borrow::Cow;

use crate::error::Fault;

/// How deep values may be nested.
const DEPTH_MAX: usize = 32;

/// Reads one text from front to back.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// What a value begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// `-` or a digit
    Number,
    /// `t` or `f`
    Boolean,
    /// `n`
    Null,
}

const fn bad(what: &'static str) -> Fault {
    Fault::BadJson(what)
}

impl<'a> Reader<'a> {
    /// Begins at the front. The text must be UTF-8 (RFC 8259, 8.1).
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(bytes).map_err(|_| Fault::BadUtf8)?;
        Ok(Self { text, at: 0 })
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.rest().first().copied()?;
        self.at += 1;
        Some(byte)
    }

    /// Passes over white space and shows the next byte.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.rest().first().copied() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Whether only white space is left.
    pub fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes the byte if it comes next.
    pub fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    /// Takes the byte or fails.
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { Err(bad(what)) }
    }

    /// What comes next.
    pub fn kind(&mut self) -> Result<Kind, Fault> {
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Boolean),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(bad("a value is expected")),
            None => Err(bad("it ends early")),
        }
    }

    /// A string; borrowed unless it has escapes.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.expect(b'"', "a string is expected")?;
        let start = self.at;
        loop {
            match self.next() {
                Some(b'"') => return Ok(Cow::Borrowed(self.text.get(start..self.at - 1).unwrap_or_default())),
                Some(b'\\') => break,
                Some(0..=0x1f) => return Err(bad("a control character stands in a string")),
                Some(_) => {}
                None => return Err(bad("it ends early")),
            }
        }
        self.at -= 1;
        let mut owned = String::from(self.text.get(start..self.at).unwrap_or_default());
        loop {
            let run = self.at;
            let stop = self.rest().iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f));
            self.at += stop.ok_or(bad("it ends early"))?;
            owned.push_str(self.text.get(run..self.at).unwrap_or_default());
            match self.next() {
                Some(b'"') => return Ok(Cow::Owned(owned)),
                Some(b'\\') => owned.push(self.escape()?),
                _ => return Err(bad("a control character stands in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        Ok(match self.next().ok_or(bad("it ends early"))? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = match first {
                    0xd800..=0xdbff => {
                        let pair = self.next() == Some(b'\\') && self.next() == Some(b'u');
                        match if pair { self.hex()? } else { 0 } {
                            second @ 0xdc00..=0xdfff => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                            _ => return Err(bad("half a surrogate pair")),
                        }
                    }
                    code => code,
                };
                char::from_u32(code).ok_or(bad("half a surrogate pair"))?
            }
            _ => return Err(bad("an unknown escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|b| char::from(b).to_digit(16)).ok_or(bad("an escape needs 4 digits"))?;
            code = code << 4 | digit;
        }
        Ok(code)
    }

    /// A number, as it is written.
    pub fn number(&mut self) -> Result<&'a str, Fault> {
        self.kind()?;
        let start = self.at;
        let rest = self.rest();
        let mut len = usize::from(rest.first() == Some(&b'-'));
        let digits =
            |from: usize| rest.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
        let whole = digits(len);
        if whole == 0 || (whole > 1 && rest.get(len) == Some(&b'0')) {
            return Err(bad("a number is expected"));
        }
        len += whole;
        if rest.get(len) == Some(&b'.') {
            let decimals = digits(len + 1);
            if decimals == 0 {
                return Err(bad("a number has digits after its point"));
            }
            len += 1 + decimals;
        }
        if matches!(rest.get(len), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(len + 1), Some(b'+' | b'-')));
            let power = digits(len + 1 + sign);
            if power == 0 {
                return Err(bad("an exponent has digits"));
            }
            len += 1 + sign + power;
        }
        self.at += len;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool, Fault> {
        match self.kind()? {
            Kind::Boolean if self.word("true") => Ok(true),
            Kind::Boolean if self.word("false") => Ok(false),
            _ => Err(bad("true or false is expected")),
        }
    }

    /// `null`.
    pub fn null(&mut self) -> Result<(), Fault> {
        self.kind()?;
        if self.word("null") { Ok(()) } else { Err(bad("null is expected")) }
    }

    fn word(&mut self, word: &str) -> bool {
        let here = self.rest().starts_with(word.as_bytes());
        if here {
            self.at += word.len();
        }
        here
    }

    /// Passes over a value.
    pub fn skip(&mut self) -> Result<(), Fault> {
        self.skip_within(DEPTH_MAX)
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), Fault> {
        let deeper = depth.checked_sub(1).ok_or(bad("it is nested too deep"))?;
        match self.kind()? {
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Boolean => self.boolean().map(drop),
            Kind::Null => self.null(),
            Kind::Array => self.array(|reader| reader.skip_within(deeper)),
            Kind::Object => self.object(|reader, _| reader.skip_within(deeper)),
        }
    }

    /// Every element of an array; the closure reads it.
    pub fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.expect(b'[', "an array is expected")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.take(b',') {
                return self.expect(b']', "',' or ']' is expected");
            }
        }
    }

    /// Every member of an object; the closure reads its value.
    pub fn object(&mut self, mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Fault>) -> Result<(), Fault> {
        self.expect(b'{', "an object is expected")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.peek();
            let name = self.string()?;
            self.expect(b':', "':' is expected")?;
            each(self, name)?;
            if !self.take(b',') {
                return self.expect(b'}', "',' or '}' is expected");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(text: &[u8]) -> bool {
        Reader::new(text).and_then(|mut r| r.skip().map(|()| r.is_done())).unwrap_or(false)
    }

    #[test]
    fn strings_are_unescaped() {
        let read = |text: &'static str| Reader::new(text.as_bytes()).unwrap().string().map(Cow::into_owned);
        assert_eq!(read(r#""plain ä""#), Ok("plain ä".into()));
        assert_eq!(read(r#" "a\n\u00e4\ud83d\ude00\/z""#), Ok("a\nä😀/z".into()));
        for bad in [r#""\ud83d""#, r#""\ud83d\u0041""#, r#""\x""#, r#""\u12""#, "\"a\nb\"", r#""open"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_are_kept_as_written() {
        let read = |text: &'static str| Reader::new(text.as_bytes()).unwrap().number();
        for good in ["0", "-0", "37.60", "1e3", "1.276020076001e+09", "-12.5E-2"] {
            assert_eq!(read(good), Ok(good));
        }
        for bad in ["", "-", "01x", "00", ".5", "5.", "1e", "+1", "NaN", "-Infinity", "1e+"] {
            assert!(!accepts(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(accepts(format!("{}{}", "[".repeat(32 - 1), "]".repeat(32 - 1)).as_bytes()));
        assert!(!accepts(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).as_bytes()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn accepts_what_serde_json_accepts(text in r#"[\[\]{}":,0-9eE.+\-truefalsn \\ua"]{0,24}"#) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(accepts(text.as_bytes()), theirs, "{}", text);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = accepts(&bytes);
        }

        #[test]
        fn strings_read_back_as_serde_json_wrote_them(text in any::<String>()) {
            let written = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(Reader::new(written.as_bytes()).unwrap().string().unwrap().into_owned(), text);
        }
    }
}
