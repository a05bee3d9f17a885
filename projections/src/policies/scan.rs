//! A look at an expression's tokens before the parser sees them.
//!
//! The parser goes down one level of its stack for each bracket, conditional and link of a chain
//! (`a.b.c`, `1 + 1 + 1`). How deep a text would take it is computed here without recursion, and refused where
//! that is more than any thread's stack should bear.

use spl_kernel::refusal::{Code, Refusal};

use super::NESTING_MAX;

/// Most links on one path from the root of an expression to a leaf, brackets included. A link takes the parser
/// at most half a kibibyte of stack, a bracket ten; both together stay under a third of two mebibytes.
const PATH_MAX: usize = 512;

/// What the parser reads where a rule says `namespace`, which CEL keeps as a reserved word. Of the same
/// length, so that positions in messages are those of the text as written.
pub(super) const NAMESPACE: &str = "namespac_";

/// What is known of one open bracket, or of the whole text.
#[derive(Default)]
struct Level {
    /// The byte that closes it.
    close: u8,
    /// Conditionals open since the last comma: each nests what follows it.
    conditionals: usize,
    /// The most of them between two commas.
    conditionals_max: usize,
    /// Links since the last separator.
    links: usize,
    /// The deepest bracket since then.
    inner: usize,
    /// The longest path so far.
    path: usize,
}

impl Level {
    /// Ends a part whose links form one chain.
    fn separate(&mut self) {
        self.path = self.path.max(self.links + self.inner);
        self.links = 0;
        self.inner = 0;
        self.conditionals_max = self.conditionals_max.max(self.conditionals);
    }

    /// The longest path through it.
    fn finish(mut self) -> usize {
        self.separate();
        self.path + self.conditionals_max + 1
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    levels: Vec<Level>,
    current: Level,
    /// Brackets and conditionals that are open.
    nesting: usize,
    after_dot: bool,
    /// Where `namespace` stands as a variable.
    namespaces: Vec<usize>,
}

/// Refuses what would take the parser too deep; else gives the text to parse.
pub(super) fn scan(text: &str) -> Result<String, Refusal> {
    let mut scanner = Scanner {
        text: text.as_bytes(),
        at: 0,
        levels: Vec::new(),
        current: Level::default(),
        nesting: 0,
        after_dot: false,
        namespaces: Vec::new(),
    };
    while scanner.at < scanner.text.len() {
        scanner.token()?;
    }
    if !scanner.levels.is_empty() {
        return Err(malformed("a bracket is not closed"));
    }
    let namespaces = scanner.namespaces;
    if scanner.current.finish() > PATH_MAX {
        return Err(too_deep());
    }
    let mut parsed = text.to_owned();
    for at in namespaces {
        parsed.replace_range(at..at + NAMESPACE.len(), NAMESPACE);
    }
    Ok(parsed)
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn skip_while(&mut self, accept: impl Fn(u8) -> bool) {
        while self.at < self.text.len() && accept(self.peek(0)) {
            self.at += 1;
        }
    }

    fn token(&mut self) -> Result<(), Refusal> {
        let (first, second) = (self.peek(0), self.peek(1));
        let mut dot = false;
        match first {
            b' ' | b'\t' | b'\r' | b'\n' | 0x0c => {
                self.at += 1;
                return Ok(());
            }
            b'/' if second == b'/' => {
                self.skip_while(|b| b != b'\n');
                return Ok(());
            }
            b'"' | b'\'' => self.string(false)?,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word()?,
            b'0'..=b'9' => self.number(),
            b'.' if second.is_ascii_digit() => self.number(),
            b'(' | b'[' | b'{' => self.open(first)?,
            b')' | b']' | b'}' => self.close(first)?,
            b',' => {
                self.current.separate();
                self.nesting -= self.current.conditionals;
                self.current.conditionals = 0;
                self.at += 1;
            }
            b'?' => {
                self.current.conditionals += 1;
                self.nest()?;
                self.current.separate();
                self.at += 1;
            }
            b'`' => return Err(malformed(&format!("byte {} is a `", self.at + 1))),
            b':' | b'&' | b'|' => {
                self.current.separate();
                self.at += 1;
            }
            _ => {
                dot = first == b'.';
                self.at += 1;
                self.link()?;
            }
        }
        self.after_dot = dot;
        Ok(())
    }

    fn link(&mut self) -> Result<(), Refusal> {
        self.current.links += 1;
        if self.current.links + self.current.inner > PATH_MAX { Err(too_deep()) } else { Ok(()) }
    }

    fn nest(&mut self) -> Result<(), Refusal> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX { Err(too_deep()) } else { Ok(()) }
    }

    fn open(&mut self, bracket: u8) -> Result<(), Refusal> {
        self.link()?;
        self.nest()?;
        let close = match bracket {
            b'(' => b')',
            b'[' => b']',
            _ => b'}',
        };
        let outer = std::mem::replace(&mut self.current, Level { close, ..Level::default() });
        self.levels.push(outer);
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, bracket: u8) -> Result<(), Refusal> {
        let Some(outer) = self.levels.pop().filter(|_| self.current.close == bracket) else {
            return Err(malformed(&format!(
                "`{}` at byte {} closes nothing",
                char::from(bracket),
                self.at + 1
            )));
        };
        let closed = std::mem::replace(&mut self.current, outer);
        self.nesting -= 1 + closed.conditionals;
        self.current.inner = self.current.inner.max(closed.finish());
        self.at += 1;
        if self.current.links + self.current.inner > PATH_MAX { Err(too_deep()) } else { Ok(()) }
    }

    /// A name, an operator in letters, or the prefix of a string.
    fn word(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        self.skip_while(|b| b.is_ascii_alphanumeric() || b == b'_');
        let word = self.text.get(start..self.at).unwrap_or_default();
        if matches!(word, [b'r' | b'R' | b'b' | b'B'] | [b'b' | b'B', b'r' | b'R'])
            && matches!(self.peek(0), b'"' | b'\'')
        {
            return self.string(matches!(word, [.., b'r' | b'R']));
        }
        if word == b"in" {
            return self.link();
        }
        if !self.after_dot && word == b"namespace" {
            self.namespaces.push(start);
        }
        if !self.after_dot && word == NAMESPACE.as_bytes() {
            return Err(super::check::unknown_variable(NAMESPACE));
        }
        Ok(())
    }

    fn number(&mut self) {
        if self.peek(0) == b'0' && self.peek(1) == b'x' && self.peek(2).is_ascii_hexdigit() {
            self.at += 2;
            self.skip_while(|b| b.is_ascii_hexdigit());
        } else {
            self.skip_while(|b| b.is_ascii_digit());
            if self.peek(0) == b'.' && self.peek(1).is_ascii_digit() {
                self.at += 1;
                self.skip_while(|b| b.is_ascii_digit());
            }
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if matches!(self.peek(0), b'e' | b'E') && self.peek(1 + sign).is_ascii_digit() {
                self.at += 1 + sign;
                self.skip_while(|b| b.is_ascii_digit());
            }
        }
        if matches!(self.peek(0), b'u' | b'U') {
            self.at += 1;
        }
    }

    /// The length of the escape sequence here, if it is one.
    fn escape(&self) -> Option<usize> {
        let (digits, base) = match self.peek(1) {
            b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`' => (0, 16),
            b'x' | b'X' => (2, 16),
            b'u' => (4, 16),
            b'U' => (8, 16),
            b'0'..=b'3' => (2, 8),
            _ => return None,
        };
        let all = (0..digits).all(|n| char::from(self.peek(2 + n)).is_digit(base));
        all.then_some(2 + digits)
    }

    fn string(&mut self, raw: bool) -> Result<(), Refusal> {
        let (start, quote) = (self.at, self.peek(0));
        let long = self.peek(1) == quote && self.peek(2) == quote;
        self.at += if long { 3 } else { 1 };
        while self.at < self.text.len() {
            match self.peek(0) {
                b'\\' if !raw => {
                    let at = self.at + 1;
                    let unknown = || malformed(&format!("byte {at} starts no escape sequence"));
                    self.at += self.escape().ok_or_else(unknown)?;
                }
                b'\r' | b'\n' if !long => break,
                b if b == quote && !long => {
                    self.at += 1;
                    return Ok(());
                }
                b if b == quote && self.peek(1) == quote && self.peek(2) == quote => {
                    self.at += 3;
                    return Ok(());
                }
                _ => self.at += 1,
            }
        }
        Err(malformed(&format!("the string that starts at byte {} is not closed", start + 1)))
    }
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Code::InvalidBody, format!("the expression does not parse: {what}"))
}

/// The refusal of an expression that is too deep, found in its text or in its tree.
pub(super) fn too_deep() -> Refusal {
    Refusal::new(Code::InvalidBody, format!("the expression is nested deeper than {NESTING_MAX} levels"))
        .hint("split it into several rules, or join parts by && and ||, which do not nest")
}
