//! JSON values as records carry them, and the strict parser that makes them.
//!
//! Why not a general JSON crate: a record's numbers keep every digit (integers of up to 309 digits, floats
//! whose canonical form is Python's), duplicate keys and lone surrogates are refusals and not a matter of
//! taste, nesting and the number of values are bounded while parsing, and a batch is walked record by record
//! so that its tree never exists as a whole. Crates that offer arbitrary digits do so by a marker key inside
//! an object, which a sender could forge.

mod parser;

/// Bytes of a string that are looked at together.
const BLOCK_BYTES: usize = 32;
/// Bytes that are looked at one by one before that.
const NEAR_BYTES: usize = 4;

/// How many bytes stand before the first that means something in a string: a quote, a backslash, a control character.
/// `None` where all are plain. Never looks far beyond what it finds: a text may consist of such bytes.
pub(crate) fn plain_run(bytes: &[u8]) -> Option<usize> {
    let means_something = |b: &u8| matches!(b, b'"' | b'\\' | 0..=0x1f);
    // In such a text the next one is near.
    if let Some(at) = bytes.iter().take(NEAR_BYTES).position(means_something) {
        return Some(at);
    }
    bytes.chunks(BLOCK_BYTES).zip((0..).step_by(BLOCK_BYTES)).find_map(|(block, start)| {
        // The whole block at once, which processors do, before the place in it.
        let any = block.iter().fold(false, |any, b| any | means_something(b));
        if any { block.iter().position(means_something).map(|at| start + at) } else { None }
    })
}

pub(crate) use parser::excerpt;
pub use parser::{Bounds, JsonError, Parser};

/// A JSON value. Objects are sorted by key (code point order, which is UTF-8 byte order) and have no
/// duplicate keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, sorted by key.
    Object(Object),
}

/// A JSON number, exact.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// An integer that fits.
    Int(i64),
    /// Any other integer, in canonical decimal digits (no leading zero, no `+`, never `-0`).
    BigInt(Box<str>),
    /// A number written with a fraction or an exponent. Finite.
    Float(f64),
}

impl Number {
    /// The nearest double. Finite by construction.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
            Self::Int(n) => *n as f64,
            Self::BigInt(text) => text.parse().unwrap_or(f64::MAX),
            Self::Float(f) => *f,
        }
    }

    /// The value as a signed integer, if it is one and fits. `2.0` is the integer 2, as in canonical form.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            Self::BigInt(_) => None,
            Self::Float(f) => {
                let in_range = *f >= -9_223_372_036_854_775_808.0 && *f < 9_223_372_036_854_775_808.0;
                #[expect(clippy::cast_possible_truncation, reason = "integral and in range, just checked")]
                (f.fract() == 0.0 && in_range).then_some(*f as i64)
            }
        }
    }
}

/// The members of a JSON object, sorted by key.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(String, Json)>);

impl Object {
    /// Sorts members by key.
    ///
    /// # Errors
    /// The first key that occurs twice.
    pub fn from_members(mut members: Vec<(String, Json)>) -> Result<Self, String> {
        members.sort_by(|a, b| a.0.cmp(&b.0));
        for pair in members.windows(2) {
            if let [a, b] = pair
                && a.0 == b.0
            {
                return Err(a.0.clone());
            }
        }
        Ok(Self(members))
    }

    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok().and_then(|i| self.0.get(i)).map(|(_, v)| v)
    }

    /// The string under `key`, if there is one.
    #[must_use]
    pub fn str(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Json::as_str)
    }

    /// Members in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// Members in key order, by value.
    pub fn into_members(self) -> impl Iterator<Item = (String, Json)> {
        self.0.into_iter()
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Json {
    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(s) = self { Some(s) } else { None }
    }

    /// The boolean, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(b) = self { Some(*b) } else { None }
    }

    /// The integer, if it is one and fits an `i64`.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Number(n) = self { n.as_i64() } else { None }
    }

    /// The object, if it is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(o) = self { Some(o) } else { None }
    }

    /// The array, if it is one.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Json]> {
        if let Self::Array(a) = self { Some(a) } else { None }
    }

    /// Parses one JSON text: UTF-8, nothing but white space around the value.
    ///
    /// # Errors
    /// Any departure from RFC 8259, a duplicate key, a lone surrogate, a number over a double's range, or a
    /// bound of `bounds` passed.
    pub fn parse(text: &[u8], bounds: Bounds) -> Result<Self, JsonError> {
        let mut parser = Parser::new(text, bounds)?;
        let value = parser.value()?;
        parser.end()?;
        Ok(value)
    }

    /// An object from members known to have distinct keys.
    #[must_use]
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Self {
        let mut members: Vec<_> = members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Object(Object(members))
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<i64> for Json {
    fn from(n: i64) -> Self {
        Self::Number(Number::Int(n))
    }
}

impl From<bool> for Json {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever it stands, before, in and behind the bytes that are looked at together.
    #[test]
    fn the_first_byte_that_means_something_is_found() {
        assert_eq!(plain_run(b""), None);
        for length in 1..3 * BLOCK_BYTES {
            let plain = vec![b'~'; length];
            assert_eq!(plain_run(&plain), None);
            for (at, marked) in (0..length).flat_map(|at| [b'"', b'\\', 0, 0x1f].map(|b| (at, b))) {
                let mut bytes = plain.clone();
                bytes[at] = marked;
                assert_eq!(plain_run(&bytes), Some(at), "{marked} in {length}");
                bytes[length - 1] = b'"';
                assert_eq!(plain_run(&bytes), Some(at), "{marked} and a quote in {length}");
            }
        }
        assert_eq!(plain_run(&[b' ', 0x7f, 0x80, 0xff]), None);
    }
}
