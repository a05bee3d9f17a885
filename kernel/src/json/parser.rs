//! The strict parser.

use std::{borrow::Cow, fmt};

use super::{Json, Number, Object};

/// What one parse may use.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Deepest nesting of arrays and objects; the outermost is level 1.
    pub levels: usize,
    /// Most values in all.
    pub values: usize,
}

/// Why a text is not acceptable JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct JsonError {
    /// What is wrong, in words for the sender.
    pub reason: String,
    /// Byte offset into the text.
    pub offset: usize,
}

/// The beginning of a name that a sender chose, for a message: names have no bound, messages do.
pub(crate) fn excerpt(name: &str) -> String {
    name.chars().take(40).collect()
}

/// Most digits an integer may have: one more cannot be held by a double.
const INTEGER_DIGITS_MAX: usize = 309;

/// A pull parser over one JSON text.
pub struct Parser<'a> {
    text: &'a str,
    at: usize,
    level: usize,
    bounds: Bounds,
    values: usize,
}

impl fmt::Debug for Parser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser").field("at", &self.at).field("level", &self.level).finish_non_exhaustive()
    }
}

impl<'a> Parser<'a> {
    /// Starts at the beginning of `text`.
    ///
    /// # Errors
    /// When the text is not UTF-8.
    pub fn new(text: &'a [u8], bounds: Bounds) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(text)
            .map_err(|e| JsonError { reason: "not valid UTF-8".into(), offset: e.valid_up_to() })?;
        Ok(Self { text, at: 0, level: 0, bounds, values: 0 })
    }

    fn fail<T>(&self, reason: impl Into<String>) -> Result<T, JsonError> {
        Err(JsonError { reason: reason.into(), offset: self.at })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// A parser that goes on here with bounds of its own: a body inside its envelope.
    #[must_use]
    pub fn part(&self, bounds: Bounds) -> Self {
        Self { text: self.text, at: self.at, level: 0, bounds, values: 0 }
    }

    /// How far it is, in bytes from the beginning of the text.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Goes on where `part` has stopped.
    pub fn resume(&mut self, part: &Self) {
        self.at = part.at;
    }

    /// Expects nothing but white space up to the end.
    ///
    /// # Errors
    /// When there is more.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { self.fail("unexpected text after the JSON value") }
    }

    fn enter(&mut self) -> Result<(), JsonError> {
        self.level += 1;
        if self.level > self.bounds.levels {
            return self.fail(format!("nested deeper than {} levels", self.bounds.levels));
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), JsonError> {
        self.values += 1;
        if self.values > self.bounds.values {
            return self.fail(format!("more than {} values", self.bounds.values));
        }
        Ok(())
    }

    /// Parses one value.
    ///
    /// # Errors
    /// See [`Json::parse`].
    pub fn value(&mut self) -> Result<Json, JsonError> {
        self.count()?;
        self.skip_space();
        self.counted()
    }

    /// Parses one value that should be a string; `None` where it is another. Borrowed where it stands as it is meant.
    ///
    /// # Errors
    /// See [`Json::parse`].
    pub fn text(&mut self) -> Result<Option<Cow<'a, str>>, JsonError> {
        self.count()?;
        self.skip_space();
        if self.peek() == Some(b'"') { self.string().map(Some) } else { self.counted().map(|_| None) }
    }

    /// The value that begins here.
    fn counted(&mut self) -> Result<Json, JsonError> {
        match self.peek() {
            Some(b'{') => {
                let mut members = Vec::new();
                self.members(|parser, key| {
                    members.push((key.into_owned(), parser.value()?));
                    Ok::<(), JsonError>(())
                })?;
                match Object::from_members(members) {
                    Ok(object) => Ok(Json::Object(object)),
                    Err(key) => self.fail(format!("duplicate key {:?}", excerpt(&key))),
                }
            }
            Some(b'[') => {
                let mut elements = Vec::new();
                self.elements(|parser| {
                    elements.push(parser.value()?);
                    Ok::<(), JsonError>(())
                })?;
                Ok(Json::Array(elements))
            }
            Some(b'"') => Ok(Json::String(self.string()?.into_owned())),
            Some(b'-' | b'0'..=b'9') => Ok(Json::Number(self.number()?)),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => self.fail("expected a JSON value"),
            None => self.fail("the text ends where a JSON value should be"),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(value)
        } else {
            self.fail("expected a JSON value")
        }
    }

    /// Walks the members of the object that is next. `f` must consume each member's value.
    ///
    /// # Errors
    /// What `f` says, or when there is no well-formed object. Duplicate keys are the caller's to find.
    pub fn members<E: From<JsonError>>(
        &mut self,
        mut f: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{', "expected an object")?;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.close();
            return Ok(());
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Ok(self.fail("expected a string as key")?);
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Ok(self.fail("expected ':' after a key")?);
            }
            self.at += 1;
            f(self, key)?;
            if self.next_or_close(b'}')? {
                return Ok(());
            }
        }
    }

    /// Walks the elements of the array that is next. `f` must consume each.
    ///
    /// # Errors
    /// What `f` says, or when there is no well-formed array.
    pub fn elements<E: From<JsonError>>(
        &mut self,
        mut f: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'[', "expected an array")?;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.close();
            return Ok(());
        }
        loop {
            f(self)?;
            if self.next_or_close(b']')? {
                return Ok(());
            }
        }
    }

    fn open(&mut self, bracket: u8, expected: &str) -> Result<(), JsonError> {
        self.skip_space();
        if self.peek() != Some(bracket) {
            return self.fail(expected);
        }
        self.enter()?;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.at += 1;
        self.level = self.level.saturating_sub(1);
    }

    fn next_or_close(&mut self, bracket: u8) -> Result<bool, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(b) if b == bracket => {
                self.close();
                Ok(true)
            }
            _ => self.fail(format!("expected ',' or '{}'", char::from(bracket))),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        // Only where something is escaped does it differ from how it stands.
        let mut unescaped: Option<String> = None;
        loop {
            let text = &self.text[self.at..];
            let Some(run) = super::plain_run(text.as_bytes()) else {
                self.at = self.text.len();
                return self.fail("a string does not end");
            };
            let plain = &text[..run];
            self.at += run;
            match text.as_bytes().get(run) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(plain),
                        Some(before) => Cow::Owned(before + plain),
                    });
                }
                Some(b'\\') => {
                    let escaped = self.escape()?;
                    let out = unescaped.get_or_insert_default();
                    out.push_str(plain);
                    out.push(escaped);
                }
                _ => return self.fail("a control character in a string must be escaped"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let Some(letter) = self.text.as_bytes().get(self.at + 1).copied() else {
            return self.fail("a string does not end");
        };
        let plain = match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return self.fail("unknown escape in a string"),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let high = self.hex4(self.at + 2)?;
        let (code, length) = if (0xd800..0xdc00).contains(&high) {
            let bytes = self.text.as_bytes();
            if bytes.get(self.at + 6) != Some(&b'\\') || bytes.get(self.at + 7) != Some(&b'u') {
                return self.fail("a lone surrogate is no character");
            }
            let low = self.hex4(self.at + 8)?;
            if !(0xdc00..0xe000).contains(&low) {
                return self.fail("a lone surrogate is no character");
            }
            (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)
        } else {
            (high, 6)
        };
        let Some(character) = char::from_u32(code) else {
            return self.fail("a lone surrogate is no character");
        };
        self.at += length;
        Ok(character)
    }

    fn hex4(&self, at: usize) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(at..at + 4).unwrap_or_default();
        if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return self.fail("\\u needs four hex digits");
        }
        Ok(digits.iter().fold(0, |n, d| n * 16 + char::from(*d).to_digit(16).unwrap_or(0)))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Number, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let integer_start = self.at;
        let integer_digits = self.digits();
        if integer_digits == 0 {
            return self.fail("a number needs a digit");
        }
        if integer_digits > 1 && self.text.as_bytes().get(integer_start) == Some(&b'0') {
            return self.fail("a number has no leading zero");
        }
        let mut float = false;
        if self.peek() == Some(b'.') {
            float = true;
            self.at += 1;
            if self.digits() == 0 {
                return self.fail("a fraction needs a digit");
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            float = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return self.fail("an exponent needs a digit");
            }
        }
        let text = &self.text[start..self.at];
        if !float {
            if let Ok(n) = text.parse::<i64>() {
                return Ok(Number::Int(n));
            }
            if integer_digits > INTEGER_DIGITS_MAX {
                return self.fail("a number does not fit a double");
            }
        }
        match text.parse::<f64>() {
            Ok(f) if !f.is_finite() => self.fail("a number does not fit a double"),
            Ok(f) if float => Ok(Number::Float(f)),
            Ok(_) => Ok(Number::BigInt(text.into())),
            Err(_) => self.fail("not a number"),
        }
    }
}
