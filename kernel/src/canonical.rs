//! Canonical JSON: the one byte form of a value that is hashed.
//!
//! Keys sorted by Unicode code point at every depth; no white space; strings escaped only for `"`, `\` and
//! the C0 controls (`\b \t \n \f \r`, else `\u00xx`), all else as UTF-8 without normalisation; integers in
//! full; a float with an integral value as that integer in full (`1e22` is `10000000000000000000000`, `-0.0`
//! is `0`); other floats as the shortest digits that round-trip, written as Python's `repr` writes them
//! (`0.0001`, `1e-05`, `22.5`). The published Python client's `canonical_json` gives the same bytes.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;

use crate::json::{Json, Number, plain_run};

/// The canonical text would be longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the canonical form is longer than {limit_bytes} bytes")]
pub struct TooLong {
    /// The bound that was passed.
    pub limit_bytes: usize,
}

/// Writes canonical JSON behind what a buffer holds, up to a bound.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut String,
    end_max: usize,
    limit_bytes: usize,
}

impl<'a> Writer<'a> {
    /// A writer that refuses to add more than `limit_bytes`.
    #[must_use]
    pub fn after(out: &'a mut String, limit_bytes: usize) -> Self {
        let end_max = out.len().saturating_add(limit_bytes);
        Self { out, end_max, limit_bytes }
    }

    fn check(&self) -> Result<(), TooLong> {
        if self.out.len() > self.end_max { Err(TooLong { limit_bytes: self.limit_bytes }) } else { Ok(()) }
    }

    /// Appends text that is canonical already.
    ///
    /// # Errors
    /// When the bound is passed.
    pub fn raw(&mut self, text: &str) -> Result<(), TooLong> {
        self.out.push_str(text);
        self.check()
    }

    /// Appends a value. The bound is checked after every scalar, so that the buffer passes it by one scalar
    /// at most.
    ///
    /// # Errors
    /// When the bound is passed.
    pub fn value(&mut self, value: &Json) -> Result<(), TooLong> {
        match value {
            Json::Null => self.raw("null"),
            Json::Bool(true) => self.raw("true"),
            Json::Bool(false) => self.raw("false"),
            Json::Number(number) => {
                write_number(self.out, number);
                self.check()
            }
            Json::String(text) => self.string(text),
            Json::Array(elements) => {
                self.raw("[")?;
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        self.raw(",")?;
                    }
                    self.value(element)?;
                }
                self.raw("]")
            }
            Json::Object(object) => {
                self.raw("{")?;
                for (i, (key, member)) in object.iter().enumerate() {
                    if i > 0 {
                        self.raw(",")?;
                    }
                    self.string(key)?;
                    self.raw(":")?;
                    self.value(member)?;
                }
                self.raw("}")
            }
        }
    }

    /// Appends a number.
    ///
    /// # Errors
    /// When the bound is passed.
    pub fn unsigned(&mut self, number: u64) -> Result<(), TooLong> {
        let _ = write!(self.out, "{number}");
        self.check()
    }

    /// Appends bytes in lowercase hex.
    ///
    /// # Errors
    /// When the bound is passed.
    pub fn hex(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        HEXLOWER.encode_append(bytes, self.out);
        self.check()
    }

    /// Appends a string.
    ///
    /// # Errors
    /// When the bound is passed.
    pub fn string(&mut self, text: &str) -> Result<(), TooLong> {
        self.out.push('"');
        let mut rest = text;
        while let Some(at) = plain_run(rest.as_bytes()) {
            self.out.push_str(&rest[..at]);
            match rest.as_bytes()[at] {
                b'"' => self.out.push_str("\\\""),
                b'\\' => self.out.push_str("\\\\"),
                0x08 => self.out.push_str("\\b"),
                b'\t' => self.out.push_str("\\t"),
                b'\n' => self.out.push_str("\\n"),
                0x0c => self.out.push_str("\\f"),
                b'\r' => self.out.push_str("\\r"),
                control => {
                    let _ = write!(self.out, "\\u{control:04x}");
                }
            }
            rest = &rest[at + 1..];
        }
        self.out.push_str(rest);
        self.out.push('"');
        self.check()
    }
}

/// The canonical text of a value, at most `limit_bytes` long.
///
/// # Errors
/// When it would be longer.
pub fn canonical(value: &Json, limit_bytes: usize) -> Result<String, TooLong> {
    let mut text = String::new();
    Writer::after(&mut text, limit_bytes).value(value)?;
    Ok(text)
}

fn write_number(out: &mut String, number: &Number) {
    match number {
        Number::Int(n) => {
            let _ = write!(out, "{n}");
        }
        Number::BigInt(digits) => out.push_str(digits),
        Number::Float(f) => write_float(out, *f),
    }
}

/// Python's `repr` of a double, with integral values as integers in full.
fn write_float(out: &mut String, f: f64) {
    if f.fract() == 0.0 {
        if f == 0.0 {
            out.push('0');
        } else {
            // `{:.0}` prints the exact value of the double; `{}` would pad the shortest digits with zeros.
            let _ = write!(out, "{f:.0}");
        }
        return;
    }
    if f.abs() < 1e-4 {
        // Digits as `1.234e-5`; Python writes at least two digits of exponent.
        let shortest = format!("{f:e}");
        let decimals = decimals(&shortest);
        let text = nearest(f, shortest, format!("{f:.decimals$e}"));
        match text.split_once("e-") {
            Some((digits, exponent)) => {
                let _ = write!(out, "{digits}e-{exponent:0>2}");
            }
            None => out.push_str(&text),
        }
    } else {
        // Not integral, so below 2^53: Python never uses an exponent here, nor does `{}`.
        let shortest = format!("{f}");
        let decimals = decimals(&shortest);
        out.push_str(&nearest(f, shortest, format!("{f:.decimals$}")));
    }
}

/// How many digits follow the point.
fn decimals(text: &str) -> usize {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    fraction.bytes().take_while(u8::is_ascii_digit).count()
}

/// Of the texts with the fewest digits that round-trip, the one nearest to the double, and of two equally near
/// the even one, as Python chooses. Rust's shortest form takes the upper of two equally near
/// (`2061377293555454.25` as `….3`); its form with a given number of digits rounds exactly and to even, but
/// need not round-trip at a power of two.
fn nearest(f: f64, shortest: String, exact: String) -> String {
    if exact.parse() == Ok(f) { exact } else { shortest }
}
