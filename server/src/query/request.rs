//! The request of `POST /v1/records/query`.

use spl_kernel::json::{Bounds, Json, Number, Object};

use super::filter::{Expr, Path};
use crate::{
    page::LIMIT_MAX,
    problem::{Problem, excerpt},
};

/// Bounds of a query's JSON.
const BOUNDS: Bounds = Bounds { levels: 40, values: 20_000 };
/// Most rows that `offset` skips.
const OFFSET_MAX: u64 = 10_000;
/// Rows unless the request says otherwise.
const LIMIT_DEFAULT: usize = 100;
/// Most paths of `select`.
const SELECT_MAX: usize = 64;

const FIELDS: [&str; 8] = ["filter", "thread", "sort", "limit", "offset", "cursor", "select", "explain"];

/// One sort key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sort {
    pub(crate) path: Path,
    pub(crate) descending: bool,
}

/// A parsed query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueryRequest {
    pub(crate) expr: Expr,
    pub(crate) sort: Option<Sort>,
    pub(crate) limit: usize,
    /// Whether the request asked for more rows than a page has.
    pub(crate) clamped: bool,
    pub(crate) offset: u64,
    pub(crate) cursor: Option<String>,
    pub(crate) select: Option<Vec<(String, Path)>>,
    pub(crate) explain: bool,
    /// The parts that a cursor is bound to, canonical.
    pub(crate) identity: String,
}

impl QueryRequest {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let json = Json::parse(bytes, BOUNDS).map_err(|e| Problem::invalid_body(e.to_string()))?;
        let object = json.as_object().ok_or_else(|| Problem::invalid_body("a query is a JSON object"))?;
        if let Some((key, _)) = object.iter().find(|(k, _)| !FIELDS.contains(k)) {
            return Err(Problem::invalid_body(format!("unknown field {:?}", excerpt(key)))
                .hint(format!("a query has the fields {}", FIELDS.join(", "))));
        }
        let (limit, clamped) = match number(object, "limit")? {
            None => (LIMIT_DEFAULT, false),
            Some(0) => return Err(Problem::invalid_query("`limit` must be a number from 1 on")),
            Some(n) => (usize::try_from(n).unwrap_or(LIMIT_MAX).min(LIMIT_MAX), n > LIMIT_MAX as u64),
        };
        let offset = number(object, "offset")?.unwrap_or(0);
        if offset > OFFSET_MAX {
            return Err(Problem::invalid_query(format!("`offset` is at most {OFFSET_MAX}"))
                .hint("pass the next_cursor of the page before instead"));
        }
        let cursor = string(object, "cursor")?;
        if cursor.is_some() && offset > 0 {
            return Err(Problem::invalid_query("`offset` and `cursor` do not go together"));
        }
        let explain = match object.get("explain") {
            None => false,
            Some(value) => {
                value.as_bool().ok_or_else(|| Problem::invalid_query("`explain` takes true or false"))?
            }
        };
        Ok(Self {
            expr: expr(object)?,
            sort: sort(object)?,
            limit,
            clamped,
            offset,
            cursor,
            select: select(object)?,
            explain,
            identity: identity(object),
        })
    }
}

fn expr(object: &Object) -> Result<Expr, Problem> {
    let mut all = Vec::new();
    match object.get("filter") {
        None => {}
        Some(Json::Object(filter)) => all.push(Expr::parse(filter)?),
        Some(_) => return Err(Problem::invalid_query("`filter` takes an object")),
    }
    if let Some(thread) = string(object, "thread")? {
        all.push(Expr::Test(Path::Thread, super::filter::Test::Eq(thread.into())));
    }
    Ok(Expr::And(all))
}

fn sort(object: &Object) -> Result<Option<Sort>, Problem> {
    let refused = || Problem::invalid_query("`sort` takes one key and 1 or -1, as in {\"clock\":-1}");
    let Some(value) = object.get("sort") else { return Ok(None) };
    let keys = value.as_object().filter(|o| o.len() == 1).ok_or_else(refused)?;
    let (key, direction) = keys.iter().next().ok_or_else(refused)?;
    let descending = match direction.as_i64() {
        Some(1) => false,
        Some(-1) => true,
        _ => return Err(refused()),
    };
    Ok(Some(Sort { path: Path::parse(key)?, descending }))
}

fn select(object: &Object) -> Result<Option<Vec<(String, Path)>>, Problem> {
    let refused =
        || Problem::invalid_query(format!("`select` takes an array of 1 to {SELECT_MAX} different paths"));
    let Some(value) = object.get("select") else { return Ok(None) };
    let names = value.as_array().filter(|a| (1..=SELECT_MAX).contains(&a.len())).ok_or_else(refused)?;
    let mut paths: Vec<(String, Path)> = Vec::with_capacity(names.len());
    for name in names {
        let name = name.as_str().ok_or_else(refused)?;
        if paths.iter().any(|(known, _)| known == name) {
            return Err(refused());
        }
        paths.push((name.to_owned(), Path::parse(name)?));
    }
    Ok(Some(paths))
}

fn number(object: &Object, key: &str) -> Result<Option<u64>, Problem> {
    let refused = || Problem::invalid_query(format!("`{key}` must be a number from 0 on"));
    let parse = |value: &Json| match value {
        // Larger than any bound: clamped or refused like everything that is.
        Json::Number(Number::BigInt(digits)) if !digits.starts_with('-') => Ok(u64::MAX),
        value => value.as_i64().and_then(|n| u64::try_from(n).ok()).ok_or_else(refused),
    };
    object.get(key).map(parse).transpose()
}

fn string(object: &Object, key: &str) -> Result<Option<String>, Problem> {
    let refused = || Problem::invalid_query(format!("`{key}` takes a string"));
    match object.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => value.as_str().map(str::to_owned).map(Some).ok_or_else(refused),
    }
}

fn identity(object: &Object) -> String {
    let mut parts = Vec::new();
    for key in ["filter", "thread", "sort", "select"] {
        let text =
            object.get(key).map(|v| spl_kernel::canonical::canonical(v, usize::MAX).unwrap_or_default());
        parts.push(text.unwrap_or_default());
    }
    parts.join("\n")
}
