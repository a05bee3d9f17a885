//! Evaluating a filter over a record.

use std::{
    borrow::Cow,
    cell::{Cell, OnceCell},
    cmp::Ordering,
    time::{Duration, Instant},
};

use spl_kernel::{
    canonical::canonical,
    json::{Bounds, Json, Number},
    limits,
    record::StoredRecord,
};
use spl_projections::visibility::Viewer;

use super::filter::{Expr, Path, Test};
use crate::env;

/// What an evaluation may still spend. One record can cost as much as a million others (a long pattern against
/// a long text), so it is steps that are counted and not records.
#[derive(Debug)]
pub(crate) struct Effort {
    started: Instant,
    most: Duration,
    /// Steps since the clock was looked at.
    steps: Cell<usize>,
    over: Cell<bool>,
}

impl Effort {
    /// The clock is looked at after so many steps: a millisecond or less.
    const STEPS: usize = 64 * 1024;

    /// From now on for `most`.
    pub(crate) fn new(most: Duration) -> Self {
        Self { started: env::monotonic(), most, steps: Cell::new(0), over: Cell::new(false) }
    }

    /// Counts steps. True once the time is over; what is evaluated then means nothing.
    fn spend(&self, steps: usize) -> bool {
        let steps = self.steps.get().saturating_add(steps);
        self.steps.set(steps);
        if steps >= Self::STEPS {
            self.steps.set(0);
            self.over.set(self.is_over() || env::monotonic().duration_since(self.started) >= self.most);
        }
        self.is_over()
    }

    /// Whether the time is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }
}

/// A record under evaluation; its body is parsed when a path first needs it.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    stored: &'a StoredRecord,
    /// Whether who wrote it and how is shown.
    provenance: bool,
    body: OnceCell<Json>,
}

impl<'a> Row<'a> {
    pub(crate) fn new(stored: &'a StoredRecord, viewer: &Viewer) -> Self {
        Self { stored, provenance: viewer.sees_provenance(), body: OnceCell::new() }
    }

    fn body(&self) -> &Json {
        self.body.get_or_init(|| {
            let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
            // A stored body is canonical JSON; a damaged one matches nothing.
            Json::parse(self.stored.record.body.as_bytes(), bounds).unwrap_or(Json::Null)
        })
    }

    /// The value at a path, if there is one.
    pub(crate) fn value(&self, path: &Path) -> Option<Cow<'_, Json>> {
        let record = &self.stored.record;
        let integer = |n: u64| Some(Json::Number(Number::Int(i64::try_from(n).unwrap_or(i64::MAX))));
        let made = match path {
            Path::Id => Some(record.id.to_string().into()),
            Path::Thread => Some(record.thread.as_str().into()),
            Path::Actor => Some(record.actor.as_str().into()),
            Path::Act => Some(record.act.as_str().into()),
            Path::Clock => integer(record.clock),
            Path::DataType => Some(record.data_type.as_str().into()),
            Path::CreatedAt => Some(self.stored.committed_at.to_string().into()),
            Path::Sequence => integer(self.stored.sequence),
            Path::Origin | Path::TokenId | Path::ServiceAccountId if !self.provenance => None,
            Path::Origin => Some(self.stored.provenance.origin.as_str().into()),
            Path::TokenId => {
                let token = self.stored.provenance.token_id;
                token.map(|t| data_encoding::HEXLOWER.encode(&t).into())
            }
            Path::ServiceAccountId => self.stored.provenance.service_account_id.as_deref().map(Into::into),
            Path::Namespace => {
                let named = self.body().as_object().and_then(|o| o.str("namespace"));
                Some(named.unwrap_or("default").into())
            }
            Path::Body(segments) => {
                let mut at = self.body();
                for segment in segments {
                    at = at.as_object()?.get(segment)?;
                }
                return Some(Cow::Borrowed(at));
            }
        };
        made.map(Cow::Owned)
    }

    /// Whether the record matches. Means nothing once the effort is over.
    pub(crate) fn matches(&self, expr: &Expr, effort: &Effort) -> bool {
        // Reading the record and parsing its body.
        effort.spend(1024 + self.stored.record.body.len() / 4);
        self.satisfies(expr, effort)
    }

    fn satisfies(&self, expr: &Expr, effort: &Effort) -> bool {
        match expr {
            Expr::And(all) => all.iter().all(|e| self.satisfies(e, effort)),
            Expr::Or(any) => any.iter().any(|e| self.satisfies(e, effort)),
            Expr::Not(inner) => !self.satisfies(inner, effort),
            Expr::Test(path, test) => !effort.spend(16) && holds(test, self.value(path).as_deref(), effort),
        }
    }
}

/// Whether a test holds for a value; of different types nothing is equal and nothing ordered.
fn holds(test: &Test, value: Option<&Json>, effort: &Effort) -> bool {
    let is = |wanted: &Json| value.is_some_and(|v| equal(v, wanted));
    let order = |wanted: &Json| value.and_then(|v| compare(v, wanted));
    match test {
        Test::Eq(wanted) => is(wanted),
        Test::Ne(wanted) => !is(wanted),
        Test::Gt(wanted) => order(wanted) == Some(Ordering::Greater),
        Test::Gte(wanted) => matches!(order(wanted), Some(Ordering::Greater | Ordering::Equal)),
        Test::Lt(wanted) => order(wanted) == Some(Ordering::Less),
        Test::Lte(wanted) => matches!(order(wanted), Some(Ordering::Less | Ordering::Equal)),
        Test::In(any) => any.iter().any(is),
        Test::Nin(none) => !none.iter().any(is),
        Test::Like(pattern) => value.and_then(Json::as_str).is_some_and(|text| pattern.matches(text, effort)),
        Test::Exists(wanted) => value.is_some() == *wanted,
    }
}

fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(_), Json::Number(_)) => compare(a, b) == Some(Ordering::Equal),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((ka, va), (kb, vb))| ka == kb && equal(va, vb))
        }
        _ => a == b,
    }
}

/// The order of two numbers or two strings; none otherwise.
pub(crate) fn compare(a: &Json, b: &Json) -> Option<Ordering> {
    match (a, b) {
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            // One double stands for many large integers: these are told apart by their digits. A fraction is
            // small enough that every integer near it is a double.
            _ => match (digits(a), digits(b)) {
                (Some(a), Some(b)) => Some(compare_digits(&a, &b)),
                _ => a.as_f64().partial_cmp(&b.as_f64()),
            },
        },
        _ => None,
    }
}

/// The digits of an integer, however it is written.
fn digits(number: &Number) -> Option<Cow<'_, str>> {
    match number {
        Number::Int(n) => Some(n.to_string().into()),
        Number::BigInt(digits) => Some(Cow::Borrowed(digits)),
        Number::Float(f) if f.fract() == 0.0 => {
            canonical(&Json::Number(number.clone()), usize::MAX).ok().map(Cow::Owned)
        }
        Number::Float(_) => None,
    }
}

/// The order of two integers in canonical decimal digits.
fn compare_digits(a: &str, b: &str) -> Ordering {
    match (a.strip_prefix('-'), b.strip_prefix('-')) {
        (Some(a), Some(b)) => (b.len(), b).cmp(&(a.len(), a)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => (a.len(), a).cmp(&(b.len(), b)),
    }
}

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// `%`: any run of characters.
    Run,
    /// `_`: one character.
    One,
    /// This character.
    Char(char),
}

/// A pattern of `$like` or `$ilike`: `%` any run, `_` one character, `\` takes the next one literally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Like {
    tokens: Vec<Token>,
    fold_case: bool,
}

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1024;

impl Like {
    pub(crate) fn parse(pattern: &str, fold_case: bool) -> Result<Self, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!("a pattern is at most {PATTERN_BYTES_MAX} bytes long"));
        }
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' => {
                    if tokens.last() != Some(&Token::Run) {
                        tokens.push(Token::Run);
                    }
                }
                '_' => tokens.push(Token::One),
                '\\' => match chars.next() {
                    Some(c) => push_char(&mut tokens, c, fold_case),
                    None => return Err("a pattern must not end in a lone backslash".into()),
                },
                c => push_char(&mut tokens, c, fold_case),
            }
        }
        Ok(Self { tokens, fold_case })
    }

    /// Whether the whole text matches. Goes back to the latest run only, so the time is at most the product
    /// of the two lengths, and what the effort allows.
    pub(crate) fn matches(&self, text: &str, effort: &Effort) -> bool {
        if effort.spend(text.len()) {
            return false;
        }
        let text: Vec<char> = if self.fold_case {
            text.chars().flat_map(char::to_lowercase).collect()
        } else {
            text.chars().collect()
        };
        let (mut at, mut token) = (0, 0);
        let mut run: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.tokens.get(token) {
                Some(Token::Run) => {
                    run = Some((token, at));
                    token += 1;
                }
                Some(Token::One) => {
                    token += 1;
                    at += 1;
                }
                Some(Token::Char(c)) if *c == text[at] => {
                    token += 1;
                    at += 1;
                }
                _ => match run {
                    Some((run_token, run_at)) => {
                        if effort.spend(1 + at - run_at) {
                            return false;
                        }
                        run = Some((run_token, run_at + 1));
                        token = run_token + 1;
                        at = run_at + 1;
                    }
                    None => return false,
                },
            }
        }
        self.tokens[token..].iter().all(|t| *t == Token::Run)
    }
}

fn push_char(tokens: &mut Vec<Token>, c: char, fold_case: bool) {
    if fold_case {
        tokens.extend(c.to_lowercase().map(Token::Char));
    } else {
        tokens.push(Token::Char(c));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("%", "", false, true),
            ("a%c", "abbbc", false, true),
            ("a%c", "abbb", false, false),
            ("a_c", "abc", false, true),
            ("a_c", "ac", false, false),
            ("100\\%", "100%", false, true),
            ("100\\%", "1000", false, false),
            ("%b%b%", "abab", false, true),
            ("ABC", "abc", false, false),
            ("ABC", "aBc", true, true),
            ("\\_x", "_x", false, true),
            ("é%", "école", false, true),
        ];
        for (pattern, text, fold, expected) in cases {
            let like = Like::parse(pattern, fold).expect("a pattern");
            let effort = Effort::new(Duration::MAX);
            assert_eq!(like.matches(text, &effort), expected, "{pattern} ~ {text}");
        }
        assert!(Like::parse("a\\", false).is_err());
    }

    #[test]
    fn integers_of_any_size_are_ordered() {
        let big = |s: &str| Json::Number(Number::BigInt(s.into()));
        let int = |n| Json::Number(Number::Int(n));
        assert_eq!(
            compare(&big("99999999999999999999"), &big("100000000000000000000")),
            Some(Ordering::Less)
        );
        assert_eq!(
            compare(&big("-99999999999999999999"), &big("-100000000000000000000")),
            Some(Ordering::Greater)
        );
        assert_eq!(compare(&int(2), &Json::Number(Number::Float(2.0))), Some(Ordering::Equal));
        assert_eq!(compare(&int(3), &Json::Number(Number::Float(2.5))), Some(Ordering::Greater));
        assert_eq!(compare(&int(3), &Json::from("3")), None);
        let ascending = [
            Json::Number(Number::Float(-1e300)),
            big("-9223372036854775809"),
            int(i64::MIN),
            Json::Number(Number::Float(-0.5)),
            int(i64::MAX - 1),
            int(i64::MAX),
            big("9223372036854775808"),
            big("9223372036854775809"),
            Json::Number(Number::Float(1e300)),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), Some(i.cmp(&j)), "{a:?} {b:?}");
            }
        }
        let float = Json::Number(Number::Float(9_223_372_036_854_775_808.0));
        assert_eq!(compare(&big("9223372036854775808"), &float), Some(Ordering::Equal));
    }

    #[test]
    fn no_pattern_takes_longer_than_it_may() {
        let like = Like::parse(&format!("%{}b", "a".repeat(1000)), false).expect("a pattern");
        let text = "a".repeat(1_000_000);
        let effort = Effort::new(Duration::ZERO);
        assert!(!like.matches(&text, &effort));
        assert!(effort.is_over());
    }
}
