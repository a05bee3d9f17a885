//! Evaluating a filter over a record.

use std::{cell::OnceCell, cmp::Ordering};

use spl_kernel::{
    json::{Bounds, Json, Number},
    limits,
    record::StoredRecord,
};

use super::filter::{Expr, Path, Test};

/// A record under evaluation; its body is parsed when a path first needs it.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    stored: &'a StoredRecord,
    body: OnceCell<Json>,
}

impl<'a> Row<'a> {
    pub(crate) fn new(stored: &'a StoredRecord) -> Self {
        Self { stored, body: OnceCell::new() }
    }

    fn body(&self) -> &Json {
        self.body.get_or_init(|| {
            let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
            // A stored body is canonical JSON; a damaged one matches nothing.
            Json::parse(self.stored.record.body.as_bytes(), bounds).unwrap_or(Json::Null)
        })
    }

    /// The value at a path, if there is one.
    pub(crate) fn value(&self, path: &Path) -> Option<Json> {
        let record = &self.stored.record;
        let integer = |n: u64| Some(Json::Number(Number::Int(i64::try_from(n).unwrap_or(i64::MAX))));
        match path {
            Path::Id => Some(record.id.to_string().into()),
            Path::Thread => Some(record.thread.as_str().into()),
            Path::Actor => Some(record.actor.as_str().into()),
            Path::Act => Some(record.act.as_str().into()),
            Path::Clock => integer(record.clock),
            Path::DataType => Some(record.data_type.as_str().into()),
            Path::CreatedAt => Some(self.stored.committed_at.to_string().into()),
            Path::Sequence => integer(self.stored.sequence),
            Path::Namespace => {
                let named = self.body().as_object().and_then(|o| o.str("namespace"));
                Some(named.unwrap_or("default").into())
            }
            Path::Body(segments) => {
                let mut at = self.body();
                for segment in segments {
                    at = at.as_object()?.get(segment)?;
                }
                Some(at.clone())
            }
        }
    }

    /// Whether the record matches.
    pub(crate) fn matches(&self, expr: &Expr) -> bool {
        match expr {
            Expr::And(all) => all.iter().all(|e| self.matches(e)),
            Expr::Or(any) => any.iter().any(|e| self.matches(e)),
            Expr::Not(inner) => !self.matches(inner),
            Expr::Test(path, test) => holds(test, self.value(path).as_ref()),
        }
    }
}

/// Whether a test holds for a value; of different types nothing is equal and nothing ordered.
fn holds(test: &Test, value: Option<&Json>) -> bool {
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
        Test::Like(pattern) => value.and_then(Json::as_str).is_some_and(|text| pattern.matches(text)),
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
        (Json::Number(a), Json::Number(b)) => Some(match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => match (a, b) {
                (Number::BigInt(a), Number::BigInt(b)) => compare_digits(a, b),
                _ => a.as_f64().partial_cmp(&b.as_f64())?,
            },
        }),
        _ => None,
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
    /// of the two lengths.
    pub(crate) fn matches(&self, text: &str) -> bool {
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
            assert_eq!(like.matches(text), expected, "{pattern} ~ {text}");
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
    }
}
